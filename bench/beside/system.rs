//! The systems that are compared, each with its configuration of `bench/systems`.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::process::Process;
use super::request::{Door, Form};

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

/// What it reads, and where to it leads.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Source<'a> {
    Http,
    /// Each record goes to two upstreams.
    HttpToTwo,
    /// So many streams to one upstream: weir alone.
    Streams(usize),
    /// Callers show one of these keys, and have a plan: weir alone.
    Keys(&'a Arc<[String]>),
    /// The files of this pattern.
    Files(&'a str),
}

/// Around it.
pub(crate) struct Place {
    /// For its queue and its log; made anew for each run.
    pub(crate) folder: PathBuf,
    pub(crate) ca: PathBuf,
    pub(crate) upstream_port: u16,
    pub(crate) other_ca: PathBuf,
    /// The second upstream, if there is one.
    pub(crate) other_port: Option<u16>,
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

    /// Whether it is weir with a weaker promise than its own.
    pub(crate) fn is_weaker_weir(&self) -> bool {
        matches!(self.kind, Kind::Weir { sync } if sync != "always")
    }

    pub(crate) fn is_weir(&self) -> bool {
        matches!(self.kind, Kind::Weir { .. })
    }

    /// Where records go in: one door for each stream.
    pub(crate) fn doors(&self, place: &Place, source: Source<'_>) -> Vec<Door> {
        let (path, form) = match self.kind {
            Kind::Weir { .. } => ("/v1/streams/bench", Form::Lines),
            Kind::FluentBit => ("/bench", Form::Array),
            Kind::Vector => ("/bench", Form::Lines),
        };
        let keys = match source {
            Source::Keys(keys) => Arc::clone(keys),
            _ => Arc::default(),
        };
        let door = Door { address: place.listen, path: path.to_owned(), form, keys };
        let streams = if let Source::Streams(count) = source { count } else { 1 };
        let beside = (1..streams).map(|one| Door { path: format!("{path}-{one}"), ..door.clone() });
        std::iter::once(door.clone()).chain(beside).collect()
    }

    /// Where it takes what an AWS SDK sends, if it speaks that protocol.
    pub(crate) fn aws_door(&self, place: &Place) -> Option<Door> {
        self.is_weir().then(|| Door {
            address: place.listen,
            path: "/".to_owned(),
            form: Form::PutRecords,
            keys: Arc::default(),
        })
    }

    /// Starts it on what the folder holds.
    pub(crate) fn start(&self, place: &Place, source: Source<'_>) -> Process {
        fs::create_dir_all(&place.folder).expect("a scratch folder");
        let files = if let Source::Files(files) = source { files } else { "" };
        let sync = if let Kind::Weir { sync } = self.kind { sync } else { "" };
        let config = self.config(place, source);
        let mut command = Command::new(&self.program);
        if self.is_weir() {
            command.args(["run", "--config"]).arg(config);
        } else {
            command.arg(if self.kind == Kind::Vector { "--config" } else { "-c" }).arg(config);
        }
        let url = |port: u16| format!("https://localhost:{port}");
        let other = place.other_port.unwrap_or_default();
        command
            .env_clear()
            .env("BENCH_FOLDER", &place.folder)
            .env("BENCH_LISTEN", place.listen.to_string())
            .env("BENCH_PORT", place.listen.port().to_string())
            .env("BENCH_FILES", files)
            .env("BENCH_KEYS", keys_file(place))
            .env("BENCH_SYNC", sync)
            .env("BENCH_URL", url(place.upstream_port))
            .env("BENCH_UPSTREAM_PORT", place.upstream_port.to_string())
            .env("BENCH_CA", &place.ca)
            .env("BENCH_OTHER_URL", url(other))
            .env("BENCH_OTHER_PORT", other.to_string())
            .env("BENCH_OTHER_CA", &place.other_ca)
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "an-example-and-no-secret")
            .env("AWS_EC2_METADATA_DISABLED", "true");
        if matches!(self.kind, Kind::Weir { .. }) {
            // As its unit and its image have it.
            command.env("MALLOC_ARENA_MAX", "2");
        }
        Process::start(command, &place.folder)
    }

    /// Its file of `bench/systems`, or one made of it.
    fn config(&self, place: &Place, source: Source<'_>) -> PathBuf {
        let what = match source {
            Source::Http | Source::Streams(_) => "http",
            Source::HttpToTwo => "two",
            Source::Keys(_) => "keys",
            Source::Files(_) => "tail",
        };
        let name = match self.kind {
            Kind::Weir { .. } => format!("weir-{what}.toml"),
            Kind::FluentBit => format!("fluent-bit-{what}.conf"),
            Kind::Vector => format!("vector-{what}.yaml"),
        };
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/systems").join(name);
        match source {
            Source::Keys(keys) => write_keys(&keys_file(place), keys),
            Source::Streams(count @ 2..) => return with_streams(&file, place, count),
            _ => {}
        }
        file
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

fn keys_file(place: &Place) -> PathBuf {
    place.folder.with_file_name("keys.toml")
}

/// As `weir keys add` would, each for a caller of its own.
fn write_keys(file: &Path, keys: &[String]) {
    let mut text = String::new();
    for (number, key) in keys.iter().enumerate() {
        let hash: String =
            Sha256::digest(key.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
        text += &format!(
            "[[key]]\nname = \"device-{number}\"\nhash = \"sha256:{hash}\"\nplan = \"device\"\n"
        );
    }
    fs::write(file, text).expect("a scratch file");
}

/// The file, and more streams like the one in it.
fn with_streams(file: &Path, place: &Place, count: usize) -> PathBuf {
    let mut text = fs::read_to_string(file).expect("a file of this bench");
    let (_, behind) = text.split_once("[stream.bench]\n").expect("its stream");
    let settings = behind.split("\n[").next().unwrap_or_default().to_owned();
    for number in 1..count {
        text += &format!("\n[stream.bench-{number}]\n{settings}");
    }
    let made = place.folder.with_file_name("streams.toml");
    fs::write(&made, text).expect("a scratch file");
    made
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
