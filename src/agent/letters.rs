//! `GET /dead` and `POST /dead/purge` of the operator's door: letters to read, and to remove.

use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value, json};

use super::assemble::Ground;
use crate::admin::Content;
use crate::base::disk::SharedDisk;
use crate::base::tasks::blocking;
use crate::config::Config;
use crate::dead_letter::{self, Filter, Letter, Lying};
use crate::record::RecordId;

/// Letters of one answer, unless another `limit` is asked for.
const LIMIT: usize = 100;
/// Most letters of one answer.
const LIMIT_MAX: usize = 1_000;
/// Most bytes that are looked through for one answer, the newest first: a second or two of a disk.
const SEARCH_BYTES_MAX: u64 = 64 << 20;
/// What is shown of a payload among others.
const EXCERPT_BYTES: usize = 160;
/// What is shown of the payload of one letter.
const PAYLOAD_BYTES_MAX: usize = 64 << 10;
/// What is shown of an upstream's words.
const MESSAGE_CHARS_MAX: usize = 2_000;

/// Where the letters lie.
#[derive(Clone)]
pub(super) struct Room {
    disk: SharedDisk,
    settings: dead_letter::Settings,
}

impl Room {
    pub(super) fn new(ground: &Ground, config: &Config) -> Self {
        Self { disk: ground.disk.clone(), settings: config.dead_letters.clone() }
    }

    /// The newest letters that are meant, and which shelves there are.
    pub(super) async fn list(self, asked: Value, content: Content) -> Result<Value, String> {
        let (filter, limit) = read(asked)?;
        let looked = blocking(move || self.look(&filter, limit, content)).await;
        looked.map_err(|error| format!("the dead letters cannot be read: {error}"))
    }

    /// Removes the letters that are meant.
    pub(super) async fn purge(self, asked: Value) -> Result<Value, String> {
        if asked.get("limit").is_some() {
            return Err("a purge has no `limit`: name the letters by their time or their `id`; \
                        nothing was removed"
                .into());
        }
        let (filter, _) = read(asked)?;
        if filter == Filter::default() {
            return Err(
                "name the letters that are meant, at least a `stream`: an order that names \
                        none would remove all of them; nothing was removed"
                    .into(),
            );
        }
        let Self { disk, settings } = self;
        let purged = blocking(move || dead_letter::purge(&*disk, &settings.folder, &filter)).await;
        let purged = purged.map_err(|error| {
            format!("the disk failed: {error}; what was removed until then stays removed")
        })?;
        Ok(json!({
            "letters": purged.letters,
            "unreadable": purged.unreadable,
            "in_use": purged.in_use.len(),
        }))
    }

    fn look(&self, filter: &Filter, limit: usize, content: Content) -> io::Result<Value> {
        let mut search = Search {
            disk: &self.disk,
            filter,
            limit,
            show: Show { content, is_one: filter.id.is_some() },
            bytes_left: SEARCH_BYTES_MAX,
            is_complete: true,
        };
        let (mut shelves, mut found) = (Vec::new(), Vec::new());
        for lying in dead_letter::shelves(&*self.disk, &self.settings.folder)? {
            let bytes: u64 = lying.files.iter().map(|file| file.bytes).sum();
            if filter.fits_shelf(&lying.stream, &lying.destination) {
                found.extend(search.shelf(&lying)?);
            }
            if bytes > 0 {
                let Lying { stream, destination, .. } = lying;
                shelves
                    .push(json!({ "stream": stream, "destination": destination, "bytes": bytes }));
            }
        }
        found.sort_by_key(|(died, _)| std::cmp::Reverse(*died));
        let more = found.len() > limit;
        let letters: Vec<Value> = found.into_iter().take(limit).map(|(_, row)| row).collect();
        Ok(json!({
            "shelves": shelves,
            "letters": letters,
            "more": more,
            "is_complete": search.is_complete,
            "has_content": content == Content::Shown,
        }))
    }
}

/// Which letters, and how many.
fn read(mut asked: Value) -> Result<(Filter, usize), String> {
    let limit = asked.as_object_mut().and_then(|asked| asked.remove("limit"));
    let limit = limit.as_ref().and_then(Value::as_u64).and_then(|limit| limit.try_into().ok());
    let filter = serde_json::from_value(asked).map_err(|error| {
        format!(
            "expected any of `stream`, `destination`, `class`, `code`, `since_unix_ms`, \
             `until_unix_ms`, `key`, `id` and `limit`: {error}"
        )
    })?;
    Ok((filter, limit.unwrap_or(LIMIT).clamp(1, LIMIT_MAX)))
}

struct Search<'a> {
    disk: &'a SharedDisk,
    filter: &'a Filter,
    limit: usize,
    show: Show,
    bytes_left: u64,
    /// Nothing was left out because there was too much to look through.
    is_complete: bool,
}

/// When a letter was given up, and how it is shown.
type Row = (u64, Value);

impl Search<'_> {
    /// The newest of one shelf, one more than asked for if there are more.
    fn shelf(&mut self, lying: &Lying) -> io::Result<Vec<Row>> {
        let mut rows = Vec::new();
        for file in lying.files.iter().rev() {
            if rows.len() > self.limit {
                break;
            }
            let from = file.bytes.saturating_sub(self.bytes_left);
            self.is_complete &= from == 0;
            if self.bytes_left == 0 {
                break;
            }
            self.bytes_left -= file.bytes - from;
            let mut letters = match dead_letter::letters(&**self.disk, &file.path) {
                // It was put back or removed meanwhile.
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                opened => opened?.from_offset(from),
            };
            if from > 0 {
                // In the middle of a line.
                letters.next().transpose()?.and_then(Result::err);
            }
            let mut of_file = std::collections::VecDeque::new();
            for letter in letters {
                let Ok(letter) = letter? else { continue };
                if self.filter.fits(&letter) {
                    of_file.push_back((letter.died_unix_ms, self.show.draw(&letter)));
                }
                if of_file.len() > self.limit + 1 {
                    of_file.pop_front();
                }
            }
            rows.extend(of_file.into_iter().rev());
        }
        rows.truncate(self.limit + 1);
        Ok(rows)
    }
}

/// How much of each letter is shown.
#[derive(Clone, Copy)]
struct Show {
    content: Content,
    /// It was asked for by its id.
    is_one: bool,
}

impl Show {
    fn draw(self, letter: &Letter) -> Value {
        let record = &letter.record;
        let id = Some(record.id).filter(|id| *id != RecordId::NONE);
        let message: String = letter.message.chars().take(MESSAGE_CHARS_MAX).collect();
        let mut row = json!({
            "id": id.map(|id| id.to_string()),
            "accepted_unix_ms": id.map(RecordId::unix_ms),
            "died_unix_ms": letter.died_unix_ms,
            "stream": letter.stream,
            "destination": letter.destination,
            "source": record.source.to_string(),
            "caller": record.caller.to_string(),
            "attempts": letter.attempts,
            "class": letter.class,
            "code": letter.code,
            "message": message,
            "bytes": record.payload.len(),
        });
        if let (Content::Shown, Some(row)) = (self.content, row.as_object_mut()) {
            row.insert("partition_key".into(), json!(record.partition_key.as_deref()));
            self.add_payload(row, &record.payload);
        }
        row
    }

    fn add_payload(self, row: &mut Map<String, Value>, payload: &[u8]) {
        let most = if self.is_one { PAYLOAD_BYTES_MAX } else { EXCERPT_BYTES };
        let shown = payload.get(..most).unwrap_or(payload);
        row.insert("is_whole".into(), json!(shown.len() == payload.len()));
        match text_of(shown) {
            Some(text) => row.insert("text".into(), json!(text)),
            None => row.insert("base64".into(), json!(BASE64.encode(shown))),
        };
    }
}

/// The bytes as text, but for a last character that was cut.
fn text_of(bytes: &[u8]) -> Option<&str> {
    match std::str::from_utf8(bytes) {
        Ok(text) => Some(text),
        Err(error) if error.error_len().is_none() && error.valid_up_to() + 4 > bytes.len() => {
            std::str::from_utf8(bytes.get(..error.valid_up_to())?).ok()
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use bytes::Bytes;

    use super::*;
    use crate::base::disk::RealDisk;
    use crate::base::scratch::Scratch;
    use crate::dead_letter::{Shelf, bare};

    fn room(scratch: &Scratch) -> Room {
        let settings = dead_letter::Settings {
            folder: scratch.join("dead"),
            max_bytes: 1 << 30,
            max_age: Duration::from_hours(24 * 36_500),
        };
        Room { disk: Arc::new(RealDisk), settings }
    }

    fn letter(number: u64, destination: &str, payload: &[u8]) -> Letter {
        let payload = Bytes::copy_from_slice(payload);
        let id = RecordId::new(number);
        Letter {
            record: crate::record::Record { id, ..bare(payload) },
            stream: "access".into(),
            destination: destination.into(),
            died_unix_ms: 1_000_000 + number,
            attempts: 1,
            class: "poison".into(),
            code: format!("Code{}", number % 2),
            message: "it is bad".into(),
        }
    }

    fn put(room: &Room, destination: &str, letters: &[Letter]) {
        let disk = room.disk.clone();
        let mut shelf = Shelf::open(disk, &room.settings, "access", destination).unwrap();
        shelf.put(letters).unwrap();
    }

    #[tokio::test]
    async fn the_newest_letters_of_all_shelves_come_first_and_as_many_as_asked_for() {
        let scratch = Scratch::new();
        let room = room(&scratch);
        let of = |destination: &str, numbers: &[u64]| {
            let letters: Vec<_> =
                numbers.iter().map(|number| letter(*number, destination, b"x")).collect();
            put(&room, destination, &letters);
        };
        of("a", &[1, 3, 5, 7]);
        of("b", &[2, 4, 6]);
        let ask = async |asked: Value| {
            let answer = room.clone().list(asked, Content::Shown).await.unwrap();
            let rows = answer["letters"].as_array().unwrap().iter();
            let numbers: Vec<u64> =
                rows.map(|row| row["died_unix_ms"].as_u64().unwrap() - 1_000_000).collect();
            (numbers, answer["more"].as_bool().unwrap(), answer["is_complete"].as_bool().unwrap())
        };

        assert_eq!(ask(json!({})).await, (vec![7, 6, 5, 4, 3, 2, 1], false, true));
        assert_eq!(ask(json!({ "limit": 3 })).await, (vec![7, 6, 5], true, true));
        assert_eq!(
            ask(json!({ "limit": 3, "destination": "b" })).await,
            (vec![6, 4, 2], false, true)
        );
        assert_eq!(ask(json!({ "code": "Code1" })).await, (vec![7, 5, 3, 1], false, true));
        let refused = room.list(json!({ "colour": "red" }), Content::Shown).await.unwrap_err();
        assert!(refused.contains("unknown field `colour`"), "{refused}");
    }

    #[tokio::test]
    async fn a_payload_is_an_excerpt_among_others_whole_alone_and_withheld_from_readers() {
        let scratch = Scratch::new();
        let room = room(&scratch);
        let text = format!("{}é", "x".repeat(EXCERPT_BYTES - 1));
        let letters = [letter(1, "a", text.as_bytes()), letter(2, "a", &[0xff; 3])];
        put(&room, "a", &letters);
        let id = letters[0].record.id.to_string();

        let all = room.clone().list(json!({}), Content::Shown).await.unwrap();
        let one = room.clone().list(json!({ "id": id }), Content::Shown).await.unwrap();
        let told = room.list(json!({}), Content::Withheld).await.unwrap().to_string();

        let rows = &all["letters"];
        assert_eq!((&rows[0]["base64"], &rows[0]["is_whole"]), (&json!("////"), &json!(true)));
        assert_eq!(rows[1]["text"], json!("x".repeat(EXCERPT_BYTES - 1)));
        assert_eq!(rows[1]["is_whole"], json!(false));
        assert_eq!((&one["letters"][0]["text"], one["letters"][1].is_null()), (&json!(text), true));
        assert!(!told.contains("xxx") && !told.contains("partition_key"), "{told}");
        assert!(told.contains("it is bad") && told.contains("\"has_content\":false"), "{told}");
    }

    #[tokio::test]
    async fn a_purge_names_what_it_removes() {
        let scratch = Scratch::new();
        let room = room(&scratch);
        put(&room, "a", &[letter(1, "a", b"x"), letter(2, "a", b"y")]);

        let refused = room.clone().purge(json!({})).await.unwrap_err();
        assert!(refused.ends_with("nothing was removed"), "{refused}");
        let done = room.clone().purge(json!({ "code": "Code1" })).await.unwrap();
        assert_eq!(done, json!({ "letters": 1, "unreadable": 0, "in_use": 0 }));
        let left = room.list(json!({}), Content::Shown).await.unwrap();
        assert_eq!(left["letters"].as_array().unwrap().len(), 1);
    }
}
