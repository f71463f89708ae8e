//! Writing to stdout and stderr. A closed pipe (`| head`) does not stop a migration.
//!
//! Names, values, application names and server messages are foreign text, and a terminal obeys control characters in
//! it. So control characters are written as escapes, and all output passes through this module: [`clean`] is for text
//! on one line, where not even a line feed may remain; [`say`] and [`tell_text`] clean whole pages, whose line feeds
//! are our own.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

static SAID: AtomicBool = AtomicBool::new(false);

/// Whether a result was printed. With `--json` every command prints one.
pub(crate) fn has_said() -> bool {
    SAID.load(Ordering::Relaxed)
}

/// Prints a result to stdout: lines from `page`, or JSON.
pub(crate) fn say(text: &str) {
    SAID.store(true, Ordering::Relaxed);
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(clean_page(text).as_bytes()).and_then(|()| stdout.flush());
}

/// Prints one line to stderr.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", clean(line));
}

/// Prints several lines to stderr.
pub(crate) fn tell_text(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", clean_page(text.trim_end()));
}

/// Moves the cursor to the top left and clears the screen below it.
pub(crate) fn clear() {
    let _ = std::io::stdout().lock().write_all(b"\x1b[H\x1b[J");
}

/// Text for one line: control characters are shown as escapes, including line feeds and tabs.
pub(crate) fn clean(line: &str) -> Cow<'_, str> {
    escape(line, acts, visible)
}

fn clean_page(text: &str) -> Cow<'_, str> {
    escape(text, |c| acts(c) && c != '\n', visible)
}

/// Equivalent JSON in which characters that a terminal would obey are written as `\uXXXX`. JSON itself requires that
/// only below U+0020. Outside of strings the only such character is the line feed.
pub(crate) fn clean_json(text: &str) -> Cow<'_, str> {
    escape(text, |c| acts(c) && c != '\n', |out, c| write!(out, "\\u{:04x}", u32::from(c)))
}

/// Whether a terminal may obey the character instead of showing it: C0, DEL and C1; the line and paragraph separators;
/// characters that change the direction of the text around them (UAX 9, explicit formatting characters).
pub(crate) fn acts(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn visible(out: &mut String, c: char) -> std::fmt::Result {
    match c {
        '\n' => out.write_str("\\n"),
        '\r' => out.write_str("\\r"),
        '\t' => out.write_str("\\t"),
        c if c < '\u{100}' => write!(out, "\\x{:02x}", u32::from(c)),
        c => write!(out, "\\u{{{:x}}}", u32::from(c)),
    }
}

fn escape(
    text: &str,
    is_escaped: impl Fn(char) -> bool,
    write: impl Fn(&mut String, char) -> std::fmt::Result,
) -> Cow<'_, str> {
    if !text.contains(&is_escaped) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_escaped(c) {
            let _ = write(&mut out, c);
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_shown_and_not_obeyed() {
        let hostile = "a\x1b[2J\x07\x7f\u{9b}31m\u{202e}\u{2066}b\nerror: all is well\tä\\";
        let shown = "a\\x1b[2J\\x07\\x7f\\x9b31m\\u{202e}\\u{2066}b\\nerror: all is well\\tä\\";
        assert_eq!(clean(hostile), shown);
        assert_eq!(clean_page("one\ntwo\x1b\r\n"), "one\ntwo\\x1b\\r\n");
    }

    proptest! {
        #[test]
        fn nothing_that_a_terminal_acts_on_remains(text in any::<String>()) {
            prop_assert!(!clean(&text).contains(acts));
            prop_assert!(!clean_page(&text).contains(|c| acts(c) && c != '\n'));
        }

        #[test]
        fn json_means_the_same(text in any::<String>(), other in "[\u{7f}-\u{9f}\u{202a}-\u{202e}\\x00-\\x1f]{1,9}") {
            let value = serde_json::json!({ (text.as_str()): [other] });
            let written = serde_json::to_string_pretty(&value).unwrap();
            let clean = clean_json(&written);
            prop_assert!(!clean.contains(|c| acts(c) && c != '\n'));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&clean).unwrap(), value);
        }
    }
}
