//! `POST /dead/replay` of the operator's door: which letters, and what came of it.

use std::sync::Arc;

use serde_json::{Value, json};

use super::status::Picture;
use crate::base::disk::SharedDisk;
use crate::dead_letter::{self, Filter};
use crate::delivery::replay;

/// Puts letters back into the queues of the running agent.
pub(super) async fn answer(
    picture: Arc<Picture>,
    disk: SharedDisk,
    letters: dead_letter::Settings,
    asked: Value,
) -> Result<Value, String> {
    let filter: Filter = serde_json::from_value(asked).map_err(|error| {
        format!(
            "expected an object with any of `stream`, `destination`, `class`, `code`, \
             `since_unix_ms`, `until_unix_ms`, `key` and `id`: {error}"
        )
    })?;
    let done = replay(disk, &letters, &filter, &picture.queues()).await?;
    Ok(json!({
        "records": done.records,
        "files": done.files,
        "left": done.left,
        "notes": done.notes,
    }))
}
