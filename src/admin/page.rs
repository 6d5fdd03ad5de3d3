//! The dashboard: files that are part of the binary, and what a browser may do with them.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};

use crate::base::serve::Answer;

/// Nothing but its own files and its own agent; nobody may put it into a frame, where a click could
/// be made to mean something else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
                      img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      require-trusted-types-for 'script'";
const SAME_ORIGIN: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";

/// Path, type, content.
const FILES: [(&str, &str, &str); 8] = [
    ("/", HTML, include_str!("page/index.html")),
    ("/ui/style.css", CSS, include_str!("page/style.css")),
    ("/ui/main.js", SCRIPT, include_str!("page/main.js")),
    ("/ui/draw.js", SCRIPT, include_str!("page/draw.js")),
    ("/ui/feed.js", SCRIPT, include_str!("page/feed.js")),
    ("/ui/charts.js", SCRIPT, include_str!("page/charts.js")),
    ("/ui/parts.js", SCRIPT, include_str!("page/parts.js")),
    ("/ui/letters.js", SCRIPT, include_str!("page/letters.js")),
];

/// One of its files.
pub(super) fn find(path: &str) -> Option<Answer> {
    let (_, content_type, text) = FILES.iter().find(|(known, ..)| *known == path)?;
    let mut answer = Response::new(Full::new(Bytes::from_static(text.as_bytes())));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    // Another version of weir may answer at this address tomorrow.
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    keep_apart(&mut answer);
    Some(answer)
}

/// What is answered here is nothing that another site may include or guess the type of.
pub(super) fn keep_apart(answer: &mut Answer) {
    let headers = answer.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(SAME_ORIGIN, HeaderValue::from_static("same-origin"));
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Most bytes of the whole page.
    const BYTES_MAX: usize = 60 << 10;

    #[test]
    fn the_page_is_small_whole_and_asks_nobody_else() {
        let bytes: usize = FILES.iter().map(|(_, _, text)| text.len()).sum();
        assert!(bytes <= BYTES_MAX, "{bytes}");
        for (path, _, text) in FILES {
            for other in ["http:", "https:", "//cdn", "eval(", "innerHTML", "localStorage"] {
                let rest = text.replace("http://www.w3.org/2000/svg", "");
                assert!(!rest.contains(other), "{path} has `{other}`");
            }
            for (_, name) in FILES.iter().flat_map(|(_, _, text)| imports(text)) {
                assert!(find(&format!("/ui/{name}")).is_some(), "{name} is not served");
            }
        }
        let page = FILES[0].2;
        for asset in ["/ui/style.css", "/ui/main.js"] {
            assert!(page.contains(asset), "{asset}");
        }
        assert!(find("/ui/other.js").is_none() && find("/ui/").is_none());
    }

    fn imports(text: &str) -> impl Iterator<Item = (&str, &str)> {
        let lines = text.lines().filter(|line| line.starts_with("import"));
        lines
            .filter_map(|line| line.split_once("\"./"))
            .map(|(first, rest)| (first, rest.trim_end_matches("\";")))
    }
}
