//! Connection strings: `key=value ..` or a URI, as libpq reads them.
//!
//! Errors never repeat the text around a mistake: it may be a part of the password.
//! <https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING>

use std::iter::Peekable;
use std::str::Chars;

use super::settings::{Settings, at};
use super::uri;
use crate::error::{Error, Result};

/// Reads `text` as a connection string, or returns `None` if it is only the name of a database: in libpq a name
/// contains no `=` and does not begin like a URI.
pub(super) fn parse(text: &str) -> Result<Option<Settings>> {
    if let Some(rest) = uri::after_scheme(text) {
        return uri::parse(rest).map(Some);
    }
    if !text.contains('=') {
        return Ok(None); // Settings::set refuses a name that is like a URI.
    }
    parse_pairs(text).map(Some)
}

fn parse_pairs(text: &str) -> Result<Settings> {
    let mut settings = Settings::default();
    let mut chars = text.chars().peekable();
    for number in 1.. {
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
        settings.set(&keyword, &value).map_err(|error| at(number, error))?;
    }
    Ok(settings)
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
    use crate::db::{ConnectionArgs, Target};

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
        for text in [
            "password=my Hunter2 host=a",
            "password='Hunter2",
            "host=h password=a Hunter2=b",
            "host=h port=Hunter2",
            "sslmode=Hunter2",
            "connect_timeout=Hunter2",
            "hostaddr=Hunter2",
            "postgres://app:Hunter2/x@127.0.0.1/db",
            "postgres://app:5432,Hunter2/x@127.0.0.1/db",
            "postgres://app:pa@Hunter2@h/db",
            "postgres://app:%zzHunter2@h/db",
            "postgres://app:Hunter2%2@h/db",
            "postgres://h/db?password=a&Hunter2=b",
            "postgres://h/db?password=a&Hunter2",
            "postgres://h/db?passwrd=Hunter2",
            "postgres:/u:Hunter2@h/db",
            "Postgres://u:Hunter2@h/db",
            "u:Hunter2@h/db",
            "u:Hunter2@h/db?sslmode=require",
            "host=u:Hunter2@h",
            "dbname=postgres://u:Hunter2@h/db",
        ] {
            let args = ConnectionArgs { dbname: Some(text.into()), ..ConnectionArgs::default() };
            let env = |name: &str| (name == "USER").then(|| "me".to_owned());
            let error = Target::resolve(&args, &env).unwrap_err();
            assert!(!format!("{error:?}").contains("Hunter2"), "{text}: {error}");
        }
    }

    #[test]
    fn a_misspelt_keyword_is_found_by_its_place_and_the_one_it_is_like() {
        let error = parse("host=a usr=b").unwrap_err();
        assert_eq!(
            error.to_string(),
            "unknown connection setting\ncaused by: it is setting 2 of the connection string\nhint: Did you mean \"user\"?"
        );
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back(user in "[^:@\n]{1,20}", password in ".{1,20}", host in "[a-z.]{1,9}") {
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

        /// Whatever is in a password that was not percent-encoded, or wrongly: an error shows nothing of it, and without
        /// an error it was read whole, or the part of it that was taken for something else is not shown either.
        #[test]
        fn no_error_shows_a_piece_of_a_password(
            pieces in proptest::collection::vec(("[/?#@:%&=, \\[\\]'\\\\]{0,2}", "SECRET[a-z]{0,3}"), 1..4),
            quoted in any::<bool>(),
        ) {
            let password: String = pieces.iter().flat_map(|(mark, word)| [mark.as_str(), word.as_str()]).collect();
            let quote = if quoted { "'" } else { "" };
            for text in [
                format!("postgres://app:{password}@127.0.0.1:1/db"),
                format!("postgres://127.0.0.1:1/db?user=app&password={password}"),
                format!("host=127.0.0.1 port=1 password={quote}{password}{quote} user=app dbname=db"),
            ] {
                let args = ConnectionArgs { dbname: Some(text.clone()), ..ConnectionArgs::default() };
                let env = |name: &str| (name == "USER").then(|| "me".to_owned());
                let said = match Target::resolve(&args, &env) {
                    Ok(target) => format!("{target} {target:?}"),
                    Err(error) => format!("{error:?}"),
                };
                prop_assert!(!said.contains("SECRET"), "{}: {}", text, said);
            }
        }
    }
}
