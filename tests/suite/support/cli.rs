//! Runs the program as a separate process, as a user does.

use std::io::Read;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::JoinHandle;

use super::database::{Role, SUPERUSER, TestDb};

/// How often the memory of the process is read. `VmHWM` is a high-water mark, so only growth in the last moment is
/// missed.
const MEMORY_POLL: Duration = Duration::from_millis(20);

/// The result of a finished process.
#[derive(Debug)]
pub struct Output {
    /// The command, for messages.
    pub command: String,
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
    /// Its peak memory, in KiB; 0 if it ended before the first reading.
    pub peak_rss_kib: u64,
    /// From start to end.
    pub elapsed: Duration,
}

impl Output {
    /// Panics with everything the process said unless it ended with this code.
    #[track_caller]
    pub fn expect_code(self, code: i32) -> Output {
        assert!(self.code == code, "exit code {code} expected\n{}", self.whole());
        self
    }

    /// The one JSON document on standard output.
    #[track_caller]
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| {
            panic!("standard output is not one JSON document: {error}\n{}", self.whole())
        })
    }

    /// Everything, for messages.
    pub fn whole(&self) -> String {
        format!(
            "$ {}\nexit code {} after {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.code, self.elapsed, self.stdout, self.stderr
        )
    }
}

/// A running process. Killed if dropped before its end.
#[derive(Debug)]
pub struct Running {
    pid: u32,
    stdout: Arc<Mutex<Vec<u8>>>,
    stderr: Arc<Mutex<Vec<u8>>>,
    end: Option<JoinHandle<Output>>,
}

impl Running {
    /// The process's id.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Whether it has ended.
    pub fn has_ended(&self) -> bool {
        self.end.as_ref().is_none_or(JoinHandle::is_finished)
    }

    /// Sends SIGINT, as Ctrl-C does.
    pub fn interrupt(&self) {
        self.signal("INT");
    }

    /// Sends SIGKILL.
    pub fn kill(&self) {
        self.signal("KILL");
    }

    /// Sends a signal, named without `SIG`: `TERM`, `STOP`, `CONT`.
    pub fn signal(&self, name: &str) {
        if !self.has_ended() {
            let _ =
                Command::new("kill").args(["-s", name, &self.pid.to_string()]).stderr(Stdio::null()).status();
        }
    }

    /// Its standard output so far.
    pub fn stdout_so_far(&self) -> String {
        text(&self.stdout)
    }

    /// Its standard error so far.
    pub fn stderr_so_far(&self) -> String {
        text(&self.stderr)
    }

    /// Waits for its end.
    pub async fn wait(mut self) -> Output {
        self.end.take().expect("waited for once").await.expect("the process was watched to its end")
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

impl TestDb<'_> {
    /// Runs pgrecast on this database as superuser until it ends.
    pub async fn pgrecast(&self, arguments: &[&str]) -> Output {
        self.spawn(arguments).wait().await
    }

    /// Runs pgrecast on this database as a role until it ends.
    pub async fn pgrecast_as(&self, role: &Role, arguments: &[&str]) -> Output {
        self.spawn_with(&role.name, arguments, &[]).wait().await
    }

    /// Starts pgrecast on this database as superuser.
    pub fn spawn(&self, arguments: &[&str]) -> Running {
        self.spawn_with(SUPERUSER, arguments, &[])
    }

    /// Starts pgrecast on this database as a role, with additional environment variables. A variable with an empty
    /// value is removed.
    pub fn spawn_with(&self, role: &str, arguments: &[&str], environment: &[(&str, &str)]) -> Running {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pgrecast"));
        command.args(arguments).args(strategy(arguments));
        for (name, _) in std::env::vars_os() {
            let is_theirs =
                name.to_str().is_some_and(|n| n.starts_with("PG") || n == "RUST_LOG" || n == "COLUMNS");
            if is_theirs {
                command.env_remove(name);
            }
        }
        command.envs(self.psql_env_as(role)).env("NO_COLOR", "1");
        if self.little_is_much {
            command.env("PGRECAST_LITTLE_IS_MUCH", "1");
        }
        for (name, value) in environment {
            if value.is_empty() {
                command.env_remove(name);
            } else {
                command.env(name, value);
            }
        }
        start(command)
    }
}

/// Tests use the copy unless they choose another strategy.
fn strategy(arguments: &[&str]) -> &'static [&'static str] {
    let begins = arguments.iter().any(|word| word.starts_with("--alter") || word.starts_with("--file"));
    let says = arguments.iter().any(|word| word.starts_with("--strategy"));
    if begins && !says { &["--strategy", "copy"] } else { &[] }
}

fn start(mut command: Command) -> Running {
    let shown = format!("{command:?}").replace(env!("CARGO_BIN_EXE_pgrecast"), "pgrecast");
    let started = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("pgrecast can be started");
    let pid = child.id();
    let stdout = Arc::new(Mutex::new(Vec::new()));
    let stderr = Arc::new(Mutex::new(Vec::new()));
    let readers = [
        collect(child.stdout.take().expect("stdout is a pipe"), Arc::clone(&stdout)),
        collect(child.stderr.take().expect("stderr is a pipe"), Arc::clone(&stderr)),
    ];
    let peak = Arc::new(AtomicU64::new(0));
    let memory_watch = tokio::spawn(watch_memory(pid, Arc::clone(&peak)));
    let exit = tokio::task::spawn_blocking(move || {
        let status = child.wait().expect("the child is ours");
        for reader in readers {
            reader.join().expect("a reader does not panic");
        }
        status
    });
    let (out, err) = (Arc::clone(&stdout), Arc::clone(&stderr));
    let end = tokio::spawn(async move {
        let status = exit.await.expect("waiting does not panic");
        memory_watch.abort();
        Output {
            command: shown,
            code: status.code().unwrap_or(-1),
            stdout: text(&out),
            stderr: text(&err),
            peak_rss_kib: peak.load(Ordering::Relaxed),
            elapsed: started.elapsed(),
        }
    });
    Running { pid, stdout, stderr, end: Some(end) }
}

/// Reads a pipe to its end, and stores the text so far where others can read it.
fn collect(mut pipe: impl Read + Send + 'static, into: Arc<Mutex<Vec<u8>>>) -> std::thread::JoinHandle<()> {
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(count @ 1..) = pipe.read(&mut buffer) {
            into.lock().expect("no panic while locked").extend_from_slice(&buffer[..count]);
        }
    })
}

async fn watch_memory(pid: u32, peak: Arc<AtomicU64>) {
    let mut tick = tokio::time::interval(MEMORY_POLL);
    loop {
        tick.tick().await;
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let high_water = status
            .lines()
            .find_map(|line| line.strip_prefix("VmHWM:"))
            .and_then(|rest| rest.trim().trim_end_matches("kB").trim().parse().ok());
        peak.fetch_max(high_water.unwrap_or(0), Ordering::Relaxed);
    }
}

fn text(bytes: &Mutex<Vec<u8>>) -> String {
    String::from_utf8_lossy(&bytes.lock().expect("no panic while locked")).into_owned()
}
