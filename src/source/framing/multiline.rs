//! Which lines belong together: a stack trace is one record.

use std::time::Duration;

use regex::bytes::Regex;

/// Lines that belong together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Multiline {
    /// How they are told.
    pub rule: Rule,
    /// A group to which nothing was added for so long is a record.
    pub timeout: Duration,
    /// Most lines in a group; the next one begins another.
    pub lines_max: usize,
}

/// How lines are told that belong together.
#[derive(Clone, Debug)]
pub enum Rule {
    /// By patterns. A line that matches `start` begins a record, one that matches `end` is the last
    /// of its record. With `next`, only lines that match it go on with the record before them.
    Patterns {
        /// First lines.
        start: Option<Regex>,
        /// Lines that go on.
        next: Option<Regex>,
        /// Last lines.
        end: Option<Regex>,
    },
    /// A language's own.
    Builtin(Builtin),
}

/// Stack traces weir knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Builtin {
    /// `at …`, `Caused by: …`, `... 3 more` behind the line that names the exception.
    Java,
    /// `Traceback (most recent call last):` to the line that names the exception.
    Python,
    /// `panic: …` or `fatal error: …`, and the goroutines behind it.
    Go,
}

/// How a line stands to the group before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// It begins another.
    Begins,
    /// It belongs to it.
    Joins,
}

/// What is known of an open group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Mood {
    /// Within a trace, or what looks like one.
    is_trace: bool,
    /// The line before named the exception.
    is_named: bool,
    /// The line before was blank.
    is_blank: bool,
    /// No line can follow.
    pub(super) is_over: bool,
}

impl PartialEq for Rule {
    fn eq(&self, other: &Self) -> bool {
        let same = |a: &Option<Regex>, b: &Option<Regex>| {
            a.as_ref().map(Regex::as_str) == b.as_ref().map(Regex::as_str)
        };
        match (self, other) {
            (Self::Builtin(a), Self::Builtin(b)) => a == b,
            (
                Self::Patterns { start, next, end },
                Self::Patterns { start: other_start, next: other_next, end: other_end },
            ) => same(start, other_start) && same(next, other_next) && same(end, other_end),
            _ => false,
        }
    }
}

impl Eq for Rule {}

impl Rule {
    /// How `line` stands to the group of that mood, which changes if it joins.
    pub(super) fn step(&self, mood: &mut Mood, line: &[u8]) -> Step {
        if mood.is_over {
            return Step::Begins;
        }
        let joins = match self {
            Self::Patterns { start, next, .. } => {
                let begins = start.as_ref().is_some_and(|start| start.is_match(line));
                let goes_on = next.as_ref().is_none_or(|next| next.is_match(line));
                !begins && goes_on
            }
            Self::Builtin(builtin) => builtin.joins(*mood, line),
        };
        if !joins {
            return Step::Begins;
        }
        self.note(mood, line);
        Step::Joins
    }

    /// The mood of a group that begins with `line`.
    pub(super) fn begin(&self, line: &[u8]) -> Mood {
        let mut mood = Mood::default();
        self.note(&mut mood, line);
        mood
    }

    fn note(&self, mood: &mut Mood, line: &[u8]) {
        match self {
            Self::Patterns { end, .. } => {
                mood.is_over = end.as_ref().is_some_and(|end| end.is_match(line));
            }
            Self::Builtin(builtin) => builtin.note(mood, line),
        }
    }
}

impl Builtin {
    fn joins(self, mood: Mood, line: &[u8]) -> bool {
        match self {
            Self::Java => is_java_frame(line) || !mood.is_trace && names_java_exception(line),
            Self::Python => {
                let goes_on = is_indented(line) || line.is_empty() || !mood.is_named;
                let is_chained = mood.is_blank
                    && (line.starts_with(b"During handling of the above exception")
                        || line.starts_with(b"The above exception was the direct cause")
                        || line.starts_with(PYTHON_TRACE));
                mood.is_trace && (goes_on || is_chained)
                    || line.starts_with(PYTHON_TRACE) && !mood.is_trace
            }
            Self::Go => mood.is_trace && is_go_frame(line),
        }
    }

    fn note(self, mood: &mut Mood, line: &[u8]) {
        match self {
            Self::Java => mood.is_trace |= is_java_frame(line) || names_java_exception(line),
            Self::Python => {
                let begins = line.starts_with(PYTHON_TRACE);
                mood.is_named = mood.is_trace && !is_indented(line) && !begins;
                // Between two chained traces stand blank lines and a sentence.
                mood.is_blank = line.is_empty() || mood.is_blank && mood.is_named && !begins;
                mood.is_trace |= begins;
            }
            Self::Go => {
                mood.is_trace |= line.starts_with(b"panic: ")
                    || line.starts_with(b"fatal error: ")
                    || line.starts_with(b"goroutine ");
            }
        }
    }
}

const PYTHON_TRACE: &[u8] = b"Traceback (most recent call last):";

fn is_indented(line: &[u8]) -> bool {
    matches!(line.first(), Some(b' ' | b'\t'))
}

fn is_java_frame(line: &[u8]) -> bool {
    let inner = line.trim_ascii_start();
    let is_frame =
        [&b"at "[..], b"... ", b"Suppressed: "].iter().any(|word| inner.starts_with(word));
    is_indented(line) && is_frame || line.starts_with(b"Caused by: ")
}

/// `java.lang.IllegalStateException: …`: dotted names, the last of which is an exception's.
fn names_java_exception(line: &[u8]) -> bool {
    let name = line.split(|byte| matches!(byte, b':' | b' ' | b'\r')).next().unwrap_or_default();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'$');
    let ends = [&b"Exception"[..], b"Error", b"Throwable"];
    name.contains(&b'.') && name.iter().all(is_name) && ends.iter().any(|end| name.ends_with(end))
}

fn is_go_frame(line: &[u8]) -> bool {
    let starts =
        [&b"goroutine "[..], b"created by ", b"[signal ", b"exit status ", b"\t", b"panic: "];
    let calls = || {
        let open = line.iter().position(|byte| *byte == b'(');
        let name = open.and_then(|open| line.get(..open)).unwrap_or_default();
        !name.is_empty() && !name.contains(&b' ') && line.ends_with(b")")
    };
    line.is_empty() || starts.iter().any(|start| line.starts_with(start)) || calls()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups of some lines, each as its first line and its count.
    fn groups(rule: &Rule, lines: &[&str]) -> Vec<usize> {
        let mut counts = Vec::new();
        let mut mood = Mood { is_over: true, ..Mood::default() };
        for line in lines.iter().map(|line| line.as_bytes()) {
            match rule.step(&mut mood, line) {
                Step::Joins => *counts.last_mut().unwrap() += 1,
                Step::Begins => {
                    counts.push(1);
                    mood = rule.begin(line);
                }
            }
        }
        counts
    }

    #[track_caller]
    fn check(rule: &Rule, text: &str, counts: &[usize]) {
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(groups(rule, &lines), counts, "{text}");
    }

    fn patterns(start: &str, next: &str, end: &str) -> Rule {
        let regex = |text: &str| (!text.is_empty()).then(|| Regex::new(text).unwrap());
        Rule::Patterns { start: regex(start), next: regex(next), end: regex(end) }
    }

    #[test]
    fn patterns_tell_first_next_and_last_lines() {
        check(&patterns(r"^\d", "", ""), "1\n a\n b\n2\n3\n c", &[3, 1, 2]);
        check(&patterns("", r"^\s", ""), "1\n a\n b\n2\n3\n c", &[3, 1, 2]);
        check(&patterns("", "", ";$"), "1\n2;\n3;\n4", &[2, 1, 1]);
        check(
            &patterns("^BEGIN", "", "^END"),
            "BEGIN\nx\nEND\nBEGIN\nBEGIN\nEND\ny",
            &[3, 1, 2, 1],
        );
        check(&patterns("^BEGIN", "^ ", ""), "BEGIN\n x\ny\n z", &[2, 2]);
    }

    #[test]
    fn a_java_trace_belongs_to_the_line_before_it() {
        let text = "08:00 ERROR request failed\n\
                    java.lang.IllegalStateException: no\n\
                    \tat com.example.A.a(A.java:1)\n\
                    \tat com.example.B.b(B.java:2)\n\
                    Caused by: java.io.IOException: gone\n\
                    \t... 2 more\n\
                    \tSuppressed: java.lang.Error\n\
                    08:01 INFO fine\n\
                    java.io.IOException\n\
                    \tat x.Y.z(Y.java)";
        check(&Rule::Builtin(Builtin::Java), text, &[7, 3]);
        check(&Rule::Builtin(Builtin::Java), "a\nb.Error\nc.Error: x\n\tat d", &[2, 2]);
    }

    #[test]
    fn a_python_trace_ends_with_the_line_that_names_the_exception() {
        let text = "before\n\
                    Traceback (most recent call last):\n\
                    \x20 File \"a.py\", line 1, in <module>\n\
                    \x20   f()\n\
                    ValueError: no\n\
                    \n\
                    During handling of the above exception, another exception occurred:\n\
                    \n\
                    Traceback (most recent call last):\n\
                    \x20 File \"a.py\", line 3, in <module>\n\
                    KeyError: 'x'\n\
                    after\n\
                    after that";
        check(&Rule::Builtin(Builtin::Python), text, &[11, 1, 1]);
    }

    #[test]
    fn a_go_panic_holds_its_goroutines() {
        let text = "serving\n\
                    panic: runtime error: index out of range\n\
                    \n\
                    goroutine 1 [running]:\n\
                    main.f(0x1, 0x2)\n\
                    \t/app/main.go:10 +0x1d\n\
                    created by main.main\n\
                    \t/app/main.go:5\n\
                    exit status 2\n\
                    next thing happens";
        check(&Rule::Builtin(Builtin::Go), text, &[1, 8, 1]);
    }
}
