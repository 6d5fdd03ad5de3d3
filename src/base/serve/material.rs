//! Certificates and keys as they stand in files, and the configuration of rustls they make.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{ClientHello, ResolvesServerCert, WebPkiClientVerifier};
use tokio_rustls::rustls::sign::CertifiedKey;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{Error, InconsistentKeys, RootCertStore, ServerConfig};

use super::tls::{TlsFault, TlsPart, TlsSettings};

/// The bytes of the files.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Material {
    pub(super) cert: Vec<u8>,
    pub(super) key: Vec<u8>,
    pub(super) client_ca: Option<Vec<u8>>,
}

/// What is offered to those who ask which HTTP is spoken, the better first.
const PROTOCOLS: [&[u8]; 2] = [b"h2", b"http/1.1"];

impl Material {
    /// Checks the files against each other.
    pub(super) fn server_config(&self, settings: &TlsSettings) -> Result<ServerConfig, TlsFault> {
        let provider = Arc::new(ring::default_provider());
        let certified = self.certified(settings, &provider)?;
        let versions = if settings.tls12 { vec![&TLS13, &TLS12] } else { vec![&TLS13] };
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .expect("ring has suites for both versions");
        let builder = match (&self.client_ca, &settings.client_ca) {
            (Some(bytes), Some(path)) => {
                let fault = |why| TlsFault { part: TlsPart::ClientCa, path: path.clone(), why };
                let roots = Arc::new(roots(bytes).map_err(fault)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider);
                let verifier = if settings.client_cert_optional {
                    verifier.allow_unauthenticated()
                } else {
                    verifier
                };
                let verifier =
                    verifier.build().map_err(|e| fault(format!("is not usable: {e}")))?;
                builder.with_client_cert_verifier(verifier)
            }
            _ => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Only(Arc::new(certified))));
        config.alpn_protocols = PROTOCOLS.iter().map(|name| name.to_vec()).collect();
        Ok(config)
    }

    fn certified(
        &self,
        settings: &TlsSettings,
        provider: &CryptoProvider,
    ) -> Result<CertifiedKey, TlsFault> {
        let of = |part, path: &Path| {
            let path = path.to_owned();
            move |why| TlsFault { part, path: path.clone(), why }
        };
        let (cert, key) = (of(TlsPart::Cert, &settings.cert), of(TlsPart::Key, &settings.key));
        let chain = certificates(&self.cert).map_err(cert.clone())?;
        let secret = PrivateKeyDer::from_pem_slice(&self.key)
            .map_err(|_| key("holds no private key in PEM".to_owned()))?;
        let signing = provider
            .key_provider
            .load_private_key(secret)
            .map_err(|_| key("holds a key that is neither RSA, EC nor Ed25519".to_owned()))?;
        let certified = CertifiedKey::new(chain, signing);
        match certified.keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok(certified),
            Err(Error::InconsistentKeys(_)) => {
                Err(key("is not the key of the certificate".to_owned()))
            }
            Err(error) => Err(cert(format!("is not usable: {error}"))),
        }
    }

    /// Until when the first certificate is valid, in seconds since 1970.
    pub(super) fn valid_until(&self, settings: &TlsSettings) -> Result<i64, TlsFault> {
        let fault = |why| TlsFault { part: TlsPart::Cert, path: settings.cert.clone(), why };
        let chain = certificates(&self.cert).map_err(fault)?;
        let first = chain.first().map(CertificateDer::as_ref).unwrap_or_default();
        let (_, parsed) = x509_parser::parse_x509_certificate(first)
            .map_err(|_| fault("holds no certificate that can be read".to_owned()))?;
        Ok(parsed.validity().not_after.timestamp())
    }
}

/// At least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match all {
        Ok(all) if !all.is_empty() => Ok(all),
        Ok(_) => Err("holds no certificate in PEM".to_owned()),
        Err(error) => Err(format!("is not sound PEM: {error}")),
    }
}

fn roots(pem: &[u8]) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate).map_err(|error| format!("is not usable: {error}"))?;
    }
    Ok(roots)
}

/// Everybody is shown the same certificate.
#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

impl ResolvesServerCert for Only {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
