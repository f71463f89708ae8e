//! Ends pgrecast at an exact moment, in every way.
//!
//! The process is stopped (SIGSTOP) at a failpoint, and ended there; then it continues, if it still can.

use std::time::{Duration, Instant};

use pgrecast::failpoint::Failpoint;

use super::cli::Output;
use super::database::{SUPERUSER, TestDb};
use super::proxy::Proxy;
use super::wait::{DEADLINE, any_moment, between_two_looks, wait_until};

/// How a run is ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ending {
    /// SIGKILL.
    Kill,
    /// `pg_terminate_backend` of its active sessions: those that copy, otherwise the leading one.
    Terminate,
    /// The server is shut down in immediate mode and started again.
    Crash,
    /// All its connections are cut.
    Cut,
}

impl Ending {
    /// All of them.
    pub const ALL: [Ending; 4] = [Ending::Kill, Ending::Terminate, Ending::Crash, Ending::Cut];
}

/// Ends runs on one database.
pub struct Executioner<'d, 'c> {
    /// The database. Connected again after a crash.
    pub db: &'d mut TestDb<'c>,
    /// The proxy in front of its server.
    pub proxy: Proxy,
}

impl<'d, 'c> Executioner<'d, 'c> {
    /// With a proxy of its own.
    pub async fn of(db: &'d mut TestDb<'c>) -> Executioner<'d, 'c> {
        let proxy = Proxy::start(db.cluster()).await;
        Executioner { db, proxy }
    }

    /// Runs a command up to the n-th pass of a failpoint and ends it there. `None`: it never reached it, and succeeded
    /// or was refused.
    pub async fn end_at(
        &mut self,
        arguments: &[&str],
        point: Failpoint,
        pass: u64,
        ending: Ending,
    ) -> Option<Output> {
        let armed = format!("{}:{pass}:stop", point.as_str());
        let connection = self.proxy.environment();
        let mut environment = vec![("PGRECAST_FAILPOINT", armed.as_str())];
        environment.extend(connection.iter().map(|(name, value)| (*name, value.as_str())));
        let running = self.db.spawn_with(SUPERUSER, arguments, &environment);
        let deadline = Instant::now() + DEADLINE;
        while !(running.has_ended() || is_stopped(running.pid())) {
            assert!(Instant::now() < deadline, "{armed} does not come:\n{}", running.stderr_so_far());
            between_two_looks().await;
        }
        if running.has_ended() {
            let output = running.wait().await;
            assert!([0, 3].contains(&output.code), "on the way to {armed}\n{}", output.whole());
            return None;
        }
        self.end(ending, || running.kill()).await;
        running.signal("CONT");
        let output = running.wait().await;
        // A process that is not killed reports that it can run again, or did not need the lost session any more.
        let codes: &[i32] = if ending == Ending::Kill { &[-1] } else { &[0, 1] };
        assert!(codes.contains(&output.code), "{ending:?} at {armed}\n{}", output.whole());
        Some(output)
    }

    /// Runs a command and ends it after some time, unless it ends before. `pick` chooses the session to terminate.
    pub async fn end_after(
        &mut self,
        arguments: &[&str],
        time: Duration,
        ending: Ending,
        pick: u64,
    ) -> Output {
        let connection = self.proxy.environment();
        let environment = connection.each_ref().map(|(name, value)| (*name, value.as_str()));
        let running = self.db.spawn_with(SUPERUSER, arguments, &environment);
        any_moment(time).await;
        if !running.has_ended() {
            if ending == Ending::Terminate {
                let sessions = "select pid from pg_stat_activity
                    where datname = current_database() and application_name like 'pgrecast%' order by pid";
                let pids: Vec<i32> = self.db.query_column(sessions).await;
                if let Some(pid) = pids.get(pick as usize % pids.len().max(1)) {
                    self.db.query("select pg_terminate_backend($1)", &[pid]).await;
                }
            } else {
                self.end(ending, || running.kill()).await;
            }
        }
        running.wait().await
    }

    /// Ends pgrecast in this way; `kill` kills its process.
    pub async fn end(&mut self, ending: Ending, kill: impl FnOnce()) {
        match ending {
            Ending::Kill => kill(),
            Ending::Cut => self.proxy.cut(),
            Ending::Terminate => self.terminate().await,
            Ending::Crash => {
                self.db.cluster().crash();
                self.db.cluster().start_again();
                self.db.connect_again().await;
            }
        }
    }

    async fn terminate(&mut self) {
        let at_work = "select pid, application_name like '%copy%' as copies from pg_stat_activity
            where datname = current_database() and application_name ~ '^pgrecast \\S+ (copy|control)'";
        let ended = self
            .db
            .query_column::<i32>(&format!(
                "with s as ({at_work}) select pid from s
                 where copies = (select bool_or(copies) from s) and pg_terminate_backend(pid)"
            ))
            .await;
        wait_until("the sessions are ended", async || {
            let left = "select from pg_stat_activity where pid = any ($1)";
            self.db.query(left, &[&ended]).await.is_empty()
        })
        .await;
    }
}

/// Whether a process is stopped by SIGSTOP.
pub fn is_stopped(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    status.lines().any(|line| line.starts_with("State:\tT"))
}
