//! Method and path to endpoint. Further doors (routes of the configuration, other protocols) are
//! further variants.

use hyper::{Method, Request};

use super::problem::Fault;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `GET /livez`.
    Live,
    /// `GET /readyz`.
    Ready,
    /// `POST /v1/streams/{stream}`.
    Records { stream: String },
}

const STREAMS: &str = "/v1/streams/";

pub(super) fn route<B>(request: &Request<B>) -> Result<Route, Fault> {
    let method = request.method();
    let probe = |route| match *method {
        Method::GET | Method::HEAD => Ok(route),
        _ => Err(Fault::WrongMethod { allow: "GET, HEAD" }),
    };
    match request.uri().path() {
        "/livez" => probe(Route::Live),
        "/readyz" => probe(Route::Ready),
        path => {
            let stream = path.strip_prefix(STREAMS).filter(|name| is_one_segment(name));
            let stream = stream.ok_or(Fault::UnknownPath)?.to_owned();
            if method != Method::POST {
                return Err(Fault::WrongMethod { allow: "POST" });
            }
            Ok(Route::Records { stream })
        }
    }
}

fn is_one_segment(name: &str) -> bool {
    !name.is_empty() && !name.contains('/')
}

impl Route {
    /// A bounded label for metrics.
    pub(super) fn label(path: &str) -> &'static str {
        match path {
            "/livez" => "livez",
            "/readyz" => "readyz",
            _ if path.starts_with(STREAMS) => "streams",
            _ => "other",
        }
    }
}
