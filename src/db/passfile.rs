//! The password file: lines of `host:port:database:user:password`.
//! <https://www.postgresql.org/docs/current/libpq-pgpass.html>

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The login that a password is for. A connection may have several host names: one over a socket also counts as
/// `localhost`.
pub(super) struct Login<'a> {
    /// Names of the host, any of which may match.
    pub(super) hosts: Vec<&'a str>,
    /// The port.
    pub(super) port: u16,
    /// The database.
    pub(super) dbname: &'a str,
    /// The user.
    pub(super) user: &'a str,
}

/// The text of the file, unless it does not exist or other users can read it: libpq does not use it then either.
pub(super) fn read(path: &Path) -> Option<String> {
    let meta = std::fs::metadata(path).ok()?;
    if !meta.is_file() {
        tracing::warn!(path = %path.display(), "password file is ignored: not a plain file");
        return None;
    }
    if meta.permissions().mode() & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            "password file is ignored: group or others have access; permissions should be 0600"
        );
        return None;
    }
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "password file could not be read");
            None
        }
    }
}

/// The password of the first line that matches.
pub(super) fn find(text: &str, login: &Login<'_>) -> Option<String> {
    text.lines().filter(|line| !line.starts_with('#')).find_map(|line| {
        let fields = fields(line);
        let [host, port, dbname, user, password] = fields.get(..5)? else { return None };
        let matches = login.hosts.iter().any(|name| host.matches(name))
            && port.matches(&login.port.to_string())
            && dbname.matches(login.dbname)
            && user.matches(login.user);
        matches.then(|| password.text.clone())
    })
}

#[derive(Default)]
struct Field {
    text: String,
    /// `*` matches everything, `\*` is an asterisk.
    escaped: bool,
}

impl Field {
    fn matches(&self, value: &str) -> bool {
        (self.text == "*" && !self.escaped) || self.text == value
    }
}

fn fields(line: &str) -> Vec<Field> {
    let mut fields = vec![];
    let mut field = Field::default();
    let mut chars = line.chars();
    while let Some(c) = chars.next() {
        match c {
            ':' => fields.push(std::mem::take(&mut field)),
            '\\' => {
                field.escaped = true;
                // A backslash at the end of the line is literal.
                field.text.push(chars.next().unwrap_or('\\'));
            }
            c => field.text.push(c),
        }
    }
    fields.push(field);
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(text: &str, host: &str, user: &str) -> Option<String> {
        find(text, &Login { hosts: vec![host, "alias"], port: 5432, dbname: "shop", user })
    }

    #[test]
    fn the_first_line_that_matches_wins() {
        let text = "# c\n\nh:5433:shop:u:no\nh:5432:*:u:first\nh:*:*:*:second\n*:*:*:admin:any\n";
        assert_eq!(password(text, "h", "u").as_deref(), Some("first"));
        assert_eq!(password(text, "h", "v").as_deref(), Some("second"));
        assert_eq!(password(text, "x", "admin").as_deref(), Some("any"));
        assert_eq!(password(text, "x", "u"), None);
        assert_eq!(password("alias:*:*:*:p", "x", "u").as_deref(), Some("p"));
    }

    #[test]
    fn colons_and_backslashes_are_escaped() {
        assert_eq!(password(r"\:\:1:*:*:a\\b:p\:q\\r", "::1", r"a\b").as_deref(), Some(r"p:q\r"));
        assert_eq!(password(r"\*:*:*:*:p", "h", "u"), None);
        assert_eq!(password("h:*:*:u", "h", "u"), None);
    }

    #[test]
    fn a_file_that_others_can_read_is_not_used() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pgpass");
        std::fs::write(&path, "x").unwrap();
        let with_mode = |mode| {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            read(&path)
        };
        assert_eq!(with_mode(0o600).as_deref(), Some("x"));
        assert_eq!(with_mode(0o640), None);
        assert_eq!(with_mode(0o604), None);
        assert_eq!(read(dir.path()), None);
    }
}
