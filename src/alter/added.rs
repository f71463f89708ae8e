//! Columns that a change adds and then changes again.

use super::{Action, ActionKind, Alter};
use crate::name::Ident;

/// The first action that alters what a column added by the same change would give to rows that are
/// there already. The plain ALTER fills these with the default that the column was added with; a row
/// that is copied gets the one that the column has in the end.
#[must_use]
pub fn altered_after_adding(alter: &Alter) -> Option<&Action> {
    let mut added: Vec<&Ident> = alter
        .actions()
        .filter_map(|action| match &action.kind {
            ActionKind::AddColumn { name } => Some(name),
            _ => None,
        })
        .collect();
    for action in alter.actions() {
        if let ActionKind::RenameColumn { from, to } = &action.kind
            && added.contains(&from)
        {
            added.push(to);
        }
    }
    alter.actions().find(|action| match &action.kind {
        ActionKind::SetType { column, .. } => added.contains(&column),
        ActionKind::AlterColumn { column } => {
            let text = action.text.to_lowercase();
            added.contains(&column)
                && ["default", "generated", "identity", "expression"].iter().any(|word| text.contains(word))
        }
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(texts: &[&str]) -> bool {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        altered_after_adding(&Alter::from_actions(&texts).unwrap()).is_some()
    }

    #[test]
    fn a_default_that_changes_after_the_column_was_added_is_found() {
        assert!(found(&["add column x int", "alter column x set default 5"]));
        assert!(found(&["add column x int, alter x set default 5"]));
        assert!(found(&["add s text not null default 'a'", "alter s drop default"]));
        assert!(found(&["add x int default 1", "rename x to y", "alter y set default 2"]));
        assert!(found(&["add x int default 1", "alter x type text using 'z'"]));
    }

    #[test]
    fn what_gives_rows_no_other_value_is_not() {
        assert!(!found(&["add x int default 1, alter x set not null, alter x set statistics 9"]));
        assert!(!found(&["add x int, alter y set default 5"]));
        assert!(!found(&["rename e to f, add e int default 3"]));
    }
}
