//! Callers on this host: the kernel says which user and group stand at the other end of a unix socket.

use super::Caller;
use crate::admission::{Knock, Refusal};

/// A process, and who that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerRule {
    /// Its user; anybody without it.
    pub uid: Option<u32>,
    /// Its group, that which it had when it connected; any without it.
    pub gid: Option<u32>,
    /// The caller.
    pub name: String,
}

/// `None` on other sockets, or if no rule is for this process.
pub(super) fn recognise(rules: &[PeerRule], knock: &Knock<'_>) -> Option<Result<Caller, Refusal>> {
    let process = knock.shown.peer?.process?;
    let is_meant = |rule: &&PeerRule| {
        rule.uid.is_none_or(|uid| uid == process.uid)
            && rule.gid.is_none_or(|gid| gid == process.gid)
    };
    let rule = rules.iter().find(is_meant)?;
    Some(Caller::checked(&rule.name).ok_or(Refusal::NotAllowed))
}
