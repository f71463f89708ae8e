//! `--set 'column=expression'`: the value of an added column for existing rows.

use squawk_syntax::ast::{self, AlterTableAction, AstNode, CastKind, Constraint, Expr, Stmt};

use super::plain_cast::{expression, reads};
use super::{ActionKind, Alter, parse};
use crate::error::{Error, Result};
use crate::name::{Fragment, Ident};

impl Alter {
    /// Sets these values for existing rows. One value for all rows is implemented by a default that is dropped
    /// afterwards, which writes no rows. Any other value is computed during the copy, from the columns after the
    /// change. A column that reads another of these columns comes after it.
    ///
    /// # Errors
    /// Usage, if the change does not add a column, or the column is generated, or two columns depend on each other.
    pub fn set(&mut self, values: &[(Ident, Fragment)]) -> Result<()> {
        let mut open: Vec<&(Ident, Fragment)> = values.iter().collect();
        while !open.is_empty() {
            let is_free = |(column, value): &&(Ident, Fragment)| {
                let others = open.iter().filter(|(other, _)| other != column);
                !others.into_iter().any(|(other, _)| reads(value, other)) && !reads(value, column)
            };
            let Some(next) = open.iter().position(is_free) else {
                return Err(Error::usage(format!(
                    "--set {}: the expression depends on its own value",
                    open[0].0.shown()
                )));
            };
            let (column, value) = open.remove(next);
            if open.iter().any(|(other, _)| other == column) {
                return Err(Error::usage(format!("--set names column {} twice", column.shown())));
            }
            self.set_one(column, value)?;
        }
        Ok(())
    }

    fn set_one(&mut self, column: &Ident, value: &Fragment) -> Result<()> {
        if expression(value.as_str()).is_none() {
            return Err(Error::usage(format!("--set {}: not an expression: {value}", column.shown())));
        }
        let renames =
            |kind: &ActionKind| matches!(kind, ActionKind::RenameColumn { from, .. } if from == column);
        if self.actions().any(|action| renames(&action.kind)) {
            return Err(Error::usage(format!(
                "--set names column {}, which the change renames",
                column.shown()
            ))
            .hint("Add it under its final name."));
        }
        let adds = |kind: &ActionKind| matches!(kind, ActionKind::AddColumn { name } if name == column);
        let mut actions = self.statements.iter_mut().flat_map(|statement| &mut statement.actions);
        let action = actions.find(|action| adds(&action.kind)).ok_or_else(|| {
            Error::usage(format!("--set names column {}, which the change does not add", column.shown()))
                .hint(
                    "To change an existing column, use --alter 'alter column .. type .. using (expression)'.",
                )
        })?;
        let add = parsed(&action.text).ok_or_else(|| {
            Error::usage(format!("the type of column {} cannot be parsed: {}", column.shown(), action.text))
        })?;
        if add.if_not_exists().is_some() {
            return Err(Error::usage(format!(
                "--set names column {}, which may exist already",
                column.shown()
            ))
            .because("with IF NOT EXISTS its values would be overwritten")
            .hint("Leave IF NOT EXISTS out."));
        }
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

/// Whether it is a constant: a literal, or casts of one.
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
        set_all(alter, &[(column, value)])
    }

    fn set_all(alter: &str, values: &[(&str, &str)]) -> Result<Vec<String>> {
        let mut alter = Alter::from_actions(&[alter.to_owned()])?;
        let values: Vec<_> =
            values.iter().map(|(column, value)| (Ident::new(*column), Fragment::trusted(*value))).collect();
        alter.set(&values)?;
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
    fn what_reads_another_comes_after_it() {
        let alter = "add a int, add b int, add c int";
        let expected = [
            "add a int",
            "add b int default (1)",
            "add c int",
            "alter column \"b\" drop default",
            "alter column \"a\" type int using (t.b + 1)",
            "alter column \"c\" type int using (a * 2)",
        ];
        let found = set_all(alter, &[("c", "a * 2"), ("a", "t.b + 1"), ("b", "1")]).unwrap();
        assert_eq!(found, expected);
        for wrong in [vec![("a", "b"), ("b", "a")], vec![("a", "a + 1")], vec![("a", "1"), ("a", "2")]] {
            assert!(set_all(alter, &wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_an_added_column_that_is_not_computed_is_set() {
        for alter in [
            "add y int",
            "alter x type int",
            "add x int generated always as (1) stored",
            "add column if not exists x int",
            "add x int, rename x to z",
        ] {
            assert!(set(alter, "x", "5").is_err(), "{alter}");
        }
        for value in ["5) + (", "1), add y int default (2", "1; drop table x"] {
            assert!(set("add x int", "x", value).is_err(), "{value}");
        }
    }
}
