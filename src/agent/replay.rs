//! `POST /dead/replay` of the operator's door: which letters, for whom, and what came of it.

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
    mut asked: Value,
) -> Result<Value, String> {
    let to = asked.as_object_mut().and_then(|asked| asked.remove("to")).unwrap_or_default();
    let wrong = |error: serde_json::Error| {
        format!(
            "expected an object with any of `stream`, `destination`, `class`, `code`, \
             `since_unix_ms`, `until_unix_ms`, `key`, `id` and `to`: {error}"
        )
    };
    let to: Option<String> = serde_json::from_value(to).map_err(wrong)?;
    let filter: Filter = serde_json::from_value(asked).map_err(wrong)?;
    let done = replay(disk, &letters, (&filter, to.as_deref()), &picture.queues()).await?;
    Ok(json!({
        "records": done.records,
        "files": done.files,
        "left": done.left,
        "notes": done.notes,
    }))
}
