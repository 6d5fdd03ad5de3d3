//! The way in for the fuzz target `config`: any text as a configuration.

use std::path::Path;

use super::parse;
use crate::base::disk::FaultyDisk;

/// Sound, or told about in a report that can be shown.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    let environment = |name: &str| (name.len() < 8).then(|| name.to_ascii_lowercase());
    let disk = FaultyDisk::new();
    disk.put(Path::new("/etc/weir/secret"), b"hush");
    match parse(text, Path::new("/etc/weir/weir.toml"), &environment, &disk) {
        Ok(loaded) => assert!(!loaded.config.summary().is_empty()),
        Err(findings) => assert!(findings.to_string().contains("nothing was started")),
    }
}
