//! The keys file: callers' keys, hashed, as `weir keys` writes them and the agent reads them.
//!
//! ```toml
//! [[key]]
//! name = "device-1"                 # the caller: letters, digits, `.`, `_`, `-`, at most 64
//! hash = "sha256:<64 hex digits>"   # of the secret
//! plan = "gateway"                  # optional
//! streams = ["access"]              # optional: only these
//! expires = "2027-01-01T00:00:00Z"  # optional
//! created = "2026-11-22T06:05:19.123Z"
//! ```

mod edit;
mod file;

pub use edit::{KeysError, Listed, NewKey, add, list, revoke};
pub(super) use file::{FILE_BYTES_MAX, Keys, check_name, hash_of_bytes, line_at, parse_expiry};
