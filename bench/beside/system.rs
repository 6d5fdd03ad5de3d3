//! The systems that are compared, each with its configuration of `bench/systems`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::load::Door;
use super::process::Process;

/// One of them.
#[derive(Clone, Debug)]
pub(crate) struct System {
    pub(crate) name: &'static str,
    /// What holds once it has acknowledged.
    pub(crate) promise: &'static str,
    pub(crate) program: PathBuf,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Weir { sync: &'static str },
    FluentBit,
    Vector,
}

/// What it reads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Http,
    /// The files of this pattern.
    Files(&'a str),
}

/// Around it.
pub(crate) struct Place {
    /// For its queue and its log; made anew for each run.
    pub(crate) folder: PathBuf,
    pub(crate) ca: PathBuf,
    pub(crate) upstream_port: u16,
    /// Where it listens, chosen once so that it is found again after a restart.
    pub(crate) listen: SocketAddr,
}

impl System {
    /// weir twice, with its own promise and with that of the others, then who else is there:
    /// `FLUENT_BIT` and `VECTOR` name their programs, else the search path is asked.
    pub(crate) fn all(weir: &Path) -> Vec<Self> {
        let own = |name, sync, promise| Self {
            name,
            promise,
            program: weir.to_owned(),
            kind: Kind::Weir { sync },
        };
        let mut all = vec![
            own("weir", "always", "synced to the disk"),
            own("weir, sync = \"os\"", "os", "written to a file; a power cut may take it"),
        ];
        let peers = [
            ("Fluent Bit", "FLUENT_BIT", "fluent-bit", Kind::FluentBit, "in a mapped file"),
            ("Vector", "VECTOR", "vector", Kind::Vector, "in memory; synced every 500 ms"),
        ];
        for (name, variable, command, kind, promise) in peers {
            if let Some(program) = find(variable, command) {
                all.push(Self { name, promise, program, kind });
            }
        }
        all
    }

    /// What it says of its version.
    pub(crate) fn version(&self) -> String {
        let said = Command::new(&self.program).arg("--version").output().map(|said| said.stdout);
        let said = String::from_utf8(said.unwrap_or_default()).unwrap_or_default();
        said.lines().next().unwrap_or("unknown").trim().to_owned()
    }

    pub(crate) fn door(&self, place: &Place) -> Door {
        let (path, takes_lines) = match self.kind {
            Kind::Weir { .. } => ("/v1/streams/bench", true),
            Kind::FluentBit => ("/bench", false),
            Kind::Vector => ("/bench", true),
        };
        Door { address: place.listen, path, takes_lines }
    }

    /// Starts it on what the folder holds.
    pub(crate) fn start(&self, place: &Place, source: Source<'_>) -> Process {
        fs::create_dir_all(&place.folder).expect("a scratch folder");
        let (what, files) = match source {
            Source::Http => ("http", ""),
            Source::Files(files) => ("tail", files),
        };
        let (name, sync) = match self.kind {
            Kind::Weir { sync } => (format!("weir-{what}.toml"), sync),
            Kind::FluentBit => (format!("fluent-bit-{what}.conf"), ""),
            Kind::Vector => (format!("vector-{what}.yaml"), ""),
        };
        let config = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/systems").join(name);
        let mut command = Command::new(&self.program);
        if matches!(self.kind, Kind::Weir { .. }) {
            command.args(["run", "--config"]).arg(config);
        } else {
            command.arg(if self.kind == Kind::Vector { "--config" } else { "-c" }).arg(config);
        }
        command
            .env_clear()
            .env("BENCH_FOLDER", &place.folder)
            .env("BENCH_LISTEN", place.listen.to_string())
            .env("BENCH_PORT", place.listen.port().to_string())
            .env("BENCH_FILES", files)
            .env("BENCH_SYNC", sync)
            .env("BENCH_URL", format!("https://localhost:{}", place.upstream_port))
            .env("BENCH_UPSTREAM_PORT", place.upstream_port.to_string())
            .env("BENCH_CA", &place.ca)
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "an-example-and-no-secret")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        if matches!(self.kind, Kind::Weir { .. }) {
            // As its unit and its image have it.
            command.env("MALLOC_ARENA_MAX", "2");
        }
        Process::start(command, &place.folder)
    }

    /// Waits until its door answers; gives the time since `begun`.
    pub(crate) fn wait_until_ready(
        &self,
        place: &Place,
        process: &mut Process,
        begun: Instant,
    ) -> Duration {
        loop {
            if answers(place.listen) {
                return begun.elapsed();
            }
            process.must_run();
            assert!(begun.elapsed() < Duration::from_secs(60), "{} does not listen", self.name);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Whether anything is said to a question, whatever it is.
fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let asked =
        stream.write_all(b"GET /ready HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n\r\n");
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok();
    asked.is_ok() && stream.read(&mut [0; 16]).is_ok_and(|read| read > 0)
}

/// An address where nobody listens now.
pub(crate) fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    listener.local_addr().expect("a bound listener has an address")
}

fn find(variable: &str, command: &str) -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(variable) {
        return Some(named.into());
    }
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(command)).find(|file| file.is_file())
}
