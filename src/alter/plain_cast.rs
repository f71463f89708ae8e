//! Whether a `USING` expression only casts its column.

use squawk_syntax::{
    SyntaxElement,
    ast::{self, AlterColumnOption, AlterTableAction, AstNode, CastKind, Expr, Stmt},
    quote,
};

use super::{
    parse,
    table_ref::{ident, ident_of_word},
};
use crate::name::{Fragment, Ident};

/// Whether the expression is the column itself or only casts of it: `id::bigint`, `cast(id as bigint)`,
/// `(id)::text::int`. Anything unknown is not a plain cast.
#[must_use]
pub fn is_plain_cast(using: &str, column: &Ident) -> bool {
    expression(using).is_some_and(|expr| is_cast_of(&expr, column))
}

/// Parses a text that is a single expression.
pub(super) fn expression(text: &str) -> Option<Expr> {
    let file = parse::source("alter table x alter column x type x using ", text, "USING").ok()?;
    let mut stmts = file.stmts();
    let (Some(Stmt::AlterTable(alter)), None) = (stmts.next(), stmts.next()) else { return None };
    let mut actions = alter.actions();
    let (Some(AlterTableAction::AlterColumn(only)), None) = (actions.next(), actions.next()) else {
        return None;
    };
    match only.option()? {
        AlterColumnOption::SetType(set) => set.using_expr()?.expr(),
        _ => None,
    }
}

/// Whether an expression contains this name.
pub(super) fn reads(value: &Fragment, column: &Ident) -> bool {
    expression(value.as_str()).is_some_and(|expr| {
        let tokens = expr.syntax().descendants_with_tokens().filter_map(SyntaxElement::into_token);
        tokens.into_iter().any(|token| ident_of_word(token.text()) == *column)
    })
}

fn is_cast_of(expr: &Expr, column: &Ident) -> bool {
    match expr {
        Expr::NameRef(name) => !is_value(name) && ident(name.syntax()) == *column,
        Expr::ParenExpr(inner) => inner.expr().is_some_and(|inner| is_cast_of(&inner, column)),
        Expr::CastExpr(cast) => {
            matches!(cast.kind(), Some(CastKind::Cast | CastKind::DoubleColon))
                && cast.expr().is_some_and(|inner| is_cast_of(&inner, column))
        }
        _ => false,
    }
}

/// `user`, `current_date` and similar words are values unless quoted, even if a column has that name. `current_schema`
/// is the only one that is not reserved.
fn is_value(name: &ast::NameRef) -> bool {
    !name.is_quoted() && (quote::is_reserved_word(&name.text()) || name.text() == "current_schema")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_of_the_column_are_plain() {
        for using in [
            "id",
            "ID",
            "\"id\"",
            " id::bigint ",
            "(id)::bigint",
            "((id))",
            "cast(id as bigint)",
            "CAST (Id AS int8)",
            "id::text::numeric(10, 2)",
            "cast((id::text) as varchar(3))",
            "id::text[]",
            "id /* c */ ::bigint -- d",
            "id::pg_catalog.int8",
            "id::timestamp with time zone",
        ] {
            assert!(is_plain_cast(using, &Ident::new("id")), "{using}");
        }
        assert!(is_plain_cast("\"Id x\"::int", &Ident::new("Id x")));
        assert!(is_plain_cast("value::int", &Ident::new("value")));
        assert!(is_plain_cast("\"user\"::int", &Ident::new("user")));
    }

    #[test]
    fn all_else_is_not() {
        for using in [
            "",
            "other",
            "other::bigint",
            "\"ID\"",
            "id + 0",
            "-id",
            "id::bigint + 1",
            "(id::bigint) / 100",
            "lower(id)",
            "id collate \"C\"",
            "id at time zone 'UTC'",
            "(select id)",
            "x.id::int",
            "id.x",
            "id[1]",
            "'id'",
            "date 'id'",
            "id, add b int",
            "id; drop table x",
            "id)",
            "nullif(id, '')::int",
            "cast('1' as int)",
            "case when id then id end",
            "id is null",
            "array[id]",
            "row(id)",
            "frob frob",
        ] {
            assert!(!is_plain_cast(using, &Ident::new("id")), "{using}");
        }
        assert!(!is_plain_cast("user", &Ident::new("user")), "the current user, not the column");
        assert!(!is_plain_cast("current_schema::text", &Ident::new("current_schema")));
    }
}
