//! What is known of a line, written around it as JSON.

use std::collections::BTreeMap;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::Serialize;

use crate::source::framing::Framed;

/// What every envelope of a block says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// `host`.
    pub host: String,
    /// `labels`: chosen by the operator.
    pub labels: BTreeMap<String, String>,
}

/// Writes envelopes.
#[derive(Clone, Debug)]
pub(super) struct Envelope(Settings);

#[derive(Serialize)]
struct Letterhead<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<&'a str>,
    /// The line, if it is not UTF-8.
    #[serde(skip_serializing_if = "Option::is_none")]
    message_base64: Option<String>,
    #[serde(skip_serializing_if = "str::is_empty")]
    host: &'a str,
    file: &'a str,
    /// Of the first byte of the line in the file.
    offset: u64,
    /// When the container runtime says it was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    time: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kubernetes: Option<Pod<'a>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: &'a BTreeMap<String, String>,
}

/// Which container wrote a file, from its path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Pod<'a> {
    pub(super) namespace: &'a str,
    pub(super) pod: &'a str,
    pub(super) container: &'a str,
}

impl Envelope {
    pub(super) fn new(settings: Settings) -> Self {
        Self(settings)
    }

    /// A record with its envelope; `from` is where the bytes stand that it was cut from.
    pub(super) fn wrap(&self, framed: &Framed, file: &Path, from: u64) -> Bytes {
        let text = |bytes: &'_ Option<Bytes>| -> Option<String> {
            bytes.as_ref().map(|bytes| String::from_utf8_lossy(bytes).into_owned())
        };
        let message = std::str::from_utf8(&framed.payload).ok();
        let (time, stream) = (text(&framed.origin.time), text(&framed.origin.stream));
        let path = file.to_string_lossy();
        let head = Letterhead {
            message,
            message_base64: message.is_none().then(|| STANDARD.encode(&framed.payload)),
            host: &self.0.host,
            file: &path,
            offset: from + framed.at as u64,
            time: time.as_deref(),
            stream: stream.as_deref(),
            kubernetes: Pod::of(&path),
            labels: &self.0.labels,
        };
        let mut json = Vec::with_capacity(framed.payload.len() + 256);
        serde_json::to_writer(&mut json, &head)
            .expect("texts and numbers are JSON, memory takes all");
        json.into()
    }
}

impl<'a> Pod<'a> {
    /// From the two kinds of paths the kubelet writes:
    /// `/var/log/pods/<namespace>_<pod>_<uid>/<container>/<n>.log` and
    /// `/var/log/containers/<pod>_<namespace>_<container>-<id>.log`.
    pub(super) fn of(path: &'a str) -> Option<Self> {
        let mut parts = path.rsplit('/');
        let (name, above, pod_folder) = (parts.next()?, parts.next()?, parts.next()?);
        if above == "containers" {
            let mut fields = name.strip_suffix(".log")?.splitn(3, '_');
            let (pod, namespace, container) = (fields.next()?, fields.next()?, fields.next()?);
            let (container, _id) = container.rsplit_once('-')?;
            return Some(Self { namespace, pod, container });
        }
        if parts.next()? != "pods" {
            return None;
        }
        let mut fields = pod_folder.splitn(3, '_');
        let (namespace, pod, _uid) = (fields.next()?, fields.next()?, fields.next()?);
        Some(Self { namespace, pod, container: above })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::framing::Origin;

    #[test]
    fn the_envelope_says_what_is_known_and_nothing_else() {
        let settings = Settings {
            host: "gateway".into(),
            labels: BTreeMap::from([("site".into(), "north".into())]),
        };
        let framed = Framed { payload: "a \"b\"".into(), at: 5, ..Framed::default() };

        let json = Envelope::new(settings.clone()).wrap(&framed, Path::new("/log/a.log"), 100);

        let expected = r#"{"message":"a \"b\"","host":"gateway","file":"/log/a.log","offset":105,"labels":{"site":"north"}}"#;
        assert_eq!(json, expected);
        let origin = Origin { time: Some("2026".into()), stream: Some("stdout".into()) };
        let framed = Framed { payload: vec![0xff].into(), origin, ..Framed::default() };
        let path = Path::new("/var/log/pods/ns_web-1_42/app/0.log");
        let json = Envelope::new(Settings::default()).wrap(&framed, path, 0);
        let expected = r#"{"message_base64":"/w==","file":"/var/log/pods/ns_web-1_42/app/0.log","offset":0,"time":"2026","stream":"stdout","kubernetes":{"namespace":"ns","pod":"web-1","container":"app"}}"#;
        assert_eq!(json, expected);
    }

    #[test]
    fn pods_are_known_by_both_kinds_of_paths() {
        let pod = Some(Pod { namespace: "shop", pod: "web-5d-x", container: "nginx" });
        assert_eq!(Pod::of("/var/log/pods/shop_web-5d-x_8f/nginx/3.log"), pod);
        assert_eq!(Pod::of("/var/log/containers/web-5d-x_shop_nginx-0123abc.log"), pod);
        for path in
            ["", "/", "/var/log/a.log", "/var/log/pods/x/y/z.log", "/var/log/containers/a_b.log"]
        {
            assert_eq!(Pod::of(path), None, "{path}");
        }
    }
}
