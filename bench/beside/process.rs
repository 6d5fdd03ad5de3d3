//! A system under test as the kernel sees it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A running process; killed when dropped.
pub(crate) struct Process {
    child: Child,
    log: PathBuf,
}

/// What it has cost so far.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cost {
    /// Seconds of CPU, of all its threads.
    pub(crate) cpu_s: f64,
    /// Bytes it caused to be written to disks.
    pub(crate) written: f64,
}

impl Process {
    /// Starts it; what it says goes to a file of the folder.
    pub(crate) fn start(mut command: Command, folder: &Path) -> Self {
        let log = folder.join("log");
        let file =
            fs::File::options().create(true).append(true).open(&log).expect("a scratch file");
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().expect("a handle"))
            .stderr(file)
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        Self { child, log }
    }

    /// Ends the bench, with its last words, if it ended by itself.
    pub(crate) fn must_run(&mut self) {
        if let Some(status) = self.child.try_wait().expect("it is our child") {
            let said = fs::read_to_string(&self.log).unwrap_or_default();
            let words: Vec<&str> = said.lines().rev().take(20).collect();
            panic!("it ended with {status}; its last words, newest first: {words:#?}");
        }
    }

    pub(crate) fn cost(&self) -> Cost {
        let stat = fs::read_to_string(self.proc("stat")).unwrap_or_default();
        let behind_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        let ticks = behind_name.split_whitespace().skip(11).take(2);
        // Linux tells programs hundredths of a second, on every machine.
        let cpu_s = ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0;
        Cost { cpu_s, written: self.field("io", "write_bytes:") }
    }

    /// The most memory it ever held, in MiB.
    pub(crate) fn peak_mib(&self) -> f64 {
        self.field("status", "VmHWM:") / 1024.0
    }

    /// The memory it holds, in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        self.field("status", "VmRSS:") / 1024.0
    }

    /// The memory it holds from now on, looked at four times a second until it is gone or `Sampler::end`.
    pub(crate) fn sample(&self) -> Sampler {
        let (path, is_over) = (self.proc("status"), Arc::new(AtomicBool::new(false)));
        let asked = Arc::clone(&is_over);
        let thread = std::thread::spawn(move || {
            let mut found = Vec::new();
            while !asked.load(Relaxed) {
                match number_in(&path, "VmRSS:") {
                    Some(kib) => found.push(kib / 1024.0),
                    None => break,
                }
                std::thread::sleep(Duration::from_millis(250));
            }
            found
        });
        Sampler { is_over, thread }
    }

    /// Asks it to end, and kills it when it does not within seconds.
    pub(crate) fn stop(&mut self) {
        let id = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(id, rustix::process::Signal::TERM).ok();
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(10) {
            if self.child.try_wait().expect("it is our child").is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// Ends it at once.
    pub(crate) fn kill(&mut self) {
        // Both fail only if it ended already.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.child.id()).into()
    }

    fn field(&self, file: &str, name: &str) -> f64 {
        number_in(&self.proc(file), name).unwrap_or_default()
    }
}

fn number_in(file: &Path, name: &str) -> Option<f64> {
    let text = fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Looks at the memory of a process.
pub(crate) struct Sampler {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Vec<f64>>,
}

impl Sampler {
    /// MiB, four times a second.
    pub(crate) fn end(self) -> Vec<f64> {
        self.is_over.store(true, Relaxed);
        self.thread.join().expect("a thread that only looks")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl std::ops::Sub for Cost {
    type Output = Self;

    fn sub(self, before: Self) -> Self {
        Self { cpu_s: self.cpu_s - before.cpu_s, written: self.written - before.written }
    }
}
