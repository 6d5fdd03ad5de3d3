//! What is different about another configuration: what can be exchanged while the agent runs, and what
//! takes a restart. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::{Config, Stream};
use crate::source::{http, tail};

/// What a reload does.
#[derive(Clone, Debug)]
pub(super) struct Changes {
    /// The new configuration, in which everything that takes a restart is as it was.
    pub(super) config: Config,
    /// In words of the file: `stream.access`, `http.public`.
    pub(super) changed: Vec<String>,
    /// What is not taken over: `stream.access.queue`, `admin`.
    pub(super) needs_restart: Vec<String>,
    pub(super) streams: Difference,
    pub(super) listeners: Difference,
    pub(super) tails: Difference,
    /// Whose workers are exchanged, or end.
    pub(super) destinations: BTreeSet<String>,
    /// The uplink that all destinations share.
    pub(super) is_uplink: bool,
}

/// Names of blocks of one kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Difference {
    pub(super) added: BTreeSet<String>,
    pub(super) removed: BTreeSet<String>,
    pub(super) altered: BTreeSet<String>,
}

impl Changes {
    /// Compares what the agent goes by with what it shall go by.
    pub(super) fn between(old: &Config, new: Config) -> Self {
        let mut needs_restart = BTreeSet::new();
        let config = keep_what_cannot_change(old, new, &mut needs_restart);
        let by_name = |all: &[http::Settings]| -> BTreeMap<String, http::Settings> {
            all.iter().map(|one| (one.name.clone(), one.clone())).collect()
        };
        let listeners = Difference::between(&by_name(&old.http), &by_name(&config.http));
        let by_name = |all: &[tail::Settings]| -> BTreeMap<String, tail::Settings> {
            all.iter().map(|one| (one.name.clone(), one.clone())).collect()
        };
        let tails = Difference::between(&by_name(&old.tail), &by_name(&config.tail));
        let streams = Difference::between(&whole_streams(old), &whole_streams(&config));
        let is_uplink = old.uplink != config.uplink;
        let destinations = destinations(old, &config, is_uplink);

        let mut changed = Vec::new();
        streams.name("stream", &mut changed);
        listeners.name("http", &mut changed);
        tails.name("tail", &mut changed);
        changed.extend(destinations.iter().map(|name| format!("destination.{name}")));
        let others = [
            ("auth", old.admission.auth != config.admission.auth),
            ("plan", old.admission.plans != config.admission.plans),
            ("uplink", is_uplink),
            ("dead_letters", old.dead_letters != config.dead_letters),
            ("grace", old.grace != config.grace),
            ("log_level", old.log_level != config.log_level),
        ];
        changed.extend(others.iter().filter(|(_, is)| *is).map(|(name, _)| (*name).to_owned()));
        let needs_restart = needs_restart.into_iter().collect();
        Self { config, changed, needs_restart, streams, listeners, tails, destinations, is_uplink }
    }
}

impl Difference {
    fn between<T: PartialEq>(old: &BTreeMap<String, T>, new: &BTreeMap<String, T>) -> Self {
        let only = |these: &BTreeMap<String, T>, those: &BTreeMap<String, T>| {
            these.keys().filter(|name| !those.contains_key(*name)).cloned().collect()
        };
        let is_altered =
            |(name, one): &(&String, &T)| old.get(*name).is_some_and(|was| was != *one);
        let altered = new.iter().filter(is_altered).map(|(name, _)| name.clone()).collect();
        Self { added: only(new, old), removed: only(old, new), altered }
    }

    fn name(&self, kind: &str, names: &mut Vec<String>) {
        let all = [&self.added, &self.removed, &self.altered];
        names.extend(all.into_iter().flatten().map(|name| format!("{kind}.{name}")));
    }
}

/// Everything about each stream.
fn whole_streams(
    config: &Config,
) -> BTreeMap<String, (Stream, Option<crate::admission::StreamSettings>)> {
    let whole = |(name, stream): (&String, &Stream)| {
        let admitted = config.admission.streams.get(name).cloned();
        (name.clone(), (stream.clone(), admitted))
    };
    config.streams.iter().map(whole).collect()
}

/// The destinations that are fed in another way, or by other streams.
fn destinations(old: &Config, new: &Config, is_uplink: bool) -> BTreeSet<String> {
    let mut all = old.used_destinations();
    all.extend(new.used_destinations());
    let letters = old.dead_letters != new.dead_letters;
    let is_other = |name: &&str| {
        letters
            || is_uplink
            || old.destinations.get(*name) != new.destinations.get(*name)
            || !old.deliveries_to(name).eq(new.deliveries_to(name))
    };
    all.into_iter().filter(is_other).map(str::to_owned).collect()
}

fn keep_what_cannot_change(
    old: &Config,
    mut new: Config,
    needs_restart: &mut BTreeSet<String>,
) -> Config {
    let mut keep = |name: &str, is_other: bool| {
        if is_other {
            needs_restart.insert(name.to_owned());
        }
    };
    keep("admin", old.admin != new.admin);
    keep("log_format", old.log_format != new.log_format);
    keep("stdin", old.stdin != new.stdin);
    let is_like = match (&old.traces, &new.traces) {
        (Some(old), Some(new)) => old.is_like(new),
        (old, new) => old == new,
    };
    keep("traces", !is_like);
    keep("emf", old.emf != new.emf);
    keep("reload_on_change", old.reload_on_change != new.reload_on_change);
    (new.admin, new.log_format) = (old.admin.clone(), old.log_format);
    new.reload_on_change = old.reload_on_change;
    (new.traces, new.emf) = (old.traces.clone(), old.emf.clone());
    (new.stdin, new.stdin_framing) = (old.stdin.clone(), old.stdin_framing.clone());

    for (name, stream) in &mut new.streams {
        let Some(was) = old.streams.get(name) else { continue };
        keep(&format!("stream.{name}.queue"), was.queue != stream.queue || was.kms != stream.kms);
        (stream.queue, stream.kms) = (was.queue.clone(), was.kms.clone());
        // A queue keeps a cursor for each destination from its opening on.
        let names = |stream: &Stream| -> Vec<String> {
            stream.delivery.iter().map(|one| one.destination.clone()).collect()
        };
        if names(was) != names(stream) {
            keep(&format!("stream.{name}.destinations"), true);
            stream.delivery.clone_from(&was.delivery);
            for destination in names(was) {
                if let Some(settings) = old.destinations.get(&destination) {
                    new.destinations.entry(destination).or_insert_with(|| settings.clone());
                }
            }
        }
    }

    for listener in &mut new.http {
        let Some(was) = old.http.iter().find(|was| was.name == listener.name) else { continue };
        let bounds = |one: &http::Settings| {
            (one.max_connections, one.max_per_sender, one.head_timeout, one.idle_timeout)
        };
        let name = |what: &str| format!("http.{}.{what}", listener.name);
        // Who may come in was written for the other sockets: the old ones go on as they are.
        if was.listen != listener.listen || was.tls != listener.tls {
            keep(&name("listen"), was.listen != listener.listen);
            keep(&name("tls"), was.tls != listener.tls);
            listener.clone_from(was);
            continue;
        }
        keep(&name("limits"), bounds(was) != bounds(listener));
        (listener.max_connections, listener.max_per_sender) =
            (was.max_connections, was.max_per_sender);
        (listener.head_timeout, listener.idle_timeout) = (was.head_timeout, was.idle_timeout);
    }
    new
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::base::disk::RealDisk;
    use crate::config::parse;

    const TEXT: &str = r#"
        state_dir = "/s"
        [http.a]
        listen = "127.0.0.1:8080"
        [tail.t]
        include = ["/logs/*.log"]
        stream = "one"
        [stream.one]
        destinations = ["x"]
        [stream.two]
        destinations = ["x", "y"]
        [destination.x]
        type = "directory"
        path = "x"
        [destination.y]
        type = "directory"
        path = "y"
    "#;

    fn config(text: &str) -> Config {
        let path = Path::new("/etc/weir/weir.toml");
        parse(text, path, &|_| None, &RealDisk).map_err(|all| all.to_string()).unwrap().config
    }

    /// What changes, and what needs a restart, when something in the text is another.
    #[track_caller]
    fn check(from: &str, to: &str, changed: &[&str], needs_restart: &[&str]) {
        assert!(TEXT.contains(from), "{from}");
        let old = config(TEXT);
        let new = config(&TEXT.replace(from, to));
        let changes = Changes::between(&old, new.clone());
        assert_eq!(changes.changed, changed);
        assert_eq!(changes.needs_restart, needs_restart);
        if needs_restart.is_empty() {
            assert_eq!(changes.config, new);
        }
        let again = Changes::between(&changes.config, new);
        assert_eq!((again.changed.len(), again.needs_restart), (0, changes.needs_restart));
    }

    #[test]
    fn what_is_the_same_changes_nothing() {
        check("/s", "/s", &[], &[]);
    }

    #[test]
    fn a_destination_changes_for_all_its_streams_and_no_other_does() {
        check("path = \"x\"", "path = \"z\"", &["destination.x"], &[]);
        let weight = "weight = 7\n[stream.two]";
        check("[stream.two]", weight, &["stream.one", "destination.x"], &[]);
        let uplink = "[uplink]\nbytes = \"1 MiB/s\"\n[stream.two]";
        check("[stream.two]", uplink, &["destination.x", "destination.y", "uplink"], &[]);
    }

    #[test]
    fn a_stream_that_comes_or_goes_brings_its_workers() {
        let more = "[stream.three]\ndestinations = [\"y\"]\n[stream.two]";
        check("[stream.two]", more, &["stream.three", "destination.y"], &[]);
        let two = "[stream.two]\n        destinations = [\"x\", \"y\"]";
        check(two, "", &["stream.two", "destination.x", "destination.y"], &[]);
    }

    #[test]
    fn queues_sockets_and_the_operators_door_stay_as_they_are() {
        check("[\"x\", \"y\"]", "[\"x\"]", &[], &["stream.two.destinations"]);
        let queue = "queue = { max_bytes = \"64 MiB\" }\n[stream.two]";
        check("[stream.two]", queue, &[], &["stream.one.queue"]);
        check("127.0.0.1:8080", "127.0.0.1:8081", &[], &["http.a.listen"]);
        let admin = "[admin]\nlisten = \"127.0.0.1:1\"\n[stream.two]";
        check("[stream.two]", admin, &[], &["admin"]);
        check("8080\"", "8080\"\nmax_connections = 9", &[], &["http.a.limits"]);
        check("8080\"", "8081\"\nmax_body = \"9 MiB\"", &[], &["http.a.listen"]);
        check("[http.a]", "reload_on_change = true\n[http.a]", &[], &["reload_on_change"]);
        let traces = "traces.endpoint = \"http://127.0.0.1:1\"\n[http.a]";
        check("[http.a]", traces, &[], &["traces"]);
    }

    #[test]
    fn listeners_and_tails_come_go_and_change() {
        check("8080\"", "8080\"\nmax_body = \"9 MiB\"", &["http.a"], &[]);
        check("[http.a]", "[http.b]", &["http.b", "http.a"], &[]);
        check("*.log", "*.txt", &["tail.t"], &[]);
        check("[tail.t]", "[tail.u]", &["tail.u", "tail.t"], &[]);
        check("8080\"", "8080\"\ntrusted_proxies = \"127.0.0.1\"", &["http.a"], &[]);
    }
}
