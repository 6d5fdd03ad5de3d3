//! weir as a container: an image of one static binary, without root and without a shell, on a file
//! system that nobody can write to but for the volume.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::support::agent::weir;
use crate::support::books::{Books, Row};
use crate::support::packages::{build, static_binary};
use crate::support::peers::{Kinesis, REGION};
use crate::support::scratch::Scratch;
use crate::support::tls_peer::{ALWAYS, Authority, TlsFront};
use crate::support::{is_root, run, wait_for};

const IMAGE: &str = concat!("localhost/weir:", env!("CARGO_PKG_VERSION"));

/// A podman with images, containers and volumes of its own, all gone with it.
struct Podman {
    flags: Vec<String>,
    conf: String,
}

impl Podman {
    /// With the image built, which trusts this bundle or the usual one.
    #[track_caller]
    fn with_image(scratch: &Scratch, ca_bundle: Option<&Path>) -> Self {
        // Limits that also a host without the right to raise them has, and no systemd to talk to.
        let conf = scratch.write(
            "containers.conf",
            "[containers]\ndefault_ulimits = [\"nofile=1024:1024\", \"nproc=4096:4096\"]\n\
             [engine]\ncgroup_manager = \"cgroupfs\"\nevents_logger = \"file\"\nruntime = \"runc\"\n",
        );
        let folder = |name: &str| scratch.join(name).display().to_string();
        let flags = ["--root", &folder("podman"), "--runroot", &folder("podman-run")];
        let flags = flags.map(str::to_owned).to_vec();
        let podman = Self { flags, conf: conf.display().to_string() };
        let mut build = build(&scratch.join("built"));
        build.arg("image").env("WEIR_STATIC", static_binary());
        build.env("PODMAN", format!("podman {}", podman.flags.join(" ")));
        build.env("CONTAINERS_CONF", &podman.conf).env("STORAGE_DRIVER", "vfs");
        build.envs(ca_bundle.map(|bundle| ("CA_BUNDLE", bundle)));
        run(&mut build);
        podman
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut podman = Command::new("podman");
        podman.env("CONTAINERS_CONF", &self.conf).env("STORAGE_DRIVER", "vfs");
        podman.args(&self.flags).args(arguments);
        podman
    }

    #[track_caller]
    fn run(&self, arguments: &[&str]) -> String {
        run(&mut self.command(arguments)).trim_end().to_owned()
    }

    /// Starts a container that may do nothing but run.
    #[track_caller]
    fn start(&self, name: &str, more: &[&str]) {
        let strict = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges"];
        let start = ["run", "--detach", "--pull=never", "--name", name];
        self.run(&[&start, &strict[..], more, &[IMAGE]].concat());
        self.wait_until_ready(name);
    }

    #[track_caller]
    fn wait_until_ready(&self, name: &str) {
        wait_for("the agent in the container to be ready", || {
            let asked =
                self.command(&["exec", name, "/weir", "status", "--ready"]).output().unwrap();
            asked.status.success().then_some(())
        });
    }

    /// Sends records from within: nobody else is on the network of the container.
    #[track_caller]
    fn send(&self, name: &str, records: &Path) {
        let records = records.display().to_string();
        self.run(&["cp", &records, &format!("{name}:/var/lib/weir/records")]);
        let send = ["exec", name, "/weir", "send", "--stream", "events", "/var/lib/weir/records"];
        self.run(&send);
    }

    #[track_caller]
    fn row(&self, name: &str, destination: &str) -> Row {
        let status = self.run(&["exec", name, "/weir", "status", "--json"]);
        Books::of(&serde_json::from_str(&status).unwrap()).row("events", destination)
    }

    #[track_caller]
    fn wait_until_delivered(&self, name: &str, destination: &str, records: u64) {
        let all = Row { accepted: records, delivered: records, ..Row::default() };
        wait_for("all to be delivered", || (self.row(name, destination) == all).then_some(()));
    }
}

impl Drop for Podman {
    fn drop(&mut self) {
        for what in [
            &["pod", "rm", "--all", "--force", "--time=0"][..],
            &["rm", "--all", "--force", "--time=0"],
        ] {
            // They hold mounts below the scratch folder; a test that failed may have left none.
            self.command(what).output().ok();
        }
    }
}

fn numbers(scratch: &Scratch, count: u64) -> std::path::PathBuf {
    let lines: Vec<String> = (1..=count).map(|number| number.to_string()).collect();
    scratch.write("records", &lines.join("\n"))
}

#[test]
fn the_image_runs_without_root_keeps_its_volume_and_tells_its_health() {
    if !is_root("running containers") {
        return;
    }
    let scratch = Scratch::new("image");
    let podman = Podman::with_image(&scratch, None);
    let image: Value = serde_json::from_str(&podman.run(&["image", "inspect", IMAGE])).unwrap();
    assert_eq!(image[0]["User"], "65532:65532");
    assert!(image[0]["Healthcheck"]["Test"].to_string().contains("--live"), "{image}");
    let volume = ["--volume=state:/var/lib/weir", "--network=none"];

    podman.start("first", &volume);

    podman.send("first", &numbers(&scratch, 100));
    podman.wait_until_delivered("first", "here", 100);
    podman.run(&["healthcheck", "run", "first"]);
    let process = podman.run(&["inspect", "--format={{.State.Pid}}", "first"]);
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
    for line in ["Uid:\t65532\t65532", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    podman.run(&["stop", "first"]);
    assert_eq!(podman.run(&["inspect", "--format={{.State.ExitCode}}", "first"]), "0");

    // The next version of the image goes on where the first stopped.
    podman.start("second", &volume);

    podman.send("second", &numbers(&scratch, 10));
    podman.wait_until_delivered("second", "here", 110);
}

#[test]
fn the_image_looks_names_up_and_trusts_the_roots_it_brings() {
    if !is_root("running containers") {
        return;
    }
    let scratch = Scratch::new("image-tls");
    let authority = Authority::new("the only root");
    let bundle = scratch.write("roots.pem", &authority.pem);
    let kinesis = Kinesis::start();
    kinesis.create_stream("events", 1);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let own = authority.issue("localhost", ALWAYS);
    let inner = kinesis.url().trim_start_matches("http://").parse().unwrap();
    let front = runtime.block_on(TlsFront::start(&own, inner));
    let port = front.address.port();
    // The address of the listener, and of the admin's, is the system's choice: the network is the host's.
    let config = scratch.write(
        "mounted.toml",
        &format!(
            "[http.local]\nlisten = \"127.0.0.1:0\"\n[stream.events]\ndestinations = [\"cloud\"]\n\
             [destination.cloud]\ntype = \"kinesis\"\nstream_name = \"events\"\nregion = \"{REGION}\"\n\
             endpoint_url = \"https://localhost:{port}\"\nlinger = \"10 ms\"\naccess_key_id = \"AKIAIOSFODNN7EXAMPLE\"\n\
             secret_access_key = \"an-example-and-no-secret\"\n[admin]\nlisten = \"127.0.0.1:0\"\n"
        ),
    );
    let podman = Podman::with_image(&scratch, Some(&bundle));

    let mount = format!("--volume={}:/etc/weir/weir.toml:ro", config.display());
    podman.start("weir", &["--network=host", &mount]);

    podman.send("weir", &numbers(&scratch, 100));
    podman.wait_until_delivered("weir", "cloud", 100);
    assert_eq!(kinesis.payloads("events").len(), 100);
}

#[test]
fn the_pod_runs_by_podman_alone() {
    if !is_root("running containers") {
        return;
    }
    let scratch = Scratch::new("pod");
    let podman = Podman::with_image(&scratch, None);
    let pod = "packaging/container/pod.yaml";

    podman.run(&["play", "kube", "--network=none", pod]);

    podman.wait_until_ready("weir-agent");
    podman.send("weir-agent", &numbers(&scratch, 100));
    podman.wait_until_delivered("weir-agent", "here", 100);
    let told = podman.run(&[
        "inspect",
        "--format={{.HostConfig.ReadonlyRootfs}} {{.Config.User}} {{.EffectiveCaps}}",
        "weir-agent",
    ]);
    assert_eq!(told, "true 65532:65532 []");

    // Down and up again: what is in the volume outlives the pod.
    podman.run(&["play", "kube", "--down", pod]);
    podman.run(&["play", "kube", "--network=none", pod]);

    podman.wait_until_ready("weir-agent");
    podman.wait_until_delivered("weir-agent", "here", 100);
}

#[test]
fn the_static_binary_needs_nothing_of_the_host() {
    let scratch = Scratch::new("static");
    let binary = static_binary();

    let segments = run(Command::new("readelf").arg("--program-headers").arg(binary));

    // No interpreter: nothing to load before it, nor after.
    assert!(!segments.contains("INTERP"), "{segments}");
    let version = run(Command::new(binary).arg("--version"));
    assert_eq!(version, weir(&scratch, &["--version"]).succeeded());
}
