//! Writing to stdout and stderr. A reader that went away (`| head`) is no reason to stop a migration.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

static SAID: AtomicBool = AtomicBool::new(false);

/// Whether there was a result: who asked for JSON gets some in any case.
pub(crate) fn has_said() -> bool {
    SAID.load(Ordering::Relaxed)
}

/// Results, on stdout.
pub(crate) fn say(text: &str) {
    SAID.store(true, Ordering::Relaxed);
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
}

/// A line of progress or trouble, on stderr.
pub(crate) fn tell(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
