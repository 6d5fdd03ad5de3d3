//! weir as a host runs it: packages installed on Debian whose systemd is the first process, started,
//! hung, upgraded with records in the queue, removed.

use crate::support::books::Row;
use crate::support::machine::{Disk, Machine};
use crate::support::packages::{FIRST, SECOND, deb, packages, rpm};
use crate::support::scratch::Scratch;
use crate::support::{is_root, wait_for};

/// Records wait, as nobody is at that address; the secret is one that only root may read.
const UNREACHABLE: &str = r#"
[http.local]
listen = ["127.0.0.1:8080"]
[stream.events]
destinations = ["cloud"]
[destination.cloud]
type = "kinesis"
stream_name = "events"
region = "eu-west-1"
endpoint_url = "http://127.0.0.1:1"
access_key_id = "AKIAIOSFODNN7EXAMPLE"
secret_access_key = "credential:aws"
"#;

/// The same with a state directory and addresses of its own, and no secret.
fn of_an_instance(name: &str) -> String {
    let config = UNREACHABLE.replace("credential:aws", "none").replace(":8080", ":0");
    format!("state_dir = \"/var/lib/weir-{name}\"\nadmin.listen = \"127.0.0.1:0\"\n{config}")
}

/// What a machine has after a start; `None` for who is not root.
#[track_caller]
fn boot(name: &str) -> Option<(Scratch, Machine)> {
    is_root("booting a machine").then(|| {
        let scratch = Scratch::new(name);
        let machine = Machine::boot(&scratch, packages(), &[]);
        (scratch, machine)
    })
}

#[track_caller]
fn install(machine: &Machine, version: &str) {
    let deb = deb(version);
    machine.sh(&format!("dpkg --install /host/{}", deb.file_name().unwrap().display()));
}

#[track_caller]
fn write(machine: &Machine, path: &str, text: &str) {
    machine.sh(&format!("mkdir -p $(dirname {path}) && cat > {path} <<'END'\n{text}\nEND"));
}

/// Installs it and starts it with a destination that is away and `records` that wait for it.
#[track_caller]
fn start_with_waiting(machine: &Machine, records: u64) {
    install(machine, FIRST);
    write(machine, "/etc/weir/weir.toml", UNREACHABLE);
    write(machine, "/etc/aws.secret", "an-example-and-no-secret");
    machine.sh("chmod 0600 /etc/aws.secret");
    write(
        machine,
        "/etc/systemd/system/weir.service.d/key.conf",
        "[Service]\nLoadCredential=aws:/etc/aws.secret",
    );
    machine.sh("systemctl daemon-reload && systemctl enable --now weir");
    machine.sh(&format!("seq {records} | weir send --stream events"));
    assert_eq!(waiting(machine), records);
}

#[track_caller]
fn waiting(machine: &Machine) -> u64 {
    let row = machine.books().row("events", "cloud");
    assert_eq!(row, Row { accepted: row.waiting, waiting: row.waiting, ..Row::default() });
    row.waiting
}

#[test]
fn a_package_is_a_service_that_nobody_started_until_somebody_does() {
    let Some((_scratch, machine)) = boot("installed") else { return };

    install(&machine, FIRST);

    assert_eq!(machine.command("systemctl is-enabled weir").stdout.trim(), "disabled");
    assert_eq!(machine.unit("weir", "ActiveState"), "inactive");
    let owned = "stat --format '%U:%G %a' /etc/weir /etc/weir/weir.toml /var/lib/weir";
    assert_eq!(machine.sh(owned), "root:weir 750\nroot:root 644\nweir:weir 750");
    machine.sh("weir check");

    machine.sh("systemctl enable --now weir");

    machine.wait_until("weir", "StatusText", "0 records on disk to be delivered");
    machine.sh("weir status --ready && weir status --live");
    machine.sh("seq 10 | weir send --stream events --to unix:/run/weir/ingest.sock");
    wait_for("all to be delivered", || {
        let row = machine.books().row("events", "here");
        (row == Row { accepted: 10, delivered: 10, ..Row::default() }).then_some(())
    });
    // The start left no complaint of systemd's about the unit or its folders.
    let complaints = machine.sh("journalctl --unit weir --priority warning --no-pager --quiet");
    assert_eq!(complaints, "");

    // The sandbox holds for what runs in it.
    let process = machine.unit("weir", "MainPID");
    let status = machine.sh(&format!("cat /proc/{process}/status"));
    for line in ["NoNewPrivs:\t1", "Seccomp:\t2", "CapEff:\t0000000000000000"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    let inside = format!("nsenter --target {process} --mount");
    let refused = machine.command(&format!("{inside} touch /etc/weir/x /usr/x /var/lib/x"));
    assert_eq!(refused.stderr.matches("Read-only file system").count(), 3, "{refused:?}");
    machine.sh(&format!("{inside} test ! -e /dev/mem"));

    assert!(machine.sh("systemctl stop weir && systemctl show weir").contains("Result=success"));
    assert!(machine.journal().contains("stopped; 0 records wait on disk"), "{}", machine.journal());

    machine.sh("dpkg --remove weir");
    machine.sh(
        "test -d /var/lib/weir/queue && test -f /etc/weir/weir.toml && test ! -e /usr/bin/weir",
    );
    machine.sh("dpkg --purge weir");
    machine.sh("test ! -e /var/lib/weir && test ! -e /etc/weir");
    assert_eq!(
        machine.sh(
            "systemctl list-unit-files --no-legend 'weir*'; dpkg --list | grep -w weir || true"
        ),
        ""
    );
}

#[test]
fn the_units_are_sound_and_their_sandbox_is_tight() {
    let Some((_scratch, machine)) = boot("units") else { return };

    install(&machine, FIRST);

    for unit in ["weir.service", "weir.socket", "weir@plant-2.service"] {
        let verified =
            machine.command(&format!("systemd-analyze verify --recursive-errors=one {unit}"));
        assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""), "{unit}");
    }
    for unit in ["weir.service", "weir@plant-2.service"] {
        // Tenths of the exposure, of which less is better.
        machine.sh(&format!("systemd-analyze security --threshold=15 {unit}"));
    }
    // An instance is an agent of its own, beside the others.
    write(&machine, "/etc/weir/plant-2.toml", &of_an_instance("plant-2"));
    machine.sh("systemctl start weir weir@plant-2");
    machine.sh("echo one | weir send --stream events --config /etc/weir/plant-2.toml");
    machine.sh("test -d /var/lib/weir-plant-2/queue/events && test -d /var/lib/weir/queue/events");

    // What no restart mends is not tried again.
    write(&machine, "/etc/weir/weir.toml", "[stream.events]\ndestinations = [\"nowhere\"]");
    assert_ne!(machine.command("systemctl restart weir").code, Some(0));
    assert_eq!(machine.unit("weir", "ActiveState"), "failed");
    assert_eq!(machine.unit("weir", "ExecMainStatus"), "78");
    assert_eq!(machine.unit("weir", "NRestarts"), "0");
    assert!(machine.journal().contains("nowhere"), "{}", machine.journal());
}

#[test]
fn a_reload_changes_the_service_and_a_file_at_fault_does_not() {
    let Some((_scratch, machine)) = boot("reloaded") else { return };
    start_with_waiting(&machine, 5);
    let process = machine.unit("weir", "MainPID");
    let config = format!("{UNREACHABLE}[stream.more]\ndestinations = [\"cloud\"]\n");
    write(&machine, "/etc/weir/weir.toml", &config);

    machine.sh("systemctl reload weir");

    machine.sh("echo one | weir send --stream more");

    write(&machine, "/etc/weir/weir.toml", &config.replace("\"cloud\"", "\"nowhere\""));

    assert_ne!(machine.command("systemctl reload weir").code, Some(0));
    assert!(machine.journal().contains("nowhere"), "{}", machine.journal());
    machine.sh("echo two | weir send --stream more");
    assert_eq!(waiting(&machine), 5);
    assert_eq!(machine.unit("weir", "MainPID"), process);
}

/// Soon, where a host waits for minutes.
const SOON: &str = "[Service]\nWatchdogSec=2s\nTimeoutAbortSec=1s\nRestartSec=100ms";

#[test]
fn the_watchdog_replaces_an_agent_whose_disk_hangs_and_what_waits_is_kept() {
    if !is_root("booting a machine") {
        return;
    }
    let scratch = Scratch::new("hangs");
    let disk = Disk::new(&scratch);
    let machine = Machine::boot(&scratch, packages(), &[(&disk, "/var/lib/weir")]);
    write(&machine, "/etc/systemd/system/weir.service.d/soon.conf", SOON);
    start_with_waiting(&machine, 500);

    disk.hang();
    machine
        .sh("(seq 100 | weir send --stream events --to http://127.0.0.1:8080) >/tmp/sent 2>&1 &");

    wait_for("systemd to lose patience", || {
        machine.journal().contains("Watchdog timeout").then_some(())
    });
    let told = machine.journal();
    assert!(told.contains("a commit of stream events has been under way"), "{told}");
    disk.go_on();
    machine.wait_until("weir", "NRestarts", "1");
    machine.wait_until("weir", "ActiveState", "active");
    wait_for("the sender to be heard", || {
        (machine.command("cat /tmp/sent").stdout == "100 records are on the agent's disk\n")
            .then_some(())
    });
    // What was written and not answered when it hung may be there twice.
    let waiting = waiting(&machine);
    assert!((600..=700).contains(&waiting), "{waiting}");
}

#[test]
fn an_agent_that_is_killed_is_started_again_with_what_waited() {
    let Some((_scratch, machine)) = boot("killed") else { return };
    write(&machine, "/etc/systemd/system/weir.service.d/soon.conf", SOON);
    start_with_waiting(&machine, 500);

    for (restarts, signal) in [("1", "KILL"), ("2", "STOP")] {
        machine.sh(&format!("systemctl kill --kill-whom=main --signal={signal} weir"));

        machine.wait_until("weir", "NRestarts", restarts);
        machine.wait_until("weir", "ActiveState", "active");
        assert_eq!(waiting(&machine), 500, "{signal}");
    }
}

#[test]
fn a_socket_starts_the_agent_and_stays_open_while_it_starts_anew() {
    let Some((_scratch, machine)) = boot("socket") else { return };
    install(&machine, FIRST);
    let config =
        UNREACHABLE.replace("127.0.0.1:8080", "systemd:http").replace("credential:aws", "none");
    write(&machine, "/etc/weir/weir.toml", &config);

    machine.sh("systemctl enable --now weir.socket");

    assert_eq!(machine.unit("weir.service", "ActiveState"), "inactive");
    machine.sh("seq 5 | weir send --stream events --to http://127.0.0.1:8080");
    assert_eq!(machine.unit("weir.service", "ActiveState"), "active");
    assert_eq!(waiting(&machine), 5);

    // Nobody who knocks while it starts anew finds the door gone.
    let knock = "for i in $(seq 300); do (exec 3<>/dev/tcp/127.0.0.1/8080) || exit 1; done";
    machine.sh(&format!("({knock}) & systemctl restart weir && systemctl restart weir && wait $!"));
    machine.sh("seq 5 | weir send --stream events --to http://127.0.0.1:8080");
    assert_eq!(waiting(&machine), 10);

    // A socket under another name than the configuration asks for.
    write(
        &machine,
        "/etc/systemd/system/weir.socket.d/name.conf",
        "[Socket]\nFileDescriptorName=other",
    );
    machine.sh("systemctl stop weir.socket weir.service && systemctl daemon-reload");
    machine.sh("systemctl start weir.socket");
    assert_ne!(machine.command("systemctl start weir.service").code, Some(0));
    let told = machine.journal();
    assert!(told.contains("FileDescriptorName=http; there are `other`"), "{told}");
}

#[test]
fn an_upgrade_and_a_removal_keep_what_waits_and_a_purge_does_not() {
    let Some((_scratch, machine)) = boot("upgraded") else { return };
    start_with_waiting(&machine, 1000);
    let process = machine.unit("weir", "MainPID");

    install(&machine, SECOND);

    assert_eq!(machine.sh("dpkg-query --show --showformat '${Version}' weir"), SECOND);
    machine.wait_until("weir", "ActiveState", "active");
    assert_ne!(machine.unit("weir", "MainPID"), process);
    assert_eq!(machine.sh("systemctl is-enabled weir"), "enabled");
    assert_eq!(waiting(&machine), 1000);
    assert!(machine.journal().contains("stopped; 1000 records wait"), "{}", machine.journal());

    // It runs while its package goes, and so does an instance.
    write(&machine, "/etc/weir/plant-2.toml", &of_an_instance("plant-2"));
    machine.sh("systemctl start weir@plant-2");
    machine.sh("dpkg --remove weir");
    assert_eq!(machine.unit("weir@plant-2", "ActiveState"), "inactive");
    assert_eq!(machine.unit("weir", "ActiveState"), "inactive");
    install(&machine, SECOND);
    machine.sh("systemctl start weir");
    assert_eq!(waiting(&machine), 1000);

    // What units made goes with a purge; what is only called so belongs to somebody else.
    write(&machine, "/etc/weir/plant-3.toml", &of_an_instance("plant-3"));
    write(&machine, "/etc/weir/root.toml", "");
    machine.sh("systemctl enable --now weir@plant-3");
    let strangers = "/var/lib/weir-backup /var/lib/weir-root /srv/elsewhere";
    machine.sh(&format!(
        "mkdir {strangers} && cp -a /var/lib/weir/. /var/lib/weir-backup && \
         chown weir: /srv/elsewhere && ln -s /srv/elsewhere /var/lib/weir-link && \
         touch /etc/weir/link.toml"
    ));
    let instances = "/var/lib/weir-plant-2 /var/lib/weir-plant-3";
    machine.sh(&format!("ls -d $(printf '%s/queue/events ' {instances})"));

    machine.sh("dpkg --purge weir");
    machine.sh("test ! -e /var/lib/weir && test ! -e /usr/lib/systemd/system/weir.service");
    assert_eq!(machine.sh(&format!("ls -d {instances} 2>/dev/null || true")), "");
    machine.sh(&format!("ls -d {strangers} /var/lib/weir-link /var/lib/weir-backup/queue/events"));
    assert_eq!(machine.sh("find /etc/systemd/system -type l -name 'weir*'"), "");
    machine.sh("ls /etc/weir/plant-2.toml /etc/weir/plant-3.toml");
}

#[test]
fn the_other_kind_of_package_is_installed_upgraded_and_erased_alike() {
    let Some((_scratch, machine)) = boot("rpm") else { return };
    let of = |version| format!("/host/{}", rpm(version).file_name().unwrap().display());
    // Whatever it depends on is there by the other kind of package.
    let rpm = |line: &str| machine.sh(&format!("rpm --nodeps {line}"));

    rpm(&format!("--install {}", of(FIRST)));

    let owned = "stat --format '%U:%G %a' /etc/weir /etc/weir/weir.toml /var/lib/weir";
    assert_eq!(machine.sh(owned), "root:weir 750\nroot:root 644\nweir:weir 750");
    assert_eq!(machine.unit("weir", "ActiveState"), "inactive");
    let config = UNREACHABLE.replace("credential:aws", "none");
    write(&machine, "/etc/weir/weir.toml", &config);
    machine.sh("systemctl enable --now weir && seq 20 | weir send --stream events");
    let process = machine.unit("weir", "MainPID");

    rpm(&format!("--upgrade {}", of(SECOND)));

    assert_eq!(machine.sh("rpm --query weir"), format!("weir-{SECOND}.x86_64"));
    machine.wait_until("weir", "ActiveState", "active");
    assert_ne!(machine.unit("weir", "MainPID"), process);
    assert_eq!(waiting(&machine), 20);

    write(&machine, "/etc/weir/plant-2.toml", &of_an_instance("plant-2"));
    machine.sh("systemctl enable --now weir@plant-2");

    rpm("--erase weir");

    assert_eq!(machine.sh("find /etc/systemd/system -type l -name 'weir*'"), "");
    assert_eq!(machine.unit("weir@plant-2", "ActiveState"), "inactive");
    machine.sh("test -d /var/lib/weir-plant-2/queue/events");
    assert_eq!(machine.unit("weir", "ActiveState"), "inactive");
    machine.sh("test ! -e /usr/bin/weir && test -d /var/lib/weir/queue/events");
    // What was changed stays under another name.
    assert_eq!(machine.sh("cat /etc/weir/weir.toml.rpmsave").trim(), config.trim());
}
