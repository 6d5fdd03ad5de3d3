//! The part of an address behind the `?`, as an order in JSON.

use percent_encoding::percent_decode_str;
use serde_json::{Map, Value};

use super::problem::Fault;

/// Most bytes of it.
const QUERY_BYTES_MAX: usize = 4 << 10;
/// What may be asked for.
const TEXTS: [&str; 6] = ["stream", "destination", "class", "code", "key", "id"];
const NUMBERS: [&str; 3] = ["since_unix_ms", "until_unix_ms", "limit"];

/// `stream=access&limit=20` as an object.
pub(super) fn order(query: &str) -> Result<Value, Fault> {
    if query.len() > QUERY_BYTES_MAX {
        return Err(Fault::BadQuery(format!("it is longer than {QUERY_BYTES_MAX} bytes")));
    }
    let mut order = Map::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name)?, decoded(value)?);
        let value = if NUMBERS.contains(&name.as_str()) {
            value.parse::<u64>().map(Value::from).map_err(|_| {
                Fault::BadQuery(format!("`{name}` is {value:?}, but it should be a number"))
            })?
        } else if TEXTS.contains(&name.as_str()) {
            Value::String(value)
        } else {
            let known = [&TEXTS[..], &NUMBERS].concat().join("`, `");
            return Err(Fault::BadQuery(format!("`{name}` is not among `{known}`")));
        };
        order.insert(name, value);
    }
    Ok(Value::Object(order))
}

fn decoded(text: &str) -> Result<String, Fault> {
    let spaced = text.replace('+', " ");
    let text = percent_decode_str(&spaced).decode_utf8();
    let text = text.map_err(|_| Fault::BadQuery("it is no UTF-8 text".into()))?;
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_query_becomes_an_order() {
        assert_eq!(order("").unwrap(), json!({}));
        assert_eq!(
            order("stream=a+b&key=%7Bx%3D1%7D&limit=20&").unwrap(),
            json!({ "stream": "a b", "key": "{x=1}", "limit": 20 })
        );
        for wrong in ["limit=many", "colour=red", "limit=-1", "key=%ff", &"x".repeat(5_000)] {
            assert!(matches!(order(wrong), Err(Fault::BadQuery(_))), "{wrong}");
        }
    }
}
