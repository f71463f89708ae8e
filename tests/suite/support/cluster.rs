//! A temporary PostgreSQL cluster with its own directory and port, removed when the test process ends.
//!
//! A shell (`cluster.sh`) starts and stops the server. It reads from a pipe whose writing end is ours. So any end of
//! this process (return, panic, `kill -9`) stops the server and removes the directory. PostgreSQL refuses to run as
//! root: then the shell runs as `postgres`.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;

use tokio_postgres::{Client, Config, NoTls};

/// The script that creates, starts and finally removes a cluster.
const LIFE_OF_A_CLUSTER: &str = include_str!("cluster.sh");

/// Makes a standby's directory from the one of a server that runs. Arguments: from, to, how to connect to that server.
const COPY_OF_A_SERVER: &str =
    "mkdir -m 700 \"$2\" && { cp -R \"$1\"/. \"$2\"; rm -f \"$2\"/postmaster.*; } &&
    touch \"$2\"/standby.signal && echo \"primary_conninfo = '$3'\" >>\"$2\"/postgresql.auto.conf";

/// Attempts to start: another process may take the free port before the server does.
const START_ATTEMPTS: usize = 3;

/// A running PostgreSQL server of our own. Stopped when dropped or when this process ends.
#[derive(Debug)]
pub struct Cluster {
    /// It ends when its standard input is closed.
    watchdog: Child,
    /// Holds the data directory, the socket and the server's log.
    directory: PathBuf,
    port: u16,
}

impl Cluster {
    /// The cluster that all tests of this binary share.
    pub fn shared() -> &'static Cluster {
        static SHARED: OnceLock<Cluster> = OnceLock::new();
        SHARED.get_or_init(|| Cluster::start(&[]))
    }

    /// A cluster for one test, for tests that crash the server or need other settings, each as `name=value`.
    pub fn start(settings: &[&str]) -> Cluster {
        let mut said = String::new();
        for _ in 0..START_ATTEMPTS {
            match Cluster::try_start(settings) {
                Ok(cluster) => return cluster,
                Err(why) => said = why,
            }
        }
        panic!("could not start PostgreSQL from {}: {said}", bin_directory().display());
    }

    fn try_start(settings: &[&str]) -> Result<Cluster, String> {
        let port = free_port();
        let mut watchdog = as_server_user("setsid")
            .args(["sh", "-c", LIFE_OF_A_CLUSTER, "cluster.sh"])
            .arg(bin_directory())
            .arg(port.to_string())
            .args(settings)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|error| error.to_string())?;
        let mut said = BufReader::new(watchdog.stdout.take().expect("stdout is a pipe")).lines();
        let mut next = || said.next().and_then(Result::ok).unwrap_or_default();
        let directory = PathBuf::from(next());
        let answer = next();
        if answer == "ready" {
            return Ok(Cluster { watchdog, directory, port });
        }
        let why = std::iter::once(answer).chain(said.map_while(Result::ok)).collect::<Vec<_>>().join("\n");
        let _ = watchdog.wait();
        Err(why)
    }

    /// Where the socket is: the value for `PGHOST`.
    pub fn socket_directory(&self) -> &Path {
        &self.directory
    }

    /// The port, of the socket and of 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// How to connect to a database as a role, over the socket.
    pub fn config(&self, database: &str, role: &str) -> Config {
        let mut config = Config::new();
        config.host_path(&self.directory).port(self.port).dbname(database).user(role);
        config
    }

    /// Connects, and lets a task drive the connection until the client is dropped.
    pub async fn connect(&self, database: &str, role: &str) -> Client {
        let (client, connection) = self
            .config(database, role)
            .connect(NoTls)
            .await
            .unwrap_or_else(|error| panic!("could not connect to {database} as {role}: {error:?}"));
        tokio::spawn(connection);
        client
    }

    /// The server's log so far.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.directory.join("server.log")).expect("the server has a log");
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// The lines of the log about deadlocks in a database. Lines are prefixed with the database.
    pub fn deadlocks_logged(&self, database: &str) -> Vec<String> {
        let prefix = format!("[{database}] ");
        self.log()
            .lines()
            .filter(|line| line.contains(&prefix) && line.contains("deadlock detected"))
            .map(str::to_owned)
            .collect()
    }

    /// Stops the server like a crash: no shutdown checkpoint, recovery at the next start.
    pub fn crash(&self) {
        self.pg_ctl(&["-m", "immediate", "stop"]);
    }

    /// Starts the server again after [`Cluster::crash`], with the settings it had.
    pub fn start_again(&self) {
        let log = self.directory.join("server.log");
        self.pg_ctl(&["-l", log.to_str().expect("a plain path"), "start"]);
    }

    /// Starts a synchronous standby of this server, in the same directory; returns its port.
    pub async fn start_standby(&self) -> u16 {
        let (port, data) = (free_port(), self.directory.join("standby"));
        let client = self.connect("postgres", "postgres").await;
        // By hand: pg_basebackup refuses a server newer than itself.
        let is_14 = client.query_one("select current_setting('server_version_num')::int < 150000", &[]).await;
        let (start, stop) = if is_14.expect("a query").get(0) {
            ("pg_start_backup('standby', true, false)", "pg_stop_backup(false)")
        } else {
            ("pg_backup_start('standby', true)", "pg_backup_stop()")
        };
        client.batch_execute(&format!("select {start}")).await.expect("a backup begins");
        let mut copy = as_server_user("sh");
        copy.args(["-c", COPY_OF_A_SERVER, "sh"]).arg(self.directory.join("data")).arg(&data);
        copy.arg(format!("host={} port={} user=postgres", self.directory.display(), self.port));
        // A file that goes away meanwhile is an error to cp and none to the backup: the last command decides.
        assert!(is_done(&mut copy), "{copy:?} failed");
        let label =
            client.query_one(&format!("select labelfile from {stop}"), &[]).await.expect("a backup ends");
        let mut write = as_server_user("sh");
        write.args(["-c", "printf %s \"$2\" >\"$1\"", "sh"]).arg(data.join("backup_label"));
        assert!(is_done(write.arg(label.get::<_, String>(0))), "{write:?} failed");
        let options = format!("-p {port}");
        let log = self.directory.join("standby.log");
        self.pg_ctl_of("standby", &["-o", &options, "-l", log.to_str().expect("a plain path"), "start"]);
        client.batch_execute("alter system set synchronous_standby_names = '*'").await.expect("a setting");
        client.batch_execute("select pg_reload_conf()").await.expect("a reload");
        super::wait::wait_until("the standby is synchronous", async || {
            let rows = client.query("select from pg_stat_replication where sync_state = 'sync'", &[]).await;
            rows.expect("a query").len() == 1
        })
        .await;
        port
    }

    /// Promotes the standby.
    pub fn promote_standby(&self) {
        self.pg_ctl_of("standby", &["promote"]);
    }

    fn pg_ctl(&self, arguments: &[&str]) {
        self.pg_ctl_of("data", arguments);
    }

    fn pg_ctl_of(&self, data: &str, arguments: &[&str]) {
        let mut pg_ctl = as_server_user(bin_directory().join("pg_ctl"));
        pg_ctl.arg("-D").arg(self.directory.join(data)).args(["-w", "-t", "60"]).args(arguments);
        if !is_done(&mut pg_ctl) {
            let log = self.log();
            let last: Vec<&str> = log.lines().rev().take(20).collect();
            panic!("{pg_ctl:?} failed; the server's log, the last line first: {last:#?}");
        }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        drop(self.watchdog.stdin.take());
        let _ = self.watchdog.wait();
    }
}

/// Where the server's programs are.
pub fn bin_directory() -> PathBuf {
    std::env::var_os("PGRECAST_TEST_PGBIN").unwrap_or_else(|| "/usr/lib/postgresql/15/bin".into()).into()
}

/// A command that runs as the current user, or as `postgres` if that is root.
pub fn as_server_user(program: impl AsRef<std::ffi::OsStr>) -> Command {
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups", "--"]).arg(program);
    command
}

fn is_done(command: &mut Command) -> bool {
    let quiet = command.current_dir("/").stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    quiet.status().expect("the server's programs are there").success()
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata("/proc/self").is_ok_and(|ours| ours.uid() == 0)
}

/// A TCP port that nobody listened on a moment ago. None of those that the system gives to connections: while a server
/// that crashed is down, its port would be given away.
pub fn free_port() -> u16 {
    loop {
        let port = 15_000 + (uuid::Uuid::new_v4().as_u128() % 16_000) as u16;
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
