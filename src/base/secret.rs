//! A value that never prints, and the places it may come from.

use std::fmt;
use std::path::{Path, PathBuf};

use super::disk::{Disk, read_named_file};

/// A secret text. `Debug` and `Display` show `[secret]`. Two are equal if their texts are, and where
/// they come from: the one of a file that is named no more could not be read [`again`](Self::again).
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret {
    text: String,
    /// The file it was read from.
    file: Option<PathBuf>,
}

/// Longest secret read from a file, in bytes: certificates with their chain fit, mistakes don't.
const SECRET_BYTES_MAX: u64 = 1 << 20;

impl Secret {
    /// Wraps a value that is already in memory.
    pub fn new(value: impl Into<String>) -> Self {
        Self { text: value.into(), file: None }
    }

    /// The value itself, for the one place that needs it.
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// Whether both come from the same file, whatever it holds; those of no file, whether they are the
    /// same.
    pub fn is_of_the_same_place(&self, other: &Self) -> bool {
        self.file == other.file && (self.file.is_some() || self.text == other.text)
    }

    /// The same secret as it is now, for one that may have been exchanged since: read anew if it came
    /// from a file. Blocks.
    ///
    /// # Errors
    /// In words, why its file says nothing any more.
    pub fn again(&self, disk: &dyn Disk) -> Result<Self, String> {
        let Some(path) = &self.file else { return Ok(self.clone()) };
        let secret = read(disk, path)?;
        match secret.text.is_empty() {
            true => Err(format!("`{}` is empty", path.display())),
            false => Ok(secret),
        }
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

/// What the process was given from outside; handed in so that tests can choose it.
pub type Environment<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Reads what a setting refers to: `${NAME}` from the environment, `file:PATH`, `credential:NAME`
/// from systemd's credential folder; any other text is the value itself.
///
/// # Errors
/// In words, which source lacks it.
pub fn resolve(
    disk: &dyn Disk,
    environment: Environment<'_>,
    text: &str,
) -> Result<Secret, String> {
    if let Some(name) = text.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
        return environment(name)
            .map(Secret::new)
            .ok_or_else(|| format!("the environment has no variable `{name}`"));
    }
    if let Some(path) = text.strip_prefix("file:") {
        return read(disk, Path::new(path));
    }
    if let Some(name) = text.strip_prefix("credential:") {
        let folder = environment("CREDENTIALS_DIRECTORY")
            .ok_or("no credentials were passed by systemd (CREDENTIALS_DIRECTORY is not set)")?;
        return read(disk, &PathBuf::from(folder).join(name));
    }
    Ok(Secret::new(text))
}

fn read(disk: &dyn Disk, path: &Path) -> Result<Secret, String> {
    let bytes = read_named_file(disk, path, SECRET_BYTES_MAX)
        .map_err(|error| format!("`{}` cannot be read: {error}", path.display()))?;
    let text =
        String::from_utf8(bytes).map_err(|_| format!("`{}` is not UTF-8 text", path.display()))?;
    let text = text.trim_end_matches(['\r', '\n']).to_owned();
    Ok(Secret { text, file: Some(path.to_path_buf()) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::disk::RealDisk;
    use crate::base::random;

    #[test]
    fn the_same_text_from_another_file_is_another_secret_as_that_file_is_read_again() {
        let folder = std::env::temp_dir().join(format!("weir-secret-{:032x}", random::bits()));
        std::fs::create_dir(&folder).unwrap();
        let secret_of = |name: &str, text: &str| {
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            resolve(&RealDisk, &|_| None, &format!("file:{}", path.display())).unwrap()
        };
        let old = secret_of("old", "the same\n");
        let new = secret_of("new", "the same");

        assert_eq!(old, secret_of("old", "the same"), "nothing has changed");
        assert!(!old.is_of_the_same_place(&new));
        assert!(old.is_of_the_same_place(&secret_of("old", "another")));
        assert!(!Secret::new("a").is_of_the_same_place(&Secret::new("b")));
        assert_ne!(old, new, "who changed the file's name in the settings changed them");

        std::fs::remove_file(folder.join("old")).unwrap();
        secret_of("new", "another");
        assert!(old.again(&RealDisk).unwrap_err().contains("cannot be read"));
        assert_eq!(new.again(&RealDisk).unwrap().reveal(), "another");
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
