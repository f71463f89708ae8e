//! Verification of the server's certificate, for each `sslmode`.
//!
//! The verifier of rustls always checks the name; `verify-ca` of libpq does not, and `require` checks nothing. In all
//! modes the server must prove that it owns the key of its certificate: SCRAM's channel binding relies on that.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::{
    CryptoProvider, verify_tls12_signature, verify_tls13_signature, verify_tls13_signature_with_raw_key,
};
use rustls::pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, DigitallySignedStruct, Error, RootCertStore, SignatureScheme};

/// Which certificates are accepted.
#[derive(Debug)]
pub(super) enum Trust {
    /// Any certificate: encryption without authentication.
    Anyone,
    /// A certificate signed by one of these.
    SignedBy(Roots),
    /// The same, and the certificate must be for the requested host.
    SignedByForHost(Roots),
}

/// Certificates that are trusted to sign others, and are trusted themselves.
#[derive(Debug)]
pub(super) struct Roots {
    store: RootCertStore,
    certificates: Vec<CertificateDer<'static>>,
}

impl Roots {
    /// The roots from a file or the system; certificates that cannot be parsed are ignored.
    pub(super) fn new(certificates: Vec<CertificateDer<'static>>) -> Self {
        let mut store = RootCertStore::empty();
        store.add_parsable_certificates(certificates.iter().cloned());
        Roots { store, certificates }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.store.is_empty()
    }
}

/// Accepts a server's certificate according to [`Trust`].
#[derive(Debug)]
pub(super) struct Verifier {
    /// Which certificates are accepted.
    pub(super) trust: Trust,
    /// Verifies signatures.
    pub(super) provider: Arc<CryptoProvider>,
}

impl Verifier {
    fn check_chain(
        &self,
        roots: &Roots,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), Error> {
        let algorithms = self.provider.signature_verification_algorithms.all;
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let result =
            verify_server_cert_signed_by_trust_anchor(&parsed, &roots.store, intermediates, now, algorithms);
        match result {
            Err(Error::InvalidCertificate(
                CertificateError::Expired
                | CertificateError::ExpiredContext { .. }
                | CertificateError::NotValidYet
                | CertificateError::NotValidYetContext { .. },
            )) => result,
            // `openssl req -x509`, which PostgreSQL's manual uses for a self-signed server certificate, marks it as a
            // CA. webpki refuses that for a server; OpenSSL accepts it if the same certificate is in the root file. The
            // dates were checked before (webpki checks them first), and nothing else could make an exact copy less
            // trusted.
            Err(_) if roots.certificates.contains(end_entity) => Ok(()),
            other => other,
        }
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Anyone => {}
            Trust::SignedBy(roots) => self.check_chain(roots, end_entity, intermediates, now)?,
            Trust::SignedByForHost(roots) => {
                self.check_chain(roots, end_entity, intermediates, now)?;
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
            }
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        // `openssl x509 -req` without an extensions file creates certificates of version 1, which webpki accepts only
        // as roots. To verify this signature we only need the key, and a root has one.
        if ParsedCertificate::try_from(cert).is_err()
            && let Some(key) = public_key(cert)
        {
            return verify_tls13_signature_with_raw_key(message, &key, dss, algorithms);
        }
        verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The key of a certificate of version 1: a DER sequence of the contents that the trust anchor keeps.
fn public_key(cert: &CertificateDer<'_>) -> Option<SubjectPublicKeyInfoDer<'static>> {
    let mut store = RootCertStore::empty();
    store.add(cert.clone().into_owned()).ok()?;
    let inner = store.roots.first()?.subject_public_key_info.as_ref();
    let mut der = vec![0x30];
    match inner.len() {
        len @ ..0x80 => der.push(len as u8),
        len => {
            let bytes = len.to_be_bytes();
            let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
            der.push(0x80 | bytes.len() as u8);
            der.extend_from_slice(bytes);
        }
    }
    der.extend_from_slice(inner);
    Some(der.into())
}
