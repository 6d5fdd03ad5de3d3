//! Faults on standard error, and the exit code that goes with each; `docs/ERRORS.md` lists them.

use std::fmt::Display;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::ExitCode;

use clap::error::ErrorKind;

use crate::agent::{StartError, StateDirError};
use crate::config::Findings;
use crate::queue::OpenError;
use crate::queue::inspect::LookError;

/// What the process says of itself at its end, after sysexits.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Exit {
    /// What was tested is not as expected.
    Differs = 1,
    /// Wrong usage.
    Usage = 64,
    /// Damaged or unreadable data.
    Data = 65,
    /// A needed service is away.
    Unavailable = 69,
    /// Our own bug.
    Software = 70,
    /// The disk failed.
    Disk = 74,
    /// Try later.
    TryLater = 75,
    /// No permission.
    NoPermission = 77,
    /// The configuration.
    Config = 78,
}

impl Exit {
    pub(super) fn code(self) -> ExitCode {
        ExitCode::from(self as u8)
    }
}

/// Why a command ended without doing what it was asked, as the operator will read it.
#[derive(Debug)]
pub(super) struct Report {
    exit: Exit,
    text: String,
}

/// How a command ends.
pub(super) type Answer = Result<ExitCode, Report>;

impl Report {
    pub(super) fn new(exit: Exit, error: impl Display) -> Self {
        Self { exit, text: format!("error: {error}") }
    }

    /// What the disk, or the rights on it, did not allow.
    pub(super) fn disk(error: &io::Error, words: impl Display) -> Self {
        Self::new(exit_of(error), words)
    }

    /// The faults of a configuration, which bring their own words.
    pub(super) fn findings(findings: &Findings) -> Self {
        Self { exit: Exit::Config, text: findings.to_string() }
    }

    pub(super) fn hint(mut self, hint: &str) -> Self {
        self.text.push_str("\nhint: ");
        self.text.push_str(hint);
        self
    }

    /// What went wrong, without a hint.
    pub(super) fn first_line(&self) -> String {
        let first = self.text.lines().next().unwrap_or_default();
        first.trim_start_matches("error: ").to_owned()
    }

    /// As the operator would read it.
    pub(super) fn words(self) -> String {
        self.text
    }

    pub(super) fn print(self) -> ExitCode {
        tell(&self.text);
        self.exit.code()
    }
}

impl From<io::Error> for Report {
    fn from(error: io::Error) -> Self {
        Self::new(exit_of(&error), error)
    }
}

impl From<LookError> for Report {
    fn from(error: LookError) -> Self {
        let words = error.to_string();
        match &error {
            LookError::Io { source, .. } => Self::disk(source, words),
            LookError::NoKey { .. } => Self::new(Exit::Config, words)
                .hint("`--key file:PATH` takes a key; without it, the configuration must name it"),
            LookError::CursorUnreadable { .. } => Self::new(Exit::Data, words)
                .hint("start the agent once: it sets the cursor aside and begins a new one"),
            _ => Self::new(Exit::Data, words),
        }
    }
}

impl From<StartError> for Report {
    fn from(error: StartError) -> Self {
        let words = error.to_string();
        match error {
            StartError::StateDir(StateDirError::Locked { .. }) => Self::new(Exit::TryLater, words)
                .hint("stop the other agent (`systemctl stop weir`), or give this one another `state_dir`"),
            StartError::StateDir(StateDirError::Unusable { source, .. }) => {
                Self::new(exit_of(&source), words)
                    .hint("choose another `state_dir`, or make this one writable for the user weir runs as")
            }
            StartError::Queue(OpenError::Foreign { .. }) => Self::new(Exit::Data, words),
            StartError::Queue(OpenError::Io { source, .. }) => Self::new(exit_of(&source), words),
            StartError::Queue(OpenError::NoKey { .. }) => Self::new(Exit::Config, words).hint(
                "name the key in `old_keys` of the [encryption.NAME] that the stream's `queue.encryption` names",
            ),
            StartError::Away(_) => Self::new(Exit::Unavailable, words).hint(
                "the data key of the queue is unwrapped by KMS at each start; try again when it can be reached",
            ),
            StartError::Denied(_) => Self::new(Exit::NoPermission, words)
                .hint("weir needs `kms:GenerateDataKey` and `kms:Decrypt` for this key"),
            StartError::Disk(source) => Self::new(exit_of(&source), words),
            StartError::Listen(source) if source.kind() == io::ErrorKind::PermissionDenied => {
                Self::new(Exit::NoPermission, words)
            }
            StartError::Listen(_) => Self::new(Exit::Unavailable, words),
            StartError::Setting(_) => Self::new(Exit::Config, words),
        }
    }
}

/// What a person can mend by rights is told apart from what the disk does.
fn exit_of(error: &io::Error) -> Exit {
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Exit::NoPermission,
        io::ErrorKind::InvalidData => Exit::Data,
        _ => Exit::Disk,
    }
}

/// Help goes to standard output and is no fault; anything else is wrong usage.
pub(super) fn usage(error: &clap::Error) -> ExitCode {
    if error.kind() == ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand {
        tell(format!("error: which one? a command is missing\n\n{error}"));
        return Exit::Usage.code();
    }
    // A closed terminal cannot be told anything.
    drop(error.print());
    if error.use_stderr() { Exit::Usage.code() } else { ExitCode::SUCCESS }
}

/// Prints to standard output. A reader that went away (`| head`) is no fault of ours.
pub(super) fn say(text: impl Display) {
    let mut out = io::stdout().lock();
    drop(writeln!(out, "{text}").and_then(|()| out.flush()));
}

/// Prints to standard error. Where that is closed, the exit code still tells.
pub(super) fn tell(text: impl Display) {
    let mut out = io::stderr().lock();
    // Of a terminal's line that says how far work is, nothing may be left.
    let over = if out.is_terminal() { super::progress::CLEAR } else { "" };
    drop(writeln!(out, "{over}{text}"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(error: StartError, exit: Exit) {
        assert_eq!(Report::from(error).exit, exit);
    }

    #[test]
    fn what_lacks_rights_is_told_from_what_the_disk_or_the_port_does() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        let read_only = || io::Error::from(io::ErrorKind::ReadOnlyFilesystem);
        let state = |source| StateDirError::Unusable { path: "/s".into(), source };

        check(state(denied()).into(), Exit::NoPermission);
        check(state(read_only()).into(), Exit::NoPermission);
        check(state(io::ErrorKind::NotADirectory.into()).into(), Exit::Disk);
        check(StartError::Disk(denied()), Exit::NoPermission);
        check(StartError::Disk(io::ErrorKind::StorageFull.into()), Exit::Disk);
        check(StartError::Listen(denied()), Exit::NoPermission);
        check(StartError::Listen(io::ErrorKind::AddrInUse.into()), Exit::Unavailable);
    }
}
