//! Doubles for disk and environment, and the one `check`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::base::disk::{Disk, DiskFile, Listed, Open};
use crate::base::papers::Papers;
use crate::config::{Finding, Findings, Loaded, parse};

/// Where every text of these tests lies.
pub(super) const PATH: &str = "/etc/weir/weir.toml";

/// Parses a text and compares everything that is told about it.
#[track_caller]
pub(super) fn check(text: &str, told: &str) {
    let text = text.strip_prefix("\n").unwrap_or(text);
    let findings = read(text).expect_err("there is something to tell");
    assert_eq!(findings.to_string(), told.trim_matches('\n'));
}

/// Parses a text that is sound, and compares the warnings.
#[track_caller]
pub(super) fn check_warnings(text: &str, told: &str) {
    let warnings = sound(text.strip_prefix("\n").unwrap_or(text)).warnings;
    let warnings: Vec<String> = warnings.iter().map(Finding::to_string).collect();
    assert_eq!(warnings.join("\n\n"), told.trim_matches('\n'));
}

/// Parses a text that is sound.
#[track_caller]
pub(super) fn sound(text: &str) -> Loaded {
    read(text).unwrap_or_else(|findings| panic!("{findings}"))
}

pub(super) fn read(text: &str) -> Result<Loaded, Findings> {
    parse(text, Path::new(PATH), &environment, &Files::new())
}

/// Certificates of these tests, made once.
static PAPERS: LazyLock<Papers> = LazyLock::new(Papers::fresh);
static EXPIRED: LazyLock<Papers> = LazyLock::new(|| Papers::until(2020));

/// What these tests have in the environment.
/// A text with one key slipped at each place from one on: something more there, or something else.
pub(super) fn slips(text: &str, from: usize) -> impl Iterator<Item = String> {
    const SLIPS: [&str; 11] = ["", "x", "\"", "'", "\n", " ", "=", "[", "#", "\\", "."];
    let at_each = move |(at, slip): (usize, &str)| {
        let (before, behind) = text.split_at(at);
        let rest = behind.get(1..).unwrap();
        [format!("{before}{slip}{behind}"), format!("{before}{slip}{rest}")]
    };
    (from..text.len()).flat_map(|at| SLIPS.map(|slip| (at, slip))).flat_map(at_each)
}

pub(super) fn environment(name: &str) -> Option<String> {
    let value = match name {
        "CREDENTIALS_DIRECTORY" => "/run/credentials/weir",
        "REGION" => "eu-west-3",
        "MANY" => "2000",
        "YES" => "true",
        "EMPTY" => "",
        "KEY_ID" | "EDGE_ACCESS_KEY_ID" | "TELEMETRY_ACCESS_KEY_ID" => "AKIAHUSH",
        _ => return None,
    };
    Some(value.to_owned())
}

/// A disk of a few small files that can only be read.
pub(super) struct Files {
    files: BTreeMap<PathBuf, Vec<u8>>,
    links: BTreeMap<PathBuf, PathBuf>,
}

impl Files {
    /// The secrets that these tests refer to.
    pub(super) fn new() -> Self {
        let files = Self { files: BTreeMap::new(), links: BTreeMap::new() };
        files
            .with("/run/credentials/weir/telemetry_secret", b"hush\n")
            .with("/run/credentials/weir/secret_access_key", b"hush\n")
            .with("/run/credentials/weir/authorizer", b"hush\n")
            .with("/run/credentials/weir/traces_authorization", b"Bearer hush\n")
            .with("/etc/weir/two_lines", b"hush\nhush\n")
            .with("/run/credentials/weir/queue_key", "07".repeat(32).as_bytes())
            .with("/etc/weir/open.key", "09".repeat(32).as_bytes())
            .with("/etc/weir/old.key", format!("{}\n", "08".repeat(32)).as_bytes())
            .with("/run/credentials/weir/external_id", b"hush")
            .with("/run/weir/session_token", b"hush")
            .with("/etc/weir/access.schema.json", b"{}")
            .with("/etc/weir/access.vrl", b".seen = true\n")
            .with("/etc/weir/secret", b"hush\r\n")
            .with("/etc/weir/empty", b"\n")
            .with("/etc/weir/tls.crt", PAPERS.cert.as_bytes())
            .with("/run/credentials/weir/tls.key", PAPERS.key.as_bytes())
            .with("/etc/weir/devices-ca.pem", PAPERS.ca.as_bytes())
            .with("/etc/weir/other.key", Papers::fresh().key.as_bytes())
            .with("/etc/weir/expired.crt", EXPIRED.cert.as_bytes())
            .with("/etc/weir/expired.key", EXPIRED.key.as_bytes())
    }

    pub(super) fn with(mut self, path: &str, bytes: &[u8]) -> Self {
        self.files.insert(path.into(), bytes.to_vec());
        self
    }

    pub(super) fn with_link(mut self, path: &str, to: &str) -> Self {
        self.links.insert(path.into(), to.into());
        self
    }
}

impl Disk for Files {
    fn open(&self, path: &Path, how: Open) -> io::Result<Box<dyn DiskFile>> {
        assert_eq!(how, Open::Read, "configuration is only read");
        if path.ends_with("locked.toml") {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let bytes = self.files.get(path).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(File(bytes.clone())))
    }

    fn resolve(&self, path: &Path) -> io::Result<PathBuf> {
        Ok(self.links.get(path).cloned().unwrap_or_else(|| path.to_path_buf()))
    }

    fn is_open_to_all(&self, path: &Path) -> io::Result<bool> {
        Ok(path.ends_with("open.key"))
    }

    fn create_folders(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn list(&self, _: &Path) -> io::Result<Vec<Listed>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn rename(&self, _: &Path, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn remove_folder(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync_folder(&self, _: &Path) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn free_bytes(&self, _: &Path) -> io::Result<u64> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn total_bytes(&self, path: &Path) -> io::Result<u64> {
        // The folder itself is not there yet.
        if path == Path::new("/small") { Ok(8 << 30) } else { Err(io::ErrorKind::NotFound.into()) }
    }
}

struct File(Vec<u8>);

impl DiskFile for File {
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = &self.0[usize::try_from(offset).unwrap().min(self.0.len())..];
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }

    fn write_all_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn sync(&self) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn set_bytes(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn reserve(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn try_lock(&self) -> io::Result<bool> {
        Err(io::ErrorKind::Unsupported.into())
    }
}
