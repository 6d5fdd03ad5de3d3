//! `type = "sigv4"`: requests that are signed as AWS wants it.

use crate::admission::{AuthKind, SigV4Settings, SignatureMode};

use super::super::super::document::Section;
use super::super::super::key::{DAY, Default, Key, Kind, MINUTE, SECOND, Table};
use super::super::super::value::Reading;
use super::{PLAN, STREAMS, TYPE};

pub(in crate::config) const TABLE: Table = Table {
    name: "auth",
    example: Some("sdks"),
    what: "a block of access keys",
    variant: Some("sigv4"),
    effect: "Callers who sign their requests as AWS wants it (Signature Version 4, in headers or \
             presigned), with access keys of this agent's own: any AWS SDK can.",
    groups: &[&[TYPE, FILE, MODE, SKEW, REGION, UNSIGNED, PLAN, STREAMS]],
};

const FILE: Key = Key::new("file", Kind::Path, Default::Required("\"/etc/weir/access-keys.toml\""))
    .says(
        "The access keys, a `[[key]]` each: `access_key_id`, `secret_access_key`, and if wanted \
     `session_token`, `name`, `plan`, `streams`, `expires`. Not readable by everybody (mode 0600); \
     read anew when it changes.",
    );
const MODE: Key = Key::new(
    "mode",
    Kind::Choice(&["verify", "identify", "off"]),
    Default::Text("verify"),
)
.says(
    "`verify` checks the signature; `identify` believes the access key without a check, on loopback \
     and unix sockets only; `off` looks at neither.",
);
const SKEW: Key = Key::time("clock_window", 5 * MINUTE).within(SECOND, 7 * DAY).says(
    "How far the clock of a caller may be from this host's; raise it where either has no good one.",
);
const REGION: Key = Key::text(
    "region",
    Default::Otherwise { example: "\"eu-west-1\"", then: "any region is right" },
)
.says("The only region that a request may be signed for.");
const UNSIGNED: Key = Key::new("unsigned_payload", Kind::Flag, Default::Flag(false)).says(
    "Whether a request may say UNSIGNED-PAYLOAD instead of signing its body. Whoever stands between \
     can then change the body; sensible within TLS only.",
);

pub(super) fn read(section: &mut Section<'_>, reading: &mut Reading<'_>) -> AuthKind {
    let mode = section.choice(reading, &MODE);
    AuthKind::SigV4(SigV4Settings {
        file: section.path(reading, &FILE).value,
        mode: match mode.value.as_str() {
            "identify" => SignatureMode::Identify,
            "off" => SignatureMode::Off,
            _ => SignatureMode::Verify,
        },
        skew: section.time(reading, &SKEW),
        region: section.optional_text(reading, &REGION).map(|region| region.value),
        allows_unsigned_body: section.flag(reading, &UNSIGNED),
    })
}
