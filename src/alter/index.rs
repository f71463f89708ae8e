//! CREATE INDEX and DROP INDEX statements.

use squawk_syntax::ast::{self, AstNode};

use super::retarget::at_table;
use super::table_ref::ident;
use super::{Action, ActionKind, AlterStatement, LockMode, TableRef, parse, refuse};
use crate::error::{Code, Error, Result};
use crate::name::{Fragment, QualifiedName};

/// `CREATE INDEX`, with its table. `CONCURRENTLY` is removed: pgrecast decides how to build the index.
pub(super) fn create(create: &ast::CreateIndex) -> Result<(Option<TableRef>, Vec<Action>)> {
    let table = create
        .table_relation_name()
        .and_then(|name| name.table_name_ref())
        .and_then(|name| TableRef::of(&name))
        .ok_or_else(|| Error::usage(format!("not the name of a table: {}", parse::shown(create))))?;
    let mut text = parse::text_of(create.syntax());
    let start = usize::from(create.syntax().text_range().start());
    if let Some(token) = create.concurrently_token() {
        let range = token.text_range();
        text.replace_range(usize::from(range.start()) - start..usize::from(range.end()) - start, "");
    }
    let text = text.trim_end_matches(|c: char| c == ';' || c.is_whitespace()).to_owned();
    let name = create.index().map(|index| ident(index.syntax()));
    let kind = ActionKind::CreateIndex { name };
    Ok((Some(table), vec![Action { text, kind, lock: LockMode::ShareUpdateExclusive }]))
}

/// `DROP INDEX` of one index.
pub(super) fn drop(drop: &ast::DropIndex) -> Result<Action> {
    let refused = |code, why, instead| Err(refuse::refused(code, &parse::shown(drop), why, instead));
    if matches!(drop.drop_behavior(), Some(ast::DropBehavior::Cascade(_))) {
        return refused(
            Code::Cascade,
            "CASCADE would drop objects that belong to others",
            "Leave CASCADE out.",
        );
    }
    let mut indexes = drop.index_refs();
    let (Some(index), None) = (indexes.next(), indexes.next()) else {
        return refused(Code::SeveralObjects, "it drops several indexes", "Write one statement for each.");
    };
    let index = match TableRef::parse(&parse::text_of(index.syntax())) {
        Ok(index) => index,
        Err(_) => TableRef { schema: None, name: ident(index.syntax()) },
    };
    let if_exists = drop.if_exists().is_some();
    let text = format!("drop index {}{index}", if if_exists { "if exists " } else { "" });
    Ok(Action {
        text,
        kind: ActionKind::DropIndex { index, if_exists },
        lock: LockMode::ShareUpdateExclusive,
    })
}

impl AlterStatement {
    /// The statement for the table of this name, if it is one of an index.
    pub(super) fn as_index(&self, table: &QualifiedName) -> Option<Fragment> {
        let [action] = self.actions.as_slice() else { return None };
        match &action.kind {
            ActionKind::CreateIndex { .. } => at_table(&action.text, table),
            ActionKind::DropIndex { index, if_exists } => {
                let index = QualifiedName { schema: table.schema.clone(), name: index.name.clone() };
                let if_exists = if *if_exists { "if exists " } else { "" };
                Some(Fragment::trusted(format!("drop index {if_exists}{index}")))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Alter;
    use super::*;
    use crate::error::Kind;

    fn read(text: &str) -> (Option<TableRef>, String) {
        let (table, alter) = Alter::from_file(text).unwrap_or_else(|error| panic!("{error}"));
        (table, alter.statements[0].sql(&QualifiedName::new("s", "T")).to_string())
    }

    #[test]
    fn an_index_is_made_on_the_table_that_is_meant() {
        let (table, sql) = read(
            "create unique index concurrently if not exists i on only app.\"On\" (a, (b || 'on x')) where c;",
        );
        assert_eq!(table.unwrap().to_string(), "app.\"On\"");
        assert_eq!(
            sql,
            "create unique index  if not exists i on only \"s\".\"T\" (a, (b || 'on x')) where c"
        );
        assert_eq!(read("CREATE INDEX ON x (a)").1, "CREATE INDEX ON \"s\".\"T\" (a)");
    }

    #[test]
    fn an_index_is_dropped_where_its_table_is() {
        assert_eq!(
            read("drop index concurrently if exists app.\"I\""),
            (None, "drop index if exists \"s\".\"I\"".to_owned())
        );
        for text in ["drop index a, b", "drop index a cascade"] {
            assert_eq!(Alter::from_file(text).unwrap_err().kind, Kind::Refused, "{text}");
        }
    }

    #[test]
    fn a_file_is_for_one_table() {
        assert!(Alter::from_file("create index on a (x); create index on b (x)").is_err());
        assert!(Alter::from_file("alter table a add x int; create index on a (x); drop index y").is_ok());
    }
}
