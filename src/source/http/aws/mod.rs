//! The wire protocols of Amazon Kinesis Data Streams and Amazon Data Firehose: what is said to
//! them by an SDK, a producer library or an agent can be said here.
//!
//! `POST /` with `X-Amz-Target`, in JSON or CBOR. Of the operations those are served that hand in
//! records or tell a client what it asks before it does.
//! Start reading at `serve`.

mod serve;

mod answer;
mod check;

mod ask;
mod cbor;
mod json;

mod call;
mod fault;
mod names;
mod page;
mod pen;
mod shards;

#[cfg(any(test, feature = "testing"))]
pub(super) mod fuzzing;

pub(super) use call::{TARGET, service};
pub(super) use names::{SHARD, sequence_number};
pub use shards::{Shard, Shards, ShardsOf};
