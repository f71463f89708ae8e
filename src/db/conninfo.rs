//! Connection strings: `key=value ..` or a URI, as libpq reads them.
//!
//! Errors never repeat the text around the mistake: it may be a part of the password.
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>

use std::iter::Peekable;
use std::str::Chars;

use super::settings::Settings;
use super::uri;
use crate::error::{Error, Result};

/// Reads `text` as a connection string, or `None` when it is just the name of a database: libpq's
/// rule is that a name contains no `=` and does not begin as a URI.
pub(super) fn parse(text: &str) -> Result<Option<Settings>> {
    if let Some(rest) = uri::after_scheme(text) {
        return uri::parse(rest).map(Some);
    }
    if !text.contains('=') {
        return Ok(None);
    }
    parse_pairs(text).map(Some)
}

fn parse_pairs(text: &str) -> Result<Settings> {
    let mut settings = Settings::default();
    let mut chars = text.chars().peekable();
    loop {
        skip_space(&mut chars);
        if chars.peek().is_none() {
            return Ok(settings);
        }
        let mut keyword = String::new();
        while let Some(c) = chars.next_if(|c| *c != '=' && !c.is_ascii_whitespace()) {
            keyword.push(c);
        }
        skip_space(&mut chars);
        if chars.next() != Some('=') {
            return Err(Error::usage("a word in the connection string has no \"=\" after it")
                .hint("Put a value with spaces between single quotes: password='two words'."));
        }
        skip_space(&mut chars);
        let value = value(&mut chars)?;
        settings.set(&keyword, &value)?;
    }
}

fn skip_space(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(char::is_ascii_whitespace).is_some() {}
}

fn value(chars: &mut Peekable<Chars<'_>>) -> Result<String> {
    let quoted = chars.next_if_eq(&'\'').is_some();
    let mut value = String::new();
    loop {
        match chars.peek() {
            None if quoted => {
                return Err(Error::usage("a quoted value in the connection string does not end"));
            }
            None => return Ok(value),
            Some('\'') if quoted => {
                chars.next();
                return Ok(value);
            }
            Some(c) if !quoted && c.is_ascii_whitespace() => return Ok(value),
            Some('\\') => {
                chars.next();
                value.extend(chars.next());
            }
            Some(_) => value.extend(chars.next()),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn pairs(text: &str) -> Settings {
        parse(text).unwrap().unwrap()
    }

    #[test]
    fn a_plain_name_is_a_database() {
        assert!(parse("my database").unwrap().is_none());
    }

    #[test]
    fn spaces_quotes_and_escapes_are_read_as_libpq_reads_them() {
        let settings = pairs(r"host = a  user='it\'s me' password=x\ y\\z dbname='' port=1 port=2");
        assert_eq!(settings.get("host"), Some("a"));
        assert_eq!(settings.get("user"), Some("it's me"));
        assert_eq!(settings.get("password"), Some(r"x y\z"));
        assert_eq!(settings.get("dbname"), None);
        assert_eq!(settings.get("port"), Some("2"));
    }

    #[test]
    fn mistakes_are_said_without_the_password() {
        for text in ["password=my secret host=a", "password='secret"] {
            let error = parse(text).unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back(user in ".{1,20}", password in ".{1,20}", host in "[a-z.]{1,9}") {
            let quote = |text: &str| text.replace('\\', r"\\").replace('\'', r"\'");
            let text = format!("user='{}' host={host} password = '{}'", quote(&user), quote(&password));
            let settings = pairs(&text);
            prop_assert_eq!(settings.get("user"), Some(&*user));
            prop_assert_eq!(settings.get("password"), Some(&*password));
            prop_assert_eq!(settings.get("host"), Some(&*host));
        }

        #[test]
        fn no_text_makes_it_panic(text in r"[ =a-z'\\:/@%\[\]?&,]{0,40}") {
            let _ = parse(&text);
            let _ = parse(&format!("postgres://{text}"));
        }
    }
}
