//! `POST /dead/replay` of the operator's door: which letters, and what came of it.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use super::status::Picture;
use crate::base::disk::SharedDisk;
use crate::dead_letter;
use crate::delivery::{Filter, replay};

/// The request; both names may be left out or null.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    stream: Option<String>,
    destination: Option<String>,
}

/// Puts letters back into the queues of the running agent.
pub(super) async fn answer(
    picture: Arc<Picture>,
    disk: SharedDisk,
    letters: dead_letter::Settings,
    asked: Value,
) -> Result<Value, String> {
    let Asked { stream, destination } = serde_json::from_value(asked).map_err(|error| {
        format!("expected {{\"stream\": …, \"destination\": …}}, both optional: {error}")
    })?;
    let filter = Filter { stream, destination };
    let done = replay(disk, &letters, &filter, &picture.queues).await?;
    Ok(json!({
        "records": done.records,
        "files": done.files,
        "left": done.left,
        "notes": done.notes,
    }))
}
