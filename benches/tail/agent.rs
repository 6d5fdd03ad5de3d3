//! The real binary, and what the kernel says of it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::Value;

/// A running weir; killed when dropped.
pub(crate) struct Agent {
    child: Child,
    folder: PathBuf,
    peak_kib: f64,
}

impl Agent {
    /// Starts it with this configuration in a folder of its own.
    pub(crate) fn start(folder: &Path, config: &str, more: &[&str]) -> Self {
        let state = folder.join("state");
        fs::remove_dir_all(&state).unwrap_or_default();
        let file = folder.join("weir.toml");
        let text = format!("state_dir = {state:?}\n{config}\n[admin]\nlisten = \"127.0.0.1:0\"\n");
        fs::write(&file, text).expect("a scratch file");
        let log = fs::File::create(folder.join("weir.log")).expect("a scratch file");
        let child = Command::new(env!("CARGO_BIN_EXE_weir"))
            .args(["run", "--config"])
            .arg(&file)
            .args(more)
            .env_clear()
            .env("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
            .env("AWS_SECRET_ACCESS_KEY", "an-example-and-no-secret")
            .env("AWS_EC2_METADATA_DISABLED", "true")
            .env("NO_COLOR", "1")
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a handle"))
            .stderr(log)
            .spawn()
            .expect("weir starts");
        Self { child, folder: folder.to_owned(), peak_kib: 0.0 }
    }

    /// How it ended, if it has.
    pub(crate) fn ended(&mut self) -> Option<ExitStatus> {
        self.peak_kib = self.peak_kib.max(self.field("status", "VmHWM:"));
        self.child.try_wait().expect("it is our child")
    }

    /// What `/status` says, once it is up.
    pub(crate) fn status(&self) -> Option<Value> {
        let answer = ureq::get(format!("http://{}/status", self.admin()?)).call().ok()?;
        serde_json::from_reader(answer.into_body().into_reader()).ok()
    }

    fn admin(&self) -> Option<String> {
        let addresses = fs::read(self.folder.join("state/addresses.json")).ok()?;
        let addresses: Value = serde_json::from_slice(&addresses).ok()?;
        Some(addresses["admin"].as_str()?.to_owned())
    }

    /// What `/metrics` counts under a name, of its first block.
    pub(crate) fn counter(&self, name: &str) -> Option<u64> {
        let answer = ureq::get(format!("http://{}/metrics", self.admin()?)).call().ok()?;
        let metrics = std::io::read_to_string(answer.into_body().into_reader()).ok()?;
        let mut values =
            metrics.lines().filter_map(|line| line.strip_prefix(name)?.split_once(' '));
        values.next()?.1.parse().ok()
    }

    /// Bytes of all its tailed files that are durable in queues.
    pub(crate) fn queued(&self) -> u64 {
        let status = self.status().unwrap_or_default();
        let tails = status["tails"].as_object().into_iter().flatten();
        let files = tails.flat_map(|(_, files)| files.as_array().into_iter().flatten());
        files.filter_map(|file| file["queued"].as_u64()).sum()
    }

    /// Seconds of CPU it has used so far.
    pub(crate) fn cpu_seconds(&self) -> f64 {
        let stat = fs::read_to_string(self.proc("stat")).unwrap_or_default();
        ticks(&stat, 11)
    }

    /// The most memory it ever held.
    pub(crate) fn peak_mib(&self) -> f64 {
        self.peak_kib.max(self.field("status", "VmHWM:")) / 1024.0
    }

    /// Open descriptors.
    pub(crate) fn descriptors(&self) -> usize {
        fs::read_dir(self.proc("fd")).map(Iterator::count).unwrap_or_default()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.folder.join("weir.log")).unwrap_or_default()
    }

    fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.child.id()).into()
    }

    fn field(&self, file: &str, name: &str) -> f64 {
        let text = fs::read_to_string(self.proc(file)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
        let number = line.and_then(|rest| rest.split_whitespace().next()?.parse().ok());
        number.unwrap_or_default()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // Both fail only if it ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// Seconds of CPU of children that ended and were waited for.
pub(crate) fn cpu_seconds_of_ended() -> f64 {
    ticks(&fs::read_to_string("/proc/self/stat").unwrap_or_default(), 13)
}

/// Two fields behind the name, in the hundredths of a second that Linux tells programs.
fn ticks(stat: &str, first: usize) -> f64 {
    let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let fields = behind_name.split_whitespace().skip(first).take(2);
    fields.filter_map(|field| field.parse::<f64>().ok()).sum::<f64>() / 100.0
}

/// Asks again and again until there is an answer.
pub(crate) fn wait_for<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
