//! Writing to stdout and stderr. A reader that went away (`| head`) is no reason to stop a migration.
//!
//! Names, values, application names and messages come from others, and a terminal obeys what it is sent. So
//! control characters are written as escapes, and all text goes through here: [`clean`] is for what is put on
//! a line, where not even a line feed may remain; [`say`] and [`tell_text`] clean whole pages, whose line feeds are
//! ours.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

static SAID: AtomicBool = AtomicBool::new(false);

/// Whether there was a result: who asked for JSON gets some in any case.
pub(crate) fn has_said() -> bool {
    SAID.load(Ordering::Relaxed)
}

/// Results, on stdout: lines that `page` made, or JSON.
pub(crate) fn say(text: &str) {
    SAID.store(true, Ordering::Relaxed);
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(clean_page(text).as_bytes()).and_then(|()| stdout.flush());
}

/// A line of progress or trouble, on stderr.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", clean(line));
}

/// Lines of trouble, on stderr.
pub(crate) fn tell_text(text: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", clean_page(text.trim_end()));
}

/// Puts the cursor at the top left, and clears what is below.
pub(crate) fn clear() {
    let _ = std::io::stdout().lock().write_all(b"\x1b[H\x1b[J");
}

/// What may stand on a line: control characters are shown as escapes, line feeds and tabs too.
pub(crate) fn clean(line: &str) -> Cow<'_, str> {
    escape(line, acts, visible)
}

fn clean_page(text: &str) -> Cow<'_, str> {
    escape(text, |c| acts(c) && c != '\n', visible)
}

/// JSON that means the same: in its strings, characters on which a terminal acts are written by their numbers. JSON
/// asks for that below U+0020 only, and between strings there are only line feeds.
pub(crate) fn clean_json(text: &str) -> Cow<'_, str> {
    escape(text, |c| acts(c) && c != '\n', |out, c| write!(out, "\\u{:04x}", u32::from(c)))
}

/// Whether a terminal may act on it instead of showing it: C0, DEL and C1; the line and paragraph separators; what
/// changes the direction of the text around it (UAX 9, explicit formatting characters).
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
