//! CloudEvents 1.0 over HTTP. A record is a whole event in JSON, however it came: attributes that
//! stood in the head are kept with the data.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hyper::HeaderMap;
use percent_encoding::percent_decode;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::json::{self, Elements};
use super::problem::Fault;
use crate::base::clock::parse_rfc3339;
use crate::record::RawRecord;

/// The attributes of an event whose data is the body.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Attributes(BTreeMap<String, String>);

/// The header that tells an event whose attributes stand in the head.
const SPEC_VERSION_HEADER: &str = "ce-specversion";
const PREFIX: &str = "ce-";
const VERSION: &str = "1.0";
const REQUIRED: [&str; 3] = ["id", "source", "type"];
/// The extension whose value is the partition key (the Partitioning extension).
const PARTITION_KEY: &str = "partitionkey";
const CONTENT_TYPE: &str = "datacontenttype";
const DATA: &str = "data";
const DATA_BASE64: &str = "data_base64";

impl Attributes {
    /// Whether the head is that of an event.
    pub(super) fn are_in(headers: &HeaderMap) -> bool {
        headers.contains_key(SPEC_VERSION_HEADER)
    }

    /// Reads the head. `content_type` is that of the data.
    pub(super) fn of(headers: &HeaderMap, content_type: &str) -> Result<Self, Fault> {
        let mut all = BTreeMap::new();
        for (name, value) in headers {
            let Some(name) = name.as_str().strip_prefix(PREFIX) else { continue };
            let text = percent_decode(value.as_bytes()).decode_utf8();
            let text = text.map_err(|_| bad(format!("the attribute `{name}` is not UTF-8")))?;
            if all.insert(name.to_owned(), text.into_owned()).is_some() {
                return Err(bad(format!("the attribute `{name}` stands twice")));
            }
        }
        if all.remove(CONTENT_TYPE).is_some() {
            return Err(bad("`datacontenttype` is the `Content-Type` here".into()));
        }
        if !content_type.is_empty() {
            all.insert(CONTENT_TYPE.to_owned(), content_type.to_owned());
        }
        for (name, text) in &all {
            check_name(name).map_err(bad)?;
            check_text(name, text).map_err(bad)?;
        }
        check_all(|name| all.contains_key(name)).map_err(bad)?;
        Ok(Self(all))
    }

    pub(super) fn bytes(&self) -> u64 {
        self.0.iter().map(|(name, text)| (name.len() + text.len()) as u64).sum()
    }

    /// The whole event.
    pub(super) fn with_data(&self, body: &Bytes) -> Result<RawRecord, Fault> {
        let partition_key = self.0.get(PARTITION_KEY).cloned();
        let mut text = String::from("{");
        for (name, value) in &self.0 {
            text.push_str(&format!(
                "{}:{},",
                Value::from(name.as_str()),
                Value::from(value.as_str())
            ));
        }
        let content_type = self.0.get(CONTENT_TYPE).map_or("application/json", String::as_str);
        if body.is_empty() {
            text.pop();
        } else if is_json(content_type) {
            let data: &RawValue = serde_json::from_slice(body).map_err(|error| {
                bad(format!("the data is not the JSON that `Content-Type` says: {error}"))
            })?;
            text.push_str(&format!("\"{DATA}\":{}", data.get()));
        } else if let (true, Ok(data)) = (is_text(content_type), std::str::from_utf8(body)) {
            text.push_str(&format!("\"{DATA}\":{}", Value::from(data)));
        } else {
            text.push_str(&format!("\"{DATA_BASE64}\":\"{}\"", STANDARD.encode(body)));
        }
        text.push('}');
        Ok(RawRecord { payload: text.into(), partition_key, ..RawRecord::default() })
    }
}

/// An event that is the whole body.
pub(super) fn whole(body: &Bytes) -> Result<RawRecord, Fault> {
    let value: &RawValue = json::read(body)?;
    event(body, value).map_err(bad)
}

/// A batch; what is wrong with its events is told of all at once.
pub(super) fn batch(body: &Bytes) -> Result<Vec<RawRecord>, Fault> {
    let Elements(all) = json::read(body)?;
    let mut records = Vec::with_capacity(all.len());
    let mut wrong = Vec::new();
    for (index, value) in all.into_iter().enumerate() {
        match event(body, value) {
            Ok(record) => records.push(record),
            Err(why) => wrong.push((index, why)),
        }
    }
    if wrong.is_empty() { Ok(records) } else { Err(Fault::BadEvents(wrong)) }
}

fn bad(why: String) -> Fault {
    Fault::BadEvents(vec![(0, why)])
}

fn event(body: &Bytes, value: &RawValue) -> Result<RawRecord, String> {
    let members: BTreeMap<String, &RawValue> =
        serde_json::from_str(value.get()).map_err(|_| "an event is a JSON object".to_owned())?;
    let mut attributes = Map::new();
    for (name, value) in &members {
        if [DATA, DATA_BASE64].contains(&name.as_str()) {
            continue;
        }
        check_name(name)?;
        // Attributes are flat, so nothing deep is ever looked into.
        let simple = !value.get().starts_with(['{', '[']);
        let value = simple.then(|| serde_json::from_str::<Value>(value.get()).ok()).flatten();
        match value {
            Some(Value::Null) => {}
            Some(Value::String(text)) => {
                check_text(name, &text)?;
                attributes.insert(name.clone(), text.into());
            }
            Some(value @ (Value::Bool(_) | Value::Number(_))) if is_extension(name) => {
                attributes.insert(name.clone(), value);
            }
            _ if is_extension(name) => {
                return Err(format!(
                    "the attribute `{name}` should be a text, a number or a boolean"
                ));
            }
            _ => return Err(format!("the attribute `{name}` should be a text")),
        }
    }
    check_all(|name| attributes.contains_key(name))?;
    check_data(&members)?;
    let partition_key = match attributes.get(PARTITION_KEY) {
        Some(Value::String(key)) => Some(key.clone()),
        Some(_) => return Err("the attribute `partitionkey` should be a text".to_owned()),
        None => None,
    };
    Ok(RawRecord { payload: json::bytes_of(body, value), partition_key, ..RawRecord::default() })
}

fn check_data(members: &BTreeMap<String, &RawValue>) -> Result<(), String> {
    let Some(packed) = members.get(DATA_BASE64).filter(|value| value.get() != "null") else {
        return Ok(());
    };
    if members.get(DATA).is_some_and(|value| value.get() != "null") {
        return Err("`data` and `data_base64` stand together, but only one can be the data".into());
    }
    let text: String = serde_json::from_str(packed.get()).unwrap_or_default();
    let is_sound = packed.get().starts_with('"') && STANDARD.decode(text).is_ok();
    if is_sound { Ok(()) } else { Err("`data_base64` is not base64".to_owned()) }
}

fn check_all(has: impl Fn(&str) -> bool) -> Result<(), String> {
    match ["specversion"].iter().chain(&REQUIRED).find(|name| !has(name)) {
        Some(missing) => Err(format!("the attribute `{missing}` is missing")),
        None => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), String> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if !name.is_empty() && name.chars().all(plain) {
        return Ok(());
    }
    let shown: String = name.chars().take(40).flat_map(char::escape_default).collect();
    Err(format!(
        "`{shown}` is no name of an attribute; it should have lower-case letters and digits"
    ))
}

fn check_text(name: &str, text: &str) -> Result<(), String> {
    if name == "specversion" && text != VERSION {
        return Err("the attribute `specversion` should be \"1.0\"".to_owned());
    }
    let is_named = REQUIRED.contains(&name) || !is_extension(name);
    if is_named && text.is_empty() {
        return Err(format!("the attribute `{name}` is empty"));
    }
    if name == "time" && parse_time(text).is_none() {
        return Err("the attribute `time` should be a time, like 2026-11-22T06:05:19Z".to_owned());
    }
    Ok(())
}

/// Times before 1970 are times too.
fn parse_time(text: &str) -> Option<()> {
    use time::format_description::well_known::Rfc3339;
    parse_rfc3339(text)
        .map(drop)
        .or_else(|| time::OffsetDateTime::parse(text, &Rfc3339).ok().map(drop))
}

fn is_extension(name: &str) -> bool {
    let core = ["specversion", CONTENT_TYPE, "dataschema", "subject", "time"];
    !core.contains(&name) && !REQUIRED.contains(&name)
}

fn essence(content_type: &str) -> String {
    content_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_json(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence.ends_with("/json") || essence.ends_with("+json")
}

fn is_text(content_type: &str) -> bool {
    let essence = essence(content_type);
    essence.starts_with("text/") || essence.ends_with("/xml") || essence.ends_with("+xml")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event with these members beside the required ones.
    fn with(more: &str) -> String {
        format!(r#"{{"specversion":"1.0","id":"1","source":"/a","type":"t"{more}}}"#)
    }

    fn told(body: &str) -> String {
        match whole(&Bytes::copy_from_slice(body.as_bytes())) {
            Err(Fault::BadEvents(wrong)) => wrong[0].1.clone(),
            other => panic!("{body}: {other:?}"),
        }
    }

    #[test]
    fn a_whole_event_keeps_its_bytes_and_gives_its_key() {
        for (more, key) in [
            ("", None),
            (r#", "partitionkey" : "k", "data":{"a":[1]}"#, Some("k")),
            (r#","data_base64":"AA==","data":null,"x1":5,"y":true,"subject":null"#, None),
            (r#","time":"1960-01-01T00:00:00Z","dataschema":"s""#, None),
        ] {
            let body = Bytes::from(format!(" {} ", with(more)));
            let record = whole(&body).unwrap();
            assert_eq!(record.payload, with(more));
            assert_eq!(record.partition_key.as_deref(), key);
        }
    }

    #[test]
    fn what_is_wrong_with_an_event_is_told() {
        for (body, why) in [
            ("[]".to_owned(), "an event is a JSON object"),
            ("{}".to_owned(), "the attribute `specversion` is missing"),
            (with("").replace("\"id\":\"1\",", ""), "the attribute `id` is missing"),
            (with("").replace("\"id\":\"1\"", "\"id\":\"\""), "the attribute `id` is empty"),
            (with("").replace("\"id\":\"1\"", "\"id\":1"), "the attribute `id` should be a text"),
            (with("").replace("1.0", "0.3"), "the attribute `specversion` should be \"1.0\""),
            (with(r#","a":{"b":1}"#), "the attribute `a` should be a text, a number or a boolean"),
            (
                with(r#","a_b":1"#),
                "`a_b` is no name of an attribute; it should have lower-case letters and digits",
            ),
            (with(r#","partitionkey":1"#), "the attribute `partitionkey` should be a text"),
            (with(r#","data_base64":"?""#), "`data_base64` is not base64"),
            (with(r#","data_base64":1"#), "`data_base64` is not base64"),
            (
                with(r#","data":1,"data_base64":"AA==""#),
                "`data` and `data_base64` stand together, but only one can be the data",
            ),
            (
                with(r#","time":"today""#),
                "the attribute `time` should be a time, like 2026-11-22T06:05:19Z",
            ),
        ] {
            assert_eq!(told(&body), why, "{body}");
        }
    }

    #[test]
    fn a_batch_tells_of_all_its_faults() {
        let body = format!("[{}, 7, {}]", with(""), with(r#","time":"x""#));
        let Err(Fault::BadEvents(wrong)) = batch(&body.into()) else { panic!("two are wrong") };

        assert_eq!(wrong.iter().map(|(index, _)| *index).collect::<Vec<_>>(), [1, 2]);
    }

    fn head(more: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let base =
            [("ce-specversion", "1.0"), ("ce-id", "1"), ("ce-source", "/a"), ("ce-type", "t")];
        for (name, value) in base.iter().chain(more) {
            let name: hyper::header::HeaderName = name.parse().unwrap();
            headers.append(name, hyper::header::HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[track_caller]
    fn check(more: &[(&str, &str)], content_type: &str, data: &'static [u8], event: &str) {
        let attributes = Attributes::of(&head(more), content_type).unwrap();
        let record = attributes.with_data(&Bytes::from_static(data)).unwrap();
        assert_eq!(std::str::from_utf8(&record.payload).unwrap(), event);
        // What is stored is an event again.
        whole(&record.payload).unwrap();
    }

    #[test]
    fn attributes_of_the_head_and_the_data_become_one_event() {
        let json = r#"{"datacontenttype":"application/json","id":"1","source":"/a","specversion":"1.0","type":"t","#;
        check(&[], "application/json", br#" {"a": 1}"#, &format!("{json}\"data\":{{\"a\": 1}}}}"));
        check(
            &[("ce-subject", "caf%C3%A9 %22x%22")],
            "text/plain; charset=utf-8",
            b"a\n",
            r#"{"datacontenttype":"text/plain; charset=utf-8","id":"1","source":"/a","specversion":"1.0","subject":"café \"x\"","type":"t","data":"a\n"}"#,
        );
        check(
            &[],
            "application/octet-stream",
            b"\xff\0",
            r#"{"datacontenttype":"application/octet-stream","id":"1","source":"/a","specversion":"1.0","type":"t","data_base64":"/wA="}"#,
        );
        check(&[], "", b"", r#"{"id":"1","source":"/a","specversion":"1.0","type":"t"}"#);
    }

    #[test]
    fn heads_that_are_no_event_are_told() {
        let told = |headers: HeaderMap, data: &'static str| {
            let event = Attributes::of(&headers, "application/json");
            match event.and_then(|event| event.with_data(&data.into())) {
                Err(Fault::BadEvents(wrong)) => wrong[0].1.clone(),
                other => panic!("{other:?}"),
            }
        };
        let mut without = head(&[]);
        without.remove("ce-type");
        assert_eq!(told(without, "1"), "the attribute `type` is missing");
        assert_eq!(told(head(&[("ce-id", "2")]), "1"), "the attribute `id` stands twice");
        assert!(told(head(&[("ce-a-b", "2")]), "1").starts_with("`a-b` is no name"));
        assert!(told(head(&[]), "{").starts_with("the data is not the JSON"));
        assert_eq!(told(head(&[("ce-x", "%ff")]), "1"), "the attribute `x` is not UTF-8");
    }
}
