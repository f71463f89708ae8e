//! Actions that pgrecast does not perform, and why. One pure decision for each action.

use squawk_syntax::ast::{AlterColumnOption, AlterTableAction as A, DropBehavior};

use super::{lock_mode, parse};
use crate::error::{Code, Error};

/// Why the action is refused, and what to do instead; none if it is not.
pub(super) fn refusal(action: &A) -> Option<Error> {
    let (code, why, instead) = reason(action)?;
    let words = match instead {
        BY_HAND => format!(
            "PostgreSQL changes only the catalog for it, under {}: run it yourself, before or after the change, \
             with a short lock_timeout.",
            lock_mode::of(action).as_str()
        ),
        words => words.to_owned(),
    };
    Some(refused(code, &parse::shown(action), why, &words))
}

/// The refusal of a statement or an action, with its text.
pub(super) fn refused(code: Code, written: &str, why: &str, instead: &str) -> Error {
    Error::refused(code, format!("pgrecast does not support: {written}"))
        .because(why)
        .state("nothing was changed")
        .hint(instead)
}

/// `ALTER TABLE ALL IN TABLESPACE`.
pub(super) const ALL_IN_TABLESPACE: (Code, &str, &str) = (
    Code::SeveralObjects,
    "it moves many tables, and pgrecast changes one",
    "Run `set tablespace` for each table.",
);

/// An action that the grammar no longer has but people still use. Only checked after a syntax error.
pub(super) fn outdated(text: &str) -> Option<Error> {
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_lowercase).collect();
    words.join(" ").contains("set with oids").then(|| {
        let why = "PostgreSQL 12 and later have no such tables";
        refused(Code::Outdated, "set with oids", why, "Add an ordinary column instead.")
    })
}

/// Why the action is only possible on the table itself; none if a copy can perform it too.
pub(super) fn in_place_only(action: &A) -> Option<&'static str> {
    Some(match action {
        A::TableRenameTo(_) => "the new table gets the name of the old one",
        A::SetSchema(_) => "the new table gets the schema of the old one",
        A::ForceRls(_) => "the table's owner would no longer see all rows, and pgrecast could not copy them",
        _ => return None,
    })
}

fn reason(action: &A) -> Option<(Code, &'static str, &'static str)> {
    let is_cascade = |behaviour: Option<DropBehavior>| matches!(behaviour, Some(DropBehavior::Cascade(_)));
    let reason = match action {
        A::OwnerTo(_) => {
            (Code::ByHand, "pgrecast works as the table's owner, who may not give the table away", BY_HAND)
        }
        A::DetachPartition(_) => (Code::ByHand, OTHERS, BY_HAND),
        A::AttachPartition(_) => (
            Code::ByHand,
            OTHERS,
            "It reads the partition's rows under a lock, unless a CHECK proves that they fit: add that NOT VALID and \
             validate it, then run this yourself, with a short lock_timeout.",
        ),
        A::MergePartitions(_) | A::SplitPartition(_) => (
            Code::ByHand,
            OTHERS,
            "It rewrites all their rows under a lock: attach and detach partitions instead.",
        ),
        A::InheritTable(_) | A::NoInheritTable(_) => {
            (Code::ByHand, "applications read a child table through its parent during the change", BY_HAND)
        }
        A::OfType(_) | A::NotOf(_) => {
            (Code::ByHand, "the columns of a typed table belong to the type", BY_HAND)
        }
        A::EnableRule(_) | A::DisableRule(_) | A::EnableReplicaRule(_) | A::EnableAlwaysRule(_) => {
            (Code::ByHand, "rules rewrite statements before any trigger sees the rows", BY_HAND)
        }
        A::DropColumn(drop) if is_cascade(drop.drop_behavior()) => CASCADE,
        A::DropConstraint(drop) if is_cascade(drop.drop_behavior()) => CASCADE,
        A::AlterOptionList(_) | A::OptionItemList(_) => FOREIGN,
        A::AddColumn(add) if add.alter_option_list().is_some() => FOREIGN,
        A::AlterColumn(alter) if matches!(alter.option(), Some(AlterColumnOption::SetOptionsList(_))) => {
            FOREIGN
        }
        _ => return None,
    };
    Some(reason)
}

const OTHERS: &str = "it concerns other tables too, and pgrecast changes one";

/// A placeholder for the hint that [`refusal`] creates for an action that changes only the catalog.
const BY_HAND: &str = "";

const CASCADE: (Code, &str, &str) = (
    Code::Cascade,
    "CASCADE would drop objects that belong to others: views, functions, foreign keys of other tables",
    "Drop the dependent objects yourself first, then leave CASCADE out.",
);

const FOREIGN: (Code, &str, &str) = (
    Code::ForeignOptions,
    "OPTIONS are for foreign tables, whose rows are on another server",
    "Use ALTER FOREIGN TABLE; it changes no rows and is quick.",
);

#[cfg(test)]
mod tests {
    use crate::{
        alter::Alter,
        error::{Code, Kind},
    };

    #[test]
    fn each_refusal_names_the_action_and_says_why_and_what_instead() {
        let refused = [
            "owner to current_user",
            "attach partition p for values from (1) to (2)",
            "attach partition p default",
            "detach partition p concurrently",
            "merge partitions (p, q) into r",
            "split partition p into (partition q default)",
            "inherit parent",
            "no inherit parent",
            "of some_type",
            "not of",
            "enable rule r",
            "disable rule r",
            "enable replica rule r",
            "enable always rule r",
            "set with oids",
            "drop column a cascade",
            "drop if exists a cascade",
            "drop constraint c cascade",
            "options (set host 'x')",
            "alter column a options (add b 'c')",
            "add column a int options (b 'c')",
        ];
        for text in refused {
            for typed in [text.to_owned(), format!("add column z int, {text}")] {
                let error = Alter::from_actions(&[typed]).unwrap_err();
                assert_eq!(error.kind, Kind::Refused, "{error}");
                assert_eq!(error.message, format!("pgrecast does not support: {text}"));
                assert!(error.cause.is_some() && error.hint.is_some());
                assert_eq!(error.code, Some(code_of(text)), "{text}");
            }
        }
    }

    fn code_of(text: &str) -> Code {
        match text {
            "set with oids" => Code::Outdated,
            text if text.ends_with("cascade") => Code::Cascade,
            text if text.contains("options") => Code::ForeignOptions,
            _ => Code::ByHand,
        }
    }

    #[test]
    fn what_looks_alike_is_not_refused() {
        for text in [
            "drop column a restrict",
            "drop column \"cascade\"",
            "rename column a to b",
            "rename to y",
            "set schema archive",
            "force row level security",
            "set tablespace fast",
            "set without oids",
            "no force row level security",
            "alter constraint c no inherit",
            "add check (a > 0) no inherit",
            "add b int references y on delete cascade",
            "add b text default 'set with oids'",
        ] {
            assert!(Alter::from_actions(&[text.to_owned()]).is_ok(), "{text}");
        }
    }

    #[test]
    fn a_long_action_is_named_in_one_line() {
        let text = format!("attach partition p for values in (\n{})", ["'x'"; 50].join(",\n"));
        let message = Alter::from_actions(&[text]).unwrap_err().message;
        assert!(message.ends_with("...") && !message.contains('\n'), "{message}");
    }
}
