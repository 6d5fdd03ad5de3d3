//! The real binary: started on a scratch folder with a configuration, asked, stopped, killed.
//!
//! `weir run` writes `<state_dir>/addresses.json` once it is ready:
//! `{"http":{"NAME":["127.0.0.1:PORT","unix:/…"]},"admin":"127.0.0.1:PORT","pid":123}`.

use std::fs::{self, File};
use std::os::fd::OwnedFd;
use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, geteuid, kill_process};
use serde_json::Value;

use super::client::{Answer, Client};
use super::peers::REGION;
use super::scratch::Scratch;
use super::{PATIENCE, wait_at_most, wait_for};

/// Who has no rights but those of everybody.
const NOBODY: u32 = 65_534;

/// A running agent; killed when dropped.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    log: PathBuf,
    state_dir: PathBuf,
    addresses: Value,
}

/// A command that came to its end.
#[derive(Debug)]
pub struct Ended {
    /// `None` if a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Ended {
    /// What it wrote to standard output, if all went well.
    #[track_caller]
    pub fn succeeded(self) -> String {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.stdout
    }
}

impl Agent {
    /// Starts it and waits until it is ready. `config` lacks only what is the same in every test:
    /// the state directory and the admin listener. Started again on the same scratch folder, it
    /// finds what it left there.
    #[track_caller]
    pub fn start(scratch: &Scratch, config: &str) -> Self {
        Self::run(scratch, config, command(scratch))
    }

    /// The same with this in `[admin]`.
    #[track_caller]
    pub fn start_with_admin(scratch: &Scratch, config: &str, admin: &str) -> Self {
        let file = configure_with_admin(scratch, config, admin);
        let mut command = command(scratch);
        command.args(["run", "--config"]).arg(file);
        Self::launch(scratch, scratch.join("state"), command)
    }

    /// The same with nothing in its environment that credentials could come from.
    #[track_caller]
    pub fn start_without_credentials(scratch: &Scratch, config: &str) -> Self {
        let mut command = command(scratch);
        command.env_remove("AWS_ACCESS_KEY_ID").env_remove("AWS_SECRET_ACCESS_KEY");
        Self::run(scratch, config, command)
    }

    /// The same under somebody who listens at this socket, as systemd does, and wants to hear from
    /// its watchdog that often.
    #[track_caller]
    pub fn start_supervised(
        scratch: &Scratch,
        config: &str,
        notify: &Path,
        watchdog: Duration,
    ) -> Self {
        let mut command = command(scratch);
        command.env("NOTIFY_SOCKET", notify);
        command.env("WATCHDOG_USEC", watchdog.as_micros().to_string());
        Self::run(scratch, config, command)
    }

    /// The same as somebody to whom permissions apply, who owns the scratch folder.
    #[track_caller]
    pub fn start_without_privileges(scratch: &Scratch, config: &str) -> Self {
        let kept = command(scratch);
        if !geteuid().is_root() {
            return Self::run(scratch, config, kept);
        }
        // Where the binary was built may be closed to others.
        let binary = scratch.join("weir");
        if !binary.exists() {
            fs::copy(kept.get_program(), &binary).unwrap();
        }
        chown(scratch.path(), Some(NOBODY), Some(NOBODY)).unwrap();
        let mut command = Command::new(binary);
        command.env_clear().current_dir(scratch.path());
        command.envs(kept.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.uid(NOBODY).gid(NOBODY);
        Self::run(scratch, config, command)
    }

    /// The same in a user namespace of its own, of whose settings below `/proc/sys/user` some are
    /// changed; `None` where there are no such namespaces.
    #[track_caller]
    pub fn start_within(scratch: &Scratch, config: &str, limits: &[(&str, u32)]) -> Option<Self> {
        let unshare = || {
            let mut command = Command::new("unshare");
            command.args(["--user", "--map-root-user"]);
            command
        };
        if !unshare().arg("true").output().is_ok_and(|done| done.status.success()) {
            return None;
        }
        let kept = command(scratch);
        let mut command = unshare();
        let set =
            limits.iter().map(|(name, limit)| format!("echo {limit} > /proc/sys/user/{name} && "));
        command.args(["sh", "-c", &(set.collect::<String>() + r#"exec "$0" "$@""#)]);
        command.arg(kept.get_program()).env_clear().current_dir(scratch.path());
        command.envs(kept.get_envs().filter_map(|(name, value)| Some((name, value?))));
        Some(Self::run(scratch, config, command))
    }

    #[track_caller]
    fn run(scratch: &Scratch, config: &str, mut command: Command) -> Self {
        let file = configure(scratch, config);
        command.args(["run", "--config"]).arg(file);
        Self::launch(scratch, scratch.join("state"), command)
    }

    /// Starts it with a listening socket that is handed over as systemd would.
    #[track_caller]
    pub fn start_handed(scratch: &Scratch, config: &str, name: &str, socket: OwnedFd) -> Self {
        let file = configure(scratch, config);
        let weir = command(scratch);
        let mut shell = Command::new("sh");
        shell.args(["-c", r#"exec 3<&0 </dev/null; LISTEN_PID=$$ exec "$0" "$@""#]);
        shell.arg(weir.get_program()).args(["run", "--config"]).arg(file);
        if let Some(folder) = weir.get_current_dir() {
            shell.current_dir(folder);
        }
        for (name, value) in weir.get_envs() {
            match value {
                Some(value) => shell.env(name, value),
                None => shell.env_remove(name),
            };
        }
        shell.env("LISTEN_FDS", "1").env("LISTEN_FDNAMES", name);
        Self::launch_with(scratch, scratch.join("state"), shell, socket.into())
    }

    /// `weir demo`, which needs no configuration, on addresses of the system's choice.
    #[track_caller]
    pub fn demo(scratch: &Scratch, folder: &str) -> Self {
        let mut command = command(scratch);
        command.args([
            "demo",
            "--dir",
            folder,
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
        ]);
        Self::launch(scratch, scratch.join(folder), command)
    }

    #[track_caller]
    fn launch(scratch: &Scratch, state_dir: PathBuf, command: Command) -> Self {
        Self::launch_with(scratch, state_dir, command, Stdio::null())
    }

    #[track_caller]
    fn launch_with(
        scratch: &Scratch,
        state_dir: PathBuf,
        mut command: Command,
        stdin: Stdio,
    ) -> Self {
        let log = scratch.join("weir.log");
        let to_log = File::options().create(true).append(true).open(&log).unwrap();
        command.stdin(stdin).stdout(to_log.try_clone().unwrap()).stderr(to_log);
        let child = command.spawn().unwrap();
        let mut agent = Self { child, log, state_dir, addresses: Value::Null };
        let file = agent.state_dir.join("addresses.json");
        let pid = u64::from(agent.child.id());

        agent.addresses = wait_for("the agent to be ready", || {
            if let Some(status) = agent.child.try_wait().unwrap() {
                panic!("the agent ended before it was ready: {status}");
            }
            let written = serde_json::from_slice::<Value>(&fs::read(&file).ok()?).ok()?;
            // A killed agent leaves its file behind.
            (written["pid"].as_u64() == Some(pid)).then_some(written)
        });
        agent
    }

    /// `127.0.0.1:PORT` of `[http.NAME]`.
    #[track_caller]
    pub fn http(&self, name: &str) -> String {
        self.address(name, |address| !address.starts_with("unix:"))
    }

    /// The unix socket of `[http.NAME]`.
    #[track_caller]
    pub fn unix(&self, name: &str) -> PathBuf {
        let address = self.address(name, |address| address.starts_with("unix:"));
        PathBuf::from(address.trim_start_matches("unix:"))
    }

    #[track_caller]
    fn address(&self, name: &str, wanted: impl Fn(&str) -> bool) -> String {
        let all = self.addresses["http"][name].as_array().into_iter().flatten();
        let found = all.filter_map(Value::as_str).find(|address| wanted(address));
        found.unwrap_or_else(|| panic!("no such address of {name}: {}", self.addresses)).to_owned()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// A client of `[http.NAME]`.
    #[track_caller]
    pub fn client(&self, name: &str) -> Client {
        Client::new(&self.http(name))
    }

    /// `127.0.0.1:PORT` of the admin listener.
    #[track_caller]
    pub fn admin_address(&self) -> &str {
        let address = self.addresses["admin"].as_str();
        address.unwrap_or_else(|| panic!("no admin address: {}", self.addresses))
    }

    /// What `GET path` of the admin listener says.
    #[track_caller]
    pub fn admin(&self, path: &str) -> Answer {
        Client::new(self.admin_address()).get(path).unwrap()
    }

    #[track_caller]
    pub fn status(&self) -> Value {
        self.admin("/status").json()
    }

    #[track_caller]
    pub fn metrics(&self) -> String {
        self.admin("/metrics").body
    }

    /// Everything it wrote to standard output and error, over all starts on this scratch folder.
    pub fn log(&self) -> String {
        String::from_utf8_lossy(&fs::read(&self.log).unwrap()).into_owned()
    }

    /// What it holds of the host's memory.
    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// As the power switch would: SIGKILL.
    pub fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// As systemd would: SIGTERM; waits for the end.
    #[track_caller]
    pub fn terminate(mut self) -> ExitStatus {
        self.ask_to_stop();
        wait_for("the agent to stop", || self.ended())
    }

    /// SIGTERM, and no more.
    #[track_caller]
    pub fn ask_to_stop(&self) {
        self.signal(Signal::TERM);
    }

    /// SIGHUP: the configuration is to be read again.
    #[track_caller]
    pub fn hang_up(&self) {
        self.signal(Signal::HUP);
    }

    #[track_caller]
    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).unwrap();
        kill_process(pid, signal).unwrap();
    }

    /// How it ended, if it did.
    #[track_caller]
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().unwrap()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only if it ended already.
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            let last = &lines[lines.len().saturating_sub(60)..];
            eprintln!("the last lines of the agent's log:\n{}", last.join("\n"));
        }
    }
}

/// Writes the configuration and gives its path.
pub fn configure(scratch: &Scratch, config: &str) -> PathBuf {
    configure_with_admin(scratch, config, "")
}

fn configure_with_admin(scratch: &Scratch, config: &str, admin: &str) -> PathBuf {
    let state_dir = scratch.join("state");
    let text = format!(
        "state_dir = {state_dir:?}\n{config}\n[admin]\nlisten = \"127.0.0.1:0\"\n{admin}\n",
        state_dir = state_dir.display().to_string()
    );
    scratch.write("weir.toml", &text)
}

/// A stream `orders` from a listener `local` into a folder `archive`.
pub const ORDERS_TO_ARCHIVE: &str = r#"
    [http.local]
    listen = "127.0.0.1:0"
    [stream.orders]
    destinations = ["archive"]
    [destination.archive]
    type = "directory"
    path = "archive"
    object_age = "100 ms"
    "#;

/// A stream `orders` with these settings of its own, from a listener `local` to a Kinesis at this
/// address, quick to send and to try again.
pub fn orders_to_kinesis(url: &str, of_stream: &str) -> String {
    format!(
        r#"
        [http.local]
        listen = "127.0.0.1:0"
        [stream.orders]
        destinations = ["cloud"]
        {of_stream}
        [destination.cloud]
        type = "kinesis"
        stream_name = "orders"
        region = "{REGION}"
        endpoint_url = "{url}"
        linger = "10 ms"
        retry_first = "10 ms"
        retry_max = "200 ms"
        "#
    )
}

/// Runs `weir` with these arguments to its end.
#[track_caller]
pub fn weir(scratch: &Scratch, arguments: &[&str]) -> Ended {
    weir_fed(scratch, arguments, "")
}

/// Runs `weir` with these arguments and this on its standard input to its end.
#[track_caller]
pub fn weir_fed(scratch: &Scratch, arguments: &[&str], input: &str) -> Ended {
    let input = scratch.write("stdin", input);
    let (stdout, stderr) = (scratch.join("stdout"), scratch.join("stderr"));
    let mut child = command(scratch)
        .args(arguments)
        .stdin(File::open(input).unwrap())
        .stdout(File::create(&stdout).unwrap())
        .stderr(File::create(&stderr).unwrap())
        .spawn()
        .unwrap();

    let status = wait_at_most(PATIENCE, || child.try_wait().unwrap());

    let status = status.unwrap_or_else(|| {
        child.kill().unwrap();
        child.wait().unwrap();
        panic!("`weir {}` did not end in {PATIENCE:?}: {}", arguments.join(" "), text(&stderr))
    });
    Ended { code: status.code(), stdout: text(&stdout), stderr: text(&stderr) }
}

/// Nothing of the tester's own environment reaches the agent: no profile, proxy or credentials.
fn command(scratch: &Scratch) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.env_clear().current_dir(scratch.path());
    for kept in ["PATH", "WEIR_LOG", "LLVM_PROFILE_FILE"] {
        command.envs(std::env::var_os(kept).map(|value| (kept, value)));
    }
    command
        .env("HOME", scratch.path())
        .env("NO_COLOR", "1")
        .env("RUST_BACKTRACE", "1")
        .env("AWS_EC2_METADATA_DISABLED", "true")
        .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "an-example-and-no-secret");
    command
}

fn text(path: &Path) -> String {
    String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned()
}
