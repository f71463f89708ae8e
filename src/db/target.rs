//! Where to connect: combines arguments, connection string, service, environment and defaults.
//!
//! Precedence, as in psql: the connection string, the other arguments, the service, the environment, the defaults. It
//! reads files, and does not use the network.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio_postgres::Config;
use tokio_postgres::config::{ChannelBinding, TargetSessionAttrs};

use super::endpoint::{self, Endpoint};
use super::pooler::Live;
use super::settings::{Settings, wrong_value};
use super::tls::Tls;
use super::{conninfo, service};
use crate::error::{Error, Result};

/// Long enough for a slow network, short enough to notice a firewall that drops all packets.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Sessions are idle for hours while another one copies; firewalls drop idle connections after minutes.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
/// A crashed host does not answer; after this time the session counts as lost.
const UNACKNOWLEDGED: Duration = Duration::from_secs(30);

/// The connection options of the command line, as in psql.
#[derive(Clone, Default)]
pub struct ConnectionArgs {
    /// `-d`: a database name, a `key=value` string, or a URI. The latter two override the other options.
    pub dbname: Option<String>,
    /// `-h`: host name, address or socket directory; several separated by commas.
    pub host: Option<String>,
    /// `-p`.
    pub port: Option<u16>,
    /// `-U`.
    pub user: Option<String>,
}

/// Without its values: the string may contain a password.
impl fmt::Debug for ConnectionArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ConnectionArgs")
    }
}

/// Where to connect, and as which user. Its text does not contain the password.
#[derive(Clone)]
pub struct Target {
    /// The settings that are the same for each endpoint.
    pub(super) config: Config,
    /// `None`: no limit.
    pub(super) connect_timeout: Option<Duration>,
    /// The servers to try, in order; never empty.
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) tls: Tls,
    pub(super) dbname: String,
    pub(super) user: String,
    /// The sessions that are open.
    pub(super) live: Live,
}

impl Target {
    /// Determines the target from everything that libpq reads; `env` reads an environment variable.
    pub fn resolve(args: &ConnectionArgs, env: &impl Fn(&str) -> Option<String>) -> Result<Self> {
        let home = env("HOME").map(PathBuf::from).or_else(std::env::home_dir);
        let settings = gather(args, env, home.as_deref())?;
        let user = match settings.get("user") {
            Some(user) => user.to_owned(),
            None => os_user(env)?,
        };
        let dbname = settings.get("dbname").unwrap_or(&user).to_owned();
        let tls = Tls::resolve(&settings, home.as_deref())?;
        let mut endpoints = endpoint::from_settings(&settings)?;
        endpoint::add_passwords(&mut endpoints, &settings, home.as_deref(), &dbname, &user);
        let connect_timeout = match settings.number("connect_timeout")? {
            None => Some(CONNECT_TIMEOUT),
            Some(seconds) => u64::try_from(seconds).ok().filter(|n| *n > 0).map(Duration::from_secs),
        };
        let mut config = session_config(&settings, env)?;
        config.user(&user).dbname(&dbname).ssl_negotiation(tls.negotiation);
        if let Some(timeout) = connect_timeout {
            config.connect_timeout(timeout); // for cancel requests, which go their own way
        }
        Ok(Target { config, connect_timeout, endpoints, tls, dbname, user, live: Live::default() })
    }

    /// The database's name.
    #[must_use]
    pub fn dbname(&self) -> &str {
        &self.dbname
    }

    /// The role's name.
    #[must_use]
    pub fn user(&self) -> &str {
        &self.user
    }
}

fn gather(
    args: &ConnectionArgs,
    env: &impl Fn(&str) -> Option<String>,
    home: Option<&Path>,
) -> Result<Settings> {
    let mut settings = Settings::default();
    settings.set("host", args.host.as_deref().unwrap_or_default())?;
    settings.set("port", &args.port.map(|port| port.to_string()).unwrap_or_default())?;
    settings.set("user", args.user.as_deref().unwrap_or_default())?;
    if let Some(text) = &args.dbname {
        match conninfo::parse(text)? {
            Some(string) => settings.override_with(string),
            None => settings.set("dbname", text)?,
        }
    }
    let from_env = Settings::from_env(env)?;
    let either = |keyword| settings.get(keyword).or_else(|| from_env.get(keyword));
    if let Some(name) = either("service") {
        let user_file = either("servicefile").map(PathBuf::from);
        let user_file = user_file.or_else(|| home.map(|home| home.join(".pg_service.conf")));
        let service = service::load(name, user_file, env("PGSYSCONFDIR"))?;
        settings.fill_from(service);
    }
    settings.fill_from(from_env);
    Ok(settings)
}

fn os_user(env: &impl Fn(&str) -> Option<String>) -> Result<String> {
    if let Some(user) = env("USER").filter(|user| !user.is_empty()) {
        return Ok(user);
    }
    // Without USER (cron, containers). Reading the system's user database ourselves needs unsafe code.
    let unknown =
        || Error::usage("could not determine the user to connect as").hint("Give it with -U or PGUSER.");
    let output = std::process::Command::new("id").arg("-un").output().map_err(|_| unknown())?;
    let user = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if output.status.success() && !user.is_empty() { Ok(user) } else { Err(unknown()) }
}

/// The settings that are the same for every endpoint.
/// The variables with which libpq sets the formats of values, as options of a session. A cast may depend on them.
fn options_from_env(env: &impl Fn(&str) -> Option<String>) -> impl Iterator<Item = String> {
    [("PGTZ", "TimeZone"), ("PGDATESTYLE", "DateStyle"), ("PGGEQO", "geqo")].into_iter().filter_map(
        |(variable, name)| {
            let value = env(variable).filter(|value| !value.is_empty())?;
            Some(format!("-c {name}={}", value.replace('\\', "\\\\").replace(' ', "\\ ")))
        },
    )
}

fn session_config(settings: &Settings, env: &impl Fn(&str) -> Option<String>) -> Result<Config> {
    let mut config = Config::new();
    let duration = |keyword, default, unit: fn(u64) -> Duration| {
        Ok::<_, Error>(match settings.number(keyword)? {
            None => Some(default),
            Some(n) => u64::try_from(n).ok().filter(|n| *n > 0).map(unit),
        })
    };
    config.keepalives(settings.number("keepalives")? != Some(0));
    if let Some(idle) = duration("keepalives_idle", KEEPALIVE_IDLE, Duration::from_secs)? {
        config.keepalives_idle(idle);
    }
    if let Some(interval) = duration("keepalives_interval", KEEPALIVE_INTERVAL, Duration::from_secs)? {
        config.keepalives_interval(interval);
    }
    if let Some(count) = settings.number("keepalives_count")?.and_then(|n| u32::try_from(n).ok()) {
        config.keepalives_retries(count);
    }
    if let Some(timeout) = duration("tcp_user_timeout", UNACKNOWLEDGED, Duration::from_millis)? {
        config.tcp_user_timeout(timeout);
    }
    let options: Vec<String> =
        settings.get("options").map(str::to_owned).into_iter().chain(options_from_env(env)).collect();
    if !options.is_empty() {
        config.options(options.join(" "));
    }
    config.target_session_attrs(match settings.get("target_session_attrs") {
        None | Some("any") => TargetSessionAttrs::Any,
        Some("read-write" | "primary") => TargetSessionAttrs::ReadWrite,
        Some(_) => return Err(wrong_value("target_session_attrs", "any, read-write, primary")),
    });
    config.channel_binding(match settings.get("channel_binding") {
        None | Some("prefer") => ChannelBinding::Prefer,
        Some("disable") => ChannelBinding::Disable,
        Some("require") => ChannelBinding::Require,
        Some(_) => return Err(wrong_value("channel_binding", "disable, prefer, require")),
    });
    Ok(config)
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let places: Vec<String> = self.endpoints.iter().map(ToString::to_string).collect();
        write!(f, "{}, database \"{}\", user \"{}\"", places.join(" or "), self.dbname, self.user)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Target({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Resolves with only these variables set, and a home directory that does not exist.
    fn resolve(args: &ConnectionArgs, env: &[(&str, &str)]) -> Result<Target> {
        let usual = [("HOME", "/nonexistent"), ("USER", "me")];
        let all: Vec<_> = env.iter().copied().chain(usual).collect();
        Target::resolve(args, &|name| {
            all.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        })
    }

    fn database(dbname: &str) -> ConnectionArgs {
        ConnectionArgs { dbname: Some(dbname.into()), ..ConnectionArgs::default() }
    }

    fn shown(args: &ConnectionArgs, env: &[(&str, &str)]) -> String {
        resolve(args, env).unwrap().to_string()
    }

    #[test]
    fn the_time_zone_of_the_environment_is_the_sessions() {
        let args = database("options=-cgeqo=on");
        let env = [("PGTZ", "Europe/Berlin"), ("PGDATESTYLE", "SQL, DMY"), ("PGOPTIONS", "-c jit=off")];
        let target = resolve(&args, &env).unwrap();
        let options = target.config.get_options().unwrap();
        assert_eq!(options, "-cgeqo=on -c TimeZone=Europe/Berlin -c DateStyle=SQL,\\ DMY");
    }

    #[test]
    fn the_user_is_the_default_for_everything() {
        let text = shown(&ConnectionArgs::default(), &[("PGPORT", "1")]);
        assert_eq!(text, "host localhost port 1, database \"me\", user \"me\"");
        let text = shown(&ConnectionArgs { user: Some("u".into()), ..database("d") }, &[("PGHOST", "h")]);
        assert_eq!(text, "host h port 5432, database \"d\", user \"u\"");
    }

    #[test]
    fn the_connection_string_wins_over_arguments_and_those_over_the_environment() {
        let args = ConnectionArgs {
            dbname: Some("host=string dbname=d".into()),
            host: Some("argument".into()),
            port: Some(2),
            user: None,
        };
        let env = [("PGHOST", "env"), ("PGPORT", "3"), ("PGUSER", "u"), ("PGDATABASE", "e")];
        assert_eq!(shown(&args, &env), "host string port 2, database \"d\", user \"u\"");
    }

    #[test]
    fn a_service_stands_between_arguments_and_environment() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("services");
        std::fs::write(&file, "[s]\nhost=service\nport=7\nuser=serviceuser\n").unwrap();
        let env = [("PGSERVICEFILE", file.to_str().unwrap()), ("PGHOST", "env"), ("PGUSER", "env")];
        let expected = "host service port 8, database \"d\", user \"serviceuser\"";
        assert_eq!(shown(&database("service=s port=8 dbname=d"), &env), expected);
        let named = [env[0], env[1], ("PGSERVICE", "s")];
        assert!(shown(&database("d"), &named).starts_with("host service port 7"));
        assert!(resolve(&database("service=t"), &env).is_err());
    }

    #[test]
    fn several_hosts_share_a_port_or_have_one_each() {
        assert!(shown(&database("host=a,b port=6"), &[]).starts_with("host a port 6 or host b port 6"));
        assert!(shown(&database("postgres://a:6,b/d"), &[]).starts_with("host a port 6 or host b port 5432"));
        assert!(resolve(&database("host=a,b port=1,2,3"), &[]).is_err());
        assert!(resolve(&database("host=a port=70000"), &[]).is_err());
        assert!(resolve(&database("host=a hostaddr=1.2.3.4,1.2.3.5"), &[]).is_err());
    }

    #[test]
    fn an_address_goes_with_a_name_or_alone() {
        let both = shown(&database("host=a hostaddr=10.0.0.1"), &[]);
        assert!(both.starts_with("host a (10.0.0.1) port 5432"), "{both}");
        assert!(shown(&database("hostaddr=::1"), &[]).starts_with("host ::1 port 5432"));
    }

    #[test]
    fn passwords_are_found_per_host_and_never_shown() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(".pgpass");
        std::fs::write(&file, "a:*:*:*:secret-a\nlocalhost:*:*:*:secret-l\n").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let env = [("HOME", dir.path().to_str().unwrap())];
        let target = resolve(&database("host=a,b,/sock dbname=d"), &env).unwrap();
        let texts = |target: &Target| {
            let text = |e: &Endpoint| e.password.as_ref().map(|password| password.text.clone());
            target.endpoints.iter().map(text).collect::<Vec<_>>()
        };
        assert_eq!(texts(&target), [Some("secret-a".into()), None, Some("secret-l".into())]);
        let target = resolve(&database("host=a"), &[env[0], ("PGPASSWORD", "secret-e")]).unwrap();
        assert_eq!(texts(&target), [Some("secret-e".into())]);
        assert!(!format!("{target:?} {target}").contains("secret"));
    }

    #[test]
    fn sessions_that_cannot_write_are_refused() {
        assert!(resolve(&database("target_session_attrs=standby"), &[]).is_err());
        assert!(resolve(&database("target_session_attrs=primary"), &[]).is_ok());
    }
}
