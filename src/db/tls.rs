//! Creates a TLS connector from `sslmode` and the related settings.
//! <https://www.postgresql.org/docs/current/libpq-ssl.html>
//!
//! The crypto provider (ring) is given explicitly, so nothing depends on a process-wide default.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::{TLS12, TLS13};
use tokio_postgres::config::{SslMode, SslNegotiation};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::certificate::{Roots, Trust, Verifier};
use super::settings::{Settings, wrong_value};
use crate::error::{Error, Result};

/// How connections are encrypted.
#[derive(Clone)]
pub(super) struct Tls {
    /// The modes to try, in order, until the server accepts one.
    pub(super) attempts: &'static [SslMode],
    /// How a TLS session begins.
    pub(super) negotiation: SslNegotiation,
    /// Creates TLS sessions; not used if no attempt is encrypted.
    pub(super) connector: MakeRustlsConnect,
}

impl Tls {
    /// Reads the certificate files from the settings, or the default ones under `home`.
    pub(super) fn resolve(settings: &Settings, home: Option<&Path>) -> Result<Self> {
        let system_roots = settings.get("sslrootcert") == Some("system");
        let mode = settings.get("sslmode").unwrap_or(if system_roots { "verify-full" } else { "prefer" });
        let attempts: &[SslMode] = match mode {
            "disable" => &[SslMode::Disable],
            "allow" => &[SslMode::Disable, SslMode::Require],
            "prefer" => &[SslMode::Prefer, SslMode::Disable],
            "require" | "verify-ca" | "verify-full" => &[SslMode::Require],
            _ => {
                let known = "disable, allow, prefer, require, verify-ca, verify-full";
                return Err(wrong_value("sslmode", known));
            }
        };
        if system_roots && mode != "verify-full" {
            return Err(Error::usage(format!("sslmode={mode} may not be used with sslrootcert=system"))
                .because("anyone can get a certificate from a public authority, for another host")
                .hint("Use sslmode=verify-full."));
        }
        let negotiation = match settings.get("sslnegotiation") {
            None | Some("postgres") => SslNegotiation::Postgres,
            Some("direct") if attempts == [SslMode::Require] => SslNegotiation::Direct,
            Some("direct") => {
                return Err(Error::usage(format!(
                    "sslmode={mode} may not be used with sslnegotiation=direct"
                ))
                .hint("Use sslmode=require or stronger."));
            }
            Some(_) => return Err(wrong_value("sslnegotiation", "postgres, direct")),
        };
        let trust = trust(mode, settings, home)?;
        let mut config = client_config(trust, mode, settings, home)?;
        if negotiation == SslNegotiation::Direct {
            // The server (17 and later) requires it, as protection against cross-protocol attacks.
            config.alpn_protocols = vec![b"postgresql".to_vec()];
        }
        Ok(Tls { attempts, negotiation, connector: MakeRustlsConnect::new(config) })
    }
}

fn usual_file(home: Option<&Path>, name: &str) -> Option<PathBuf> {
    home.map(|home| home.join(".postgresql").join(name))
}

fn trust(mode: &str, settings: &Settings, home: Option<&Path>) -> Result<Trust> {
    if !matches!(mode, "require" | "verify-ca" | "verify-full") {
        return Ok(Trust::Anyone);
    }
    if settings.get("sslrootcert") == Some("system") {
        let loaded = rustls_native_certs::load_native_certs();
        let roots = Roots::new(loaded.certs);
        if roots.is_empty() {
            let why: Vec<String> = loaded.errors.iter().map(ToString::to_string).collect();
            return Err(Error::failed("this system has no trusted root certificates").because(why.join("; ")));
        }
        return Ok(Trust::SignedByForHost(roots));
    }
    let file = settings.get("sslrootcert").map(PathBuf::from).or_else(|| usual_file(home, "root.crt"));
    let Some(file) = file.filter(|file| file.exists()) else {
        if mode == "require" {
            return Ok(Trust::Anyone);
        }
        let named = settings.get("sslrootcert").unwrap_or("~/.postgresql/root.crt");
        return Err(Error::failed(format!("root certificate file {named} does not exist"))
            .because(format!("sslmode={mode} needs it to verify the server's certificate"))
            .hint("Name the file with sslrootcert, or use sslrootcert=system for a public authority."));
    };
    let roots = Roots::new(certificates(&file)?);
    if roots.is_empty() {
        return Err(Error::failed(format!("{} contains no valid root certificate", file.display())));
    }
    expect_no_revocations(home)?;
    // With a root file, `require` verifies the chain, as in libpq.
    Ok(if mode == "verify-full" { Trust::SignedByForHost(roots) } else { Trust::SignedBy(roots) })
}

/// Refuses the connection if libpq would check a list of revoked certificates. libpq loads the default file, if it
/// exists, whenever it verifies against a root file (`initialize_SSL` in fe-secure-openssl.c), but not for
/// `sslrootcert=system`. The settings `sslcrl` and `sslcrldir`, which name other files, are refused too.
fn expect_no_revocations(home: Option<&Path>) -> Result<()> {
    match usual_file(home, "root.crl").filter(|file| file.exists()) {
        None => Ok(()),
        Some(file) => Err(Error::usage(format!("revoked certificates are listed in {}", file.display()))
            .because("certificate revocation lists are not checked: a revoked certificate would be accepted")
            .hint("If connections without that check are acceptable, move the file away, or set HOME to a directory without it.")),
    }
}

fn client_config(trust: Trust, mode: &str, settings: &Settings, home: Option<&Path>) -> Result<ClientConfig> {
    let versions: &[_] = match settings.get("ssl_min_protocol_version") {
        None | Some("TLSv1" | "TLSv1.1" | "TLSv1.2") => &[&TLS13, &TLS12],
        Some("TLSv1.3") => &[&TLS13],
        Some(_) => {
            return Err(wrong_value("ssl_min_protocol_version", "TLSv1.2, TLSv1.3"));
        }
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let no_tls = |error: rustls::Error| Error::failed("could not set up TLS").because(error.to_string());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(versions)
        .map_err(no_tls)?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Verifier { trust, provider }));
    let wanted = mode != "disable" && settings.get("sslcertmode") != Some("disable");
    match client_certificate(settings, home).filter(|_| wanted) {
        None => Ok(builder.with_no_client_auth()),
        Some((certificate, key)) => {
            builder.with_client_auth_cert(certificates(&certificate)?, private_key(&key)?).map_err(|error| {
                Error::failed(format!("could not use client certificate {}", certificate.display()))
                    .because(error.to_string())
                    .hint(format!("Check that {} is the key of this certificate.", key.display()))
            })
        }
    }
}

/// The files of the client's certificate and key: the given ones, or the default ones if they exist.
fn client_certificate(settings: &Settings, home: Option<&Path>) -> Option<(PathBuf, PathBuf)> {
    let usual = || usual_file(home, "postgresql.crt").filter(|file| file.exists());
    let certificate = settings.get("sslcert").map(PathBuf::from).or_else(usual)?;
    let key = settings.get("sslkey").map(PathBuf::from).or_else(|| usual_file(home, "postgresql.key"))?;
    Some((certificate, key))
}

fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>> {
    let no_file = |error: rustls::pki_types::pem::Error| {
        Error::failed(format!("could not read certificate file {}", file.display()))
            .because(error.to_string())
    };
    CertificateDer::pem_file_iter(file).map_err(no_file)?.collect::<Result<_, _>>().map_err(no_file)
}

fn private_key(file: &Path) -> Result<PrivateKeyDer<'static>> {
    let failed = |why: String| {
        Error::failed(format!("could not use private key file {}", file.display())).because(why)
    };
    let meta = std::fs::metadata(file).map_err(|error| failed(error.to_string()))?;
    // The rule of libpq: no access for others, but the group may read a key that belongs to root.
    let forbidden = if meta.uid() == 0 { 0o037 } else { 0o077 };
    if meta.mode() & forbidden != 0 {
        return Err(failed("group or others have access to it".into()).hint("Set its permissions to 0600."));
    }
    PrivateKeyDer::from_pem_file(file)
        .map_err(|error| failed(error.to_string()).hint("It must be an unencrypted PEM file."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(text: &str, home: Option<&Path>) -> Result<Tls> {
        Tls::resolve(&crate::db::conninfo::parse(text)?.unwrap_or_default(), home)
    }

    #[test]
    fn weak_modes_do_not_go_with_strong_settings() {
        assert!(resolve("sslmode=require sslrootcert=system", None).is_err());
        assert!(resolve("sslnegotiation=direct", None).is_err());
        assert!(resolve("sslmode=require sslnegotiation=direct", None).is_ok());
        assert!(resolve("sslmode=yes", None).is_err());
    }

    #[test]
    fn verification_needs_a_root_certificate_and_require_does_not() {
        let home = tempfile::tempdir().unwrap();
        for mode in ["verify-ca", "verify-full"] {
            let error = resolve(&format!("sslmode={mode}"), Some(home.path())).err().unwrap();
            assert!(error.to_string().contains("root.crt does not exist"), "{error}");
        }
        assert!(resolve("sslmode=require", Some(home.path())).is_ok());
        std::fs::create_dir(home.path().join(".postgresql")).unwrap();
        std::fs::write(home.path().join(".postgresql/root.crt"), "nothing").unwrap();
        assert!(resolve("sslmode=require", Some(home.path())).is_err());
        assert!(resolve("sslmode=prefer", Some(home.path())).is_ok());
    }

    #[test]
    fn a_list_of_revoked_certificates_that_libpq_would_check_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let file = |name: &str| home.path().join(".postgresql").join(name);
        std::fs::create_dir(home.path().join(".postgresql")).unwrap();
        let key = rcgen::KeyPair::generate().unwrap();
        let root = rcgen::CertificateParams::default().self_signed(&key).unwrap();
        std::fs::write(file("root.crl"), "").unwrap();
        assert!(resolve("sslmode=require", Some(home.path())).is_ok(), "nothing is verified");
        std::fs::write(file("root.crt"), root.pem()).unwrap();
        for mode in ["require", "verify-ca", "verify-full"] {
            let text = format!("sslmode={mode}");
            let error = resolve(&text, Some(home.path())).err().unwrap();
            assert!(error.to_string().contains("root.crl"), "{error}");
            let named = format!("{text} sslrootcert={}", file("root.crt").display());
            assert!(
                resolve(&named, Some(home.path())).is_err(),
                "it is not the root file's neighbour that counts"
            );
        }
        assert!(resolve("sslmode=prefer", Some(home.path())).is_ok());
        std::fs::remove_file(file("root.crl")).unwrap();
        assert!(resolve("sslmode=verify-full", Some(home.path())).is_ok());
    }
}
