//! What systemd is told by a unit of `Type=notify` with `WatchdogSec=`.

use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::time::Duration;

use crate::support::agent::{Agent, Ended, weir};
use crate::support::peers::venv_program;
use crate::support::scratch::Scratch;
use crate::support::{PATIENCE, run};

const CONFIG: &str = r#"
    [http.local]
    listen = "127.0.0.1:0"
    [stream.events]
    destinations = ["folder"]
    [destination.folder]
    type = "directory"
    path = "out"
"#;

/// The end that systemd holds.
struct Supervisor(UnixDatagram);

impl Supervisor {
    #[track_caller]
    fn hears(&self) -> String {
        let mut bytes = [0; 4096];
        let count = self.0.recv(&mut bytes).expect("word from the agent in time");
        String::from_utf8(bytes.get(..count).unwrap().to_vec()).unwrap()
    }

    /// Skips what is not about it.
    #[track_caller]
    fn hears_of(&self, what: &str) -> String {
        loop {
            let word = self.hears();
            if word.lines().any(|line| line == what) {
                return word;
            }
        }
    }
}

#[test]
fn readiness_life_and_the_stop_are_told_in_this_order() {
    let scratch = Scratch::new("supervised");
    let socket = scratch.join("notify");
    let supervisor = Supervisor(UnixDatagram::bind(&socket).unwrap());
    supervisor.0.set_read_timeout(Some(PATIENCE)).unwrap();

    let agent = Agent::start_supervised(&scratch, CONFIG, &socket, Duration::from_millis(400));

    let first = supervisor.hears();
    assert_eq!(first, "READY=1\nSTATUS=ready\n");
    assert_eq!(agent.client("local").post("events", b"hello").unwrap().status, 202);
    let alive = supervisor.hears_of("WATCHDOG=1");
    assert!(alive.contains("to be delivered"), "{alive}");
    supervisor.hears_of("WATCHDOG=1");
    agent.hang_up();
    let reloading = supervisor.hears_of("RELOADING=1");
    assert!(reloading.contains("MONOTONIC_USEC="), "{reloading}");
    supervisor.hears_of("READY=1");
    assert_eq!(probe(&scratch, "--ready").code, Some(0));
    assert_eq!(probe(&scratch, "--live").succeeded(), "");
    assert_eq!(agent.terminate().code(), Some(0));
    supervisor.hears_of("STOPPING=1");
    assert_eq!(probe(&scratch, "--live").code, Some(69));
}

/// As hosts without a shell ask.
fn probe(scratch: &Scratch, what: &str) -> Ended {
    weir(scratch, &["status", what, "--config", scratch.join("weir.toml").to_str().unwrap()])
}

/// What a manifest puts into its config map.
fn configuration_in(manifest: &str) -> String {
    let lines = manifest.lines().skip_while(|line| line.trim() != "weir.toml: |").skip(1);
    let block = lines.take_while(|line| line.is_empty() || line.starts_with("    "));
    block.map(|line| format!("{}\n", line.trim_start_matches("    "))).collect()
}

#[test]
fn the_configurations_in_the_manifests_are_sound() {
    let scratch = Scratch::new("manifests");
    let sidecar = include_str!("../../packaging/kubernetes/sidecar.yaml");
    let daemon_set = include_str!("../../packaging/kubernetes/daemonset.yaml");
    let pod = include_str!("../../packaging/container/pod.yaml");
    for (name, manifest) in [("sidecar", sidecar), ("daemon set", daemon_set), ("pod", pod)] {
        let text = configuration_in(manifest).replace("${NODE}", "node-1");
        assert!(text.contains("state_dir"), "{name}: {text}");
        let file = scratch.join("of-a-manifest.toml");
        std::fs::write(&file, text).unwrap();
        let checked = weir(&scratch, &["check", "--config", file.to_str().unwrap()]);
        assert_eq!(checked.code, Some(0), "{name}: {checked:?}");
    }
}

#[test]
fn the_manifests_are_what_kubernetes_takes() {
    let validate = venv_program("kubernetes-validate");
    for manifest in ["kubernetes/sidecar.yaml", "kubernetes/daemonset.yaml", "container/pod.yaml"] {
        // Strictly: a key that nobody knows is a fault.
        run(Command::new(&validate).arg("--strict").arg(format!("packaging/{manifest}")));
    }
    let scratch = Scratch::new("odd-manifest");
    let sidecar = include_str!("../../packaging/kubernetes/sidecar.yaml");
    let odd = scratch.write("odd.yaml", &sidecar.replace("replicas:", "replica:"));
    assert!(!Command::new(&validate).arg("--strict").arg(odd).status().unwrap().success());
}

#[test]
fn the_alerts_ask_for_metrics_that_there_are() {
    let alerts = include_str!("../../packaging/prometheus/alerts.yaml");
    let page = include_str!("../../docs/METRICS.md");
    let words = alerts.split(|letter: char| letter != '_' && !letter.is_ascii_alphanumeric());
    let asked: Vec<&str> = words.filter(|word| word.starts_with("weir_")).collect();
    assert!(asked.len() > 8, "{asked:?}");
    for metric in asked {
        let metric = metric.strip_suffix("_bucket").unwrap_or(metric);
        assert!(page.contains(&format!("`{metric}`")), "{metric} is in no table");
    }
}
