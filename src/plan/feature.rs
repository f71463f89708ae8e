//! The features that a table of pgrecast must have, its differences from them, and the statements that remove these.

use crate::alter::{ActionKind, Alter};
use crate::catalog::{Feature, FeatureKind};
use crate::name::{Ident, QualifiedName};

/// A difference between a table and what was expected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// A description for messages.
    pub what: String,
    /// The statements that remove it; none if it cannot be removed.
    pub remedy: Option<String>,
}

/// The features that the shadow must have: those of the original, except for policies, rules and publications, which
/// are added in the swap.
#[must_use]
pub fn of_shadow(original: &[Feature]) -> Vec<Feature> {
    use FeatureKind::{Policy, Publication, Rule};
    original.iter().filter(|f| !matches!(f.kind, Policy | Rule | Publication)).cloned().collect()
}

/// The features that a log, a key set or another table that only pgrecast uses must have.
#[must_use]
pub fn of_own(owner: &Ident, persistence: &str) -> Vec<Feature> {
    let feature = |kind, value: &str| Feature { kind, name: String::new(), value: value.to_owned() };
    vec![
        feature(FeatureKind::RowSecurity, "false"),
        feature(FeatureKind::ForcedRowSecurity, "false"),
        feature(FeatureKind::Owner, owner.as_str()),
        feature(FeatureKind::Persistence, persistence),
        feature(FeatureKind::ReplicaIdentity, "d"),
    ]
}

/// The features that the new table must have after the swap: those of the shadow, and the policies, rules and
/// publications of the outgoing table.
#[must_use]
pub fn of_swapped(incoming: &[Feature], outgoing: &[Feature]) -> Vec<Feature> {
    use FeatureKind::{Policy, Publication, Rule};
    let carried = outgoing.iter().filter(|f| matches!(f.kind, Policy | Rule | Publication));
    incoming.iter().chain(carried).cloned().collect()
}

/// The kinds of features that the change itself may alter.
#[must_use]
pub fn altered(alter: &Alter) -> Vec<FeatureKind> {
    use FeatureKind::{ForcedRowSecurity, Option, Persistence, ReplicaIdentity, RowSecurity};
    let mut kinds = Vec::new();
    for action in alter.actions() {
        kinds.extend_from_slice(match action.kind {
            ActionKind::RowSecurity { .. } => &[RowSecurity],
            ActionKind::NoForceRowSecurity => &[ForcedRowSecurity],
            ActionKind::UseIndex { .. } => &[ReplicaIdentity],
            ActionKind::Other => &[ReplicaIdentity, Option, Persistence],
            _ => &[],
        });
    }
    kinds
}

/// The differences between the features that `table` must have and those that were found, for the kinds that
/// `is_compared` selects.
#[must_use]
pub fn differences(
    table: &QualifiedName,
    meant: &[Feature],
    found: &[Feature],
    is_compared: impl Fn(FeatureKind) -> bool,
) -> Vec<Difference> {
    let twin = |list: &[Feature], f: &Feature| {
        list.iter().find(|other| other.kind == f.kind && other.name == f.name).cloned()
    };
    let mut all = Vec::new();
    for feature in found.iter().filter(|f| is_compared(f.kind)) {
        match twin(meant, feature) {
            Some(known) if known.value == feature.value => {}
            Some(known) => {
                let what = shown(feature);
                all.push(Difference { what, remedy: put_back(table, &known) });
            }
            None => all.push(Difference { what: shown(feature), remedy: take_off(table, feature) }),
        }
    }
    for feature in meant.iter().filter(|f| is_compared(f.kind) && twin(found, f).is_none()) {
        let what = format!("no {}", shown(feature));
        all.push(Difference { what, remedy: put_back(table, feature) });
    }
    all
}

/// Describes a feature in a message.
fn shown(feature: &Feature) -> String {
    let Feature { kind, name, value } = feature;
    match kind {
        FeatureKind::RowSecurity | FeatureKind::ForcedRowSecurity => {
            let state = if value == "true" { "on" } else { "off" };
            let word = if *kind == FeatureKind::RowSecurity { "" } else { "forced " };
            format!("{word}row-level security {state}")
        }
        FeatureKind::Owner => format!("owner {}", Ident::new(value).shown()),
        FeatureKind::Persistence => {
            (if value == "u" { "UNLOGGED instead of logged" } else { "logged instead of UNLOGGED" })
                .to_owned()
        }
        FeatureKind::ReplicaIdentity => "another replica identity".to_owned(),
        FeatureKind::Option => format!("storage parameter {name}={value}"),
        FeatureKind::Grant => format!("privileges of role {name}"),
        FeatureKind::Parent => format!("parent table {name}"),
        FeatureKind::Child => format!("child table {name}"),
        FeatureKind::Statistics => format!("statistics object {}", Ident::new(name).shown()),
        _ => format!("{} {}", kind.word(), Ident::new(name).shown()),
    }
}

/// The statement that removes an added feature; none for a column, which would leave a dropped column in the table, or
/// for a parent.
fn take_off(table: &QualifiedName, feature: &Feature) -> Option<String> {
    let name = Ident::new(&feature.name);
    let of_schema = QualifiedName { schema: table.schema.clone(), name: name.clone() };
    Some(match feature.kind {
        FeatureKind::Option => format!("alter table {table} reset ({})", feature.name),
        FeatureKind::Policy => format!("drop policy {name} on {table}"),
        FeatureKind::Trigger => format!("drop trigger {name} on {table}"),
        FeatureKind::Rule => format!("drop rule {name} on {table}"),
        FeatureKind::Publication => format!("alter publication {name} drop table only {table}"),
        FeatureKind::Grant => format!("revoke all on table {table} from {}", feature.name),
        FeatureKind::Index => format!("drop index {of_schema}"),
        FeatureKind::Constraint => format!("alter table {table} drop constraint {name}"),
        FeatureKind::Statistics => format!("drop statistics {of_schema}"),
        _ => return None,
    })
}

/// The statement that restores a feature of the table.
fn put_back(table: &QualifiedName, feature: &Feature) -> Option<String> {
    let Feature { kind, name, value } = feature;
    Some(match kind {
        FeatureKind::RowSecurity => {
            let verb = if value == "true" { "enable" } else { "disable" };
            format!("alter table {table} {verb} row level security")
        }
        FeatureKind::ForcedRowSecurity => {
            let verb = if value == "true" { "force" } else { "no force" };
            format!("alter table {table} {verb} row level security")
        }
        FeatureKind::Owner => format!("alter table {table} owner to {}", Ident::new(value)),
        FeatureKind::Persistence => {
            let word = if value == "u" { "unlogged" } else { "logged" };
            format!("alter table {table} set {word}")
        }
        FeatureKind::ReplicaIdentity => {
            let word = match value.as_str() {
                "d" => "default",
                "f" => "full",
                "n" => "nothing",
                _ => return None,
            };
            format!("alter table {table} replica identity {word}")
        }
        FeatureKind::Option => format!("alter table {table} set ({name}={value})"),
        FeatureKind::Grant => {
            let mut text = format!("revoke all on table {table} from {name}");
            let (plain, grantable) = value.split_once('/')?;
            for (privileges, option) in [(plain, ""), (grantable, " with grant option")] {
                if !privileges.is_empty() {
                    text.push_str(&format!("; grant {privileges} on table {table} to {name}{option}"));
                }
            }
            text
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(kind: FeatureKind, name: &str, value: &str) -> Feature {
        Feature { kind, name: name.into(), value: value.into() }
    }

    fn found(meant: &[Feature], found: &[Feature]) -> Vec<(String, Option<String>)> {
        let table = QualifiedName::new("s", "t");
        let all = differences(&table, meant, found, |_| true);
        all.into_iter().map(|difference| (difference.what, difference.remedy)).collect()
    }

    #[test]
    fn what_was_added_is_taken_off() {
        let meant = of_own(&Ident::new("me"), "p");
        assert_eq!(found(&meant, &meant), []);
        let mut other = meant.clone();
        other[0].value = "true".into();
        other.push(feature(FeatureKind::Trigger, "Audit", "7"));
        other.push(feature(FeatureKind::Grant, "public", "SELECT/"));
        let statements: Vec<Option<String>> = found(&meant, &other).into_iter().map(|(_, s)| s).collect();
        let expected = [
            "alter table \"s\".\"t\" disable row level security",
            "drop trigger \"Audit\" on \"s\".\"t\"",
            "revoke all on table \"s\".\"t\" from public",
        ];
        assert_eq!(statements, expected.map(|text| Some(text.to_owned())));
    }

    #[test]
    fn what_was_taken_away_is_put_back_where_one_statement_does_it() {
        let meant = [
            feature(FeatureKind::Grant, "reader", "SELECT/INSERT"),
            feature(FeatureKind::Trigger, "audit", "7"),
        ];
        let grant = "revoke all on table \"s\".\"t\" from reader; grant SELECT on table \"s\".\"t\" to reader; \
                     grant INSERT on table \"s\".\"t\" to reader with grant option";
        assert_eq!(
            found(&meant, &[]),
            [
                ("no privileges of role reader".to_owned(), Some(grant.to_owned())),
                ("no trigger audit".to_owned(), None)
            ]
        );
    }

    #[test]
    fn nothing_takes_a_column_off() {
        let added = [feature(FeatureKind::Column, "made_at", "timestamptz")];
        assert_eq!(found(&[], &added), [("column made_at".to_owned(), None)]);
    }

    #[test]
    fn policies_come_with_the_swap() {
        let original = [feature(FeatureKind::Policy, "p", ""), feature(FeatureKind::RowSecurity, "", "true")];
        assert_eq!(of_shadow(&original), original[1..]);
        assert_eq!(of_swapped(&original[1..], &original).len(), 2);
    }

    #[test]
    fn a_change_speaks_of_some_kinds_itself() {
        let alter = Alter::from_actions(&["enable row level security".to_owned()]).unwrap();
        assert_eq!(altered(&alter), [FeatureKind::RowSecurity]);
    }
}
