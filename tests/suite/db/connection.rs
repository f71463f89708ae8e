//! Connections to a real server, with and without TLS: pgrecast accepts and refuses the same as libpq, and each error
//! says why.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use pgrecast::db::{Connection, ConnectionArgs, Target};
use pgrecast::error::{Error, Kind, Result};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

const BIN: &str = "/usr/lib/postgresql/15/bin";

const HBA: &str = "\
local     all all      trust
hostssl   all certuser 127.0.0.1/32 cert
hostssl   all tlsonly  127.0.0.1/32 scram-sha-256
hostnossl all plain    127.0.0.1/32 scram-sha-256
host      all tlsonly,plain,certuser all reject
host      all all      127.0.0.1/32 scram-sha-256
";

const SETUP: &str = "\
create role app login password 'right'; create role tlsonly login password 'right';
create role plain login password 'right'; create role certuser login;
create role few login connection limit 0 password 'right'; create database shop";

/// A server that exists as long as this does.
struct Cluster {
    dir: tempfile::TempDir,
    port: u16,
}

impl Cluster {
    /// Starts a server with the `server.key`, `server.crt` and `ca.crt` that `prepare` writes to its directory.
    fn start(prepare: impl FnOnce(&Path)) -> Self {
        let dir = tempfile::Builder::new().prefix("pgrecast-connection-").tempdir().unwrap();
        prepare(dir.path());
        for file in fs::read_dir(dir.path()).unwrap() {
            fs::set_permissions(file.unwrap().path(), Permissions::from_mode(0o600)).unwrap();
        }
        if is_root() {
            let (uid, gid) = (id(&["-u", "postgres"]), id(&["-g", "postgres"]));
            for file in [".", "server.key", "server.crt", "ca.crt"] {
                chown(dir.path().join(file), Some(uid), Some(gid)).unwrap();
            }
        }
        let cluster = Cluster { dir, port: free_port() };
        let (data, port) = (cluster.path("data"), cluster.port.to_string());
        cluster.run("initdb", &["-D", &data, "-U", "postgres", "-A", "trust", "-N", "-E", "UTF8"]);
        fs::write(cluster.path("data/pg_hba.conf"), HBA).unwrap();
        let settings = format!(
            "listen_addresses='127.0.0.1'\nport={port}\nunix_socket_directories='{0}'\nfsync=off\n\
             ssl=on\nssl_cert_file='{0}/server.crt'\nssl_key_file='{0}/server.key'\nssl_ca_file='{0}/ca.crt'\n",
            cluster.path("")
        );
        fs::write(cluster.path("data/postgresql.auto.conf"), settings).unwrap();
        cluster.run("pg_ctl", &["start", "-w", "-D", &data]);
        for statement in SETUP.split(';') {
            cluster.run(
                "psql",
                &["-X", "-h", &cluster.path(""), "-p", &port, "-U", "postgres", "-c", statement],
            );
        }
        cluster
    }

    /// The usual one: a certificate for "localhost" and 127.0.0.1, signed by `ca.crt`, which signed `client.crt` for
    /// certuser too. All tests of one process share it.
    fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        shared.upgrade().unwrap_or_else(|| {
            let cluster = Arc::new(Cluster::start(|dir| {
                let ca = authority("test authority");
                fs::write(dir.join("ca.crt"), ca.pem()).unwrap();
                fs::write(dir.join("other-ca.crt"), authority("other authority").pem()).unwrap();
                let server = CertificateParams::new(["localhost".into(), "127.0.0.1".into()]).unwrap();
                issue(dir, "server", server, "localhost", &ca);
                issue(dir, "client", CertificateParams::default(), "certuser", &ca);
            }));
            *shared = Arc::downgrade(&cluster);
            cluster
        })
    }

    /// The path of a file; the directory for "".
    fn path(&self, name: &str) -> String {
        let path = if name.is_empty() { self.dir.path().to_owned() } else { self.dir.path().join(name) };
        path.display().to_string()
    }

    fn run(&self, program: &str, args: &[&str]) {
        assert!(
            self.succeeds(program, args),
            "{program} {args:?}: {}",
            fs::read_to_string(self.path("log")).unwrap_or_default()
        );
    }

    fn succeeds(&self, program: &str, args: &[&str]) -> bool {
        let program = PathBuf::from(BIN).join(program);
        let mut command = Command::new("setpriv");
        if is_root() {
            // A server refuses to run as root.
            command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]).arg(program);
        } else {
            command = Command::new(program);
        }
        // A file, because the server inherits the open files of pg_ctl: reading a pipe would never end.
        let log = fs::OpenOptions::new().create(true).append(true).open(self.path("log")).unwrap();
        command.current_dir("/").args(args).stdin(Stdio::null());
        command.stdout(log.try_clone().unwrap()).stderr(log);
        command.status().unwrap().success()
    }

    /// Connects as `conninfo` says, by default to this server, with nothing set but `env`.
    async fn connect_with(&self, conninfo: &str, env: &[(&str, &str)]) -> Result<Connection> {
        connect(&format!("dbname=shop port={} {conninfo}", self.port), env).await
    }

    async fn connect(&self, conninfo: &str) -> Result<Connection> {
        self.connect_with(conninfo, &[]).await
    }

    /// Whether the session of the default user is encrypted.
    async fn encrypts(&self, conninfo: &str) -> Result<bool> {
        let connection = self.connect(&format!("user=app password=right {conninfo}")).await?;
        let query = "select ssl from pg_stat_ssl where pid = pg_backend_pid()";
        Ok(connection.query_one(query, &[]).await?.get(0))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.succeeds("pg_ctl", &["stop", "-w", "-m", "immediate", "-D", &self.path("data")]);
    }
}

async fn connect(conninfo: &str, env: &[(&str, &str)]) -> Result<Connection> {
    let args = ConnectionArgs { dbname: Some(conninfo.to_owned()), ..ConnectionArgs::default() };
    let variable = |name: &str| match env.iter().find(|(key, _)| *key == name) {
        Some((_, value)) => Some((*value).to_owned()),
        None => (name == "HOME").then(|| "/nonexistent".to_owned()),
    };
    Target::resolve(&args, &variable)?.connect("pgrecast test").await
}

fn is_root() -> bool {
    id(&["-u"]) == 0
}

fn id(args: &[&str]) -> u32 {
    let output = Command::new("id").args(args).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn issue(
    dir: &Path,
    file: &str,
    mut params: CertificateParams,
    name: &str,
    ca: &CertifiedIssuer<'_, KeyPair>,
) {
    params.distinguished_name.push(DnType::CommonName, name);
    let key = KeyPair::generate().unwrap();
    fs::write(dir.join(format!("{file}.crt")), params.signed_by(&key, ca).unwrap().pem()).unwrap();
    fs::write(dir.join(format!("{file}.key")), key.serialize_pem()).unwrap();
}

/// Expects an error with kind, place, database and user, a hint, no password, and these words.
#[track_caller]
fn assert_refused<T>(result: Result<T>, words: &[&str]) {
    let error = result.err().expect("the connection was let in");
    let text = error.to_string();
    assert_eq!(error.kind, Kind::Failed, "{text}");
    let usual = ["could not connect to the server at ", " port ", "database \"", "user \"", "hint: "];
    for word in words.iter().chain(&usual) {
        assert!(text.contains(word), "no {word:?} in:\n{text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn the_session_knows_its_process_and_the_servers_version() {
    let cluster = Cluster::shared();
    let connection = cluster.connect("host=localhost user=app password=right").await.unwrap();
    let query = "select pg_backend_pid(), current_setting('application_name')";
    let row = connection.query_one(query, &[]).await.unwrap();
    assert_eq!(connection.pid(), row.get::<_, i32>(0));
    assert_eq!(row.get::<_, &str>(1), "pgrecast test");
    assert_eq!(connection.server_version().major(), 15);
    assert!(!connection.is_closed());
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_its_origin_is_said() {
    let cluster = Cluster::shared();
    let wrong = cluster.connect("host=localhost user=app password=secret").await;
    assert_eq!(wrong.as_ref().unwrap_err().sqlstate.as_deref(), Some("28P01"));
    assert_refused(wrong, &["host localhost port", "\"app\"", "(28P01)", "the password came from"]);
    let none = cluster.connect("host=localhost user=app").await;
    assert_refused(none, &["requires a password, and none was given", "PGPASSWORD"]);
}

#[tokio::test]
async fn the_password_file_is_used_when_nobody_else_can_read_it() {
    let cluster = Cluster::shared();
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join(".pgpass");
    fs::write(&file, format!("localhost:{}:shop:app:right\n*:*:*:*:secret\n", cluster.port)).unwrap();
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    let env = [("HOME", home.path().to_str().unwrap())];
    cluster.connect_with("host=localhost user=app", &env).await.unwrap();
    let wrong = cluster.connect_with("host=127.0.0.1 user=app", &env).await;
    assert_refused(wrong, &["28P01", "password file", ".pgpass"]);
    fs::set_permissions(&file, Permissions::from_mode(0o644)).unwrap();
    assert_refused(cluster.connect_with("host=localhost user=app", &env).await, &["none was given"]);
}

#[tokio::test]
async fn what_does_not_exist_is_named() {
    let cluster = Cluster::shared();
    let app = "host=localhost user=app password=right";
    let no_database = cluster.connect(&format!("{app} dbname=nowhere")).await;
    assert_refused(no_database, &["database \"nowhere\" does not exist (3D000)", "psql -l"]);
    let no_role = cluster.connect(&format!("host={} user=ghost", cluster.path(""))).await;
    assert_refused(no_role, &["socket directory", "role \"ghost\" does not exist (28000)", "pg_hba.conf"]);
    let no_slot = cluster.connect("host=localhost user=few password=right").await;
    assert_refused(no_slot, &["too many connections", "53300", "Wait"]);
    let no_socket = cluster.connect(&format!("{app} host=/nonexistent")).await;
    assert_refused(no_socket, &["No such file", "socket in this directory"]);
    let no_host = cluster.connect(&format!("{app} host=no.such.host.invalid")).await;
    assert_refused(no_host, &["no.such.host.invalid", "spelling"]);
}

#[tokio::test]
async fn nobody_listening_is_said_with_the_place() {
    let port = free_port();
    let nobody = connect(&format!("host=127.0.0.1 port={port} user=u dbname=d"), &[]).await;
    assert_refused(nobody, &["Connection refused", &format!("host 127.0.0.1 port {port}")]);
}

#[tokio::test]
async fn the_next_host_is_tried_when_nobody_listens_at_the_first() {
    let cluster = Cluster::shared();
    let ports = format!("port={},{}", free_port(), cluster.port);
    let app = format!("user=app password=right host=localhost,localhost {ports}");
    cluster.connect(&app).await.unwrap();
    let writable = format!("{app} target_session_attrs=read-write");
    cluster.connect(&writable).await.unwrap();
    let read_only =
        cluster.connect(&format!("{writable} options='-c default_transaction_read_only=on'")).await;
    assert_refused(read_only, &["does not allow writes", "before, host localhost", "primary"]);
}

#[tokio::test]
async fn tls_is_used_as_sslmode_says() {
    let cluster = Cluster::shared();
    for encrypted in ["", "sslmode=prefer", "sslmode=require", "sslmode=require channel_binding=require"] {
        assert!(cluster.encrypts(&format!("host=localhost {encrypted}")).await.unwrap(), "{encrypted}");
    }
    for plain in ["sslmode=disable", "sslmode=allow"] {
        assert!(!cluster.encrypts(&format!("host=localhost {plain}")).await.unwrap(), "{plain}");
    }
    let socket = format!("host={} sslmode=require", cluster.path(""));
    assert!(!cluster.encrypts(&socket).await.unwrap());
}

#[tokio::test]
async fn the_weak_modes_take_the_way_that_pg_hba_leaves_open() {
    let cluster = Cluster::shared();
    let login = |user: &str, mode: &str| format!("host=localhost user={user} password=right sslmode={mode}");
    cluster.connect(&login("tlsonly", "allow")).await.unwrap();
    cluster.connect(&login("plain", "prefer")).await.unwrap();
    assert_refused(cluster.connect(&login("tlsonly", "disable")).await, &["no encryption", "28000"]);
    assert_refused(cluster.connect(&login("plain", "require")).await, &["SSL encryption", "28000"]);
    let wrong = cluster.connect("host=localhost user=tlsonly password=secret sslmode=allow").await;
    assert_refused(wrong, &["28P01"]);
}

#[tokio::test]
async fn verify_full_wants_the_authority_and_the_name() {
    let cluster = Cluster::shared();
    let verify = format!("sslmode=verify-full sslrootcert={}", cluster.path("ca.crt"));
    assert!(cluster.encrypts(&format!("{verify} host=localhost")).await.unwrap());
    assert!(cluster.encrypts(&format!("{verify} host=127.0.0.1")).await.unwrap());
    let wrong_name = cluster.encrypts(&format!("{verify} host=db.example hostaddr=127.0.0.1")).await;
    assert_refused(wrong_name, &["certificate was not accepted", "db.example", "verify-ca"]);
    let stranger = format!("sslmode=verify-full sslrootcert={}", cluster.path("other-ca.crt"));
    let wrong_authority = cluster.encrypts(&format!("{stranger} host=localhost")).await;
    assert_refused(wrong_authority, &["certificate was not accepted", "UnknownIssuer", "sslrootcert"]);
}

#[tokio::test]
async fn verify_ca_wants_the_authority_and_takes_any_name() {
    let cluster = Cluster::shared();
    let elsewhere = "host=db.example hostaddr=127.0.0.1";
    for mode in ["verify-ca", "require"] {
        let good = format!("sslmode={mode} sslrootcert={} {elsewhere}", cluster.path("ca.crt"));
        assert!(cluster.encrypts(&good).await.unwrap());
        let bad = format!("sslmode={mode} sslrootcert={} {elsewhere}", cluster.path("other-ca.crt"));
        assert_refused(cluster.encrypts(&bad).await, &["certificate was not accepted"]);
    }
}

#[tokio::test]
async fn a_client_certificate_lets_in() {
    let cluster = Cluster::shared();
    let user = "host=localhost user=certuser sslmode=require";
    let files = format!("sslcert={} sslkey={}", cluster.path("client.crt"), cluster.path("client.key"));
    cluster.connect(&format!("{user} {files}")).await.unwrap();
    assert_refused(cluster.connect(user).await, &["requires a valid client certificate"]);
}

#[tokio::test]
async fn certificates_are_found_in_the_home_directory() {
    let cluster = Cluster::shared();
    let home = tempfile::tempdir().unwrap();
    let files = home.path().join(".postgresql");
    fs::create_dir(&files).unwrap();
    let names = [("client.crt", "postgresql.crt"), ("client.key", "postgresql.key"), ("ca.crt", "root.crt")];
    for (from, to) in names {
        fs::copy(cluster.path(from), files.join(to)).unwrap();
    }
    let env = [("HOME", home.path().to_str().unwrap())];
    let user = "host=localhost user=certuser sslmode=verify-full";
    cluster.connect_with(user, &env).await.unwrap();
    fs::set_permissions(files.join("postgresql.key"), Permissions::from_mode(0o644)).unwrap();
    let error = cluster.connect_with(user, &env).await.unwrap_err();
    assert!(error.to_string().contains("0600"), "{error}");
}

#[tokio::test]
async fn a_self_signed_certificate_is_trusted_when_it_is_the_root_file() {
    let cluster = Cluster::start(|dir| {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(["localhost".into()]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let certificate = params.self_signed(&key).unwrap().pem();
        fs::write(dir.join("server.key"), key.serialize_pem()).unwrap();
        fs::write(dir.join("server.crt"), &certificate).unwrap();
        fs::write(dir.join("ca.crt"), &certificate).unwrap();
    });
    let verify = format!("sslmode=verify-full sslrootcert={}", cluster.path("ca.crt"));
    assert!(cluster.encrypts(&format!("{verify} host=localhost")).await.unwrap());
    let wrong_name = cluster.encrypts(&format!("{verify} host=127.0.0.1")).await;
    assert_refused(wrong_name, &["certificate was not accepted"]);
}

#[tokio::test]
async fn a_certificate_of_version_1_is_good_enough_to_encrypt() {
    let cluster = Cluster::start(|dir| {
        // rcgen makes only version 3.
        let script = "openssl req -new -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key \
                      -out server.csr && openssl x509 -req -in server.csr -signkey server.key -days 9 \
                      -out server.crt && cp server.crt ca.crt";
        let output = Command::new("sh").args(["-c", script]).current_dir(dir).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    });
    let require = "host=localhost sslmode=require";
    assert!(cluster.encrypts(&format!("{require} channel_binding=require")).await.unwrap());
    let verify = format!("sslmode=verify-ca sslrootcert={}", cluster.path("ca.crt"));
    let verified = cluster.encrypts(&format!("host=localhost {verify}")).await;
    assert_refused(verified, &["version 3"]);
}

/// A server that reads the first request, sends `answer`, and then nothing more.
fn mute_server(answer: &'static [u8]) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut open = vec![];
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.read_exact(&mut [0; 8]).unwrap();
            stream.write_all(answer).unwrap();
            open.push(stream);
        }
    });
    port
}

#[tokio::test]
async fn a_server_without_tls_is_refused_when_tls_is_required() {
    let conninfo = format!("host=127.0.0.1 port={} user=u sslmode=require", mute_server(b"N"));
    assert_refused(connect(&conninfo, &[]).await, &["does not offer TLS"]);
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up() {
    let conninfo = format!("host=127.0.0.1 port={} user=u connect_timeout=1", mute_server(b""));
    assert_refused(connect(&conninfo, &[]).await, &["no answer within 1 s"]);
}

#[tokio::test]
async fn a_statement_can_be_cancelled_over_tls() {
    let cluster = Cluster::shared();
    let verify = format!("sslmode=verify-full sslrootcert={}", cluster.path("ca.crt"));
    let app = format!("host=localhost user=app password=right {verify}");
    let (session, watcher) = (cluster.connect(&app).await.unwrap(), cluster.connect(&app).await.unwrap());
    let cancel = async {
        let running = "select from pg_stat_activity where pid = $1 and wait_event = 'PgSleep'";
        while watcher.query_opt(running, &[&session.pid()]).await.unwrap().is_none() {}
        session.cancel().await.unwrap();
    };
    let (result, ()) = tokio::join!(session.batch_execute("select pg_sleep(600)"), cancel);
    assert_eq!(result.unwrap_err().code().unwrap().code(), "57014");
    assert!(!session.is_closed());
}

#[tokio::test]
async fn a_dropped_session_goes_and_a_terminated_one_is_closed() {
    let cluster = Cluster::shared();
    let app = "host=localhost user=app password=right";
    let (dropped, ended) = (cluster.connect(app).await.unwrap(), cluster.connect(app).await.unwrap());
    let watcher = cluster.connect(app).await.unwrap();
    let pid = dropped.pid();
    drop(dropped);
    let there = "select from pg_stat_activity where pid = $1";
    while watcher.query_opt(there, &[&pid]).await.unwrap().is_some() {}
    watcher.execute("select pg_terminate_backend($1)", &[&ended.pid()]).await.unwrap();
    let error = loop {
        if let Err(error) = ended.batch_execute("select 1").await {
            break Error::from(error);
        }
    };
    assert_eq!(error.kind, Kind::ConnectionLost);
    while !ended.is_closed() {
        tokio::task::yield_now().await;
    }
}
