//! Through pgbouncer: in transaction mode every command says so before it changes anything, in session mode all works.
//! The program is Debian's package pgbouncer, which scripts/setup.sh installs.

use std::fs;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Stdio};

use tokio_postgres::{Client, Config, NoTls};

use crate::support::cluster::{as_server_user, free_port};
use crate::support::*;

/// A pool of connections to a test's cluster, as its superuser; ended when dropped.
struct Pool {
    process: Child,
    folder: PathBuf,
    port: u16,
}

impl Pool {
    async fn start(db: &TestDb<'_>, mode: &str, settings: &str) -> Pool {
        let port = free_port();
        let folder = std::env::temp_dir().join(format!("pgrecast-pool-{port}"));
        fs::create_dir_all(&folder).unwrap();
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
        let file = folder.join("pool.ini");
        let (server, socket) = (db.cluster().port(), db.cluster().socket_directory().display().to_string());
        let text = format!(
            "[databases]\n* = host={socket} port={server} user=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\n\
             listen_port = {port}\nunix_socket_dir =\nauth_type = any\npool_mode = {mode}\n\
             ignore_startup_parameters = extra_float_digits,options\n{settings}\n"
        );
        fs::write(&file, text).unwrap();
        let program =
            ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer"].into_iter().find(|path| fs::exists(path).unwrap());
        let program =
            program.expect("pgbouncer is missing: scripts/setup.sh installs it (apt-get install pgbouncer)");
        let process = as_server_user(program)
            .arg("-q")
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let pool = Pool { process, folder, port };
        wait_until("pgbouncer listens", async || TcpStream::connect(("127.0.0.1", port)).is_ok()).await;
        pool
    }

    async fn pgrecast(&self, db: &TestDb<'_>, arguments: &[&str]) -> Output {
        let port = self.port.to_string();
        db.spawn_with("postgres", arguments, &[("PGHOST", "127.0.0.1"), ("PGPORT", &port)]).wait().await
    }

    /// A session of the application.
    async fn connect(&self, db: &TestDb<'_>) -> Client {
        let mut config = Config::new();
        config.host("127.0.0.1").port(self.port).user("postgres").dbname(db.name());
        let (client, connection) = config.connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// Settings that a session of ours sets, prepared statements, locks and temporary tables.
const STATE: &str = "select concat_ws('|', current_user, (select string_agg(name || '=' || setting, ' ' order by name) from pg_settings
        where source = 'session' and name <> 'application_name' and name <> 'client_encoding'),
    (select count(*) from pg_prepared_statements),
    (select count(*) from pg_locks where locktype = 'advisory' and pid = pg_backend_pid()),
    (select count(*) from pg_class where relpersistence = 't'))";

/// What five sessions of the application find at the same time, each in a server process of its own.
async fn found_by_applications(pool: &Pool, db: &TestDb<'_>) -> Vec<String> {
    let mut found = Vec::new();
    let mut sessions = Vec::new();
    for _ in 0..5 {
        let session = pool.connect(db).await;
        session.batch_execute("begin").await.unwrap();
        let rows = session.simple_query(STATE).await.unwrap();
        found.extend(rows.iter().find_map(|message| match message {
            tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        }));
        sessions.push(session);
    }
    found
}

const CLEAN: &str = "postgres|0|0|0";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_in_transaction_mode_is_noticed_before_anything_is_changed() {
    let db = TestDb::create("pooled").await;
    db.execute("create table t (id int primary key); insert into t values (1)").await;
    for more in ["", "server_round_robin = 1", "default_pool_size = 1"] {
        let pool = Pool::start(&db, "transaction", more).await;
        for arguments in [
            &["plan", "t", "--rebuild"][..],
            &["run", "t", "--rebuild"],
            &["status"],
            &["list"],
            &["abort", "t"],
            &["cleanup", "t"],
        ] {
            let output = pool.pgrecast(&db, arguments).await.expect_code(1);
            assert!(output.stderr.contains("connection pooler in transaction mode"), "{}", output.whole());
            assert!(output.stderr.contains("pool in session mode"), "{}", output.whole());
        }
        if !more.contains("size") {
            assert_eq!(found_by_applications(&pool, &db).await, [CLEAN; 5]);
        }
        let schemas: i64 =
            db.query_value("select count(*) from pg_namespace where nspname like 'pgrecast%'").await;
        assert_eq!(schemas, 0);
    }
    assert_nothing_left(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn through_a_pool_in_session_mode_all_works_and_nothing_is_left_in_it() {
    let db = TestDb::create("pooled_sessions").await;
    db.execute("create table t (id int primary key, n int); insert into t select g, g from generate_series(1, 500) g").await;
    let pool = Pool::start(&db, "session", "").await;
    let change = ["run", "t", "--alter", "alter n type bigint"];
    pool.pgrecast(&db, &["plan", "t", "--rebuild"]).await.expect_code(0);
    pool.pgrecast(&db, &change).await.expect_code(0);
    pool.pgrecast(&db, &["rollback", "t"]).await.expect_code(0);
    pool.pgrecast(&db, &["cleanup", "t"]).await.expect_code(0);
    pool.pgrecast(&db, &change).await.expect_code(0);
    pool.pgrecast(&db, &["cleanup", "t"]).await.expect_code(0);
    assert_eq!(found_by_applications(&pool, &db).await, [CLEAN; 5]);
    drop(pool);
    assert_nothing_left(&db).await;
}
