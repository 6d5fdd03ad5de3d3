//! Something learned elsewhere, with the time it was learned; as JSON in an [`Area`].

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::area::Area;
use super::view::Refused;

/// Something learned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known<T> {
    /// When, in milliseconds since 1970, by the clock of this host.
    pub since_unix_ms: u64,
    /// What.
    pub value: T,
}

impl<T> Known<T> {
    /// How long ago it was learned; 0 if the clock was set back behind that.
    pub fn age_ms(&self, now_unix_ms: u64) -> u64 {
        now_unix_ms.saturating_sub(self.since_unix_ms)
    }
}

impl Area {
    /// Writes down what was learned now.
    ///
    /// # Errors
    /// [`Refused`], when its JSON is larger than a value may be; what was known before stays.
    pub fn learn<T: Serialize>(
        &self,
        key: &str,
        value: &T,
        now_unix_ms: u64,
    ) -> Result<(), Refused> {
        let known = Known { since_unix_ms: now_unix_ms, value };
        let json = serde_json::to_vec(&known).expect("facts are plain structs, lists and strings");
        self.put(key, json)
    }

    /// What was learned; `None` if nothing was, or nothing that this weir understands.
    pub fn known<T: DeserializeOwned>(&self, key: &str) -> Option<Known<T>> {
        serde_json::from_slice(&self.value(key)?).ok()
    }
}
