//! Whom TLS trusts, and at what time.
//!
//! A certificate is checked at the service's time as far as it is known, or at the host's. While no
//! answer has told the time yet, a certificate that is "not valid yet" proves only that the clock is
//! behind: name, chain and signatures are then checked at the moment it became valid, and the clock
//! is set no earlier than that. An expired one is never taken.

use std::io::Read as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::ServiceClock;
use crate::base::disk::foreign;

/// Largest file of certificates; the host's whole bundle has a fifth of it.
const PEM_BYTES_MAX: u64 = 1 << 20;
/// A chain has an end certificate and one or two between it and the root, each with its own time.
const CHAIN_MAX: usize = 4;

/// A certificate with its chain and its key, shown to those who ask.
#[derive(Debug)]
pub(crate) struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Reads both files.
    pub(crate) fn read(cert: &Path, key: &Path) -> Result<Self, String> {
        let chain = certificates(cert)?;
        let pem = read(key)?;
        let key = PrivateKeyDer::from_pem_slice(&pem).map_err(|error| {
            // The error names no bytes of the key.
            format!("`{}` holds no private key in PEM: {error}", key.display())
        })?;
        Ok(Self { chain, key })
    }
}

/// The certificates in a file, or those that the host trusts.
pub(super) fn roots(bundle: Option<&Path>) -> Result<Arc<RootCertStore>, String> {
    let mut roots = RootCertStore::empty();
    match bundle {
        Some(path) => {
            for certificate in certificates(path)? {
                roots.add(certificate).map_err(|error| {
                    format!("`{}` holds a certificate that is none: {error}", path.display())
                })?;
            }
        }
        // A host without any can still speak plain HTTP; with TLS each request says what is wrong.
        None => {
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    Ok(Arc::new(roots))
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        Ok(_) => Err(format!("`{}` holds no certificate in PEM", path.display())),
        Err(error) => Err(format!("`{}` is not PEM: {error}", path.display())),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    foreign::reader(path)
        .and_then(|file| file.take(PEM_BYTES_MAX).read_to_end(&mut bytes))
        .map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    Ok(bytes)
}

pub(super) fn client_config(
    roots: &Arc<RootCertStore>,
    clock: &ServiceClock,
    identity: Option<Identity>,
) -> Result<Arc<ClientConfig>, String> {
    let crypto = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&crypto))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let builder = match verifier(roots, clock, crypto) {
        Some(verifier) => builder.dangerous().with_custom_certificate_verifier(verifier),
        // Nobody is trusted, so that every certificate is refused, in rustls' own words.
        None => builder.with_root_certificates(Arc::clone(roots)),
    };
    let config = match identity {
        None => builder.with_no_client_auth(),
        Some(Identity { chain, key }) => {
            builder.with_client_auth_cert(chain, key).map_err(|error| {
                format!("the certificate and the private key do not go together: {error}")
            })?
        }
    };
    Ok(Arc::new(config))
}

fn verifier(
    roots: &Arc<RootCertStore>,
    clock: &ServiceClock,
    crypto: Arc<CryptoProvider>,
) -> Option<Arc<Verifier>> {
    let webpki = WebPkiServerVerifier::builder_with_provider(Arc::clone(roots), crypto);
    let webpki = webpki.build().ok()?;
    Some(Arc::new(Verifier { webpki, clock: clock.clone() }))
}

/// Everything that rustls checks, at a time of our own choosing.
#[derive(Debug)]
struct Verifier {
    webpki: Arc<WebPkiServerVerifier>,
    clock: ServiceClock,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _host_time: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let check = |unix_ms: u64| {
            let at = UnixTime::since_unix_epoch(Duration::from_millis(unix_ms));
            self.webpki.verify_server_cert(
                end_entity,
                intermediates,
                server_name,
                ocsp_response,
                at,
            )
        };
        let mut result = check(self.clock.unix_ms());
        if result.is_err()
            && let Ok(sound) = check(self.clock.host_unix_ms())
        {
            return Ok(sound);
        }
        for _ in 0..CHAIN_MAX {
            let Some(begins_ms) = not_valid_before(&result).filter(|_| !self.clock.is_sure())
            else {
                break;
            };
            result = check(begins_ms);
            if result.is_ok() {
                self.clock.not_before(begins_ms);
            }
        }
        result
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls12_signature(message, cert, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.webpki.verify_tls13_signature(message, cert, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.webpki.supported_verify_schemes()
    }
}

fn not_valid_before(result: &Result<ServerCertVerified, Error>) -> Option<u64> {
    match result {
        Err(Error::InvalidCertificate(CertificateError::NotValidYetContext {
            not_before, ..
        })) => Some(not_before.as_secs().saturating_mul(1_000)),
        _ => None,
    }
}
