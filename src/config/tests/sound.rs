//! Sound files, and what becomes of them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::admission::{AuthKind, AuthSettings, PlanSettings, StreamSettings, Treatment};
use crate::base::nets::Nets;
use crate::base::serve::Access;
use crate::base::units::{ByteRate, ByteSize, CountRate};
use crate::config::{Config, Destination, Stream, demo};
use crate::delivery::{LinkSettings, PaceSettings, Rank};
use crate::sink::{
    AwsSettings, Compression, DirectorySettings, FirehoseSettings, KinesisSettings, Protocol,
};
use crate::source::framing;
use crate::source::http::{Listen, Proxies};
use crate::source::tail::StartAt;
use crate::telemetry::{Format, Level};
use crate::{admin, admission, dead_letter, delivery, queue, source};

use super::support::{check_warnings, read, sound};

const MIB: u64 = 1 << 20;

/// A stream `a` with a listener and a directory, and more.
fn with(more: &str) -> Config {
    let text = format!(
        "[http.local]\nlisten = \"127.0.0.1:8080\"\n[stream.a]\ndestinations = [\"d\"]\n\
         [destination.d]\ntype = \"directory\"\npath = \"out\"\n{more}"
    );
    sound(&text).config
}

fn feed(stream: &str, destination: &str) -> delivery::Settings {
    delivery::Settings {
        stream: stream.into(),
        destination: destination.into(),
        in_flight: 4,
        in_flight_bytes: 16 << 20,
        shard_share: 100,
        ordering: delivery::Ordering::None,
        linger: Duration::from_millis(100),
        retry_first: Duration::from_millis(100),
        retry_max: Duration::from_secs(30),
        pace: PaceSettings::default(),
    }
}

/// The listener of the smallest file.
fn local() -> source::http::Settings {
    source::http::Settings {
        plan: None,
        address_plan: None,
        guesses: Some(CountRate { count: 100, per: Duration::from_mins(1) }),
        rules: Vec::new(),
        name: "local".into(),
        listen: vec![Listen::Tcp("127.0.0.1:8080".parse().unwrap())],
        tls: None,
        auth: vec![],
        allow: Nets::default(),
        deny: Nets::default(),
        proxies: Proxies::default(),
        native: true,
        gateway: true,
        aws: true,
        split_arrays: false,
        routes: vec![],
        max_connections: 1024,
        max_per_sender: 512,
        max_body_bytes: 16 * MIB,
        max_unpacked_bytes: 64 * MIB,
        head_timeout: Duration::from_secs(10),
        body_timeout: Duration::from_secs(30),
        min_body_rate: None,
        idle_timeout: Duration::from_secs(75),
    }
}

#[test]
fn the_smallest_file_gets_every_default() {
    let config = with("");

    let right = Config {
        state_dir: "/var/lib/weir".into(),
        grace: Duration::from_secs(25),
        log_format: Format::Auto,
        log_level: Level::Info,
        traces: None,
        emf: None,
        reload_on_change: false,
        stdin: None,
        stdin_framing: framing::Settings::default(),
        is_once: false,
        admission: admission::Settings {
            streams: BTreeMap::from([(
                "a".into(),
                StreamSettings {
                    max_record_bytes: MIB,
                    partition_key: None,
                    aliases: Vec::new(),
                    plan: None,
                    treatment: Treatment::default(),
                },
            )]),
            auth: BTreeMap::new(),
            plans: BTreeMap::new(),
        },
        streams: BTreeMap::from([(
            "a".into(),
            Stream {
                kms: None,
                queue: queue::Settings {
                    folder: "/var/lib/weir/queue/a".into(),
                    stream: "a".into(),
                    max_bytes: 1024 * MIB,
                    min_free_disk: 512 * MIB,
                    cursor_save_after: Duration::from_millis(200),
                    policy: queue::Policy {
                        keys_kept: Duration::from_mins(10),
                        ..queue::Policy::default()
                    },
                    compresses: false,
                    keys: queue::Keys::default(),
                    sync: queue::SyncLevel::Always,
                },
                delivery: vec![feed("a", "d")],
            },
        )]),
        destinations: BTreeMap::from([(
            "d".into(),
            Destination::Directory(DirectorySettings {
                path: "/etc/weir/out".into(),
                name: "d".into(),
                object_bytes: 64 * MIB,
                object_age: Duration::from_mins(1),
                compression: Compression::None,
            }),
        )]),
        http: vec![local()],
        tail: vec![],
        uplink: LinkSettings::default(),
        dead_letters: dead_letter::Settings {
            folder: "/var/lib/weir/dead".into(),
            max_bytes: 1024 * MIB,
            max_age: Duration::from_hours(30 * 24),
        },
        admin: admin::Settings { listen: "127.0.0.1:9808".parse().unwrap(), key_file: None },
    };
    assert_eq!(config, right);
}

#[test]
fn links_are_read_with_budgets_windows_and_ranks() {
    let config = with(
        "[uplink]\nbytes = \"2 MiB/s\"\nwindow = \"22:00-06:00\"\n\
         [stream.b]\ndestinations = [\"k\", \"d\"]\npriority = 9\nweight = 1\n\
         [destination.k]\ntype = \"kinesis\"\nstream_name = \"x\"\nbytes = \"1 kB/min\"\n\
         window = [\"00:00-06:00 +02:00\", \"12:00-13:00\"]\ncatch_up_rate = \"1 MiB/s\"\n",
    );

    let rate = |bytes, per| Some(ByteRate { bytes: ByteSize(bytes), per });
    let window = |text: &str| text.parse().unwrap();
    let uplink = LinkSettings {
        bytes: rate(2 * MIB, Duration::from_secs(1)),
        windows: vec![window("22:00-06:00")],
    };
    let rank = Rank { priority: 9, weight: 1 };
    let pace = PaceSettings {
        link: LinkSettings {
            bytes: rate(1_000, Duration::from_mins(1)),
            windows: vec![window("00:00-06:00 +02:00"), window("12:00-13:00")],
        },
        rank,
        catch_up_rate: rate(MIB, Duration::from_secs(1)),
        catch_up_after: Duration::from_mins(1),
    };
    assert_eq!(config.uplink, uplink);
    let paces: Vec<_> = config.streams["b"].delivery.iter().map(|feed| feed.pace.clone()).collect();
    assert_eq!(paces, [pace, PaceSettings { rank, ..PaceSettings::default() }]);
}

#[test]
fn upstreams_are_read_with_their_own_settings_and_the_common_ones() {
    let config = with(
        "[stream.b]\ndestinations = [\"f\", \"k\"]\n\
         [destination.k]\ntype = \"kinesis\"\nstream_name = \"x\"\nmax_record = \"10 MiB\"\n\
         region = \"${REGION}\"\nconnect_timeout = \"1 s\"\nlinger = \"0 ms\"\n\
         [destination.f]\ntype = \"firehose\"\ndelivery_stream = \"y\"\nnewline = false\n\
         pack = \"off\"\npack_bytes = \"64 KiB\"\ndeaggregation = true\n\
         endpoint_url = \"http://[::1]:4566/x\"\nprofile = \"edge\"\nmax_in_flight = 64\n",
    );

    let aws = AwsSettings::default();
    let kinesis = KinesisSettings {
        stream_name: "x".into(),
        max_record_bytes: 10 * MIB,
        aggregate_bytes: Some(50 << 10),
        protocol: Protocol::Auto,
        aws: AwsSettings {
            region: Some("eu-west-3".into()),
            connect_timeout: Duration::from_secs(1),
            ..aws.clone()
        },
    };
    let firehose = FirehoseSettings {
        delivery_stream: "y".into(),
        newline: false,
        pack: false,
        pack_bytes: 64 << 10,
        deaggregation: true,
        aws: AwsSettings {
            endpoint_url: Some("http://[::1]:4566/x".into()),
            profile: Some("edge".into()),
            ..aws
        },
    };
    assert_eq!(config.destinations["k"], Destination::Kinesis(kinesis));
    assert_eq!(config.destinations["f"], Destination::Firehose(firehose));
    let right = vec![
        delivery::Settings { in_flight: 64, ..feed("b", "f") },
        delivery::Settings { linger: Duration::ZERO, ..feed("b", "k") },
    ];
    assert_eq!(config.streams["b"].delivery, right);
}

#[test]
fn callers_and_plans_are_read() {
    let config = with(
        "[http.lan]\nlisten = [\"0.0.0.0:80\", \"unix:sock\"]\nauth = \"keys\"\n\
         [auth.keys]\ntype = \"api_key\"\nfile = \"keys.toml\"\nplan = \"p\"\n\
         [plan.p]\nrate = \"500/min\"\nburst = 1_000\nbytes = \"2 MiB/s\"\n",
    );

    let keys = AuthSettings {
        kind: AuthKind::ApiKey { file: "/etc/weir/keys.toml".into() },
        plan: Some("p".into()),
        streams: None,
    };
    assert_eq!(config.admission.auth, BTreeMap::from([("keys".into(), keys)]));
    let plan = PlanSettings {
        rate: Some(CountRate { count: 500, per: Duration::from_mins(1) }),
        burst: Some(1000),
        bytes: Some(ByteRate { bytes: ByteSize(2 * MIB), per: Duration::from_secs(1) }),
        ..PlanSettings::default()
    };
    assert_eq!(config.admission.plans, BTreeMap::from([("p".into(), plan)]));
    let lan = config.http.iter().find(|http| http.name == "lan").unwrap();
    assert_eq!(lan.auth, ["keys"]);
    assert_eq!(lan.listen[1], Listen::Unix("/etc/weir/sock".into(), Access::default()));
}

#[test]
fn tails_are_read_and_their_lines_fit_into_the_stream() {
    let config = with(
        "[tail.t]\ninclude = [\"/var/log/*.log\", \"logs/[ab].log\"]\nexclude = [\"x/y\", \"*.gz\"]\nstream = \"b\"\n\
         start_at = \"beginning\"\nrescan = \"1 min\"\n[tail.s]\ninclude = \"y\"\nstream = \"a\"\n\
         [stream.b]\ndestinations = [\"d\"]\nmax_record = \"64 KiB\"\n",
    );

    let right = source::tail::Settings {
        name: "t".into(),
        include: vec!["/var/log/*.log".into(), "/etc/weir/logs/[ab].log".into()],
        exclude: vec!["/etc/weir/x/y".into(), "*.gz".into()],
        stream: "b".into(),
        start_at: StartAt::Beginning,
        framing: framing::Settings { record_bytes_max: 64 << 10, ..Default::default() },
        envelope: None,
        route: None,
        ignore_older: None,
        pinned_bytes_max: 1 << 30,
        done: source::tail::DoneSettings {
            what: source::tail::WhenDone::Keep,
            after: Duration::from_secs(300),
        },
        is_once: false,
        rescan_every: Duration::from_mins(1),
        dead_letters: config.dead_letters.clone(),
    };
    assert_eq!(config.tail[0], right, "in the order of the file");
    assert_eq!(config.tail[1].framing.record_bytes_max, 256 << 10);
}

#[test]
fn a_stream_takes_no_larger_records_than_its_destinations_unless_it_says_so() {
    let config = with(
        "[destination.k]\ntype = \"kinesis\"\nstream_name = \"x\"\n\
         [destination.f]\ntype = \"firehose\"\ndelivery_stream = \"x\"\n\
         [stream.k]\ndestinations = [\"k\"]\n[stream.f]\ndestinations = [\"d\", \"f\"]\n\
         [stream.written]\ndestinations = [\"d\", \"k\"]\nmax_record = \"1 MiB\"\n",
    );

    let largest = |stream: &str| config.admission.streams[stream].max_record_bytes;
    assert_eq!(largest("a"), MIB);
    assert_eq!(largest("k"), MIB - 1024, "room for the longest partition key");
    assert_eq!(largest("f"), 1_023_999, "room for the newline");
    assert_eq!(largest("written"), MIB);
}

#[test]
fn the_environment_may_give_texts_numbers_and_flags() {
    let config = with(
        "max_in_flight = 1\n[http.b]\nlisten = \"127.0.0.1:0\"\nmax_connections = \"${MANY}\"\n\
         [stream.b]\ndestinations = [\"f\"]\n[destination.f]\ntype = \"firehose\"\n\
         delivery_stream = \"${REGION}\"\nnewline = \"${YES}\"\n",
    );

    let listener = config.http.iter().find(|http| http.name == "b").unwrap();
    assert_eq!(listener.max_connections, 2000);
    let Destination::Firehose(firehose) = &config.destinations["f"] else { panic!() };
    assert_eq!((firehose.delivery_stream.as_str(), firehose.newline), ("eu-west-3", true));
}

#[test]
fn tables_may_be_written_inline_or_with_dots() {
    let usual = with("");
    let text = "http.local = { listen = [\"127.0.0.1:8080\"] }\nstream.a.destinations = \"d\"\n\
                destination.d = { type = \"directory\", path = \"/etc/weir/out\" }\n\
                [stream.a.queue]\nmax_bytes = \"1 GiB\"\n";

    assert_eq!(sound(text).config, usual);
}

#[test]
fn the_demo_needs_no_file() {
    let config = demo(Path::new("/srv/weir demo"));

    assert_eq!(config.state_dir, PathBuf::from("/srv/weir demo"));
    assert_eq!(
        config.summary(),
        "\
state         /srv/weir demo
http local    127.0.0.1:8080, open to everybody there, bodies up to 16 MiB
stream demo   keeps up to 64 MiB, records up to 1 MiB
  to archive  folder /srv/weir demo/out, objects of 64 MiB or 5 s
dead letters  up to 1 GiB and 30 d in /srv/weir demo/dead
admin         127.0.0.1:9808
"
    );
}

const HTTP_TO_KINESIS: &str = include_str!("../../../config/examples/http-to-kinesis.toml");
const TAIL_TO_FIREHOSE: &str = include_str!("../../../config/examples/tail-to-firehose.toml");
const METERED_LINK: &str = include_str!("../../../config/examples/metered-link.toml");
const EDGE_GATEWAY: &str = include_str!("../../../config/examples/edge-gateway.toml");
const AWS_ENDPOINT: &str = include_str!("../../../config/examples/aws-endpoint.toml");
const MANY_SOURCES: &str = include_str!("../../../config/examples/many-sources.toml");

#[test]
fn the_examples_are_sound_and_beyond_doubt() {
    for example in
        [AWS_ENDPOINT, HTTP_TO_KINESIS, TAIL_TO_FIREHOSE, EDGE_GATEWAY, MANY_SOURCES, METERED_LINK]
    {
        check_warnings(example, "");
    }
}

#[test]
fn a_summary_says_what_would_run() {
    assert_eq!(
        sound(MANY_SOURCES).config.summary(),
        "\
state                   /var/lib/weir
http local              127.0.0.1:8080, open to everybody there, bodies up to 16 MiB
http lan                0.0.0.0:8081, for callers of keys, bodies up to 4 MiB
tail syslog             /var/log/syslog, /var/log/auth.log into stream logs, from the end
tail apps               /srv/*/log/*.log into stream logs, from the end
stream logs             keeps up to 1 GiB, records up to 1023999 B
  to logs-firehose      Firehose delivery stream logs-to-s3 in eu-west-1, as profile logs
  to archive            folder /srv/archive, objects of 256 MiB or 15 min, zstd
stream telemetry        keeps up to 8 GiB, records up to 256 KiB
  to telemetry-kinesis  Kinesis stream arn:aws:kinesis:eu-west-1:123456789012:stream/telemetry in \
         eu-west-1, with credentials of its own
  to archive            folder /srv/archive, objects of 256 MiB or 15 min, zstd
dead letters            up to 512 MiB and 90 d in /var/lib/weir/dead
admin                   127.0.0.1:9808
"
    );
}

#[test]
fn the_level_of_sync_is_a_word_or_an_interval() {
    let level = |written: &str| {
        let text = format!(
            "[http.local]\nlisten = \"127.0.0.1:8080\"\n[stream.a]\ndestinations = \"d\"\n\
             queue.sync = \"{written}\"\n[destination.d]\ntype = \"directory\"\npath = \"out\"\n"
        );
        let loaded = read(&text).map_err(|findings| findings.to_string());
        loaded.map(|loaded| loaded.config.streams["a"].queue.sync)
    };
    let every = |ms| Ok(queue::SyncLevel::Every(Duration::from_millis(ms)));
    assert_eq!(level("always"), Ok(queue::SyncLevel::Always));
    assert_eq!(level("os"), Ok(queue::SyncLevel::System));
    assert_eq!(level("10 ms"), every(10));
    assert_eq!(level("1 min"), every(60_000));
    for wrong in ["9 ms", "61 s", "0 s", "never", "100"] {
        let findings = level(wrong).unwrap_err();
        assert!(findings.contains("`sync` is"), "{findings}");
    }
}
