//! One request or line, through the real listeners and queues of a configuration, in a folder of its
//! own: nothing goes out, nothing of the host's own state is touched. For `weir test`.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use super::StartError;
use super::assemble::lambdas;
use crate::admission::{Admission, AuthKind, Below, keys};
use crate::base::clock::Clock;
use crate::base::disk::{Disk, Kind, SharedDisk, read_named_file};
use crate::base::http_call::{Call, call};
use crate::base::nets::Nets;
use crate::base::random;
use crate::base::serve::Process;
use crate::base::shutdown;
use crate::base::tasks::{Tasks, blocking};
use crate::config::Config;
use crate::config::cases::{Asked, Line, TestKey, TestProcess};
use crate::queue::{self, Budget, Reader, Writer};
use crate::record::{Origin, RawRecord, Record, decode};
use crate::source::http::{self, Forwarded, LentPapers, Listen, Proxies};
use crate::telemetry::Metrics;

/// What became of it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// The status of the answer; `None` for a line.
    pub status: Option<u16>,
    /// The slug of the refusal, `dead` for a line that becomes a dead letter.
    pub refused: Option<String>,
    /// The faults of records, as the answer lists them.
    pub rejected: Vec<Value>,
    /// How many records transforms dropped.
    pub dropped: u64,
    /// What was stored, by stream, then in the order of its queue.
    pub stored: Vec<(String, Record)>,
}

/// What comes in.
#[derive(Clone, Copy, Debug)]
pub enum Incoming<'a> {
    /// Over HTTP, at this listener, or at the only one.
    Request(Option<&'a str>, &'a Asked),
    /// From a file.
    Line(&'a Line),
}

/// More records than a case may store.
const STORED_MAX: usize = 10_000;
const STORED_BYTES_MAX: usize = 64 << 20;
/// A queue of this size is enough for one case.
const QUEUE_BYTES: u64 = 128 << 20;

/// Lets one thing in, and looks at what became of it.
///
/// # Errors
/// In words, if it could not be tried at all.
pub async fn try_out(
    config: &Config,
    known: &BTreeMap<String, TestKey>,
    incoming: Incoming<'_>,
    disk: SharedDisk,
) -> Result<Seen, StartError> {
    let name = format!("weir-test-{}-{:016x}", std::process::id(), random::bits() >> 64);
    let folder = std::env::temp_dir().join(name);
    disk.create_folders(&folder).map_err(StartError::Disk)?;
    let seen = Trial { config, disk: disk.clone(), folder: folder.clone() };
    let seen = seen.run(known, incoming).await;
    let gone = blocking(move || remove_all(disk.as_ref(), &folder)).await;
    let seen = seen?;
    gone.map_err(StartError::Disk)?;
    Ok(seen)
}

struct Trial<'a> {
    config: &'a Config,
    disk: SharedDisk,
    folder: PathBuf,
}

/// The queues of a trial, open at both ends.
type Queues = BTreeMap<String, (Writer, Vec<Reader>)>;

impl Trial<'_> {
    async fn run(
        &self,
        known: &BTreeMap<String, TestKey>,
        incoming: Incoming<'_>,
    ) -> Result<Seen, StartError> {
        let (metrics, clock) = (Metrics::default(), Clock::real());
        let keys_file = self.folder.join("keys.toml");
        let secrets = self.make_keys(&keys_file, known, &clock)?;
        let mut queues = self.open_queues(&metrics).await?;
        let mut settings = self.config.admission.clone();
        for auth in settings.auth.values_mut() {
            if let AuthKind::ApiKey { file } = &mut auth.kind {
                file.clone_from(&keys_file);
            }
        }
        let writers: BTreeMap<_, _> =
            queues.iter().map(|(name, (writer, _))| (name.clone(), writer.clone())).collect();
        let disk = self.disk.clone();
        let lambdas = lambdas(self.config).await?;
        let below = Below { disk, clock, queues: writers, lambdas, quotas: None };
        let admission = Admission::open(below, settings, &metrics).map_err(StartError::Setting)?;
        let mut seen = match incoming {
            Incoming::Request(listener, asked) => {
                let http = self.listener(listener)?;
                let visit = Visit::new(asked, &secrets, self.disk.as_ref())?;
                self.ask(http, visit, admission.clone(), &metrics).await?
            }
            Incoming::Line(line) => self.hand_in(line, &admission).await?,
        };
        seen.dropped = queues.keys().map(|stream| admission.dropped(stream)).sum();
        for (stream, (writer, readers)) in &mut queues {
            let Some(reader) = readers.first_mut().filter(|_| writer.overview().committed > 0)
            else {
                continue;
            };
            let budget = Budget { count: STORED_MAX, bytes: STORED_BYTES_MAX };
            let stored = reader.next(budget).await.map_err(|error| wrong(&error))?;
            for stored in stored {
                let record = decode(stored.payload).map_err(|error| wrong(&error))?;
                seen.stored.push((stream.clone(), record));
            }
        }
        Ok(seen)
    }

    fn make_keys(
        &self,
        file: &Path,
        known: &BTreeMap<String, TestKey>,
        clock: &Clock,
    ) -> Result<BTreeMap<String, String>, StartError> {
        let mut secrets = BTreeMap::new();
        for (name, key) in known {
            let TestKey { plan, streams } = key.clone();
            let new = keys::NewKey { name: name.clone(), plan, streams, expires: None };
            let secret = keys::add(self.disk.as_ref(), clock, file, &new);
            let secret = secret.map_err(|error| StartError::Setting(error.to_string()))?;
            secrets.insert(name.clone(), secret.reveal().to_owned());
        }
        Ok(secrets)
    }

    async fn open_queues(&self, metrics: &Metrics) -> Result<Queues, StartError> {
        let mut queues = Queues::new();
        for (name, stream) in &self.config.streams {
            let settings = queue::Settings {
                folder: self.folder.join(name),
                max_bytes: QUEUE_BYTES,
                min_free_disk: 0,
                keys: queue::Keys::default(),
                ..stream.queue.clone()
            };
            let (disk, metrics) = (self.disk.clone(), metrics.clone());
            let open = move || queue::open(disk, settings, &["test".into()], &metrics);
            let opened = blocking(open).await?;
            queues.insert(name.clone(), (opened.writer, opened.readers));
        }
        Ok(queues)
    }

    fn listener(&self, name: Option<&str>) -> Result<&http::Settings, StartError> {
        let all = &self.config.http;
        let found = match name {
            Some(name) => all.iter().find(|http| http.name == name),
            None => all.first().filter(|_| all.len() == 1),
        };
        found.ok_or_else(|| {
            StartError::Setting(match name {
                Some(name) => format!("there is no listener `{name}`"),
                None => "the case names no listener, and there is not just one".to_owned(),
            })
        })
    }

    /// Over a real socket on this host, in clear. The case may say where it comes from, as a proxy
    /// would.
    async fn ask(
        &self,
        http: &http::Settings,
        visit: Visit,
        admission: Arc<Admission>,
        metrics: &Metrics,
    ) -> Result<Seen, StartError> {
        let mut settings = http.clone();
        let loopback = "127.0.0.1:0".parse().map_err(|error| wrong(&error))?;
        (settings.listen, settings.tls) = (vec![Listen::Tcp(loopback)], None);
        let Visit { call: mut call_out, from, papers } = visit;
        if let Some(from) = from {
            let nets = "127.0.0.1/32".parse().map_err(|_| wrong(&"this host has no address"))?;
            let header = Forwarded::XForwardedFor;
            settings.proxies = Proxies { nets: Nets(vec![nets]), unix: false, header };
            call_out.headers.insert(X_FORWARDED_FOR, from);
        }
        let bound = http::bind(self.disk.clone(), settings).await.map_err(StartError::Listen)?;
        let bound = bound.with_lent(papers);
        let target = bound.addresses().first().map(|at| format!("http://{at}"));
        let (stop, stopping) = shutdown::channel();
        let mut tasks = Tasks::default();
        tasks.spawn("the listener".to_owned(), bound.serve(admission, metrics.clone(), stopping));
        let reply = call(&target.unwrap_or_default(), call_out).await;
        stop.ask();
        let reply = reply.map_err(|error| wrong(&error))?;
        let said: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
        let member = |name: &str| said.get(name).cloned();
        let slug = member("type").and_then(|kind| kind.as_str().map(str::to_owned));
        let aws = member("__type").and_then(|kind| kind.as_str().map(str::to_owned));
        let slug = slug.and_then(|kind| kind.strip_prefix("urn:weir:problem:").map(str::to_owned));
        let rejected = member("rejected").and_then(|all| all.as_array().cloned());
        Ok(Seen {
            status: Some(reply.status),
            refused: slug.or(aws),
            rejected: rejected.unwrap_or_default(),
            ..Seen::default()
        })
    }

    /// As the tail hands it in.
    async fn hand_in(&self, line: &Line, admission: &Admission) -> Result<Seen, StartError> {
        let known = self.config.tail.iter().find(|tail| tail.name == line.tail);
        let stream = known.map(|tail| tail.stream.clone()).ok_or_else(|| {
            StartError::Setting(format!("there is no tail block `{}`", line.tail))
        })?;
        let origin = Origin { file: line.file.clone(), ..Origin::default() };
        let payload = line.text.clone().into();
        let origin = Some(Arc::new(origin));
        let raw = RawRecord { payload, origin, ..RawRecord::default() };
        let refused = |refusal: crate::admission::Refusal| wrong(&refusal.reason());
        let source = format!("tail.{}", line.tail);
        let pass = admission.enter_openly(&source, &stream).map_err(refused)?;
        let (admitted, rejections) = admission.admit(&pass, vec![raw]).map_err(refused)?;
        let flaw = |index: usize, flaw: &crate::admission::Flaw| serde_json::json!({ "index": index, "pointer": flaw.pointer, "reason": flaw.reason });
        let rejected = rejections
            .iter()
            .flat_map(|rejection| rejection.flaws.iter().map(|one| flaw(rejection.index, one)))
            .collect();
        let is_dead = !rejections.is_empty();
        admission.store(admitted).await.map_err(refused)?;
        let refused = is_dead.then(|| "dead".to_owned());
        Ok(Seen { refused, rejected, ..Seen::default() })
    }
}

const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A request as it is made, and what it shows beside it.
struct Visit {
    call: Call,
    /// Where it says it comes from.
    from: Option<HeaderValue>,
    papers: LentPapers,
}

/// Largest file of a certificate.
const CERTIFICATE_BYTES_MAX: u64 = 64 << 10;

impl Visit {
    /// With the secrets in place of their names.
    fn new(
        asked: &Asked,
        secrets: &BTreeMap<String, String>,
        disk: &dyn Disk,
    ) -> Result<Self, StartError> {
        let method = asked.method.as_deref().unwrap_or("POST");
        let method = method.parse().map_err(|error| wrong(&error))?;
        let mut call = Call::new(method, asked.path.clone(), asked.body.clone());
        for (name, value) in &asked.headers {
            let mut value = value.clone();
            for (caller, secret) in secrets {
                value = value.replace(&format!("{{key:{caller}}}"), secret);
            }
            let name: HeaderName = name.parse().map_err(|error| wrong(&error))?;
            let value = HeaderValue::from_bytes(value.as_bytes()).map_err(|error| wrong(&error))?;
            call.headers.append(name, value);
        }
        let from = asked.from.map(|from| HeaderValue::from_str(&from.to_string()));
        let from = from.transpose().map_err(|error| wrong(&error))?;
        let process = asked.process.map(|TestProcess { uid, gid }| Process { uid, gid, pid: None });
        let certificate = asked.certificate.as_deref().map(|path| certificate(disk, path));
        let certificate = certificate.transpose()?;
        Ok(Self { call, from, papers: LentPapers { process, certificate } })
    }
}

fn certificate(disk: &dyn Disk, path: &Path) -> Result<Bytes, StartError> {
    let fault = |why: &dyn std::fmt::Display| {
        StartError::Setting(format!("the certificate {}: {why}", path.display()))
    };
    let pem = read_named_file(disk, path, CERTIFICATE_BYTES_MAX).map_err(|why| fault(&why))?;
    let certificate = CertificateDer::from_pem_slice(&pem).map_err(|why| fault(&why))?;
    Ok(Bytes::copy_from_slice(&certificate))
}

fn wrong(error: &dyn std::fmt::Display) -> StartError {
    StartError::Setting(error.to_string())
}

fn remove_all(disk: &dyn Disk, folder: &Path) -> io::Result<()> {
    for one in disk.list(folder)? {
        let path = folder.join(&one.name);
        match one.kind {
            Kind::Folder => remove_all(disk, &path)?,
            Kind::File | Kind::Other => disk.remove(&path)?,
        }
    }
    disk.remove_folder(folder)
}
