//! A hundred streams share the threads of one process, and those that nobody writes to leave the
//! disk alone.

use std::fmt::Write as _;
use std::fs;

use crate::support::agent::Agent;
use crate::support::books::Books;
use crate::support::scratch::Scratch;

const STREAMS: usize = 100;
/// Threads for work that blocks are 64 at most, whatever there is to do; the others are a few and
/// those of the processors.
const THREADS_MAX: usize = 64 + 16;

fn config() -> String {
    let mut config = String::from("[http.local]\nlisten = \"127.0.0.1:0\"\n");
    for stream in 0..STREAMS {
        write!(
            config,
            "[stream.s{stream}]\ndestinations = [\"d{stream}\"]\n\
             queue = {{ max_bytes = \"4 MiB\", min_free_disk = \"0 B\" }}\n\
             [destination.d{stream}]\ntype = \"directory\"\npath = \"out/{stream}\"\n\
             object_age = \"100 ms\"\n"
        )
        .unwrap();
    }
    config
}

/// Of a metric with the stream's label.
fn value(metrics: &str, name: &str, stream: usize) -> f64 {
    let start = format!("{name}{{stream=\"s{stream}\"}} ");
    let line = metrics.lines().find_map(|line| line.strip_prefix(&start));
    line.unwrap_or_else(|| panic!("no {start} in {metrics}")).parse().unwrap()
}

fn syncs(metrics: &str) -> Vec<f64> {
    (0..STREAMS).map(|stream| value(metrics, "weir_queue_sync_seconds_count", stream)).collect()
}

#[test]
fn a_hundred_streams_cost_no_hundred_threads_and_an_idle_one_no_sync() {
    let scratch = Scratch::new("many-streams");
    let agent = Agent::start(&scratch, &config());
    let processors = std::thread::available_parallelism().unwrap().get();
    let threads = || {
        let folder = format!("/proc/{}/task", agent.pid());
        fs::read_dir(folder).unwrap().count()
    };
    let mut most = threads();

    std::thread::scope(|scope| {
        let senders: Vec<_> = (0..8)
            .map(|sender| {
                let agent = &agent;
                scope.spawn(move || {
                    let client = agent.client("local");
                    for stream in (sender..STREAMS).step_by(8) {
                        for _ in 0..5 {
                            let answer = client.post(&format!("s{stream}"), b"to all").unwrap();
                            assert_eq!(answer.status, 202);
                        }
                    }
                })
            })
            .collect();
        while senders.iter().any(|sender| !sender.is_finished()) {
            most = most.max(threads());
            std::thread::yield_now();
        }
    });
    Books::settled(&agent);
    let before = syncs(&agent.metrics());
    for _ in 0..20 {
        assert_eq!(agent.client("local").post("s7", b"to one").unwrap().status, 202);
    }
    Books::settled(&agent);
    let after = syncs(&agent.metrics());

    assert!(most <= THREADS_MAX + processors, "{most} threads");
    for stream in 0..STREAMS {
        let more = after[stream] - before[stream];
        let (least, greatest) = if stream == 7 { (1.0, 20.0) } else { (0.0, 0.0) };
        assert!((least..=greatest).contains(&more), "{more} syncs of s{stream}");
    }
    assert_eq!(agent.terminate().code(), Some(0));
}
