//! The packages hold what a host needs, each thing where the distribution looks for it.

use std::fs;
use std::process::Command;

use crate::support::packages::{FIRST, deb, rpm};
use crate::support::run;
use crate::support::scratch::Scratch;

const EVERYWHERE: [&str; 14] = [
    "/usr/bin/weir",
    "/etc/weir/weir.toml",
    "/usr/lib/systemd/system/weir.service",
    "/usr/lib/systemd/system/weir@.service",
    "/usr/lib/systemd/system/weir.socket",
    "/usr/lib/sysusers.d/weir.conf",
    "/usr/lib/tmpfiles.d/weir.conf",
    "/usr/share/man/man1/weir.1",
    "/usr/share/man/man1/weir-queue-verify.1",
    "/usr/share/man/man5/weir.toml.5",
    "/usr/share/bash-completion/completions/weir",
    "/usr/share/fish/vendor_completions.d/weir.fish",
    "/usr/share/doc/weir/OPERATIONS.md",
    "/usr/share/doc/weir/examples/http-to-kinesis.toml",
];

#[track_caller]
fn check(listed: &str, of_its_own: &[&str]) {
    for path in EVERYWHERE.iter().chain(of_its_own) {
        let packed = format!("{path}.gz");
        assert!(
            listed.lines().any(|line| line == *path || line == packed),
            "{path} is missing in\n{listed}"
        );
    }
    let secrets = listed.lines().filter(|line| line.contains("credentials/"));
    assert_eq!(secrets.count(), 0, "{listed}");
}

#[test]
fn the_package_for_debian_is_complete_and_lintian_finds_no_fault() {
    let deb = deb(FIRST);

    let listed = run(Command::new("sh")
        .args(["-c", "dpkg-deb --fsys-tarfile \"$0\" | tar --list"])
        .arg(&deb));
    let listed = listed.replace("./", "/");
    check(
        &listed,
        &[
            "/usr/share/zsh/vendor-completions/_weir",
            "/usr/share/doc/weir/copyright",
            "/usr/share/doc/weir/crates",
        ],
    );
    let field = |name: &str| run(Command::new("dpkg-deb").arg("--field").arg(&deb).arg(name));
    assert_eq!(field("Version").trim(), FIRST);
    assert!(field("Depends").contains("libc6 (>= "), "{}", field("Depends"));
    let lintian = Command::new("lintian")
        .args(["--allow-root", "--fail-on", "error,warning", "--tag-display-limit", "0"])
        .arg(&deb)
        .output()
        .expect("lintian, which ./tests/run installs");
    let told = String::from_utf8_lossy(&lintian.stdout).into_owned();
    assert!(lintian.status.success(), "{told}{}", String::from_utf8_lossy(&lintian.stderr));
}

#[test]
fn the_package_for_fedora_and_its_kin_is_complete() {
    let rpm = rpm(FIRST);
    let query =
        |what: &str| run(Command::new("rpm").args(["--query", "--package", what]).arg(&rpm));

    check(
        &query("--list"),
        &[
            "/usr/share/zsh/site-functions/_weir",
            "/usr/share/licenses/weir/LICENSE",
            "/usr/share/licenses/weir/crates",
        ],
    );
    assert_eq!(query("--configfiles").trim(), "/etc/weir/weir.toml");
    assert!(query("--requires").contains("systemd"), "{}", query("--requires"));
    assert!(query("--requires").contains("libc.so.6(GLIBC_"), "{}", query("--requires"));
    run(Command::new("rpm").arg("--checksig").arg(&rpm));
}

#[test]
fn the_configuration_that_packages_bring_and_that_of_the_image_are_sound() {
    let scratch = Scratch::new("packaged-config");
    for file in ["packaging/weir.toml", "packaging/container/weir.toml"] {
        let checked = crate::support::agent::weir(
            &scratch,
            &["check", "--config", &fs::canonicalize(file).unwrap().display().to_string()],
        );
        assert_eq!(checked.code, Some(0), "{file}: {checked:?}");
    }
}

#[test]
fn a_piece_that_there_is_none_of_is_refused() {
    let built = Command::new("packaging/build").arg("msi").output().unwrap();

    assert_eq!(built.status.code(), Some(64));
    let told = String::from_utf8_lossy(&built.stderr).into_owned();
    assert!(told.contains("`msi`") && told.contains("hint: "), "{told}");
}
