//! The packages and the image, made of the debug build by the script that makes those of a release.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use super::{installed, run};

/// The version of the crate, and a revision of it behind a dash.
pub const FIRST: &str = concat!(env!("CARGO_PKG_VERSION"), "-1");
/// The same, packaged anew.
pub const SECOND: &str = concat!(env!("CARGO_PKG_VERSION"), "-2");

/// The folder with `weir_VERSION_amd64.deb` and `weir-VERSION.x86_64.rpm`, of both revisions; made
/// once for all tests of a process.
#[track_caller]
pub fn packages() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = made_anew("packages");
        for revision in ["1", "2"] {
            run(build(&folder).args(["deb", "rpm"]).env("REVISION", revision));
        }
        folder
    })
}

/// The program linked statically, made once: nothing but its last link is new.
#[track_caller]
pub fn static_binary() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["rustc", "--locked", "--quiet", "--example", "static"]);
        // What cargo tells tests of themselves; build scripts that look at it would all run anew.
        let told = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_EXE_", "CARGO_CRATE_", "OUT_DIR"];
        for (name, _) in
            std::env::vars().filter(|(name, _)| told.iter().any(|it| name.starts_with(it)))
        {
            cargo.env_remove(name);
        }
        run(cargo.args(["--", "-C", "target-feature=+crt-static"]));
        let built = Path::new(env!("CARGO_BIN_EXE_weir")).with_file_name("examples/static");
        // Whoever builds all examples puts the other kind there again.
        let copy = made_anew("static").join("weir");
        fs::copy(built, &copy).unwrap();
        copy
    })
}

/// An empty folder below `target`, which the next run empties again.
fn made_anew(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// The package for Debian of a version.
#[track_caller]
pub fn deb(version: &str) -> PathBuf {
    found(&format!("weir_{version}_"), ".deb")
}

/// The package for Fedora and its kin of a version.
#[track_caller]
pub fn rpm(version: &str) -> PathBuf {
    found(&format!("weir-{version}."), ".rpm")
}

#[track_caller]
fn found(begins: &str, ends: &str) -> PathBuf {
    let listed = fs::read_dir(packages()).unwrap().map(|entry| entry.unwrap().path());
    let mut names = listed.map(|path| (path.file_name().unwrap().display().to_string(), path));
    let found = names.find(|(name, _)| name.starts_with(begins) && name.ends_with(ends));
    found.unwrap_or_else(|| panic!("no {begins}…{ends} in {}", packages().display())).1
}

/// `packaging/build` of the program that the tests run.
pub fn build(out: &Path) -> Command {
    let mut build = Command::new("packaging/build");
    build.env("OUT", out).env("WEIR_BINARY", env!("CARGO_BIN_EXE_weir"));
    build.env("WEIR_TOOLS", installed("WEIR_TEST_TOOLS", "tools"));
    build
}
