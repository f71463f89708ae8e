//! Service files: named groups of settings.
//! <https://www.postgresql.org/docs/current/libpq-pgservice.html>

use std::path::{Path, PathBuf};

use super::settings::Settings;
use crate::error::{Error, Result};

/// The directories of the system-wide file if PGSYSCONFDIR is not set; one of these is compiled into libpq (Debian and
/// Ubuntu; Red Hat and the PGDG packages; a build from source).
const SYSTEM_DIRECTORIES: [&str; 3] =
    ["/etc/postgresql-common", "/etc/sysconfig/pgsql", "/usr/local/pgsql/etc"];

/// The settings of service `name`: from the user's file, otherwise from the system-wide one.
pub(super) fn load(
    name: &str,
    user_file: Option<PathBuf>,
    system_directory: Option<String>,
) -> Result<Settings> {
    let directories = match system_directory {
        Some(directory) => vec![PathBuf::from(directory)],
        None => SYSTEM_DIRECTORIES.map(PathBuf::from).to_vec(),
    };
    let system_files = directories.into_iter().map(|directory| directory.join("pg_service.conf"));
    let files: Vec<PathBuf> = user_file.into_iter().chain(system_files).collect();
    for file in &files {
        if let Some(text) = read(file)? {
            let found = section(&text, name)
                .map_err(|error| error.hint(format!("Correct service file {}.", file.display())))?;
            if let Some(settings) = found {
                return Ok(settings);
            }
        }
    }
    let looked: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
    Err(Error::usage(format!("there is no definition of service \"{name}\""))
        .because(format!("searched in {}", looked.join(", "))))
}

fn read(file: &Path) -> Result<Option<String>> {
    match std::fs::read_to_string(file) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::failed(format!("could not read service file {}", file.display()))
            .because(error.to_string())),
    }
}

/// The settings under `[name]`, if there is such a heading.
fn section(text: &str, name: &str) -> Result<Option<Settings>> {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
    let is_ours = |line: &&str| line.strip_prefix('[').and_then(|l| l.strip_suffix(']')) == Some(name);
    let mut lines = lines.skip_while(|line| !is_ours(line));
    if lines.next().is_none() {
        return Ok(None);
    }
    let mut settings = Settings::default();
    for line in lines.take_while(|line| !line.starts_with('[')) {
        let (keyword, value) = line
            .split_once('=')
            .ok_or_else(|| Error::usage(format!("a line of service \"{name}\" has no \"=\"")))?;
        if matches!(keyword, "service" | "servicefile") {
            return Err(Error::usage(format!("service \"{name}\" refers to another service")));
        }
        // The first value wins here, unlike in a connection string, as in libpq.
        let mut one = Settings::default();
        one.set(keyword.trim_end(), value.trim_start())?;
        settings.fill_from(one);
    }
    Ok(Some(settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "# ours\n[shop]\nhost=a\n host=b\nport = 6\n\n[other]\nhost=c\nnonsense=1\n";

    #[test]
    fn only_the_lines_under_the_heading_count_and_the_first_wins() {
        let settings = section(FILE, "shop").unwrap().unwrap();
        assert_eq!((settings.get("host"), settings.get("port")), (Some("a"), Some("6")));
        assert!(section(FILE, "absent").unwrap().is_none());
        assert!(section(FILE, "other").is_err());
        assert!(section("[a]\nservice=b", "a").is_err());
    }

    #[test]
    fn the_users_file_comes_before_the_system_wide_one() {
        let dir = tempfile::tempdir().unwrap();
        let system = || Some(dir.path().display().to_string());
        std::fs::write(dir.path().join("mine"), "[a]\nhost=mine\n").unwrap();
        std::fs::write(dir.path().join("pg_service.conf"), "[a]\nhost=all\n[b]\nhost=all\n").unwrap();
        let host = |name: &str| {
            let settings = load(name, Some(dir.path().join("mine")), system()).unwrap();
            settings.get("host").unwrap().to_owned()
        };
        assert_eq!((host("a"), host("b")), ("mine".to_owned(), "all".to_owned()));
        assert!(load("c", None, system()).unwrap_err().to_string().contains("pg_service.conf"));
    }
}
