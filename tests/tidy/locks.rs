//! The fuzzed weir is the one that is built: both lock files say the same of it.

use std::collections::BTreeSet;

use super::tree::Tree;

const OURS: &str = "Cargo.toml";
const BUILT: &str = "Cargo.lock";
const FUZZED: &str = "fuzz/Cargo.lock";
/// What only the fuzz targets need.
const OF_FUZZING: [&str; 3] = ["arbitrary", "libfuzzer-sys", "weir-fuzz"];

/// Every package of `fuzz/Cargo.lock` stands in `Cargo.lock` at that version, and weir has there
/// what `Cargo.toml` asks for: else `fuzz/run` refuses to build.
pub fn fuzzing_builds_the_same(tree: &Tree) -> Vec<String> {
    let (built, fuzzed) = (packages(tree, BUILT), packages(tree, FUZZED));
    let mut findings = Vec::new();
    let of_weir =
        |package: &&Package| package.name != "weir" && !OF_FUZZING.contains(&&*package.name);
    for package in fuzzed.iter().filter(of_weir).filter(|package| !built.contains(package)) {
        let Package { name, version, .. } = package;
        findings.push(format!(
            "{FUZZED}:1: {name} {version} is not in {BUILT}; take its version with `cargo update --precise`"
        ));
    }
    let has: BTreeSet<_> = fuzzed
        .iter()
        .filter(|package| package.name == "weir")
        .flat_map(|package| package.needs.clone())
        .collect();
    let asked = dependencies(tree);
    if has != asked {
        let differing: Vec<_> = has.symmetric_difference(&asked).collect();
        findings.push(format!(
            "{FUZZED}:1: it differs from {OURS} in {differing:?}; run `cargo metadata` in fuzz"
        ));
    }
    findings
}

/// A package of a lock file.
#[derive(Debug)]
struct Package {
    name: String,
    version: String,
    /// Names of what it depends on.
    needs: BTreeSet<String>,
}

impl PartialEq for Package {
    fn eq(&self, other: &Self) -> bool {
        (&self.name, &self.version) == (&other.name, &other.version)
    }
}

fn packages(tree: &Tree, path: &str) -> Vec<Package> {
    let lock = parsed(tree, path);
    let all = lock.get("package").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let text = |package: &toml::Value, key: &str| {
        package.get(key).and_then(toml::Value::as_str).unwrap_or_default().to_owned()
    };
    let package = |package: toml::Value| {
        let needs = package.get("dependencies").and_then(toml::Value::as_array);
        let needs = needs.into_iter().flatten().filter_map(toml::Value::as_str);
        // With its version behind it where there are several.
        let name = |need: &str| need.split(' ').next().unwrap_or_default().to_owned();
        Package {
            name: text(&package, "name"),
            version: text(&package, "version"),
            needs: needs.map(name).collect(),
        }
    };
    all.into_iter().map(package).collect()
}

/// What weir asks for, on every machine and on some.
fn dependencies(tree: &Tree) -> BTreeSet<String> {
    let manifest = parsed(tree, OURS);
    let targets = manifest.get("target").and_then(toml::Value::as_table);
    let targets = targets.into_iter().flat_map(|targets| targets.values());
    let tables = std::iter::once(&manifest).chain(targets);
    let tables = tables.filter_map(|table| table.get("dependencies")?.as_table());
    tables.flat_map(|table| table.keys().cloned()).collect()
}

fn parsed(tree: &Tree, path: &str) -> toml::Value {
    let text = tree.file(path).map_or("", |file| &file.text);
    toml::Value::Table(text.parse().unwrap_or_default())
}

#[cfg(test)]
mod on_small_trees {
    use super::super::tree::small_tree;
    use super::*;

    const MANIFEST: &str = "[dependencies]\nbytes = \"1\"\n[target.x.dependencies]\nlibc = \"1\"\n";

    #[track_caller]
    fn check(fuzzed: &str, expected: &[&str]) {
        let built = "[[package]]\nname = \"bytes\"\nversion = \"1.2.0\"\n\
                     [[package]]\nname = \"libc\"\nversion = \"1.0.0\"\n";
        let findings = fuzzing_builds_the_same(&small_tree(&[
            (OURS, MANIFEST),
            (BUILT, built),
            (FUZZED, fuzzed),
        ]));
        assert_eq!(findings, expected);
    }

    #[test]
    fn versions_and_what_weir_needs_are_compared() {
        let weir = "[[package]]\nname = \"weir\"\nversion = \"0.1.0\"\n";
        let both = format!("{weir}dependencies = [\"bytes 1.2.0\", \"libc\"]\n");
        let bytes =
            |version: &str| format!("[[package]]\nname = \"bytes\"\nversion = \"{version}\"\n");
        let engine = "[[package]]\nname = \"libfuzzer-sys\"\nversion = \"0.4.0\"\n";
        check(&format!("{both}{}{engine}", bytes("1.2.0")), &[]);
        check(
            &format!("{both}{}", bytes("1.3.0")),
            &["fuzz/Cargo.lock:1: bytes 1.3.0 is not in Cargo.lock; take its version with `cargo \
             update --precise`"],
        );
        check(
            &format!("{weir}dependencies = [\"bytes\"]\n"),
            &[
                "fuzz/Cargo.lock:1: it differs from Cargo.toml in [\"libc\"]; run `cargo metadata` in \
             fuzz",
            ],
        );
    }
}
