//! Where log lines go and how they look: words for a terminal, JSON for everything else.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::reload::{self, Handle};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Layer as _, fmt, registry};

use super::repeats::Repeats;

/// The target of lines that tell who ordered what: each of them is written, however many there are.
pub const AUDIT: &str = "weir::audit";

/// How lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Words on a terminal, JSON otherwise.
    #[default]
    Auto,
    /// Words.
    Text,
    /// One JSON object a line.
    Json,
}

/// The least severe level that is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Level {
    /// Only our own faults.
    Error,
    /// And the world's.
    Warn,
    /// And what an operator wants to know.
    #[default]
    Info,
    /// And single requests.
    Debug,
}

impl Level {
    /// As tracing's filters write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// Exchanges the filter of the one log of this process.
type Exchange = Box<dyn Fn(EnvFilter) + Send + Sync>;
static EXCHANGE: OnceLock<Exchange> = OnceLock::new();

/// Starts logging to standard error. `WEIR_LOG` in the environment wins over `level` (tracing's
/// filter syntax). A second start in one process changes nothing.
pub fn start(format: Format, level: Level) {
    let words = match format {
        Format::Auto => std::io::stderr().is_terminal(),
        Format::Text => true,
        Format::Json => false,
    };
    let lines = fmt::layer().with_writer(std::io::stderr);
    let lines = if words {
        lines.with_target(false).with_ansi(colour()).boxed()
    } else {
        lines.json().flatten_event(true).with_current_span(false).boxed()
    };
    let (filter, handle) = reload::Layer::new(filter(level));
    // Only tests start twice in one process.
    if registry().with(lines).with(Repeats::default()).with(filter).try_init().is_ok() {
        keep(handle);
    }
}

/// Writes other lines from now on, unless `WEIR_LOG` says which.
pub fn set_level(level: Level) {
    if let Some(exchange) = EXCHANGE.get() {
        exchange(filter(level));
    }
}

fn keep<S: 'static>(handle: Handle<EnvFilter, S>) {
    // A log that is gone has nothing to filter.
    let exchange = move |filter| drop(handle.reload(filter));
    drop(EXCHANGE.set(Box::new(exchange)));
}

fn filter(level: Level) -> EnvFilter {
    EnvFilter::try_from_env("WEIR_LOG").unwrap_or_else(|_| {
        // The SDK and the HTTP stack talk about every retry; weir says it once, in its own words.
        let others = "aws_config=error,aws_smithy_runtime::client::http::connection_poisoning=off";
        EnvFilter::new(format!("warn,{others},weir={}", level.as_str()))
    })
}

fn colour() -> bool {
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}
