//! The possible servers: parallel lists of hosts, addresses and ports, each with its password from the password file.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use super::passfile;
use super::settings::Settings;
use crate::error::{Error, Result};

const DEFAULT_PORT: u16 = 5432;
/// The possible directories of a local server's socket: in packages of Linux distributions, and in a build from source.
const SOCKET_DIRECTORIES: [&str; 2] = ["/var/run/postgresql", "/tmp"];
/// Text in the position of a port may be the rest of a password, so it is not shown.
const ENCODED: &str = "In a URI, write \"/\" in a password as %2F, \"@\" as %40 and \":\" as %3A.";
/// One possible server.
#[derive(Clone)]
pub(super) struct Endpoint {
    /// Host name, address or socket directory.
    pub(super) host: String,
    /// The address to use instead of resolving the host.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    pub(super) password: Option<Password>,
}

/// A password and its source; intentionally without `Debug`.
#[derive(Clone)]
pub(super) struct Password {
    pub(super) text: String,
    /// For the hint if the server does not accept it.
    pub(super) origin: String,
}

impl Endpoint {
    pub(super) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }
}

/// Reads the parallel lists of hosts, addresses and ports.
pub(super) fn from_settings(settings: &Settings) -> Result<Vec<Endpoint>> {
    let list = |keyword| settings.get(keyword).unwrap_or_default().split(',').collect::<Vec<_>>();
    let (hosts, addresses, ports) = (list("host"), list("hostaddr"), list("port"));
    let count = hosts.len().max(addresses.len());
    let has = |keyword| settings.get(keyword).is_some();
    if has("host") && has("hostaddr") && hosts.len() != addresses.len() {
        return Err(Error::usage(format!(
            "the number of host names ({}) and of addresses ({}) differ",
            hosts.len(),
            addresses.len()
        )));
    }
    if ports.len() != 1 && ports.len() != count {
        return Err(Error::usage(format!("there are {} ports for {count} hosts", ports.len()))
            .hint("Give one port for all, or one for each host."));
    }
    (0..count)
        .map(|i| {
            let port =
                match ports.get(i).unwrap_or(&ports[0]).trim() {
                    "" => DEFAULT_PORT,
                    text => text.parse().ok().filter(|port| *port > 0).ok_or_else(|| {
                        Error::usage("the port is not a number from 1 to 65535").hint(ENCODED)
                    })?,
                };
            let address = addresses.get(i).filter(|text| !text.is_empty());
            let address: Option<IpAddr> = address
                .map(|text| {
                    text.parse()
                        .map_err(|_| Error::usage("the connection setting \"hostaddr\" is not an IP address"))
                })
                .transpose()?;
            let host = match (hosts.get(i).filter(|host| !host.is_empty()), address) {
                (Some(host), _) => (*host).to_owned(),
                (None, Some(address)) => address.to_string(),
                (None, None) => default_host(port),
            };
            Ok(Endpoint { host, address, port, password: None })
        })
        .collect()
}

fn default_host(port: u16) -> String {
    let has_socket = |directory: &&str| Path::new(directory).join(format!(".s.PGSQL.{port}")).exists();
    SOCKET_DIRECTORIES.into_iter().find(has_socket).unwrap_or("localhost").to_owned()
}

/// Sets the password of each endpoint: the given one, otherwise that of the password file.
pub(super) fn add_passwords(
    endpoints: &mut [Endpoint],
    settings: &Settings,
    home: Option<&Path>,
    dbname: &str,
    user: &str,
) {
    if let Some(text) = settings.get("password") {
        for endpoint in endpoints {
            let origin = "the connection settings (connection string, service or PGPASSWORD)".into();
            endpoint.password = Some(Password { text: text.to_owned(), origin });
        }
        return;
    }
    let named = settings.get("passfile").map(PathBuf::from);
    let Some(file) = named.or_else(|| home.map(|home| home.join(".pgpass"))) else { return };
    let Some(lines) = passfile::read(&file) else { return };
    for endpoint in endpoints {
        let mut hosts = vec![endpoint.host.as_str()];
        if endpoint.is_socket() {
            hosts.push("localhost");
        }
        let login = passfile::Login { hosts, port: endpoint.port, dbname, user };
        endpoint.password = passfile::find(&lines, &login)
            .map(|text| Password { text, origin: format!("password file {}", file.display()) });
    }
}

/// Only the place: `host a port 5432`.
impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = if self.is_socket() { "socket directory" } else { "host" };
        write!(f, "{what} {}", self.host)?;
        if let Some(address) = self.address.filter(|address| address.to_string() != self.host) {
            write!(f, " ({address})")?;
        }
        write!(f, " port {}", self.port)
    }
}
