//! What container runtimes write around the lines of a container.
//!
//! ```text
//! docker   {"log":"the line\n","stream":"stdout","time":"2026-11-22T08:00:00.123456789Z"}
//! CRI      2026-11-22T08:00:00.123456789Z stdout F the line
//! ```
//!
//! Both cut long lines, at 16 KiB: docker's `log` then lacks its line end, CRI's tag is `P`
//! instead of `F`. Sources: docker's `json-file` driver, Kubernetes' `kuberuntime/logs/logs.go`.

use std::borrow::Cow;

use bytes::Bytes;
use serde::Deserialize;

use super::Origin;

/// What a container runtime wrote around each line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Nothing.
    #[default]
    Plain,
    /// Docker's `json-file` driver.
    Docker,
    /// What the kubelet reads: `/var/log/pods`, `/var/log/containers`.
    Cri,
    /// Entries of systemd's journal, in its export format; they are no lines.
    Journal,
}

/// One physical line, unwrapped.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) text: Bytes,
    pub(super) origin: Origin,
    /// The next part of the same stream goes on with this line.
    pub(super) is_partial: bool,
}

#[derive(Deserialize)]
struct DockerLine<'a> {
    #[serde(borrow)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Option<Cow<'a, str>>,
    #[serde(borrow)]
    time: Option<Cow<'a, str>>,
}

impl Format {
    /// Unwraps a line. One that is not wrapped as it should be is taken as it stands: what was
    /// written is worth more than its form.
    pub(super) fn unwrap(self, line: &Bytes) -> Part {
        let unwrapped = match self {
            Self::Plain | Self::Journal => None,
            Self::Docker => docker(line),
            Self::Cri => cri(line),
        };
        unwrapped.unwrap_or_else(|| Part { text: line.clone(), ..Part::default() })
    }
}

fn docker(line: &Bytes) -> Option<Part> {
    let wrapped: DockerLine<'_> = serde_json::from_slice(line).ok()?;
    let share = |text: &Cow<'_, str>| match text {
        Cow::Borrowed(text) => line.slice_ref(text.as_bytes()),
        Cow::Owned(text) => Bytes::copy_from_slice(text.as_bytes()),
    };
    let origin = Origin {
        time: wrapped.time.as_ref().map(share),
        stream: wrapped.stream.as_ref().map(share),
    };
    let text = share(&wrapped.log);
    let Some(without_end) = text.strip_suffix(b"\n") else {
        return Some(Part { text, origin, is_partial: true });
    };
    let without_cr = without_end.strip_suffix(b"\r").unwrap_or(without_end);
    Some(Part { text: text.slice(..without_cr.len()), origin, is_partial: false })
}

fn cri(line: &Bytes) -> Option<Part> {
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let (time, stream, tags) = (fields.next()?, fields.next()?, fields.next()?);
    // A line of nothing may come without the blank before it.
    let text = fields.next().unwrap_or_default();
    let is_known = matches!(stream, b"stdout" | b"stderr") && time.first()?.is_ascii_digit();
    let is_partial = match tags.split(|byte| *byte == b':').next()? {
        b"P" => true,
        b"F" => false,
        _ => return None,
    };
    let origin = Origin { time: Some(line.slice_ref(time)), stream: Some(line.slice_ref(stream)) };
    let text = if text.is_empty() { Bytes::new() } else { line.slice_ref(text) };
    is_known.then_some(Part { text, origin, is_partial })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(format: Format, line: &'static str, text: &str, stream: Option<&str>, partial: bool) {
        let part = format.unwrap(&Bytes::from_static(line.as_bytes()));
        assert_eq!(part.text, text);
        assert_eq!(part.origin.stream.as_deref(), stream.map(str::as_bytes));
        assert_eq!(part.is_partial, partial);
    }

    #[test]
    fn docker_lines_are_unwrapped_and_pieces_known_by_their_missing_end() {
        let line = r#"{"log":"hello\n","stream":"stdout","time":"2026-11-22T08:00:00Z"}"#;
        check(Format::Docker, line, "hello", Some("stdout"), false);
        check(
            Format::Docker,
            r#"{"log":"a\tb\r\n","stream":"stderr"}"#,
            "a\tb",
            Some("stderr"),
            false,
        );
        check(Format::Docker, r#"{"log":"half","stream":"stdout"}"#, "half", Some("stdout"), true);
        check(Format::Docker, r#"{"log":"\n","attrs":{"a":1}}"#, "", None, false);
    }

    #[test]
    fn cri_lines_are_unwrapped_and_pieces_known_by_their_tag() {
        check(Format::Cri, "2026-11-22T08:00:00Z stdout F a b  c", "a b  c", Some("stdout"), false);
        check(Format::Cri, "2026-11-22T08:00:00Z stderr P half", "half", Some("stderr"), true);
        check(Format::Cri, "2026-11-22T08:00:00Z stdout F ", "", Some("stdout"), false);
        check(Format::Cri, "2026-11-22T08:00:00Z stdout F", "", Some("stdout"), false);
        check(Format::Cri, "2026-11-22T08:00:00Z stdout F:x tag", "tag", Some("stdout"), false);
    }

    #[test]
    fn what_is_wrapped_otherwise_is_taken_as_it_stands() {
        for line in ["", "no json", "{\"log\":", "[1]", "{\"stream\":\"stdout\"}"] {
            check(Format::Docker, line, line, None, false);
        }
        for line in ["", "2026", "2026 stdout", "2026 stdin F x", "x stdout F y", "2026 stdout Q y"]
        {
            check(Format::Cri, line, line, None, false);
        }
    }
}
