//! Connection URIs: `postgresql://[user[:password]@][host[:port],..][/dbname][?keyword=value&..]`.
//!
//! The syntax is that of libpq (`conninfo_uri_parse_options` in fe-connect.c), which is simpler than RFC 3986: every
//! part may be percent-encoded, so that the host can be a socket directory.
//!
//! One thing is refused that libpq accepts: an unencoded "@" in host or database. It usually ends a password in which
//! "/" or "@" is not encoded, and messages would show the rest of the password as the host or the database.

use super::settings::{Settings, at};
use crate::error::{Error, Result};

/// The text after the scheme, if `text` is a connection URI.
pub(super) fn after_scheme(text: &str) -> Option<&str> {
    text.strip_prefix("postgresql://").or_else(|| text.strip_prefix("postgres://"))
}

/// Reads a URI after its scheme.
pub(super) fn parse(text: &str) -> Result<Settings> {
    let mut settings = Settings::default();
    let mut rest = text;
    if let Some((credentials, after)) = text.split_once('@')
        && !credentials.contains('/')
    {
        let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        settings.set("user", &decode(user)?)?;
        settings.set("password", &decode(password)?)?;
        rest = after;
    }
    rest = parse_hosts(rest, &mut settings)?;
    if let Some(path) = rest.strip_prefix('/') {
        let (dbname, after) = split_before(path, &['?']);
        expect_no_at(dbname)?;
        settings.set("dbname", &decode(dbname)?)?;
        rest = after;
    }
    let pairs = rest.trim_start_matches('?').split('&').filter(|pair| !pair.is_empty());
    for (number, pair) in (1..).zip(pairs) {
        let (keyword, value) = pair.split_once('=').ok_or_else(|| {
            Error::usage("a parameter of the connection URI has no \"=\"")
                .hint("Write a \"&\" in a value as %26.")
        })?;
        let done = match (decode(keyword)?.as_str(), decode(value)?.as_str()) {
            // The name in JDBC; libpq accepts this one value.
            ("ssl", "true") => settings.set("sslmode", "require"),
            (keyword, value) => settings.set(keyword, value),
        };
        done.map_err(|error| at(number, error))?;
    }
    Ok(settings)
}

/// Reads `host:port,host:port`; returns the rest.
fn parse_hosts<'a>(text: &'a str, settings: &mut Settings) -> Result<&'a str> {
    let (mut hosts, mut ports) = (Vec::new(), Vec::new());
    let mut rest = text;
    loop {
        let (host, after) = match rest.strip_prefix('[') {
            Some(inner) => inner
                .split_once(']')
                .ok_or_else(|| Error::usage("an IPv6 address in the connection URI has no closing \"]\""))?,
            None => split_before(rest, &[':', '/', '?', ',']),
        };
        let (port, after) = match after.strip_prefix(':') {
            Some(after) => split_before(after, &['/', '?', ',']),
            None => ("", after),
        };
        expect_no_at(host)?;
        hosts.push(decode(host)?);
        ports.push(decode(port)?);
        if let Some(next) = after.strip_prefix(',') {
            rest = next;
        } else if after.is_empty() || after.starts_with(['/', '?']) {
            settings.set("host", &hosts.join(","))?;
            settings.set("port", &ports.join(","))?;
            return Ok(after);
        } else {
            return Err(Error::usage("after \"]\" in the connection URI follows neither \":\" nor \"/\""));
        }
    }
}

fn expect_no_at(part: &str) -> Result<()> {
    if part.contains('@') {
        return Err(Error::usage("the connection URI has a \"@\" that does not end user and password").hint(
            "In a password write \"@\" as %40, \"/\" as %2F and \":\" as %3A; \"@\" as %40 in the name of a host or a database, too.",
        ));
    }
    Ok(())
}

fn split_before<'a>(text: &'a str, stops: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(stops).unwrap_or(text.len()))
}

/// Percent-decodes; `+` is a plus sign.
fn decode(text: &str) -> Result<String> {
    let wrong = || {
        Error::usage("the connection URI has a \"%\" that is not followed by a code")
            .hint("Write a percent sign as %25.")
    };
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        if byte != b'%' {
            bytes.push(byte);
            rest = tail;
            continue;
        }
        let (code, tail) = tail.split_at_checked(2).ok_or_else(wrong)?;
        let digit = |c: u8| char::from(c).to_digit(16).and_then(|d| u8::try_from(d).ok());
        let (Some(high), Some(low)) = (digit(code[0]), digit(code[1])) else { return Err(wrong()) };
        if high == 0 && low == 0 {
            return Err(Error::usage("the connection URI contains %00, which no setting may contain"));
        }
        bytes.push(high * 16 + low);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| Error::usage("the connection URI is not UTF-8 when decoded"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> [Option<String>; 5] {
        let settings = parse(after_scheme(text).unwrap()).unwrap();
        ["user", "password", "host", "port", "dbname"].map(|key| settings.get(key).map(str::to_owned))
    }

    fn some<const N: usize>(expected: [&str; N]) -> [Option<String>; N] {
        expected.map(|text| (!text.is_empty()).then(|| text.to_owned()))
    }

    #[test]
    fn every_part_is_read_and_decoded() {
        let uri = "postgresql://the%20user:p%40ss%3aw@db.example:5433/my%2Fdb?sslmode=require";
        assert_eq!(all(uri), some(["the user", "p@ss:w", "db.example", "5433", "my/db"]));
    }

    #[test]
    fn every_part_may_be_missing() {
        assert_eq!(all("postgres://"), some(["", "", "", "", ""]));
        assert_eq!(all("postgres:///db"), some(["", "", "", "", "db"]));
        assert_eq!(all("postgres://u@?dbname=x"), some(["u", "", "", "", "x"]));
        assert_eq!(all("postgres:///db?host=/tmp&port=6"), some(["", "", "/tmp", "6", "db"]));
    }

    #[test]
    fn ipv6_hosts_socket_directories_and_lists_are_read() {
        assert_eq!(all("postgres://[::1]:6/d"), some(["", "", "::1", "6", "d"]));
        assert_eq!(all("postgres://%2Fvar%2Frun/d"), some(["", "", "/var/run", "", "d"]));
        assert_eq!(all("postgres://a:1,[::2],c:3"), some(["", "", "a,::2,c", "1,,3", ""]));
    }

    #[test]
    fn mistakes_are_errors() {
        let mistakes = ["[::1", "[::1]x/d", "h/%zz", "h/%4", "h/a%00b", "h?x", "h?nonsense=1", "h/%ff"];
        for mistake in mistakes {
            assert!(parse(mistake).is_err(), "{mistake}");
        }
    }

    #[test]
    fn the_jdbc_word_for_tls_is_known() {
        assert_eq!(parse("h?ssl=true").unwrap().get("sslmode"), Some("require"));
    }
}
