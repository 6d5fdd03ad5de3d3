//! The trace that a caller is part of, as W3C and AWS X-Ray write it in headers. What is not well
//! formed is nobody's context, and never a reason to refuse anything.

use std::fmt;

/// One place in a trace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// The trace; not 0.
    pub trace: u128,
    /// The span there; 0 where none is named.
    pub span: u64,
    /// Whether whoever began it keeps it; `None` where that is left to others.
    pub is_kept: Option<bool>,
}

/// `00-`, 32 digits, `-`, 16 digits, `-`, 2 digits.
const W3C_BYTES: usize = 55;
/// Longest `tracestate` that is passed on, as W3C asks at least.
const STATE_BYTES_MAX: usize = 512;
/// X-Ray's header may hold fields of anybody; what is longer is not looked at.
const XRAY_BYTES_MAX: usize = 1_024;

impl TraceContext {
    /// Reads a `traceparent`: <https://www.w3.org/TR/trace-context/#traceparent-header>.
    pub fn of_w3c(text: &str) -> Option<Self> {
        // A later version may say more, behind another dash.
        let (known, more) = text.split_at_checked(W3C_BYTES)?;
        let mut parts = known.split('-');
        let (version, trace, span, flags) =
            (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
        let version = u8::try_from(hex(version, 2)?).ok()?;
        let has_right_end = more.is_empty() || (version > 0 && more.starts_with('-'));
        if version == u8::MAX || !has_right_end || parts.next().is_some() {
            return None;
        }
        let (trace, flags) = (hex(trace, 32)?, hex(flags, 2)?);
        let span = u64::try_from(hex(span, 16)?).ok()?;
        let is_kept = Some(flags & 1 == 1);
        (trace != 0 && span != 0).then_some(Self { trace, span, is_kept })
    }

    /// Reads an `X-Amzn-Trace-Id`: `Root=1-5759e988-bd862e3fe1be46a994272793;Parent=…;Sampled=1`.
    pub fn of_xray(text: &str) -> Option<Self> {
        if text.len() > XRAY_BYTES_MAX {
            return None;
        }
        let (mut trace, mut span, mut is_kept) = (0, 0, None);
        for field in text.split(';').filter_map(|field| field.trim().split_once('=')) {
            match field {
                ("Root", root) => {
                    let (time, rest) = root.strip_prefix("1-")?.split_once('-')?;
                    trace = (hex(time, 8)? << 96) | hex(rest, 24)?;
                }
                ("Parent", parent) => span = u64::try_from(hex(parent, 16)?).ok()?,
                ("Sampled", "1") => is_kept = Some(true),
                ("Sampled", "0") => is_kept = Some(false),
                _ => {}
            }
        }
        (trace != 0).then_some(Self { trace, span, is_kept })
    }

    /// As W3C writes it.
    pub fn w3c(&self) -> String {
        let kept = u8::from(self.is_kept == Some(true));
        format!("00-{:032x}-{:016x}-{kept:02x}", self.trace, self.span)
    }

    /// As X-Ray writes it.
    pub fn xray(&self) -> String {
        let (time, rest) = (self.trace >> 96, self.trace & ((1 << 96) - 1));
        let mut text = format!("Root=1-{time:08x}-{rest:024x}");
        if self.span != 0 {
            text.push_str(&format!(";Parent={:016x}", self.span));
        }
        if let Some(kept) = self.is_kept {
            text.push_str(&format!(";Sampled={}", u8::from(kept)));
        }
        text
    }
}

/// The trace alone, as logs name it.
impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.trace)
    }
}

/// Whether a `tracestate` may be passed on as it is.
pub fn is_trace_state(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= STATE_BYTES_MAX
        && text.bytes().all(|byte| (0x20..0x7f).contains(&byte))
        && text.split(',').all(|member| member.trim().is_empty() || member.contains('='))
}

/// So many digits, in lower case as both say.
fn hex(text: &str, digits: usize) -> Option<u128> {
    let is_hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    if text.len() != digits || !text.bytes().all(is_hex) {
        return None;
    }
    u128::from_str_radix(text, 16).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const TRACE: u128 = 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736;
    const SPAN: u64 = 0x00f0_67aa_0ba9_02b7;

    #[test]
    fn a_context_of_w3c_is_read_as_its_standard_says() {
        let kept =
            |is_kept| Some(TraceContext { trace: TRACE, span: SPAN, is_kept: Some(is_kept) });
        let base = "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7";
        assert_eq!(TraceContext::of_w3c(&format!("00-{base}-01")), kept(true));
        assert_eq!(TraceContext::of_w3c(&format!("00-{base}-00")), kept(false));
        assert_eq!(TraceContext::of_w3c(&format!("cc-{base}-01-what-will-be")), kept(true));
        for wrong in [
            String::new(),
            format!("00-{base}"),
            format!("ff-{base}-01"),
            format!("00-{base}-01-more"),
            format!("00-{base}-01x"),
            format!("00-{}-01", base.to_uppercase()),
            format!("00-{}-{}-01", "0".repeat(32), "00f067aa0ba902b7"),
            format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{}-01", "0".repeat(16)),
            "é".repeat(40),
        ] {
            assert_eq!(TraceContext::of_w3c(&wrong), None, "{wrong}");
        }
    }

    #[test]
    fn a_context_of_xray_is_read_with_and_without_a_parent() {
        let root = "Root=1-4bf92f35-77b34da6a3ce929d0e0e4736";
        let whole = format!("{root};Parent=00f067aa0ba902b7;Sampled=1");
        let context = TraceContext::of_xray(&whole).unwrap();
        assert_eq!(context, TraceContext { trace: TRACE, span: SPAN, is_kept: Some(true) });
        assert_eq!((context.xray(), context.to_string()), (whole, format!("{TRACE:032x}")));
        let bare = TraceContext::of_xray(&format!("Self=1-x; {root};Lineage=a:1")).unwrap();
        assert_eq!(bare, TraceContext { trace: TRACE, span: 0, is_kept: None });
        assert_eq!(bare.xray(), root);
        for wrong in
            ["", "Root=", "Root=1-4bf92f35", "Root=2-4bf92f35-77b34da6a3ce929d0e0e4736", "x"]
        {
            assert_eq!(TraceContext::of_xray(wrong), None, "{wrong}");
        }
        assert_eq!(TraceContext::of_xray(&format!("{root};Parent=x")), None);
        assert_eq!(TraceContext::of_xray(&format!("{root};{}", "x".repeat(2_000))), None);
    }

    proptest! {
        #[test]
        fn any_text_is_read_without_a_panic_and_what_is_written_is_read(
            text in ".{0,80}", trace in 1_u128.., span in 1_u64.., kept in any::<bool>(),
        ) {
            let read = [TraceContext::of_w3c(&text), TraceContext::of_xray(&text)];
            prop_assert!(read.into_iter().flatten().all(|context| context.trace != 0));
            prop_assert!(!is_trace_state(&text) || text.is_ascii());
            let context = TraceContext { trace, span, is_kept: Some(kept) };
            prop_assert_eq!(TraceContext::of_w3c(&context.w3c()), Some(context));
            prop_assert_eq!(TraceContext::of_xray(&context.xray()), Some(context));
        }
    }

    #[test]
    fn a_state_is_passed_on_only_if_it_is_one() {
        assert!(is_trace_state("congo=t61rcWkgMzE,rojo=00f067aa0ba902b7"));
        for wrong in ["", "x", "a=\u{1}", "a=é"] {
            assert!(!is_trace_state(wrong), "{wrong}");
        }
        assert!(!is_trace_state(&format!("a={}", "x".repeat(600))));
    }
}
