//! The top of the file, `[dead_letters]` and `[admin]`: the process as a whole.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::telemetry::{EmfSettings, Format, Level, TraceSettings};
use crate::{admin, dead_letter};

use super::super::document::Section;
use super::super::finding::Fault;
use super::super::key::{DAY, Default, GIB, HOUR, Key, Kind, MIB, MINUTE, SECOND, TIB, Table};
use super::super::value::Reading;
use super::super::written::Place;
use super::http::address;
use super::traces;

pub(in crate::config) const TOP: Table = Table {
    name: "",
    example: None,
    what: "the process",
    variant: None,
    effect: "The process as a whole. These lines stand at the top of the file, before the first table.",
    groups: &[&[STATE_DIR, GRACE, LOG, traces::TRACES, EMF, RELOAD]],
};

pub(in crate::config) const DEAD_LETTERS: Table = Table {
    name: "dead_letters",
    example: None,
    what: "the dead letters",
    variant: None,
    effect: "Records that can never be delivered, with the reason, in `state_dir/dead`.",
    groups: &[&[LETTER_BYTES, LETTER_AGE]],
};

pub(in crate::config) const ADMIN: Table = Table {
    name: "admin",
    example: None,
    what: "the admin listener",
    variant: None,
    effect: "The operator's door: the dashboard at `/`, and `/livez`, `/readyz`, `/metrics`, `/status`, `/dead`.",
    groups: &[&[ADMIN_LISTEN, ADMIN_KEYS]],
};

const STATE_DIR: Key = Key::new("state_dir", Kind::Path, Default::Text("/var/lib/weir")).says(
    "Folder of the queues, their positions and the dead letters. It must be on a real disk: \
         what is accepted lives here until it is delivered.",
);
const GRACE: Key = Key::time("grace", 25 * SECOND).within(0, HOUR).says(
    "Longest time to go on delivering after SIGTERM; what is left waits on disk. Kubernetes kills \
     after 30 s by default.",
);
const LOG: Key = Key::new("log", Kind::Rows(&[LOG_FORMAT, LOG_LEVEL]), Default::Rows)
    .says("What is written to standard error.");
const LOG_FORMAT: Key = Key::new(
    "format",
    Kind::Choice(&["auto", "text", "json"]),
    Default::Text("auto"),
)
.says(
    "How log lines look; `auto` writes words on a terminal and one JSON object a line otherwise.",
);
const LOG_LEVEL: Key = Key::new(
    "level",
    Kind::Choice(&["error", "warn", "info", "debug"]),
    Default::Text("info"),
)
.says("The least severe lines that are written; the environment variable `WEIR_LOG` wins over it.");
const EMF: Key = Key::new("emf", Kind::Rows(&[EMF_TO, EMF_EVERY, EMF_NAMESPACE]), Default::Rows)
    .says("The ledger as lines of JSON that CloudWatch Logs makes metrics of.");
const EMF_TO: Key = Key::new("to", Kind::Choice(&["off", "stdout"]), Default::Text("off")).says(
    "Where the lines go; the log goes to standard error, so standard output holds nothing else.",
);
const EMF_EVERY: Key = Key::time("every", MINUTE)
    .within(SECOND, HOUR)
    .says("How often a line is written for each stream and destination.");
const EMF_NAMESPACE: Key = Key::text("namespace", Default::Text("weir"))
    .says("The namespace of the metrics in CloudWatch.");
const RELOAD: Key = Key::new("reload_on_change", Kind::Flag, Default::Flag(false)).says(
    "Whether a changed file is taken over by itself, within seconds, as after SIGHUP and \
     `weir reload`. One that is at fault changes nothing.",
);
const LETTER_BYTES: Key = Key::size("max_bytes", GIB).within(MIB, 16 * TIB).says(
    "Most bytes of dead letters of one stream and destination; beyond it the oldest file goes, \
     and is counted.",
);
const LETTER_AGE: Key = Key::time("max_age", 30 * DAY)
    .within(MINUTE, 3650 * DAY)
    .says("Longest time a dead letter is kept; what ages out is counted.");
const ADMIN_LISTEN: Key = Key::text("listen", Default::Text("127.0.0.1:9808")).says(
    "Address of the admin listener. Off loopback it needs `key_file`; keys travel in clear text, so \
     keep it on a network of your own or behind a proxy that speaks TLS. Port 0 takes any free port.",
);
const ADMIN_KEYS: Key = Key::new(
    "key_file",
    Kind::Path,
    Default::Otherwise {
        example: "\"/etc/weir/admin-keys.toml\"",
        then: "everybody who reaches the listener may order",
    },
)
.says(
    "The file of operators' keys, which `weir keys add` writes; read anew when it changes. With it, \
     orders (replay, purge) and payloads of dead letters need a key; off loopback all but `/livez` \
     and `/readyz` does. Keys with a plan or streams are senders' keys and open nothing here.",
);

#[derive(Debug)]
pub(in crate::config) struct Process {
    pub(in crate::config) state_dir: PathBuf,
    pub(in crate::config) state_dir_place: Place,
    pub(in crate::config) grace: Duration,
    pub(in crate::config) log_format: Format,
    pub(in crate::config) log_level: Level,
    pub(in crate::config) traces: Option<TraceSettings>,
    pub(in crate::config) emf: Option<EmfSettings>,
    pub(in crate::config) reload_on_change: bool,
    pub(in crate::config) dead_letters: dead_letter::Settings,
    pub(in crate::config) admin: admin::Settings,
}

pub(super) fn read(root: &mut Section<'_>, reading: &mut Reading<'_>) -> Process {
    let state_dir = root.path(reading, &STATE_DIR);
    let grace = root.time(reading, &GRACE);
    let (log_format, log_level) = read_log(root, reading);
    let traces = traces::read(root, reading);
    let emf = read_emf(root, reading);
    let reload_on_change = root.flag(reading, &RELOAD);
    let dead_letters = read_dead_letters(root, reading, &state_dir.value);
    let admin = read_admin(root, reading);
    Process {
        state_dir_place: state_dir.place.clone().unwrap_or_default(),
        state_dir: state_dir.value,
        grace,
        log_format,
        log_level,
        traces,
        emf,
        reload_on_change,
        dead_letters,
        admin,
    }
}

/// No more than where the state lies.
pub(super) fn state_dir(root: &mut Section<'_>, reading: &mut Reading<'_>) -> PathBuf {
    root.path(reading, &STATE_DIR).value
}

fn read_log(root: &mut Section<'_>, reading: &mut Reading<'_>) -> (Format, Level) {
    let mut log = root.nested(reading, &LOG);
    let format = match log.choice(reading, &LOG_FORMAT).value.as_str() {
        "text" => Format::Text,
        "json" => Format::Json,
        _ => Format::Auto,
    };
    let level = match log.choice(reading, &LOG_LEVEL).value.as_str() {
        "error" => Level::Error,
        "warn" => Level::Warn,
        "debug" => Level::Debug,
        _ => Level::Info,
    };
    log.finish(&mut reading.faults);
    (format, level)
}

fn read_emf(root: &mut Section<'_>, reading: &mut Reading<'_>) -> Option<EmfSettings> {
    let mut emf = root.nested(reading, &EMF);
    let is_on = emf.choice(reading, &EMF_TO).value == "stdout";
    let every = emf.time(reading, &EMF_EVERY);
    let namespace = emf.text(reading, &EMF_NAMESPACE).value;
    emf.finish(&mut reading.faults);
    is_on.then_some(EmfSettings { every, namespace })
}

fn read_dead_letters(
    root: &mut Section<'_>,
    reading: &mut Reading<'_>,
    state_dir: &Path,
) -> dead_letter::Settings {
    let mut section = root.single(&DEAD_LETTERS, reading);
    let settings = dead_letter::Settings {
        folder: state_dir.join("dead"),
        max_bytes: section.number(reading, &LETTER_BYTES).value,
        max_age: section.time(reading, &LETTER_AGE),
    };
    section.finish(&mut reading.faults);
    settings
}

fn read_admin(root: &mut Section<'_>, reading: &mut Reading<'_>) -> admin::Settings {
    let mut section = root.single(&ADMIN, reading);
    let text = section.text(reading, &ADMIN_LISTEN);
    let key_file = section.path(reading, &ADMIN_KEYS);
    let key_file = key_file.written().map(|(file, _)| file.clone());
    section.finish(&mut reading.faults);
    let place = text.place.unwrap_or_default();
    let listen = address(&ADMIN_LISTEN, &text.value, &place).unwrap_or_else(|fault| {
        reading.faults.push(fault);
        SocketAddr::from(([127, 0, 0, 1], 0))
    });
    if !listen.ip().is_loopback() && key_file.is_none() {
        let message = format!("[admin] would be open to the network: {listen}");
        let fault = Fault::new(place, message).label("not loopback");
        reading.faults.push(fault.hint(
            "without `key_file` the admin listener asks nobody who they are: listen on 127.0.0.1, \
             or name a file that `weir keys add` made",
        ));
    }
    admin::Settings { listen, key_file }
}
