//! `--set 'column=expression'`: what rows that are there already get in a column that the change adds.

use squawk_syntax::ast::{self, AlterTableAction, AstNode, CastKind, Constraint, Expr, Stmt};

use super::plain_cast::expression;
use super::{ActionKind, Alter, parse};
use crate::error::{Error, Result};
use crate::name::{Fragment, Ident};

impl Alter {
    /// Gives rows that are there this value. One value for all is had from a default that is taken away again, which
    /// writes no row; any other is computed when rows are copied, from the columns as they are after the change.
    ///
    /// # Errors
    /// Usage, when the change does not add the column, or computes it by itself.
    pub fn set(&mut self, column: &Ident, value: &Fragment) -> Result<()> {
        if expression(value.as_str()).is_none() {
            return Err(Error::usage(format!("--set {}: not an expression: {value}", column.shown())));
        }
        let adds = |kind: &ActionKind| matches!(kind, ActionKind::AddColumn { name } if name == column);
        let mut actions = self.statements.iter_mut().flat_map(|statement| &mut statement.actions);
        let action = actions.find(|action| adds(&action.kind)).ok_or_else(|| {
            Error::usage(format!("--set names column {}, which the change does not add", column.shown())).hint(
                "A column that is there is changed by --alter 'alter column .. type .. using (expression)'.",
            )
        })?;
        let add = parsed(&action.text).ok_or_else(|| {
            Error::usage(format!("the type of column {} is not understood: {}", column.shown(), action.text))
        })?;
        if add.constraints().any(|constraint| matches!(constraint, Constraint::GeneratedConstraint(_))) {
            return Err(Error::usage(format!("--set names column {}, which is generated", column.shown())));
        }
        let has_default =
            add.constraints().any(|constraint| matches!(constraint, Constraint::DefaultConstraint(_)));
        let then = if is_constant(value) && !has_default {
            action.text = format!("{} default ({value})", action.text);
            format!("alter column {column} drop default")
        } else {
            let type_name = add.ty().map(|ty| parse::text_of(ty.syntax())).unwrap_or_default();
            format!("alter column {column} type {type_name} using ({value})")
        };
        self.statements.extend(Alter::from_actions(&[then])?.statements);
        Ok(())
    }
}

fn parsed(action: &str) -> Option<ast::AddColumn> {
    let file = parse::source("alter table x ", action, "--alter").ok()?;
    let Some(Stmt::AlterTable(alter)) = file.stmts().next() else { return None };
    match alter.actions().next()? {
        AlterTableAction::AddColumn(add) => Some(add),
        _ => None,
    }
}

/// Whether it is one value, whatever the row and the moment: a literal, or casts of one.
fn is_constant(value: &Fragment) -> bool {
    fn is_literal(expr: &Expr) -> bool {
        match expr {
            Expr::Literal(_) => true,
            Expr::ParenExpr(inner) => inner.expr().is_some_and(|inner| is_literal(&inner)),
            Expr::PrefixExpr(inner) => inner.expr().is_some_and(|inner| is_literal(&inner)),
            Expr::CastExpr(cast) => {
                matches!(cast.kind(), Some(CastKind::Cast | CastKind::DoubleColon))
                    && cast.expr().is_some_and(|inner| is_literal(&inner))
            }
            _ => false,
        }
    }
    expression(value.as_str()).is_some_and(|expr| is_literal(&expr))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(alter: &str, column: &str, value: &str) -> Result<Vec<String>> {
        let mut alter = Alter::from_actions(&[alter.to_owned()])?;
        alter.set(&Ident::new(column), &Fragment::trusted(value))?;
        Ok(alter.actions().map(|action| action.text.clone()).collect())
    }

    #[test]
    fn one_value_is_a_default_for_a_moment() {
        for value in ["5", "-5", "'x'::text", "(null)", "cast('1' as int)", "true"] {
            let expected =
                [format!("add x int not null default ({value})"), "alter column \"x\" drop default".into()];
            assert_eq!(set("add x int not null", "x", value).unwrap(), expected);
        }
    }

    #[test]
    fn any_other_is_computed_for_each_row() {
        for value in ["a + 1", "current_date", "f()", "a"] {
            let expected = [
                "add x numeric(10, 2)".into(),
                format!("alter column \"x\" type numeric(10, 2) using ({value})"),
            ];
            assert_eq!(set("add x numeric(10, 2)", "x", value).unwrap(), expected);
        }
        let with_default = set("add x int default 1", "x", "2").unwrap();
        assert_eq!(with_default, ["add x int default 1", "alter column \"x\" type int using (2)"]);
    }

    #[test]
    fn only_an_added_column_that_is_not_computed_is_set() {
        for alter in ["add y int", "alter x type int", "add x int generated always as (1) stored"] {
            assert!(set(alter, "x", "5").is_err(), "{alter}");
        }
        for value in ["5) + (", "1), add y int default (2", "1; drop table x"] {
            assert!(set("add x int", "x", value).is_err(), "{value}");
        }
    }
}
