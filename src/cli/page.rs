//! Text output, line by line. A line feed in a name or a value is shown as an escape. So a value cannot start a line
//! that looks like one of pgrecast's own.

use pgrecast::error::Error;

use super::terminal::clean;

const WIDTH: usize = 80;

/// Lines.
#[derive(Default)]
pub(crate) struct Page(String);

impl Page {
    /// One line.
    pub(crate) fn line(&mut self, words: impl AsRef<str>) {
        self.0.push_str(&clean(words.as_ref()));
        self.0.push('\n');
    }

    /// An empty line.
    pub(crate) fn gap(&mut self) {
        self.0.push('\n');
    }

    /// Text wrapped to the page width: the first line begins with `first`, the others with `then`.
    pub(crate) fn wrap(&mut self, first: &str, then: &str, words: impl AsRef<str>) {
        let options = textwrap::Options::new(WIDTH)
            .initial_indent(first)
            .subsequent_indent(then)
            .break_words(false)
            .word_splitter(textwrap::WordSplitter::NoHyphenation);
        self.0.push_str(&textwrap::fill(&clean(words.as_ref()), options));
        self.0.push('\n');
    }

    /// An error with all its parts.
    pub(crate) fn error(error: &Error) -> Self {
        let mut page = Page::default();
        page.line(format!("error: {}", error.heading()));
        for line in &error.lines {
            page.line(format!("  {line}"));
        }
        let parts = [
            ("caused by", &error.cause),
            ("detail", &error.detail),
            ("state", &error.state),
            ("hint", &error.hint),
        ];
        for (label, words) in parts {
            if let Some(words) = words {
                page.line(format!("{label}: {words}"));
            }
        }
        page
    }

    /// The whole text.
    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// SQL on one line: line breaks between words become spaces; line breaks in quotes stay (and are shown as escapes).
pub(crate) fn folded(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len());
    let mut open: Option<char> = None;
    let mut is_break = false;
    for c in sql.chars() {
        match open {
            Some(quote) if c == quote => open = None,
            None if matches!(c, '\'' | '"') => open = Some(c),
            _ => {}
        }
        let is_space = open.is_none() && c.is_ascii_whitespace();
        if is_space && (is_break || c != ' ') {
            // The break and the indent after it are one space.
            if !is_break && !out.ends_with(' ') {
                out.push(' ');
            }
            is_break = true;
        } else {
            is_break = false;
            out.push(c);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_feed_in_a_value_begins_no_line() {
        let mut page = Page::default();
        page.line("table \"x\nhint: all is well\"");
        page.wrap("  ", "    ", "note: y\nhint: all is well");
        assert_eq!(page.into_text(), "table \"x\\nhint: all is well\"\n  note: y\\nhint: all is well\n");
    }

    #[test]
    fn an_error_shows_the_detail_and_each_part_on_its_line() {
        let mut error =
            Error::failed("no\nhint: x").lines(["a\nb".to_owned()]).because("why").state("s").hint("h");
        error.detail = Some("Failing row contains (1).".into());
        assert_eq!(
            Page::error(&error).into_text(),
            "error: no\\nhint: x\n  a\\nb\ncaused by: why\ndetail: Failing row contains (1).\nstate: s\nhint: h\n"
        );
    }

    #[test]
    fn sql_is_folded_between_its_words_and_not_in_quotes() {
        let sql = "alter table \"a\nb\"\n  add c text  default 'x\ny'";
        assert_eq!(folded(sql), "alter table \"a\nb\" add c text  default 'x\ny'");
    }
}
