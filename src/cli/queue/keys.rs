//! Keys for what is sealed: those of the command line, or of the configuration.

use std::path::Path;
use std::sync::Arc;

use super::{Home, Lying, look};
use crate::agent::known_keys;
use crate::base::disk::{RealDisk, SharedDisk};
use crate::base::secret;
use crate::cli::reach;
use crate::cli::report::{Exit, Report, tell};
use crate::queue::{Key, Keys};

impl Home {
    /// Looks into a folder, with the keys that can be had. Without one the rest can still be told.
    pub(super) fn look(&self, stream: Option<&str>, folder: &Path) -> Result<Lying, Report> {
        let Lying { stream, look } = look(stream, folder)?;
        let given = self.key.iter().map(|text| key_of(text)).collect::<Result<Vec<_>, _>>()?;
        let is_sealed = !look.missing_keys().is_empty();
        let keys = if is_sealed && given.is_empty() {
            self.known(&stream)
        } else {
            Keys::new(None, given)
        };
        Ok(Lying { stream, look: look.with_keys(keys) })
    }

    /// The keys that the configuration has for a stream; none if there is no configuration for it.
    fn known(&self, stream: &str) -> Keys {
        let Ok(loaded) = reach::read(&self.config) else { return Keys::default() };
        let Some(of_stream) = loaded.config.streams.get(stream) else { return Keys::default() };
        let disk: SharedDisk = Arc::new(RealDisk);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let keys = match &runtime {
            Ok(runtime) => {
                let known = runtime.block_on(known_keys(of_stream, &disk));
                known.map_err(|error| error.to_string())
            }
            Err(error) => Err(error.to_string()),
        };
        keys.unwrap_or_else(|why| {
            tell(format!("note: the keys of stream `{stream}` cannot be had: {why}"));
            Keys::default()
        })
    }
}

fn key_of(text: &str) -> Result<Key, Report> {
    if !text.starts_with("file:") && !text.starts_with("credential:") {
        let words = "`--key` takes a reference, not a key: the command line is for all to see";
        return Err(Report::new(Exit::Usage, words).hint("`--key file:PATH`"));
    }
    let found = secret::resolve(&RealDisk, &|name: &str| std::env::var(name).ok(), text);
    let key = found.and_then(|secret| {
        Key::parse(secret.reveal())
            .map_err(|why| format!("`{text}` leads to what is no key: {why}"))
    });
    key.map_err(|why| Report::new(Exit::Config, why))
}
