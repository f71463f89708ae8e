//! Splits the user's text into statements.

use squawk_syntax::{
    SyntaxKind,
    ast::{self, AstNode, Stmt},
};

use super::{Action, Alter, AlterStatement, TableRef, classify::classify, index, parse, refuse};
use crate::error::{Code, Error, Result};

const ONE_ACTION: &str = "for example: alter column id type bigint, add column note text";

impl Alter {
    /// Each text is the part of an `ALTER TABLE` after the table's name: actions separated by commas. Renames get
    /// separate statements; the actions between two renames stay one statement. Two texts are never combined into one
    /// statement, because PostgreSQL does not run the actions of a statement in the order in which they are written.
    pub fn from_actions(texts: &[String]) -> Result<Alter> {
        let mut statements = Vec::new();
        for text in texts {
            statements.extend(grouped(actions_of_text(text)?));
        }
        Ok(Alter { statements })
    }

    /// Statements from the state: actions of an `ALTER TABLE`, or a statement about an index.
    pub fn from_texts(texts: &[String]) -> Result<Alter> {
        let mut statements = Vec::new();
        for text in texts {
            let read = Self::from_actions(std::slice::from_ref(text));
            let read = read.or_else(|_| Self::from_file(text).map(|(_, alter)| alter))?;
            statements.extend(read.statements);
        }
        Ok(Alter { statements })
    }

    /// Whole statements, `ALTER TABLE`, `CREATE INDEX` and `DROP INDEX`, all for the same table, which is returned too;
    /// a file with only `DROP INDEX` does not name it.
    pub fn from_file(text: &str) -> Result<(Option<TableRef>, Alter)> {
        let file = parse::source("", text, "the file").map_err(|error| outdated_or(text, error))?;
        let mut table: Option<TableRef> = None;
        let mut statements = Vec::new();
        for stmt in file.stmts() {
            let (this, actions) = match &stmt {
                Stmt::EmptyStmt(_) => continue,
                Stmt::AlterTable(alter) => (Some(table_of(alter)?), actions_of(alter)?),
                Stmt::CreateIndex(create) => index::create(create)?,
                Stmt::DropIndex(drop) => (None, vec![index::drop(drop)?]),
                other => return Err(not_alter_table(other)),
            };
            match (&table, this) {
                (Some(first), Some(this)) if *first != this => return Err(two_tables(first, &this)),
                (_, this) => table = this.or(table),
            }
            statements.extend(grouped(actions));
        }
        if statements.is_empty() {
            return Err(Error::usage("there is no statement in the file")
                .hint("Write ALTER TABLE statements into the file, or use --alter."));
        }
        Ok((table, Alter { statements }))
    }
}

/// Groups consecutive actions into one statement, with renames separate; keeps the order.
fn grouped(actions: Vec<Action>) -> Vec<AlterStatement> {
    let mut statements: Vec<AlterStatement> = Vec::new();
    for action in actions {
        match statements.last_mut() {
            Some(last) if !action.kind.is_alone() && !last.actions[0].kind.is_alone() => {
                last.actions.push(action);
            }
            _ => statements.push(AlterStatement { actions: vec![action] }),
        }
    }
    statements
}

fn actions_of_text(text: &str) -> Result<Vec<Action>> {
    let mut words = text.split_whitespace().map(str::to_ascii_lowercase);
    if (words.next().as_deref(), words.next().as_deref()) == (Some("alter"), Some("table")) {
        return Err(Error::usage("--alter contains a whole ALTER TABLE statement").hint(format!(
            "Give only the actions, {ONE_ACTION}; or write the statement to a file and use --file."
        )));
    }
    if let Some(at) = parse::after_semicolon(text) {
        let place = parse::place(text, at);
        return Err(Error::usage("--alter has more text after a semicolon")
            .lines(place)
            .hint("Give only actions, separated by commas; --alter can be given more than once."));
    }
    // In parentheses, so that the text cannot continue the name: `.y add a int`, `* add a int`.
    let file =
        parse::source("alter table only (x) ", text, "--alter").map_err(|error| outdated_or(text, error))?;
    match file.stmts().next() {
        Some(Stmt::AlterTable(alter)) => actions_of(&alter),
        _ => Err(no_action()),
    }
}

fn actions_of(alter: &ast::AlterTable) -> Result<Vec<Action>> {
    let actions = alter.actions().map(|action| classify(&action)).collect::<Result<Vec<_>>>()?;
    if actions.is_empty() { Err(no_action()) } else { Ok(actions) }
}

fn table_of(alter: &ast::AlterTable) -> Result<TableRef> {
    if alter.all_in_tablespace().is_some() {
        let (code, why, instead) = refuse::ALL_IN_TABLESPACE;
        return Err(refuse::refused(code, &parse::shown(alter), why, instead));
    }
    alter
        .table_relation_name()
        .and_then(|name| name.table_name_ref())
        .and_then(|name| TableRef::of(&name))
        .ok_or_else(|| Error::usage(format!("not the name of a table: {}", parse::shown(alter))))
}

fn no_action() -> Error {
    Error::usage("there is no action").hint(format!("Give at least one action, {ONE_ACTION}"))
}

fn outdated_or(text: &str, error: Error) -> Error {
    refuse::outdated(text).unwrap_or(error)
}

fn two_tables(first: &TableRef, second: &TableRef) -> Error {
    let what = if first.name == second.name { "writes its table in two ways" } else { "alters two tables" };
    Error::usage(format!("the file {what}: {first} and {second}"))
        .hint("A file is for one table. Write its name the same way in all statements.")
}

fn not_alter_table(stmt: &Stmt) -> Error {
    let why = "a file may only contain ALTER TABLE, CREATE INDEX and DROP INDEX statements";
    let first = stmt
        .syntax()
        .descendants_with_tokens()
        .find_map(|element| element.into_token().map(|token| token.kind()).filter(|kind| !kind.is_trivia()));
    let instead = match first {
        Some(
            SyntaxKind::BEGIN_KW
            | SyntaxKind::START_KW
            | SyntaxKind::COMMIT_KW
            | SyntaxKind::END_KW
            | SyntaxKind::ROLLBACK_KW
            | SyntaxKind::ABORT_KW,
        ) => "Leave it out: pgrecast runs the statements in its own transactions.",
        _ => "Run it yourself, before or after the change.",
    };
    refuse::refused(Code::OtherStatement, &parse::shown(stmt), why, instead)
}
