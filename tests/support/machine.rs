//! A machine that boots: Debian with systemd as its first process, in a container of systemd-nspawn.
//! What happens in it is in memory and gone with it; its network is its own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use super::agent::Ended;
use super::books::Books;
use super::scratch::Scratch;
use super::{installed, run, wait_for};

static BOOTED: AtomicU32 = AtomicU32::new(0);

/// A running machine; its power is cut when it is dropped.
#[derive(Debug)]
pub struct Machine {
    nspawn: Child,
    /// Its first process, as the host numbers it.
    first: String,
    log: PathBuf,
}

impl Machine {
    /// Boots it, with this folder of the host at `/host`, which it cannot change, and these disks
    /// where they are said to be.
    #[track_caller]
    pub fn boot(scratch: &Scratch, shared: &Path, disks: &[(&Disk, &str)]) -> Self {
        let number = BOOTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("weir-test-{}-{number}", std::process::id());
        let log = scratch.join("console.log");
        let console = File::create(&log).unwrap();
        let nspawn = Command::new("systemd-nspawn")
            .args(["--quiet", "--volatile=overlay", "--register=no", "--keep-unit"])
            .args(["--private-network", "--console=pipe", "--boot", "--machine", &name])
            .arg(format!("--directory={}", installed("WEIR_TEST_DEBIAN", "debian").display()))
            .arg(format!("--bind-ro={}:/host", shared.display()))
            .args(disks.iter().map(|(disk, at)| format!("--bind={}:{at}", disk.folder.display())))
            .arg("systemd.mask=systemd-update-utmp.service")
            .stdin(Stdio::null())
            .stdout(console.try_clone().unwrap())
            .stderr(console)
            .spawn()
            .unwrap_or_else(|error| panic!("systemd-nspawn: {error}; ./tests/run installs it"));
        let mut machine = Self { nspawn, first: String::new(), log };
        machine.first = wait_for("the first process of the machine", || {
            machine.must_run();
            first_child(machine.nspawn.id())
        });
        wait_for("the machine to be up", || {
            machine.must_run();
            let state = machine.command("systemctl is-system-running --wait").stdout;
            matches!(state.trim(), "running" | "degraded").then_some(())
        });
        machine
    }

    #[track_caller]
    fn must_run(&mut self) {
        if let Some(status) = self.nspawn.try_wait().unwrap() {
            panic!("the machine ended: {status}\n{}", fs::read_to_string(&self.log).unwrap());
        }
    }

    /// Runs a line of shell in it to its end.
    pub fn command(&self, line: &str) -> Ended {
        let output = Command::new("nsenter")
            .args(["--target", &self.first, "--all", "/bin/bash", "-c", line])
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("DEBIAN_FRONTEND", "noninteractive")
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let [stdout, stderr] = [output.stdout, output.stderr]
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        Ended { code: output.status.code(), stdout, stderr }
    }

    /// The same, where it must go well; what it said.
    #[track_caller]
    pub fn sh(&self, line: &str) -> String {
        let ended = self.command(line);
        assert_eq!(ended.code, Some(0), "`{line}`: {ended:?}\n{}", self.journal());
        ended.stdout.trim_end().to_owned()
    }

    /// A property of a unit.
    #[track_caller]
    pub fn unit(&self, unit: &str, property: &str) -> String {
        self.sh(&format!("systemctl show --property {property} --value {unit}"))
    }

    /// Waits until a property of a unit is this.
    #[track_caller]
    pub fn wait_until(&self, unit: &str, property: &str, value: &str) {
        wait_for(&format!("{property} of {unit} to be {value}"), || {
            (self.unit(unit, property) == value).then_some(())
        });
    }

    /// What weir's units wrote.
    pub fn journal(&self) -> String {
        self.command("journalctl --no-pager --output cat --unit 'weir*' | tail -n 40").stdout
    }

    /// The ledger of its agent, once that answers.
    #[track_caller]
    pub fn books(&self) -> Books {
        let status = wait_for("the agent to show its books", || {
            let shown = self.command("weir status --json");
            (shown.code == Some(0)).then_some(shown.stdout)
        });
        Books::of(&serde_json::from_str::<Value>(&status).unwrap())
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the journal of the machine:\n{}", self.journal());
        }
        // The signal that makes nspawn pull the plug; it takes everything in the machine along.
        self.nspawn.kill().ok();
        self.nspawn.wait().ok();
    }
}

/// A file system of its own, which can be made to hang: whoever writes or syncs waits.
#[derive(Debug)]
pub struct Disk {
    folder: PathBuf,
}

impl Disk {
    /// With room for the queues of a test, and what must stay free beside them.
    #[track_caller]
    pub fn new(scratch: &Scratch) -> Self {
        let (image, folder) = (scratch.join("disk.img"), scratch.folder("disk"));
        File::create(&image).unwrap().set_len(3 << 30).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image));
        run(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&folder));
        Self { folder }
    }

    #[track_caller]
    pub fn hang(&self) {
        run(Command::new("fsfreeze").arg("--freeze").arg(&self.folder));
    }

    #[track_caller]
    pub fn go_on(&self) {
        run(Command::new("fsfreeze").arg("--unfreeze").arg(&self.folder));
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // The first fails unless a test failed while it hung.
        for command in [&["fsfreeze", "--unfreeze"][..], &["umount", "--lazy"]] {
            let mut undo = Command::new(command[0]);
            undo.args(&command[1..]).arg(&self.folder).stderr(Stdio::null()).status().ok();
        }
    }
}

/// The child that became systemd.
fn first_child(parent: u32) -> Option<String> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let mut children = children.split_whitespace();
    children.find(|child| is_called(child, "systemd")).map(str::to_owned)
}

fn is_called(process: &str, name: &str) -> bool {
    fs::read_to_string(format!("/proc/{process}/comm")).is_ok_and(|comm| comm.trim() == name)
}
