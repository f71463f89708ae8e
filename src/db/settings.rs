//! Connection settings by their libpq keyword, from any source.
//!
//! Every keyword in a [`Settings`] is known to libpq and supported here, and no value is empty: libpq treats an empty
//! value as "not set" almost everywhere.

use std::collections::BTreeMap;
use std::fmt;

use super::secret::is_like_uri;
use crate::error::{Error, Result};

/// Supported keywords, each with its environment variable if libpq reads one.
const USED: [(&str, Option<&str>); 29] = [
    ("channel_binding", Some("PGCHANNELBINDING")),
    ("connect_timeout", Some("PGCONNECT_TIMEOUT")),
    ("dbname", Some("PGDATABASE")),
    ("gssencmode", Some("PGGSSENCMODE")),
    ("host", Some("PGHOST")),
    ("hostaddr", Some("PGHOSTADDR")),
    ("keepalives", None),
    ("keepalives_count", None),
    ("keepalives_idle", None),
    ("keepalives_interval", None),
    ("options", Some("PGOPTIONS")),
    ("passfile", Some("PGPASSFILE")),
    ("password", Some("PGPASSWORD")),
    ("port", Some("PGPORT")),
    ("service", Some("PGSERVICE")),
    ("servicefile", Some("PGSERVICEFILE")),
    ("ssl_min_protocol_version", Some("PGSSLMINPROTOCOLVERSION")),
    ("sslcert", Some("PGSSLCERT")),
    ("sslcertmode", Some("PGSSLCERTMODE")),
    ("sslkey", Some("PGSSLKEY")),
    ("sslmode", Some("PGSSLMODE")),
    ("sslnegotiation", Some("PGSSLNEGOTIATION")),
    ("sslrootcert", Some("PGSSLROOTCERT")),
    ("target_session_attrs", Some("PGTARGETSESSIONATTRS")),
    ("tcp_user_timeout", None),
    ("user", Some("PGUSER")),
    // Read only to refuse them, see below.
    ("require_auth", Some("PGREQUIREAUTH")),
    ("requirepeer", Some("PGREQUIREPEER")),
    ("sslcrl", Some("PGSSLCRL")),
];

/// Keywords without an effect: we set our own application name and encoding, do not use GSSAPI, and the order in which
/// equal hosts are tried does not matter for one long session.
const IGNORED: [&str; 17] = [
    "application_name",
    "client_encoding",
    "fallback_application_name",
    "gssdelegation",
    "gsslib",
    "krbsrvname",
    "load_balance_hosts",
    "max_protocol_version",
    "min_protocol_version",
    "oauth_client_id",
    "oauth_client_secret",
    "oauth_issuer",
    "oauth_scope",
    "ssl_max_protocol_version",
    "sslcompression",
    "sslkeylogfile",
    "sslsni",
];

/// Keywords of libpq that are not supported. If we ignored them, the user would expect a check that does not happen.
const REFUSED: [(&str, &str); 9] = [
    ("replication", "a schema change needs an ordinary session"),
    ("require_auth", "pgrecast does not restrict the authentication method that the server may use"),
    ("requirepeer", "the owner of the server's process is not checked"),
    ("requiressl", "libpq no longer supports it; sslmode=require has the same meaning"),
    ("scram_client_key", "only the password itself can be used"),
    ("scram_server_key", "only the password itself can be used"),
    ("sslcrl", "certificate revocation lists are not checked"),
    ("sslcrldir", "certificate revocation lists are not checked"),
    ("sslpassword", "encrypted private keys cannot be read"),
];

/// Settings by keyword. Its `Debug` only shows the keywords: one of the values is the password.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<&'static str, String>);

impl Settings {
    /// The settings that libpq takes from the environment.
    pub(super) fn from_env(env: &impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut settings = Settings::default();
        for (keyword, variable) in USED {
            if let Some((variable, value)) = variable.and_then(|name| Some((name, env(name)?))) {
                settings
                    .set(keyword, &value)
                    .map_err(|error| error.hint(format!("The environment variable {variable} sets it.")))?;
            }
        }
        Ok(settings)
    }

    /// Sets one; the last value wins, as in a conninfo string.
    pub(super) fn set(&mut self, keyword: &str, value: &str) -> Result<()> {
        if value.is_empty() {
            return Ok(());
        }
        if let Some((_, why)) = REFUSED.iter().find(|(name, _)| *name == keyword) {
            return Err(Error::usage(format!("the connection setting \"{keyword}\" is not supported"))
                .because(*why)
                .hint("Leave it out."));
        }
        if keyword == "gssencmode" && value == "require" {
            return Err(Error::usage("gssencmode=require is not supported")
                .because("connections are encrypted by TLS only")
                .hint("Use sslmode=require or stronger."));
        }
        if is_place(keyword) && value.split(',').any(|value| is_misplaced(keyword, value)) {
            return Err(Error::usage(format!(
                "the value of the connection setting \"{keyword}\" looks like a connection URI"
            ))
            .because("its value is not shown, because it may contain a password")
            .hint("Give a URI with -d. It begins with postgresql://."));
        }
        if let Some((known, _)) = USED.iter().find(|(name, _)| *name == keyword) {
            self.0.insert(known, value.to_owned());
            return Ok(());
        }
        if IGNORED.contains(&keyword) {
            tracing::debug!(keyword, "connection setting has no effect here");
            return Ok(());
        }
        // Not named: after a mistake earlier in the string, it may be a part of the password.
        let error = Error::usage("unknown connection setting");
        Err(match similar(keyword) {
            Some(known) => error.hint(format!("Did you mean \"{known}\"?")),
            None => error,
        })
    }

    /// Overrides these settings with those of `other`.
    pub(super) fn override_with(&mut self, other: Settings) {
        self.0.extend(other.0);
    }

    /// Adds settings of `other` that are not set yet.
    pub(super) fn fill_from(&mut self, other: Settings) {
        for (keyword, value) in other.0 {
            self.0.entry(keyword).or_insert(value);
        }
    }

    /// The value, never empty.
    pub(super) fn get(&self, keyword: &str) -> Option<&str> {
        debug_assert!(USED.iter().any(|(name, _)| *name == keyword), "{keyword} is never set");
        self.0.get(keyword).map(String::as_str)
    }

    /// The value as a whole number.
    pub(super) fn number(&self, keyword: &str) -> Result<Option<i64>> {
        self.get(keyword)
            .map(|text| {
                let wrong =
                    || Error::usage(format!("the connection setting \"{keyword}\" is not a whole number"));
                text.trim().parse().map_err(|_| wrong())
            })
            .transpose()
    }
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Adds the position of the setting, because its keyword may be a part of a password.
pub(super) fn at(number: usize, mut error: Error) -> Error {
    let place = format!("it is setting {number} of the connection string");
    error.cause = Some(match error.cause.take() {
        Some(cause) => format!("{cause}; {place}"),
        None => place,
    });
    error
}

/// Whether messages show the value.
fn is_place(keyword: &str) -> bool {
    matches!(keyword, "host" | "hostaddr" | "dbname" | "user" | "service")
}

fn is_misplaced(keyword: &str, value: &str) -> bool {
    // Such a host is a socket directory or an abstract socket.
    let is_socket = value.starts_with(['/', '@']);
    is_like_uri(value) || (keyword.starts_with("host") && value.contains('@') && !is_socket)
}

/// The most similar keyword, if at most a third of its letters are wrong.
fn similar(keyword: &str) -> Option<&'static str> {
    // For short keywords this would be most of the letters.
    let near = |known: &&str| distance(known, keyword) <= known.len() / 3;
    let used = USED.iter().map(|(name, _)| *name);
    used.filter(near).min_by_key(|known| distance(known, keyword))
}

/// The number of letters to insert, delete or replace (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

/// The error for a value that `keyword` does not support. The value is not shown: it may be a part of a password.
pub(super) fn wrong_value(keyword: &str, known: &str) -> Error {
    Error::usage(format!("the connection setting \"{keyword}\" has an unknown value"))
        .hint(format!("Use one of {known}."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_keyword_is_not_named_but_the_one_that_is_meant() {
        let error = Settings::default().set("passwrd", "x").unwrap_err();
        assert_eq!(error.to_string(), "unknown connection setting\nhint: Did you mean \"password\"?");
        assert!(Settings::default().set("Hunter2", "x").unwrap_err().hint.is_none());
        assert_eq!(error.kind, crate::error::Kind::Usage);
    }

    #[test]
    fn a_check_we_do_not_make_is_refused_and_a_harmless_keyword_is_not() {
        let mut settings = Settings::default();
        assert!(settings.set("sslcrl", "/x.crl").is_err());
        assert!(settings.set("gssencmode", "require").is_err());
        settings.set("gssencmode", "prefer").unwrap();
        settings.set("application_name", "app").unwrap();
    }

    #[test]
    fn a_wrong_variable_is_named() {
        let env = |name: &str| (name == "PGREQUIREPEER").then(|| "postgres".to_owned());
        let error = Settings::from_env(&env).unwrap_err();
        assert!(error.to_string().contains("requirepeer"), "{error}");
    }

    #[test]
    fn debug_never_shows_a_value() {
        let mut settings = Settings::default();
        settings.set("password", "hunter2").unwrap();
        assert_eq!(format!("{settings:?}"), "{\"password\"}");
    }
}
