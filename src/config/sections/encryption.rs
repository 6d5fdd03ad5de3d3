//! `[encryption.NAME]`: what queues are sealed with on disk.

use std::path::Path;

use toml::Spanned;
use toml::de::DeValue;

use crate::queue::Key as QueueKey;
use crate::sink::KmsSettings;

use super::super::Encryption;
use super::super::document::{At, Entry, Named, Section, wrong_type};
use super::super::finding::Fault;
use super::super::key::{DAY, Default, Key, Kind, Table};
use super::super::value::Reading;
use super::aws;

pub(in crate::config) const KEY: Table = Table {
    name: "encryption",
    example: Some("at-rest"),
    what: "an encryption with a key",
    variant: Some("key"),
    effect: "Seals what queues keep on disk with a key that you keep: AES-256-GCM. Streams name it \
             in `queue.encryption`.",
    groups: &[&[TYPE, SECRET_KEY, OLD_KEYS]],
};

pub(in crate::config) const KMS: Table = Table {
    name: "encryption",
    example: Some("cloud"),
    what: "an encryption with keys of KMS",
    variant: Some("kms"),
    effect: "Seals what queues keep on disk with data keys that AWS KMS makes, and must unwrap at \
             each start. The principal needs `kms:GenerateDataKey` and `kms:Decrypt`.",
    groups: &[&[TYPE, KMS_KEY, ROTATE_AFTER, OLD_KEYS], aws::KEYS],
};

const TYPE: Key = Key::new("type", Kind::Choice(&["key", "kms"]), Default::Required("\"key\""))
    .says("Where keys come from; decides which settings there are.");
const SECRET_KEY: Key =
    Key::new("key", Kind::Secret, Default::Required("\"credential:queue_key\"")).says(
        "The key of what is written from now on, by reference: \"file:PATH\" or \
         \"credential:NAME\". 32 bytes, as 64 hex digits or in base64: `openssl rand -hex 32`.",
    );
const OLD_KEYS: Key = Key::new("old_keys", Kind::Secrets, Default::Nothing).says(
    "Keys of what was written before, by reference in the same way; each may go once nothing is \
     sealed with it (`weir queue stat`).",
);
const KMS_KEY: Key = Key::text("kms_key", Default::Required("\"alias/weir\""))
    .says("The KMS key that wraps data keys: its id, alias or ARN.");
const ROTATE_AFTER: Key = Key::time("rotate_after", 90 * DAY).within(DAY, 3650 * DAY).says(
    "A data key older than this is followed by a new one at the next start; the old one stays for \
     what it has sealed.",
);

#[derive(Debug)]
pub(in crate::config) struct Sealing {
    pub(in crate::config) name: At<String>,
    pub(in crate::config) settings: Encryption,
}

/// Reads one encryption; `None` if its type is unknown.
pub(super) fn read(table: &Named<'_>, reading: &mut Reading<'_>) -> Option<Sealing> {
    let kind = Section::of(&KEY, table).choice(reading, &TYPE);
    kind.written()?;
    let is_kms = kind.value == "kms";
    let mut section = Section::of(if is_kms { &KMS } else { &KEY }, table);
    section.take(&TYPE);
    let settings = if is_kms {
        Encryption::Kms(
            Box::new(KmsSettings {
                key: section.text(reading, &KMS_KEY).value,
                rotate_after: section.time(reading, &ROTATE_AFTER),
                aws: aws::read(&mut section, reading),
            }),
            old_keys(&mut section, reading),
        )
    } else {
        let key = section.read(reading, &SECRET_KEY, None, |reading, entry| {
            key_of(reading, &SECRET_KEY, entry.value).map(Some)
        });
        Encryption::Key(key.value, old_keys(&mut section, reading))
    };
    section.finish(&mut reading.faults);
    Some(Sealing { name: table.name.clone(), settings })
}

fn old_keys(section: &mut Section<'_>, reading: &mut Reading<'_>) -> Vec<QueueKey> {
    let parse = |reading: &mut Reading<'_>, entry: &Entry<'_>| {
        let values: Vec<&Spanned<DeValue<'_>>> = match entry.value.get_ref() {
            DeValue::String(_) => vec![entry.value],
            DeValue::Array(array) => array.iter().collect(),
            _ => return Err(wrong_type(&OLD_KEYS, entry.value)),
        };
        values.into_iter().map(|value| key_of(reading, &OLD_KEYS, value)).collect()
    };
    section.read(reading, &OLD_KEYS, Vec::new(), parse).value
}

/// Follows a reference to a key. Who else may read the file is told.
fn key_of(
    reading: &mut Reading<'_>,
    row: &Key,
    value: &Spanned<DeValue<'_>>,
) -> Result<QueueKey, Fault> {
    let Some(text) = value.get_ref().as_str() else { return Err(wrong_type(row, value)) };
    let secret = reading.secret(row, text, value.span())?;
    if let Some(path) = text.strip_prefix("file:") {
        let path = reading.absolute(Path::new(path));
        if reading.disk.is_open_to_all(&path).unwrap_or(false) {
            let message = format!("everybody on this machine can read {}", path.display());
            let fault = Fault::warning(value.span(), message).label("a key for all to see");
            reading.faults.push(fault.hint(format!("chmod o= {}", path.display())));
        }
    }
    QueueKey::parse(secret.reveal()).map_err(|why| {
        let message = format!("`{}` leads to what is no key: {why}", row.name);
        let fault = Fault::new(value.span(), message).label("not a key");
        fault.hint("`openssl rand -hex 32` makes one")
    })
}
