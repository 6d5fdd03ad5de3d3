//! `weir consume`: reads back what arrived at a Kinesis stream, in the order of each shard and across
//! reshards, with aggregates taken apart.

mod page;
mod shard;

use std::collections::BTreeSet;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Semaphore, mpsc};

use super::ConfigFile;
use super::reach::load;
use super::report::{Answer, Exit, Report, tell};
use super::when::{When, when};
use crate::base::clock::Clock;
use crate::base::tasks::Jobs;
use crate::config::Destination;
use crate::delivery::{Class, classify};
use crate::sink::{
    At, AwsSettings, Begin, Fault, Kinesis, KinesisSettings, Lineage, Offspring, Protocol, Reading,
    ServiceClock,
};
use page::{Printed, Printer};
use shard::{Event, ShardReader, patiently};

/// What `weir consume` can be told.
#[derive(Clone, Debug, Args)]
#[command(group = clap::ArgGroup::new("what").required(true))]
pub(super) struct Consume {
    #[command(flatten)]
    file: ConfigFile,
    /// A destination of the configuration: its stream is read, the way there and the credentials are
    /// its own
    #[arg(value_name = "DESTINATION", group = "what")]
    destination: Option<String>,
    /// The same as the bare name
    #[arg(
        long = "destination",
        short = 'd',
        value_name = "DESTINATION",
        group = "what",
        hide = true
    )]
    named: Option<String>,
    /// A stream, by name or ARN, without a configuration
    #[arg(long, short, value_name = "STREAM", group = "what")]
    stream: Option<String>,
    /// The region of `--stream`; without, that of the environment or the profile
    #[arg(long, value_name = "REGION", requires = "stream")]
    region: Option<String>,
    /// Another address than the region's, with `--stream`
    #[arg(long, value_name = "URL", requires = "stream")]
    endpoint_url: Option<String>,
    /// Where to begin: trim-horizon (the oldest record there is), latest (what comes from now on), a
    /// time like 2026-11-22T06:00:00Z, or "2 h" (ago)
    #[arg(long, value_name = "WHERE", default_value = "trim-horizon", value_parser = from)]
    from: From,
    /// Only this shard, may be given again; without, all of them and what becomes of them
    #[arg(long, value_name = "SHARD")]
    shard: Vec<String>,
    /// Go on with what arrives, until interrupted
    #[arg(long, short)]
    follow: bool,
    /// Most records to print
    #[arg(long, value_name = "COUNT", default_value_t = u64::MAX, hide_default_value = true)]
    max: u64,
    /// Print one JSON object a line, with keys, numbers, shard and time; `weir send --envelope` takes it
    #[arg(long)]
    json: bool,
}

/// Where reading begins, as it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum From {
    Oldest,
    Newest,
    When(When),
}

fn from(text: &str) -> Result<From, String> {
    match text {
        "trim-horizon" => Ok(From::Oldest),
        "latest" => Ok(From::Newest),
        other => when(other)
            .map(From::When)
            .map_err(|why| format!("neither trim-horizon nor latest; {why}")),
    }
}

/// Shards that are asked at once; each answer may have 10 MiB.
const AT_ONCE: usize = 8;

pub(super) fn consume(consume: &Consume) -> Answer {
    if consume.from == From::Newest && !consume.follow {
        return Err(Report::new(Exit::Usage, "from the latest on there is nothing yet")
            .hint("add `--follow` to print what arrives from now on"));
    }
    if matches!(consume.begin(), Begin::At(unix_ms) if unix_ms > Clock::real().unix_ms()) {
        return Err(Report::new(Exit::Usage, "`--from` names a time that is still to come")
            .hint("add `--follow` and begin at `latest` to print what arrives from now on"));
    }
    let settings = consume.settings()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Report::new(Exit::Software, error))?;
    let printer = Printer::new(consume.json, consume.max)?;
    let printed = runtime.block_on(consume.read(&settings, printer));
    // A request under way is not waited for.
    runtime.shutdown_background();
    printed
}

impl Consume {
    fn settings(&self) -> Result<KinesisSettings, Report> {
        if let Some(stream) = &self.stream {
            return Ok(KinesisSettings {
                stream_name: stream.clone(),
                max_record_bytes: 1 << 20,
                aggregate_bytes: None,
                protocol: Protocol::Auto,
                aws: AwsSettings {
                    region: self.region.clone(),
                    endpoint_url: self.endpoint_url.clone(),
                    ..AwsSettings::default()
                },
            });
        }
        let config = load(&self.file.config)?;
        let name = self.destination.as_ref().or(self.named.as_ref());
        let name = name.map_or("", String::as_str);
        match config.destinations.get(name) {
            Some(Destination::Kinesis(settings)) => Ok(settings.clone()),
            Some(_) => Err(Report::new(
                Exit::Usage,
                format!("`{name}` is no Kinesis stream; nothing else can be read back"),
            )
            .hint("objects of a directory can be read as they are; what a delivery stream took is where it puts it")),
            None => {
                let of_kinesis = |(name, of): (&String, &Destination)| {
                    matches!(of, Destination::Kinesis(_)).then(|| format!("`{name}`"))
                };
                let known: Vec<_> = config.destinations.iter().filter_map(of_kinesis).collect();
                let known =
                    if known.is_empty() { "none".into() } else { known.join(", ") };
                Err(Report::new(Exit::Usage, format!("there is no destination `{name}`"))
                    .hint(&format!("of Kinesis there are: {known}")))
            }
        }
    }

    fn begin(&self) -> Begin {
        match self.from {
            From::Oldest => Begin::Oldest,
            From::Newest => Begin::Newest,
            From::When(when) => Begin::At(when.unix_ms(Clock::real().unix_ms())),
        }
    }

    async fn read(&self, settings: &KinesisSettings, mut printer: Printer) -> Answer {
        let (mut interrupt, mut terminate) =
            (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        let clock = ServiceClock::new(Clock::real(), None);
        let kinesis = Kinesis::connect(settings, &clock).await;
        let kinesis = kinesis.map_err(|words| Report::new(Exit::Config, words))?;
        let work = self.follow_shards(kinesis.reading(), &clock, &mut printer);
        let ended = tokio::select! {
            ended = work => ended,
            _ = interrupt.recv() => Ok(Printed::Enough),
            _ = terminate.recv() => Ok(Printed::Enough),
        };
        match ended {
            // Who went away wants to hear nothing more.
            Ok(Printed::ReaderWentAway) => Ok(ExitCode::SUCCESS),
            Ok(_) => printer.finish(),
            Err(report) => {
                printer.finish()?;
                Err(report)
            }
        }
    }

    async fn follow_shards(
        &self,
        reading: Reading,
        clock: &ServiceClock,
        printer: &mut Printer,
    ) -> Result<Printed, Report> {
        let only: BTreeSet<String> = self.shard.iter().cloned().collect();
        let mut listed = patiently(|| reading.shards()).await.map_err(|fault| refused(&fault))?;
        known(&only, &listed)?;
        let mut lineage = Lineage::new(self.begin(), (!only.is_empty()).then_some(only));
        // Until somebody prints what a shard brought, that shard waits.
        let (events, mut happened) = mpsc::channel(1);
        let (turns, mut jobs) = (Arc::new(Semaphore::new(AT_ONCE)), Jobs::default());
        loop {
            for (shard, begin) in lineage.next(&listed) {
                let reader = ShardReader {
                    reading: reading.clone(),
                    shard: Arc::new(shard),
                    begun_unix_ms: clock.unix_ms(),
                    follow: self.follow,
                    events: events.clone(),
                    turns: turns.clone(),
                };
                jobs.spawn(reader.run(begin));
            }
            if lineage.is_over() {
                return Ok(Printed::All);
            }
            let event = tokio::select! {
                event = happened.recv() => event.expect("this loop holds a sender"),
                ended = jobs.next_value() => {
                    ended.map_err(|panic| Report::new(Exit::Software, panic))?;
                    continue;
                }
            };
            match event {
                Event::Page { shard, taken, behind_ms } => {
                    let printed = printer.page(&shard, &taken, behind_ms)?;
                    if printed != Printed::All {
                        return Ok(printed);
                    }
                }
                Event::Told(words) => tell(format!("warning: {words}")),
                Event::UpToDate(id) => lineage.left(&id),
                Event::Closed(id) => {
                    lineage.ended(&id);
                    let again = patiently(|| reading.shards()).await;
                    listed = again.map_err(|fault| refused(&fault))?;
                }
                Event::Failed(fault) => return Err(refused(&fault)),
            }
        }
    }
}

/// Whether the shards that are asked for are there.
fn known(only: &BTreeSet<String>, listed: &[Offspring]) -> Result<(), Report> {
    let Some(missing) = only.iter().find(|id| listed.iter().all(|shard| shard.id != **id)) else {
        return Ok(());
    };
    let ids: Vec<_> = listed.iter().map(|shard| shard.id.as_str()).collect();
    Err(Report::new(Exit::Usage, format!("the stream has no shard `{missing}`"))
        .hint(&format!("it has these: {}", ids.join(", "))))
}

/// What a fault means for who wanted to read.
fn refused(fault: &Fault) -> Report {
    let Fault { code, message, .. } = fault;
    let words = if message.is_empty() { code.clone() } else { format!("{code}: {message}") };
    match classify(fault) {
        Class::Auth if fault.at == At::Credentials => Report::new(Exit::NoPermission, words)
            .hint("`weir doctor` looks at the credentials of each destination"),
        Class::Auth => Report::new(Exit::NoPermission, words).hint(
            "reading takes `kinesis:ListShards`, `kinesis:GetShardIterator` and `kinesis:GetRecords`, which delivery does not need",
        ),
        Class::Config | Class::Poison => Report::new(Exit::Config, words),
        Class::Throttled => Report::new(Exit::TryLater, words),
        Class::Transient | Class::Clock => Report::new(Exit::Unavailable, words),
    }
}
