//! The message for a command line that cannot be parsed: clap's text, without control characters and without anything
//! that may be a part of a connection string.

use clap::error::{ContextKind, ContextValue};
use pgrecast::db::may_hold_password;

use super::terminal::clean;

/// Clap's message, which repeats words of the command line. If a connection string is among them, no word is repeated:
/// a shell may have split a password at a space, so any word may be a part of it.
pub(crate) fn message(mut error: clap::Error, arguments: &[String]) -> String {
    let is_secret = arguments.iter().any(|argument| may_hold_password(argument));
    let shown = |word: &String| match word.as_str() {
        // An option, or a placeholder in the usage line.
        option if option.starts_with('<') || option.starts_with('[') || !is_secret => {
            clean(option).into_owned()
        }
        option if option.starts_with('-') && !may_hold_password(option) => clean(option).into_owned(),
        _ => "(not shown)".to_owned(),
    };
    let context: Vec<(ContextKind, ContextValue)> = error
        .context()
        .filter(|(kind, _)| is_from_the_user(*kind))
        .map(|(kind, value)| (kind, value.clone()))
        .collect();
    for (kind, value) in context {
        match value {
            ContextValue::String(word) => {
                error.insert(kind, ContextValue::String(shown(&word)));
            }
            ContextValue::Strings(words) => {
                error.insert(kind, ContextValue::Strings(words.iter().map(shown).collect()));
            }
            // A suggestion may repeat the word.
            ContextValue::StyledStrs(_) if is_secret => {
                error.remove(kind);
            }
            _ => {}
        }
    }
    error.render().to_string()
}

fn is_from_the_user(kind: ContextKind) -> bool {
    !matches!(kind, ContextKind::Usage | ContextKind::ValidValue | ContextKind::ValidSubcommand)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::args::Args;
    use super::*;

    fn said(arguments: &[&str]) -> String {
        let all: Vec<String> =
            std::iter::once("pgrecast").chain(arguments.iter().copied()).map(str::to_owned).collect();
        message(Args::try_parse_from(&all).unwrap_err(), &all)
    }

    #[test]
    fn no_part_of_a_connection_string_is_repeated() {
        for arguments in [
            &["postgres://u:Hunter2@h/db", "list"][..],
            &["list", "postgres://u:Hunter2@h/db"],
            &["list", "x", "host=h password=Hunter2"],
            &["-p", "postgres://u:Hunter2@h/db", "list"],
            &["--dbnam=postgres://u:Hunter2@h/db", "list"],
            &["--postgres://u:Hunter2@h/db", "list"],
            &["-d", "postgres://u:pass", "Hunter2@h/db", "list"],
            &["-d", "password=my", "Hunter2", "list"],
            &["plan", "Hunter2", "x", "-d", "postgres://u:pass"],
            &["plan", "postgres://u:Hunter2@h/db", "--rebuild"],
            &["status", "postgres://u:Hunter2@h/db"],
        ] {
            let said = said(arguments);
            assert!(!said.contains("Hunter2"), "{arguments:?}: {said}");
        }
    }

    #[test]
    fn a_usual_mistake_is_repeated_but_no_control_character() {
        assert!(said(&["lits"]).contains("'lits'"));
        let said = said(&["-p", "\x1b[2J\nerror: x", "list"]);
        assert!(said.contains("'\\x1b[2J\\nerror: x'") && !said.contains('\x1b'), "{said}");
    }
}
