//! Lists of networks.

use crate::base::nets::{BadNet, Nets};

use super::super::super::document::{At, Section};
use super::super::super::finding::{Fault, clip};
use super::super::super::key::{Default, Key};
use super::super::super::value::Reading;

pub(super) const ALLOW: Key = Key::texts("allow", Default::Nothing).says(
    "Networks (`\"10.0.0.0/8\"`, `\"fd00::/8\"`, or one address) whose senders are let in; all of them \
     without this list. Everybody else is answered 403, before anything else is looked at. Unix \
     sockets are not meant.",
);
pub(super) const DENY: Key = Key::texts("deny", Default::Nothing)
    .says("Networks whose senders are answered 403, also if `allow` has them.");
pub(super) const TRUSTED_PROXIES: Key = Key::texts("trusted_proxies", Default::Nothing).says(
    "Networks of proxies that are believed when they name the client in `X-Forwarded-For` (see \
     `forwarded`); `\"unix\"` for those that connect to a unix socket. Nobody else's word counts.",
);

/// A list that was written, without what was at fault.
pub(in crate::config::sections) fn read(
    section: &mut Section<'_>,
    key: &Key,
    reading: &mut Reading<'_>,
) -> Nets {
    let (texts, _) = section.texts(reading, key);
    parse(key, texts, reading)
}

pub(super) fn parse(key: &Key, texts: Vec<At<String>>, reading: &mut Reading<'_>) -> Nets {
    let mut nets = Nets::default();
    for text in texts {
        match text.value.parse() {
            Ok(net) => nets.0.push(net),
            Err(bad) => reading.faults.push(fault(key, &text, &bad)),
        }
    }
    nets
}

fn fault(key: &Key, text: &At<String>, bad: &BadNet) -> Fault {
    let (name, written) = (key.name, clip(&text.value));
    match bad.meant {
        Some(net) => {
            let message =
                format!("`{name}` has \"{written}\", whose address lies inside its network");
            let fault = Fault::new(text.place.clone(), message).label("bits behind the prefix");
            fault.hint(format!("did you mean \"{net}\"?"))
        }
        None => {
            let message = format!(
                "`{name}` has \"{written}\", but it should be a network, like \"10.0.0.0/8\", or an address"
            );
            Fault::new(text.place.clone(), message).label("not a network")
        }
    }
}
