//! What the body of a call says, whatever form it came in; nothing of it is checked yet.

use bytes::Bytes;

use super::call::{Form, Service};
use super::fault::CallFault;
use super::{cbor, json};

/// Members of all operations; those that a call or its service has nothing to do with are ignored, as
/// the services do, and so are members that nobody knows.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Ask {
    pub(super) stream_name: Option<String>,
    pub(super) stream_arn: Option<String>,
    pub(super) delivery_stream: Option<String>,
    /// Whether only permission and parameters are to be checked.
    pub(super) is_dry_run: bool,
    /// `Records`.
    pub(super) entries: Option<Vec<Entry>>,
    /// `Record` at Firehose; at Kinesis what a PutRecord says in its own members.
    pub(super) entry: Option<Entry>,
    pub(super) ordering: Option<String>,
    /// `Limit`, `MaxResults`.
    pub(super) limit: Option<i64>,
    /// What a list goes on behind.
    pub(super) start_after: Option<String>,
    pub(super) next_token: Option<String>,
}

/// One record of a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) data: Option<Bytes>,
    pub(super) key: Option<String>,
    pub(super) hash_key: Option<String>,
}

/// Most records of one call, of either service.
pub(super) const ENTRIES_MAX: usize = 500;

impl Ask {
    /// Reads a body; payloads share its bytes, or those of one buffer.
    ///
    /// # Errors
    /// [`CallFault::Malformed`].
    pub(super) fn read(form: Form, service: Service, body: &Bytes) -> Result<Self, CallFault> {
        match form {
            Form::Json => json::read(service, body),
            Form::Cbor => cbor::read(service, body),
        }
    }

    /// Bytes of payloads that do not share those of the body, at most.
    pub(super) fn copied_bytes(form: Form, body: &[u8]) -> u64 {
        match form {
            Form::Json => body.len() as u64 * 3 / 4,
            // Only a blob in pieces is copied; its pieces are bytes of the body.
            Form::Cbor => body.len() as u64,
        }
    }

    /// The records, as the operation names them.
    pub(super) fn take_entries(&mut self, is_one: bool) -> Option<Vec<Entry>> {
        if is_one { self.entry.take().map(|one| vec![one]) } else { self.entries.take() }
    }
}
