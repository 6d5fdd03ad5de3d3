//! Every name leads to one stream.

use std::collections::BTreeMap;

use super::super::finding::{Fault, Faults, clip};
use super::super::sections::Sections;

/// Longest name that a stream of Kinesis may have.
const ALIAS_CHARS_MAX: usize = 128;

pub(super) fn check(sections: &Sections, faults: &mut Faults) {
    let mut taken: BTreeMap<&str, &str> = BTreeMap::new();
    for flow in &sections.flows {
        taken.insert(&flow.name.value, &flow.name.value);
    }
    for flow in &sections.flows {
        for alias in &flow.aliases {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
            let name = clip(&alias.value);
            if !(1..=ALIAS_CHARS_MAX).contains(&alias.value.len())
                || !alias.value.bytes().all(plain)
            {
                let message = format!("`{name}` cannot be the name of a stream");
                let fault = Fault::new(alias.place.clone(), message).label("not a name");
                faults.push(fault.hint("1 to 128 of A-Z, a-z, 0-9, `_`, `-` and `.`"));
                continue;
            }
            let Some(other) = taken.insert(&alias.value, &flow.name.value) else { continue };
            let message =
                format!("`{name}` would lead to two streams: it is {}", whose(other, &alias.value));
            let fault = Fault::new(alias.place.clone(), message).label("taken");
            faults.push(fault.hint("take it out here, or give one of the streams another name"));
        }
    }
}

fn whose(stream: &str, name: &str) -> String {
    let stream = clip(stream);
    if stream == name {
        format!("the name of [stream.{stream}]")
    } else {
        format!("an alias of [stream.{stream}] too")
    }
}
