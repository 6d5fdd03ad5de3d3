//! Which stream a file is for, by the pod it is from; pure.
//!
//! `{k8s.namespace}-logs|rest`: the first alternative, between `|`, that is the name of a declared
//! stream. A file for which none is, is not followed.

use std::path::Path;

use super::envelope::Pod;

/// A template and the streams it may lead to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    alternatives: Vec<Vec<Part>>,
    streams: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Namespace,
    Pod,
    Container,
}

impl Route {
    /// Reads a template.
    ///
    /// # Errors
    /// In words, what is wrong with it.
    pub fn parse(template: &str, streams: Vec<String>) -> Result<Self, String> {
        let alternatives = template.split('|').map(parts).collect::<Result<_, _>>()?;
        Ok(Self { alternatives, streams })
    }

    /// Whether a text is a template and no plain name.
    pub fn is_template(text: &str) -> bool {
        text.contains(['{', '|'])
    }

    /// The streams it may lead to.
    pub fn streams(&self) -> &[String] {
        &self.streams
    }

    /// Alternatives without anything to fill in: they must be streams themselves.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.alternatives.iter().filter_map(|parts| match parts.as_slice() {
            [Part::Text(text)] => Some(text.as_str()),
            _ => None,
        })
    }

    /// The stream that a file is for.
    pub(super) fn of(&self, path: &Path) -> Option<&str> {
        let path = path.to_string_lossy();
        let pod = Pod::of(&path);
        let named = self.alternatives.iter().filter_map(|parts| {
            parts.iter().map(|part| part.fill(pod)).collect::<Option<Vec<_>>>()
        });
        named
            .map(|parts| parts.concat())
            .find_map(|name| self.streams.iter().find(|stream| **stream == name))
            .map(String::as_str)
    }
}

impl Part {
    fn fill<'a>(&'a self, pod: Option<Pod<'a>>) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Namespace => pod.map(|pod| pod.namespace),
            Self::Pod => pod.map(|pod| pod.pod),
            Self::Container => pod.map(|pod| pod.container),
        }
    }
}

fn parts(mut text: &str) -> Result<Vec<Part>, String> {
    let mut parts = Vec::new();
    while let Some((before, rest)) = text.split_once('{') {
        let (name, behind) = rest.split_once('}').ok_or("a `{` without its `}`")?;
        if !before.is_empty() {
            parts.push(Part::Text(before.to_owned()));
        }
        parts.push(match name {
            "k8s.namespace" => Part::Namespace,
            "k8s.pod" => Part::Pod,
            "k8s.container" => Part::Container,
            _ => return Err(format!("nobody knows what `{{{name}}}` is")),
        });
        text = behind;
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
    if parts.is_empty() { Err("an alternative is empty".into()) } else { Ok(parts) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_for_the_first_alternative_that_is_declared() {
        let streams = ["shop", "shop-nginx", "rest"].map(String::from).to_vec();
        let check = |template: &str, path: &str, expected: Option<&str>| {
            let route = Route::parse(template, streams.clone()).unwrap();
            assert_eq!(route.of(Path::new(path)), expected, "{template} {path}");
        };
        let nginx = "/var/log/pods/shop_web-1_8f/nginx/0.log";
        let other = "/var/log/pods/kube-system_dns_8f/dns/0.log";
        check("{k8s.namespace}", nginx, Some("shop"));
        check("{k8s.namespace}-{k8s.container}|{k8s.namespace}", nginx, Some("shop-nginx"));
        check("{k8s.pod}|rest", nginx, Some("rest"));
        check("{k8s.namespace}", other, None);
        check("{k8s.namespace}|rest", other, Some("rest"));
        check("{k8s.namespace}|rest", "/var/log/syslog", Some("rest"));
        check("{k8s.namespace}", "/var/log/syslog", None);
    }

    #[test]
    fn what_is_no_template_is_named() {
        for (template, why) in [
            ("{k8s.namespace", "a `{` without its `}`"),
            ("{env}", "nobody knows what `{env}` is"),
            ("a|", "an alternative is empty"),
        ] {
            assert_eq!(Route::parse(template, Vec::new()).unwrap_err(), why);
        }
        assert!(Route::is_template("{k8s.pod}") && !Route::is_template("shop"));
    }
}
