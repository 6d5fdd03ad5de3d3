//! TLS of a listener: the newest certificate that is sound, without dropping a connection.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::server::TlsStream;

use super::Secured;
use super::material::Material;
use crate::base::disk::{Disk, SharedDisk, read_named_file};

/// Where the parts of a listener's TLS lie, and what it asks of clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsSettings {
    /// Certificate and chain, PEM.
    pub cert: PathBuf,
    /// Its key, PEM: RSA, EC or Ed25519.
    pub key: PathBuf,
    /// Who signs the certificates of clients, PEM; without it none is asked for.
    pub client_ca: Option<PathBuf>,
    /// Whether a client without certificate is let in as one without.
    pub client_cert_optional: bool,
    /// Whether TLS 1.2 is spoken too.
    pub tls12: bool,
}

/// Which file is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPart {
    /// `cert`.
    Cert,
    /// `key`.
    Key,
    /// `client_ca`.
    ClientCa,
}

/// Why TLS cannot be spoken with these files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFault {
    /// The file that is at fault.
    pub part: TlsPart,
    /// Where it lies.
    pub path: PathBuf,
    /// Stands behind the path: `holds no certificate`.
    pub why: String,
}

impl fmt::Display for TlsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.path.display(), self.why)
    }
}

/// Most bytes of each file: a chain or a list of authorities, not a disk image.
const FILE_BYTES_MAX: u64 = 1 << 20;
/// Changed files are in force for connections after this time at the latest.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// The files as they are read.
pub(super) fn read(disk: &dyn Disk, settings: &TlsSettings) -> Result<Material, TlsFault> {
    let file = |part, path: &Path| {
        read_named_file(disk, path, FILE_BYTES_MAX).map_err(|error| {
            let why = match error.kind() {
                io::ErrorKind::NotFound => "does not exist".to_owned(),
                io::ErrorKind::FileTooLarge => "has more than 1 MiB".to_owned(),
                _ => format!("cannot be read: {error}"),
            };
            TlsFault { part, path: path.to_owned(), why }
        })
    };
    let client_ca = settings.client_ca.as_ref().map(|path| file(TlsPart::ClientCa, path));
    Ok(Material {
        cert: file(TlsPart::Cert, &settings.cert)?,
        key: file(TlsPart::Key, &settings.key)?,
        client_ca: client_ca.transpose()?,
    })
}

/// Reads the files and tells until when the certificate is valid, in seconds since 1970.
///
/// # Errors
/// [`TlsFault`], the first that is found.
pub fn inspect(disk: &dyn Disk, settings: &TlsSettings) -> Result<i64, TlsFault> {
    let material = read(disk, settings)?;
    material.server_config(settings)?;
    material.valid_until(settings)
}

/// One listener's TLS at work.
pub struct Tls {
    name: String,
    disk: SharedDisk,
    settings: TlsSettings,
    state: Mutex<State>,
}

struct State {
    config: Arc<ServerConfig>,
    /// The files as they were last seen, sound or not; `None` after one could not be read.
    seen: Result<Material, TlsFault>,
    valid_until: i64,
    looked_at: Instant,
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("cert", &self.settings.cert).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files for the first time. `name` is for the log.
    ///
    /// # Errors
    /// In words, which file is at fault and how.
    pub fn open(
        disk: SharedDisk,
        name: &str,
        settings: TlsSettings,
    ) -> Result<Arc<Self>, TlsFault> {
        let material = read(disk.as_ref(), &settings)?;
        let config = Arc::new(material.server_config(&settings)?);
        let valid_until = material.valid_until(&settings)?;
        let looked_at = Instant::now();
        let state = State { config, seen: Ok(material), valid_until, looked_at };
        let (name, state) = (name.to_owned(), Mutex::new(state));
        Ok(Arc::new(Self { name, disk, settings, state }))
    }

    /// Until when the certificate in force is valid, in seconds since 1970.
    pub fn valid_until(&self) -> i64 {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).valid_until
    }

    /// Shakes hands, with the certificate in force now.
    pub(super) async fn accept<Io>(&self, io: Io) -> io::Result<(TlsStream<Io>, Secured)>
    where
        Io: AsyncRead + AsyncWrite + Unpin,
    {
        let stream = TlsAcceptor::from(self.config()).accept(io).await?;
        let (_, session) = stream.get_ref();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let chain = session.peer_certificates().unwrap_or_default();
        let secured = Secured {
            version: match session.protocol_version() {
                Some(rustls::ProtocolVersion::TLSv1_2) => "1.2",
                _ => "1.3",
            },
            alpn: session.alpn_protocol().map(text),
            server_name: session.server_name().map(str::to_owned),
            client_chain: chain.iter().map(|cert| cert.as_ref().to_vec().into()).collect(),
        };
        Ok((stream, secured))
    }

    /// The configuration in force. Looks at the files first if the last look is a second ago: they
    /// are small and in the page cache, and replaced in too many ways to trust their times.
    fn config(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if now.duration_since(state.looked_at) >= LOOK_EVERY {
            state.looked_at = now;
            self.look(&mut state);
        }
        state.config.clone()
    }

    fn look(&self, state: &mut State) {
        let seen = read(self.disk.as_ref(), &self.settings);
        if seen == state.seen {
            return;
        }
        let made = seen.as_ref().map_err(Clone::clone).and_then(|material| {
            let config = material.server_config(&self.settings)?;
            Ok((config, material.valid_until(&self.settings)?))
        });
        let listener = &self.name;
        match made {
            Ok((config, valid_until)) => {
                state.config = Arc::new(config);
                state.valid_until = valid_until;
                tracing::info!(listener, "read the changed certificate");
            }
            Err(fault) => {
                let problem = "certificate-not-usable";
                tracing::warn!(listener, problem, %fault, "the older certificate stays in force");
            }
        }
        state.seen = seen;
    }
}
