//! Documents in step with the code: each problem and each metric is explained, and nothing else is.

use std::collections::{BTreeMap, BTreeSet};

use super::tree::{File, Tree};

/// The files that give refusals their slugs.
const PROBLEMS: [&str; 3] = ["/problem.rs", "/refusal.rs", "/rejected.rs"];
const ERRORS: &str = "docs/ERRORS.md";
const METRICS: &str = "docs/METRICS.md";

/// Every slug in the files that make problems has a heading `## slug` in `docs/ERRORS.md`, and
/// every such heading has its slug.
pub fn problems_are_explained(tree: &Tree) -> Vec<String> {
    let Some(errors) = tree.file(ERRORS) else {
        return vec![format!("{ERRORS}:1: there is no such file; explain the problems there")];
    };
    let headings: BTreeMap<&str, usize> =
        headings(&errors.text).filter(|(heading, _)| is_kebab(heading)).collect();
    let mut findings = Vec::new();
    let mut known = BTreeSet::new();
    for (file, _) in tree.rooms() {
        if !PROBLEMS.iter().any(|name| file.path.ends_with(name)) {
            continue;
        }
        for (offset, text) in literals(file) {
            if is_slug(&text) && !headings.contains_key(text.as_str()) {
                findings.push(format!(
                    "{}: `{text}` is not explained; write `## {text}` in {ERRORS}",
                    file.at(offset)
                ));
            }
            known.insert(text);
        }
    }
    for (heading, offset) in &headings {
        if !known.contains(*heading) {
            findings.push(format!(
                "{}: no problem has the slug `{heading}`; take the section out",
                errors.at(*offset)
            ));
        }
    }
    if !known.iter().any(|text| is_slug(text)) {
        findings.push(format!("{ERRORS}:1: no slug was found; is this rule still looking right?"));
    }
    findings
}

/// Every `problem = "slug"` of a log line stands in `docs/ERRORS.md`.
pub fn log_problems_are_explained(tree: &Tree) -> Vec<String> {
    let explained = tree.file(ERRORS).map_or("", |errors| errors.text.as_str());
    let mut findings = Vec::new();
    for (file, _) in tree.rooms() {
        for (offset, _) in file.text.match_indices(LOGGED) {
            let rest = file.text.get(offset + LOGGED.len()..).unwrap_or_default();
            let slug = rest.split('"').next().unwrap_or_default();
            if !explained.contains(&format!("`{slug}`")) {
                findings.push(format!(
                    "{}: `{slug}` is not explained; give it a row in {ERRORS}",
                    file.at(offset)
                ));
            }
        }
    }
    findings
}

const LOGGED: &str = "problem = \"";

/// Every metric that is registered stands as `weir_name` in `docs/METRICS.md`, and every
/// name there is registered.
pub fn metrics_are_explained(tree: &Tree) -> Vec<String> {
    let Some(document) = tree.file(METRICS) else {
        return vec![format!("{METRICS}:1: there is no such file; explain the metrics there")];
    };
    let explained: BTreeMap<String, usize> = metric_names(&document.text).collect();
    let mut findings = Vec::new();
    let mut registered = BTreeSet::new();
    for (file, _) in tree.rooms() {
        for (offset, name) in registrations(file) {
            if !explained.keys().any(|known| without_suffix(known) == without_suffix(&name)) {
                findings.push(format!(
                    "{}: `weir_{name}` is not explained; give it a row in {METRICS}",
                    file.at(offset)
                ));
            }
            registered.insert(without_suffix(&name).to_owned());
        }
    }
    for (name, offset) in &explained {
        if !registered.contains(without_suffix(name)) {
            findings.push(format!(
                "{}: nothing registers `weir_{name}`; take the row out",
                document.at(*offset)
            ));
        }
    }
    if registered.is_empty() {
        findings
            .push(format!("{METRICS}:1: no metric was found; is this rule still looking right?"));
    }
    findings
}

/// Names of metrics, in files that know the registry: first arguments of a call, whether of
/// `registry.register("name", …)` itself or of a closure around it, and first members of a row of
/// a table whose second is the help text. A sub-registry's prefix goes in front of what follows.
fn registrations(file: &File) -> Vec<(usize, String)> {
    let code = file.production();
    if !code.contains("Registry") {
        return Vec::new();
    }
    let (mut names, mut prefix) = (Vec::new(), String::new());
    for (offset, name) in literals(file) {
        let before = code.get(..offset).unwrap_or_default().trim_end();
        let after = code.get(offset + name.len() + 2..).unwrap_or_default().trim_start();
        let (Some(opening), true) = (before.strip_suffix('('), is_metric_name(&name)) else {
            continue;
        };
        if opening.ends_with("sub_registry_with_prefix") {
            prefix = format!("{name}_");
            continue;
        }
        let is_call = opening.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let next = after.strip_prefix(',').map(str::trim_start);
        if next.is_some_and(|next| is_call || next.starts_with('"')) {
            names.push((offset, format!("{prefix}{name}")));
        }
    }
    names
}

fn is_metric_name(name: &str) -> bool {
    !name.is_empty()
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// What the encoder appends, or Prometheus derives, is not part of the name. Units among them are
/// compared on the running agent, by a story.
fn without_suffix(name: &str) -> &str {
    let suffixes = ["_total", "_bucket", "_count", "_sum", "_bytes", "_seconds"];
    match suffixes.iter().find_map(|suffix| name.strip_suffix(suffix)) {
        Some(shorter) => without_suffix(shorter),
        None => name,
    }
}

/// Every `weir_…` in a text, without `weir_`.
fn metric_names(text: &str) -> impl Iterator<Item = (String, usize)> {
    text.match_indices("weir_").filter_map(|(start, prefix)| {
        let rest = text.get(start + prefix.len()..)?;
        let name: String = rest
            .chars()
            .take_while(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '_')
            .collect();
        // `weir_queue_*` speaks of a group.
        (!name.is_empty() && !name.ends_with('_')).then_some((name, start))
    })
}

/// The headings of the second order, with their offsets.
fn headings(text: &str) -> impl Iterator<Item = (&str, usize)> {
    text.match_indices("\n## ").map(|(start, mark)| {
        let rest = text.get(start + mark.len()..).unwrap_or_default();
        (rest.lines().next().unwrap_or_default().trim().trim_matches('`'), start + 1)
    })
}

/// The string literals of the product's code: only their quotes are left of them there.
fn literals(file: &File) -> Vec<(usize, String)> {
    let code = file.production();
    let mut quotes = code.match_indices('"').map(|(offset, _)| offset);
    let mut found = Vec::new();
    while let (Some(opens), Some(closes)) = (quotes.next(), quotes.next()) {
        let text = file.text.get(opens + 1..closes).unwrap_or_default();
        found.push((opens, text.to_owned()));
    }
    found
}

/// `queue-full`, but no name of an HTTP header, and no single word: those may be anything.
fn is_slug(text: &str) -> bool {
    const HEADERS: [&str; 6] = [
        "content-type",
        "content-length",
        "retry-after",
        "x-request-id",
        "www-authenticate",
        "x-amz-retry-after",
    ];
    text.contains('-') && !HEADERS.contains(&text) && is_kebab(text)
}

/// Lower-case words joined by dashes.
fn is_kebab(text: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    text.split('-').all(|part| !part.is_empty() && part.chars().all(is_plain))
}

#[cfg(test)]
mod on_small_trees {
    use super::super::tree::small_tree;
    use super::*;

    #[test]
    fn problems_and_headings_are_compared_both_ways() {
        let code = "fn slug() { match x { A => \"queue-full\", B => \"rate-exceeded\", C => \"busy\" } }\n\
                    const H: &str = \"retry-after\"; // \"not-this\"\n\
                    #[cfg(test)]\nmod tests { const T: &str = \"nor-this\"; }\n";
        let document = "# Errors\n\n## queue-full\n\n## busy\n## gone-away\n\n## Exit codes\n";

        let path = "src/source/http/problem.rs";
        let findings = problems_are_explained(&small_tree(&[(path, code), (ERRORS, document)]));

        assert_eq!(
            findings,
            [
                "src/source/http/problem.rs:1: `rate-exceeded` is not explained; write \
             `## rate-exceeded` in docs/ERRORS.md",
                "docs/ERRORS.md:6: no problem has the slug `gone-away`; take the section out",
            ]
        );
    }

    #[test]
    fn what_the_log_says_is_looked_up() {
        let code = "fn f() {\n    warn!(problem = \"disk-gone\", \"x\");\n    warn!(problem = \"known\", \"x\");\n}\n";
        let tree = small_tree(&[("src/queue/store.rs", code), (ERRORS, "| `known` | x |\n")]);

        assert_eq!(
            log_problems_are_explained(&tree),
            ["src/queue/store.rs:2: `disk-gone` is not explained; give it a row in docs/ERRORS.md"]
        );
    }

    #[test]
    fn metrics_and_rows_are_compared_both_ways() {
        let code = "fn add(r: &mut Registry) {\n\
                    r.register(\n  \"records\", \"Records.\", a);\n\
                    gauge(\"depth\", words);\n\
                    let rows = [(\"used\", \"Bytes used.\", x)]; [(\"stream\", x)];\n\
                    let r = r.sub_registry_with_prefix(\"sub\");\n\
                    r.register_with_unit(\"lag\", \"Lag.\", Unit::Seconds, c);\n\
                    metrics.register(|registry| add(registry)); }\n";
        let document = "| `weir_records_total` | |\n| `weir_sub_lag_seconds` | |\n\
                        | `weir_gone` | |\n| `weir_sub_*` | |\n";

        let tree = small_tree(&[("src/queue/metrics.rs", code), (METRICS, document)]);

        assert_eq!(
            metrics_are_explained(&tree),
            [
                "src/queue/metrics.rs:4: `weir_depth` is not explained; give it a row in \
             docs/METRICS.md",
                "src/queue/metrics.rs:5: `weir_used` is not explained; give it a row in \
             docs/METRICS.md",
                "docs/METRICS.md:3: nothing registers `weir_gone`; take the row out",
            ]
        );
    }

    #[test]
    fn an_empty_catch_is_a_finding() {
        let tree = small_tree(&[("src/source/http/problem.rs", ""), (ERRORS, ""), (METRICS, "")]);

        assert!(problems_are_explained(&tree)[0].contains("no slug was found"));
        assert!(metrics_are_explained(&tree)[0].contains("no metric was found"));
    }
}
