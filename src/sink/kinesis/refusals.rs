//! What a policy does not permit to ask, told once.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tracing::{debug, warn};

use crate::sink::Fault;

/// How large a record may be, and whether keys choose shards.
pub(super) const SUMMARY: &str = "kinesis:DescribeStreamSummary";
/// The shards.
pub(super) const SHARDS: &str = "kinesis:ListShards";

/// What was refused at the last look, by permission.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    summary: Mutex<Option<String>>,
    shards: Mutex<Option<String>>,
}

impl Refusals {
    /// It was refused now; told once for each code.
    pub(super) fn refused(&self, stream: &str, permission: &'static str, fault: &Fault) {
        let Fault { code, message, .. } = fault;
        if self.of(permission).replace(code.clone()).as_ref() == Some(code) {
            return;
        }
        if is_denial(code) {
            warn!(
                stream,
                permission,
                says = message,
                "the policy lacks a permission; delivery works without it, but records are not \
                 aggregated"
            );
        } else {
            debug!(stream, permission, code, says = message, "the stream cannot be looked at");
        }
    }

    pub(super) fn permitted(&self, permission: &'static str) {
        self.of(permission).take();
    }

    /// Permissions that were asked for and denied.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let denied = |name: &&'static str| self.of(name).as_deref().is_some_and(is_denial);
        [SUMMARY, SHARDS].into_iter().filter(denied).collect()
    }

    fn of(&self, permission: &str) -> MutexGuard<'_, Option<String>> {
        let one = if permission == SHARDS { &self.shards } else { &self.summary };
        one.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether it is the policy that refuses, which an uplink that comes back does not change.
pub(super) fn is_denial(code: &str) -> bool {
    code.starts_with("AccessDenied")
}
