//! Writing to stdout and stderr. A reader that went away (`| head`) is no reason to stop a migration.

use std::io::Write;

/// Results, on stdout.
pub(crate) fn say(text: &str) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A line of progress or trouble, on stderr.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
