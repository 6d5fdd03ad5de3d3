//! Method and path to what is there: health, weir's own API, that of API Gateway, and the routes of
//! the configuration. Fixed paths come first; then a segment that is written out beats `{name}`,
//! which beats `{*rest}`; then a method that is named beats `ANY`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use hyper::{Method, Request};
use matchit::{Match, Router};
use percent_encoding::percent_decode_str;

use super::Settings;
use super::aws::TARGET;
use super::decode::Shape;
use super::manner::Manner;
use super::path::is_plain;
use super::problem::Fault;
use crate::admission::Treatment;

/// One `[route.NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteSettings {
    /// `NAME`.
    pub name: String,
    /// `POST`; `ANY` for all of them.
    pub methods: Vec<String>,
    /// `/ingest/{device}/events`.
    pub path: String,
    /// Where its records go.
    pub stream: String,
    /// Auth blocks of its own; those of the listener without.
    pub auth: Option<Vec<String>>,
    /// The plan of all that come this way; that of the listener without.
    pub plan: Option<String>,
    /// Whether the elements of a JSON array are records.
    pub split_arrays: bool,
    /// How a success is answered.
    pub thanks: Thanks,
    /// What is done to its records before the stream does what it does.
    pub treatment: Option<Arc<Treatment>>,
}

/// How a success is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thanks {
    /// 200, 201, 202 or 204.
    pub status: u16,
    /// Instead of count and ids.
    pub body: Option<String>,
}

/// What a request is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Route {
    /// `GET /livez`.
    Live,
    /// `GET /readyz`.
    Ready,
    /// A call in one of the protocols of AWS; the rest stands in its head and body.
    Call,
    /// Records for a stream.
    Records(Box<Arrival>),
}

/// Where records go, who may hand them in, and how they are read and answered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Arrival {
    pub(super) stream: String,
    /// Instead of the auth blocks of the listener.
    pub(super) auth: Option<Arc<[String]>>,
    /// The plan of a route and the route's name, instead of the listener's.
    pub(super) plan: Option<(String, String)>,
    /// What the path says of the body; otherwise its head does.
    pub(super) shape: Option<Shape>,
    pub(super) split_arrays: bool,
    pub(super) manner: Manner,
    /// What the route does to records.
    pub(super) treatment: Option<Arc<Treatment>>,
    /// The pattern that the path matched.
    pub(super) pattern: Cow<'static, str>,
    /// The name of the route; empty for the fixed paths.
    pub(super) route: String,
    /// Values of the path's parameters, by name.
    pub(super) params: Vec<(String, String)>,
}

const STREAMS: &str = "/v1/streams/";
const GATEWAY: &str = "/streams/";
/// Stands for all methods.
pub const ANY: &str = "ANY";

/// The routes of one listener.
#[derive(Debug)]
pub(super) struct Routes {
    native: bool,
    gateway: bool,
    aws: bool,
    split_arrays: bool,
    routes: Vec<(RouteSettings, Option<Arc<[String]>>)>,
    by_method: BTreeMap<String, Router<usize>>,
}

/// Why a path can't be routed; the place of the other route if it is about two of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRoute {
    /// Stands behind the path: `names a parameter twice`.
    pub why: String,
    /// The name of the route that has it already.
    pub taken_by: Option<String>,
}

/// Checks a route against those before it on the same listener.
///
/// # Errors
/// [`BadRoute`], the first fault of the last one.
pub fn check_routes(routes: &[RouteSettings]) -> Result<(), BadRoute> {
    by_method(routes).map(drop)
}

fn by_method(routes: &[RouteSettings]) -> Result<BTreeMap<String, Router<usize>>, BadRoute> {
    let mut all: BTreeMap<String, Router<usize>> = BTreeMap::new();
    for (index, route) in routes.iter().enumerate() {
        check_path(&route.path).map_err(|why| BadRoute { why, taken_by: None })?;
        for method in &route.methods {
            let router = all.entry(method.clone()).or_default();
            router
                .insert(route.path.clone(), index)
                .map_err(|error| bad(&error, routes, method))?;
        }
    }
    Ok(all)
}

fn bad(error: &matchit::InsertError, routes: &[RouteSettings], method: &str) -> BadRoute {
    match error {
        matchit::InsertError::Conflict { with } => {
            let other = routes
                .iter()
                .find(|route| route.path == *with && route.methods.iter().any(|m| m == method));
            let why = format!("takes the same requests as {method} {with}");
            BadRoute { why, taken_by: other.map(|route| route.name.clone()) }
        }
        _ => BadRoute {
            why: "should have parameters like `{device}`, each a whole segment, and at most one \
                  `{*rest}` at its end"
                .to_owned(),
            taken_by: None,
        },
    }
}

fn check_path(path: &str) -> Result<(), String> {
    let Some(rest) = path.strip_prefix('/') else { return Err("should begin with `/`".to_owned()) };
    let plain = |c: char| "/{}".contains(c) || u8::try_from(c).is_ok_and(is_plain);
    if !path.chars().all(plain) {
        return Err("should have only plain characters, as a path has on the line".to_owned());
    }
    let mut names: Vec<&str> = Vec::new();
    for segment in rest.split('/') {
        let inner = segment.strip_prefix('{').and_then(|rest| rest.strip_suffix('}'));
        let Some(name) = inner.map(|name| name.trim_start_matches('*')) else { continue };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
        if name.is_empty() || !name.chars().all(plain) {
            return Err(format!(
                "has the parameter `{segment}`, whose name should be letters, digits and `_`"
            ));
        }
        if names.contains(&name) {
            return Err(format!("has the parameter `{name}` twice"));
        }
        names.push(name);
    }
    if ["/livez", "/readyz"].contains(&path) {
        return Err("is that of the health checks".to_owned());
    }
    Ok(())
}

/// Whether the fixed paths of a listener hide a route.
pub fn is_hidden(path: &str, native: bool, gateway: bool) -> bool {
    native && path.starts_with(STREAMS) || gateway && path.starts_with(GATEWAY)
}

impl Routes {
    pub(super) fn new(settings: &Settings) -> Self {
        let routes = settings
            .routes
            .iter()
            .map(|route| (route.clone(), route.auth.clone().map(Arc::<[String]>::from)));
        Self {
            native: settings.native,
            gateway: settings.gateway,
            aws: settings.aws,
            split_arrays: settings.split_arrays,
            // The configuration was checked; what a caller hands in unchecked is not served.
            by_method: by_method(&settings.routes).unwrap_or_default(),
            routes: routes.collect(),
        }
    }

    /// The route of a request.
    pub(super) fn find<B>(&self, request: &Request<B>) -> Result<Route, Fault> {
        let (method, path) = (request.method(), request.uri().path());
        let probe = |route| match *method {
            Method::GET | Method::HEAD => Ok(route),
            _ => Err(Fault::WrongMethod { allow: "GET, HEAD".into() }),
        };
        match path {
            "/livez" => return probe(Route::Live),
            "/readyz" => return probe(Route::Ready),
            "/" if self.is_call(request) => return Ok(Route::Call),
            _ => {}
        }
        if let Some(arrival) = self.fixed(path) {
            let allow = if arrival.shape.is_some() { Method::PUT } else { Method::POST };
            if *method != allow {
                return Err(Fault::WrongMethod { allow: allow.to_string() });
            }
            return Ok(Route::Records(Box::new(arrival)));
        }
        self.configured(method, path).map(|arrival| Route::Records(Box::new(arrival)))
    }

    /// Whether a request speaks a protocol of AWS, and that is spoken here.
    pub(super) fn is_call<B>(&self, request: &Request<B>) -> bool {
        let is_post = request.method() == Method::POST && request.uri().path() == "/";
        self.aws && is_post && request.headers().contains_key(TARGET)
    }

    fn fixed(&self, path: &str) -> Option<Arrival> {
        let one_segment = |name: &str| !name.is_empty() && !name.contains('/');
        if let Some(stream) = path.strip_prefix(STREAMS).filter(|name| one_segment(name)) {
            let stream = stream.to_owned();
            let split_arrays = self.split_arrays;
            let pattern = "/v1/streams/{stream}".into();
            let arrival = Arrival { stream, split_arrays, pattern, ..Arrival::default() };
            return self.native.then_some(arrival);
        }
        let (stream, last) = path.strip_prefix(GATEWAY)?.split_once('/')?;
        let (shape, manner, pattern) = match last {
            "record" => (Shape::GatewayRecord, Manner::GatewayRecord, "/streams/{stream}/record"),
            "records" => {
                (Shape::GatewayRecords, Manner::GatewayRecords, "/streams/{stream}/records")
            }
            _ => return None,
        };
        let (stream, shape, pattern) = (stream.to_owned(), Some(shape), pattern.into());
        let is_served = self.gateway && !stream.is_empty();
        is_served.then(|| Arrival { stream, shape, manner, pattern, ..Arrival::default() })
    }

    fn configured(&self, method: &Method, path: &str) -> Result<Arrival, Fault> {
        let any = is_one_of_any(method).then_some(ANY);
        let named = [Some(method.as_str()), any].into_iter().flatten();
        let named = named.filter_map(|name| self.by_method.get(name));
        let Some(found) = named.filter_map(|router| at(router, path)).next() else {
            let others = self.by_method.iter().filter(|(_, router)| at(router, path).is_some());
            let allow: Vec<&str> = others.map(|(method, _)| named_in_full(method)).collect();
            return Err(match allow.as_slice() {
                [] => Fault::UnknownPath,
                allow => Fault::WrongMethod { allow: allow.join(", ") },
            });
        };
        let (route, auth) = self.routes.get(*found.value).ok_or(Fault::UnknownPath)?;
        let param = |(name, value): (&str, &str)| {
            let value = percent_decode_str(value).decode_utf8().ok()?;
            Some((name.to_owned(), value.into_owned()))
        };
        let params: Option<Vec<_>> = found.params.iter().map(param).collect();
        Ok(Arrival {
            stream: route.stream.clone(),
            auth: auth.clone(),
            plan: route.plan.clone().map(|plan| (plan, format!("route.{}", route.name))),
            shape: None,
            split_arrays: route.split_arrays,
            manner: Manner::Route(route.thanks.clone()),
            treatment: route.treatment.clone(),
            pattern: route.path.clone().into(),
            route: route.name.clone(),
            params: params
                .ok_or(Fault::BadPath("a parameter is not UTF-8 once it is unescaped"))?,
        })
    }
}

/// The methods that are commonly taken for all of them.
const ALL: &str = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";

fn named_in_full(method: &str) -> &str {
    if method == ANY { ALL } else { method }
}

/// Names of methods are told apart by case: `post` is another one than that which rules and policies
/// speak of. A success of CONNECT would be a tunnel.
fn is_one_of_any(method: &Method) -> bool {
    *method != Method::CONNECT && !method.as_str().bytes().any(|byte| byte.is_ascii_lowercase())
}

/// What takes a path; a parameter stands for a segment, and nothing is none.
fn at<'r, 'p>(router: &'r Router<usize>, path: &'p str) -> Option<Match<'r, 'p, &'r usize>> {
    let found = router.at(path).ok()?;
    let is_whole = found.params.iter().all(|(_, value)| !value.is_empty());
    is_whole.then_some(found)
}

/// The label of a request that was refused before its route was known, or has none.
pub(super) const NO_ROUTE: &str = "other";

#[cfg(test)]
mod tests {
    use super::*;

    fn route(name: &str, methods: &[&str], path: &str) -> RouteSettings {
        RouteSettings {
            name: name.into(),
            methods: methods.iter().map(|&method| method.to_owned()).collect(),
            path: path.into(),
            stream: name.into(),
            auth: None,
            plan: None,
            split_arrays: false,
            thanks: Thanks { status: 202, body: None },
            treatment: None,
        }
    }

    fn routes(all: &[RouteSettings]) -> Routes {
        Routes {
            native: true,
            gateway: true,
            aws: true,
            split_arrays: false,
            routes: all.iter().map(|route| (route.clone(), None)).collect(),
            by_method: by_method(all).unwrap(),
        }
    }

    /// `stream name=value …` of what takes a request, or its fault.
    fn found(routes: &Routes, method: &str, path: &str) -> Result<String, Fault> {
        let request = Request::builder().method(method).uri(path).body(()).unwrap();
        match routes.find(&request)? {
            Route::Records(arrival) => {
                let params = arrival.params.iter().map(|(name, value)| format!(" {name}={value}"));
                Ok(arrival.stream + &params.collect::<String>())
            }
            other => Ok(format!("{other:?}")),
        }
    }

    #[test]
    fn the_nearest_route_takes_a_request_and_its_parameters_are_named() {
        let all = routes(&[
            route("events", &["POST", "PUT"], "/ingest/{device}/events"),
            route("mine", &["POST"], "/ingest/mine/events"),
            route("rest", &["ANY"], "/ingest/{*rest}"),
            route("get", &["GET"], "/pixel"),
        ]);
        for (method, path, expected) in [
            ("POST", "/ingest/d-1/events", "events device=d-1"),
            ("PUT", "/ingest/mine/events", "events device=mine"),
            ("POST", "/ingest/mine/events", "mine"),
            ("GET", "/ingest/d-1/events", "rest rest=d-1/events"),
            ("POST", "/ingest/a/b/c", "rest rest=a/b/c"),
            ("POST", "/ingest/caf%C3%A9%2F1/events", "events device=café/1"),
            ("GET", "/pixel?x=1", "get"),
            ("POST", "/v1/streams/access", "access"),
            ("PUT", "/streams/access/records", "access"),
            ("GET", "/livez", "Live"),
        ] {
            assert_eq!(found(&all, method, path), Ok(expected.to_owned()), "{method} {path}");
        }
    }

    #[test]
    fn what_no_route_takes_is_told_apart() {
        let all = routes(&[
            route("a", &["POST", "PUT"], "/a/{b}"),
            route("get", &["GET"], "/a/{b}"),
            route("c", &["POST"], "/c/{d}/e"),
        ]);
        let allow = |text: &str| Err(Fault::WrongMethod { allow: text.into() });
        assert_eq!(found(&all, "DELETE", "/a/1"), allow("GET, POST, PUT"));
        assert_eq!(found(&all, "GET", "/v1/streams/a"), allow("POST"));
        assert_eq!(found(&all, "POST", "/streams/a/record"), allow("PUT"));
        for path in [
            "/a",
            "/a/",
            "/a/1/2",
            "/c//e",
            "/",
            "/v1/streams/",
            "/v1/streams/a/b",
            "/streams//record",
        ] {
            assert_eq!(found(&all, "POST", path), Err(Fault::UnknownPath), "{path}");
        }
        assert_eq!(
            found(&all, "POST", "/a/%ff"),
            Err(Fault::BadPath("a parameter is not UTF-8 once it is unescaped"))
        );
    }

    #[test]
    fn a_route_for_any_method_makes_no_tunnel_and_takes_no_other_spelling() {
        let all =
            routes(&[route("any", &["ANY"], "/a/{b}"), route("own", &["PROPFIND"], "/a/{b}")]);
        let allow = Err(Fault::WrongMethod { allow: format!("{ALL}, PROPFIND") });
        for method in ["POST", "GET", "M-SEARCH"] {
            assert_eq!(found(&all, method, "/a/1"), Ok("any b=1".to_owned()));
        }
        for method in ["CONNECT", "post", "Post"] {
            assert_eq!(found(&all, method, "/a/1"), allow, "{method}");
        }
    }

    #[test]
    fn routes_that_take_the_same_requests_are_found() {
        let taken = |one: RouteSettings, other: RouteSettings| {
            check_routes(&[one, other]).unwrap_err().taken_by
        };
        let post = |name, path| route(name, &["POST"], path);
        assert_eq!(taken(post("one", "/a/{b}"), post("two", "/a/{c}")).as_deref(), Some("one"));
        assert_eq!(
            taken(post("one", "/a"), route("two", &["GET", "POST"], "/a")).as_deref(),
            Some("one")
        );

        let side_by_side =
            [post("one", "/a/{b}"), route("two", &["GET"], "/a/{c}"), post("three", "/a/b")];
        assert_eq!(check_routes(&side_by_side), Ok(()));
    }

    #[test]
    fn paths_that_are_none_are_told() {
        for path in
            ["a", "/a?b", "/a b", "/{a}/{a}", "/{}", "/{*a}/b", "/{a", "/x{a", "/livez", "/%41"]
        {
            assert!(check_routes(&[route("a", &["POST"], path)]).is_err(), "{path}");
        }
    }
}
