//! Errors of failed connections, with cause and hint.
//!
//! They always name host, port, database and user, and never the password.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use rustls::CertificateError;
use tokio_postgres::error::SqlState;

use super::connection::ServerVersion;
use super::endpoint::Endpoint;
use super::pooler::Pooled;
use super::target::Target;
use crate::error::Error;

/// Why an attempt to connect failed.
pub(super) enum Failure {
    /// The name service has no such host, or does not answer.
    Lookup(io::Error),
    /// The name exists, but without an address.
    NoAddress,
    /// No answer within this time.
    TimedOut(Duration),
    /// Connected, but this server is not supported.
    TooOld(ServerVersion),
    /// Connected to a pooler in transaction mode.
    Pooled(Pooled),
    /// An error of tokio-postgres.
    Postgres(tokio_postgres::Error),
}

impl Failure {
    /// Whether another host or address may work. If a server answers and refuses the connection, the others would too,
    /// and repeated failures could lock the account: libpq also stops then.
    pub(super) fn is_about_this_place(&self) -> bool {
        match self {
            Failure::Lookup(_) | Failure::NoAddress | Failure::TimedOut(_) => true,
            Failure::TooOld(_) | Failure::Pooled(_) => false,
            Failure::Postgres(error) => match error.code() {
                Some(code) => *code == SqlState::CANNOT_CONNECT_NOW,
                None => self.rustls().is_none() && !is_password_missing(error) && !is_about_tls(error),
            },
        }
    }

    /// Whether the connection may work with TLS if it did not without, or the reverse: `pg_hba.conf` can require
    /// either, and the server reports that with the same code as an unknown role.
    pub(super) fn may_pass_with_other_encryption(&self) -> bool {
        let Failure::Postgres(error) = self else { return false };
        self.rustls().is_some()
            || is_about_tls(error)
            || error.code() == Some(&SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
    }

    /// The error of rustls, also if it came after the handshake, as the server's refusal of our certificate does in TLS
    /// 1.3.
    fn rustls(&self) -> Option<&rustls::Error> {
        let Failure::Postgres(error) = self else { return None };
        error.source()?.downcast_ref::<io::Error>()?.get_ref()?.downcast_ref()
    }

    fn io(&self) -> Option<&io::Error> {
        match self {
            Failure::Postgres(error) => error.source()?.downcast_ref(),
            _ => None,
        }
    }
}

// tokio-postgres does not expose the kind of an error; these two are recognized by their text.

fn is_about_tls(error: &tokio_postgres::Error) -> bool {
    error.to_string() == "error performing TLS handshake"
}

fn is_password_missing(error: &tokio_postgres::Error) -> bool {
    error.source().is_some_and(|source| source.to_string() == "password missing")
}

/// One error for all failed attempts: that of the last one, with the earlier attempts as part of the cause.
pub(super) fn explain(target: &Target, failures: &[(&Endpoint, Failure)]) -> Error {
    let Some(((endpoint, failure), earlier)) = failures.split_last() else {
        return Error::failed(format!("could not connect to the server at {target}"));
    };
    let (cause, hint) = reason(target, endpoint, failure);
    let message = format!(
        "could not connect to the server at {endpoint}, database \"{}\", user \"{}\"",
        target.dbname, target.user
    );
    let before: Vec<String> = earlier
        .iter()
        .map(|(endpoint, failure)| format!("; before, {endpoint}: {}", reason(target, endpoint, failure).0))
        .collect();
    let mut error = Error::failed(message).because(cause + &before.concat());
    if let Failure::Postgres(inner) = failure {
        error.sqlstate = inner.code().map(|code| code.code().to_owned());
    }
    match hint {
        Some(hint) => error.hint(hint),
        None => error,
    }
}

/// Cause and hint.
fn reason(target: &Target, endpoint: &Endpoint, failure: &Failure) -> (String, Option<String>) {
    match failure {
        Failure::Lookup(error) => (error.to_string(), Some("Check the spelling of the host.".into())),
        Failure::NoAddress => ("the host has no address".into(), Some("Check the host.".into())),
        Failure::TimedOut(limit) => (
            format!("no answer within {} s", limit.as_secs()),
            Some(
                "Check host and port, and whether a firewall blocks the connection; connect_timeout sets the limit."
                    .into(),
            ),
        ),
        Failure::TooOld(version) => {
            (format!("it is PostgreSQL {version}; pgrecast works with 14 and later"), None)
        }
        Failure::Pooled(Pooled { first, then }) => (
            format!(
                "it is a connection pooler in transaction mode, not a session with one server process (pids {first} and \
                 {then})"
            ),
            Some("Connect to the server itself, or to a pool in session mode. Nothing was changed.".into()),
        ),
        Failure::Postgres(error) => {
            if let Some(said) = error.as_db_error() {
                let detail = said.detail().map(|detail| format!(": {detail}")).unwrap_or_default();
                let cause = format!("{}{detail} ({})", said.message(), said.code().code());
                let hint = hint_for(said.code(), target, endpoint);
                return (cause, hint.or_else(|| said.hint().map(str::to_owned)));
            }
            if is_password_missing(error) {
                return (
                    "the server requires a password, and none was given".into(),
                    Some("Set PGPASSWORD, or add a line to the password file ~/.pgpass (mode 0600).".into()),
                );
            }
            if let Some(tls) = failure.rustls() {
                return tls_reason(tls);
            }
            if let Some(io) = failure.io() {
                return (io.to_string(), Some(io_hint(io, endpoint)));
            }
            let source = error.source().map(ToString::to_string);
            match source.as_deref() {
                Some("server does not support TLS") => (
                    "the server does not offer TLS, and sslmode requires it".into(),
                    Some(
                        "Enable ssl on the server. Use sslmode=prefer only if the network is trusted."
                            .into(),
                    ),
                ),
                Some(source) => (format!("{error}: {source}"), None),
                None => (error.to_string(), None),
            }
        }
    }
}

fn hint_for(code: &SqlState, target: &Target, endpoint: &Endpoint) -> Option<String> {
    Some(match *code {
        SqlState::INVALID_PASSWORD => match &endpoint.password {
            Some(password) => format!("Check user and password; the password came from {}.", password.origin),
            None => "Check user and password.".into(),
        },
        SqlState::INVALID_AUTHORIZATION_SPECIFICATION => format!(
            "Check that role \"{}\" exists and may log in, and that pg_hba.conf allows it from this host.",
            target.user
        ),
        SqlState::INVALID_CATALOG_NAME => "Check the name of the database; `psql -l` lists all databases.".into(),
        SqlState::TOO_MANY_CONNECTIONS => {
            "Wait until sessions end, terminate some, or raise max_connections or the connection limit of the role or database."
                .into()
        }
        SqlState::CANNOT_CONNECT_NOW => "Wait until the server has started, then try again.".into(),
        _ => return None,
    })
}

fn io_hint(error: &io::Error, endpoint: &Endpoint) -> String {
    match error.kind() {
        io::ErrorKind::PermissionDenied if endpoint.is_socket() => {
            "Check the permissions of the socket, or connect with -h localhost.".into()
        }
        // The error of tokio-postgres for a server that does not match target_session_attrs.
        io::ErrorKind::PermissionDenied => "Name the primary server.".into(),
        _ if endpoint.is_socket() => {
            "Check that the server runs and has its socket in this directory, for this port.".into()
        }
        _ => "Check host and port, and that the server runs there and listens on this address.".into(),
    }
}

fn tls_reason(error: &rustls::Error) -> (String, Option<String>) {
    match error {
        rustls::Error::InvalidCertificate(why) => {
            let hint = match why {
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                    "Connect to a name that the certificate contains as subject alternative name, or use \
                     sslmode=verify-ca."
                }
                CertificateError::UnknownIssuer => {
                    "sslrootcert must contain the certificate of the authority that signed the server's certificate."
                }
                CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                    "Renew the server's certificate."
                }
                _ => {
                    "It must be an X.509 certificate of version 3, signed with a key \
                      not too weak."
                }
            };
            (format!("the server's certificate was not accepted: {why}"), Some(hint.into()))
        }
        rustls::Error::AlertReceived(alert) => (
            format!("the server ended the TLS session: {alert:?}"),
            Some("Check the client certificate (sslcert, sslkey) and the server's log.".into()),
        ),
        other => (format!("TLS failed: {other}"), None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::ConnectionArgs;

    fn target(dbname: &str) -> Target {
        let args = ConnectionArgs { dbname: Some(dbname.into()), ..ConnectionArgs::default() };
        let home = |name: &str| (name == "HOME").then(|| "/nonexistent".to_owned());
        Target::resolve(&args, &home).unwrap()
    }

    #[test]
    fn a_server_that_is_too_old_says_its_version() {
        let target = target("host=h user=u dbname=d password=secret");
        let text =
            explain(&target, &[(&target.endpoints[0], Failure::TooOld(ServerVersion(130_004)))]).to_string();
        assert_eq!(
            text,
            "could not connect to the server at host h port 5432, database \"d\", user \"u\"\n\
             caused by: it is PostgreSQL 13.4; pgrecast works with 14 and later"
        );
    }

    #[test]
    fn all_places_that_were_tried_are_named() {
        let target = target("host=a,b user=u dbname=d");
        let failures = [
            (&target.endpoints[0], Failure::TimedOut(Duration::from_secs(10))),
            (&target.endpoints[1], Failure::NoAddress),
        ];
        let text = explain(&target, &failures).to_string();
        assert!(text.contains("host b port 5432, database"), "{text}");
        assert!(text.contains("before, host a port 5432: no answer within 10 s"), "{text}");
    }
}
