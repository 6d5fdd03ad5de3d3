//! What an authorizer is told: the events of API Gateway.

use hyper::header::{COOKIE, HeaderMap, USER_AGENT};
use percent_encoding::percent_decode_str;
use serde_json::{Map, Value, json};

use crate::admission::settings::{AuthorizerSettings, EventKind};
use crate::admission::{Knock, Shown};
use crate::base::clock::rfc3339;

/// `arn:…/STAGE/VERB/path`: what is asked for.
pub(super) fn method_arn(api: &str, knock: &Knock<'_>) -> Option<String> {
    let head = knock.shown.head?;
    Some(format!("{api}/{}{}", head.method, head.uri.path()))
}

/// The event as JSON; `identity` are the values that tell callers apart.
pub(super) fn event(
    settings: &AuthorizerSettings,
    knock: &Knock<'_>,
    identity: &[String],
    now_ms: u64,
) -> Option<Value> {
    let arn = method_arn(&settings.api, knock)?;
    Some(match settings.event {
        EventKind::Token => json!({
            "type": "TOKEN",
            "authorizationToken": identity.first()?,
            "methodArn": arn,
        }),
        EventKind::Request => request(knock, &arn, &settings.api)?,
        EventKind::Request2 => request2(knock, identity, &Named::of(&settings.api, &arn), now_ms)?,
    })
}

/// What the first half of an ARN names.
struct Named<'a> {
    arn: &'a str,
    account: &'a str,
    api: &'a str,
    stage: &'a str,
}

impl<'a> Named<'a> {
    fn of(api: &'a str, arn: &'a str) -> Self {
        let mut parts = api.splitn(6, ':').skip(4);
        let (account, last) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let (api, stage) = last.split_once('/').unwrap_or((last, ""));
        Self { arn, account, api, stage }
    }
}

fn request(knock: &Knock<'_>, arn: &str, api: &str) -> Option<Value> {
    let Shown { head, pattern, request, .. } = knock.shown;
    let (head, named) = (head?, Named::of(api, arn));
    let (method, path) = (head.method.as_str(), head.uri.path());
    let (single, multiple) = query(knock);
    let headers = head.headers.keys().map(|name| {
        let all = head.headers.get_all(name).iter().map(text).collect::<Vec<_>>();
        (name.as_str(), all)
    });
    let (mut last_of_each, mut all_of_each) = (Map::new(), Map::new());
    for (name, all) in headers {
        last_of_each.insert(name.to_owned(), all.last().cloned().into());
        all_of_each.insert(name.to_owned(), all.into());
    }
    Some(json!({
        "type": "REQUEST",
        "methodArn": named.arn,
        "resource": pattern,
        "path": path,
        "httpMethod": method,
        "headers": last_of_each,
        "multiValueHeaders": all_of_each,
        "queryStringParameters": single,
        "multiValueQueryStringParameters": multiple,
        "pathParameters": params(knock),
        "stageVariables": {},
        "requestContext": {
            "accountId": named.account,
            "apiId": named.api,
            "stage": named.stage,
            "requestId": request,
            "resourcePath": pattern,
            "path": path,
            "httpMethod": method,
            "protocol": format!("{:?}", head.version),
            "identity": {
                "apiKey": knock.shown.api_key,
                "sourceIp": address(knock),
                "userAgent": header(&head.headers, USER_AGENT.as_str()),
                "clientCert": certificate(knock),
            },
        },
    }))
}

fn request2(
    knock: &Knock<'_>,
    identity: &[String],
    named: &Named<'_>,
    now_ms: u64,
) -> Option<Value> {
    let Shown { head, pattern, request, .. } = knock.shown;
    let head = head?;
    let (method, path) = (head.method.as_str(), head.uri.path());
    let mut headers = Map::new();
    for name in head.headers.keys().filter(|name| *name != COOKIE) {
        let all: Vec<String> = head.headers.get_all(name).iter().map(text).collect();
        headers.insert(name.to_string(), all.join(",").into());
    }
    let cookies = head.headers.get_all(COOKIE).iter().map(text);
    let cookies: Vec<String> =
        cookies.flat_map(|line| line.split("; ").map(str::to_owned).collect::<Vec<_>>()).collect();
    let (_, multiple) = query(knock);
    let joined = multiple.into_iter().map(|(name, all)| {
        let all = all.as_array().into_iter().flatten().filter_map(Value::as_str);
        (name, Value::from(all.collect::<Vec<_>>().join(",")))
    });
    let route_key = format!("{method} {pattern}");
    Some(json!({
        "version": "2.0",
        "type": "REQUEST",
        "routeArn": named.arn,
        "identitySource": identity,
        "routeKey": route_key,
        "rawPath": path,
        "rawQueryString": head.uri.query().unwrap_or_default(),
        "cookies": cookies,
        "headers": headers,
        "queryStringParameters": joined.collect::<Map<_, _>>(),
        "pathParameters": params(knock),
        "stageVariables": {},
        "requestContext": {
            "accountId": named.account,
            "apiId": named.api,
            "stage": named.stage,
            "requestId": request,
            "routeKey": route_key,
            "authentication": { "clientCert": certificate(knock) },
            "domainName": header(&head.headers, "host"),
            "http": {
                "method": method,
                "path": path,
                "protocol": format!("{:?}", head.version),
                "sourceIp": address(knock),
                "userAgent": header(&head.headers, USER_AGENT.as_str()),
            },
            "time": rfc3339(now_ms),
            "timeEpoch": now_ms,
        },
    }))
}

/// The parameters of the query: the last of each name, and all of them.
fn query(knock: &Knock<'_>) -> (Map<String, Value>, Map<String, Value>) {
    let (mut single, mut multiple) = (Map::new(), Map::new());
    for (name, value) in query_pairs(knock) {
        single.insert(name.clone(), value.clone().into());
        let all = multiple.entry(name).or_insert_with(|| Value::Array(Vec::new()));
        all.as_array_mut().into_iter().for_each(|all| all.push(value.clone().into()));
    }
    (single, multiple)
}

/// Names and values of the query, without their escapes.
pub(super) fn query_pairs(knock: &Knock<'_>) -> Vec<(String, String)> {
    let query = knock.shown.head.and_then(|head| head.uri.query()).unwrap_or_default();
    let plain = |text: &str| {
        let spaced = text.replace('+', " ");
        percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
    };
    let pairs = query.split('&').filter(|pair| !pair.is_empty());
    pairs
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .map(|(n, v)| (plain(n), plain(v)))
        .collect()
}

fn params(knock: &Knock<'_>) -> Map<String, Value> {
    let params = knock.shown.params.iter();
    let mut all: Map<String, Value> =
        params.map(|(name, value)| (name.clone(), value.clone().into())).collect();
    if knock.shown.pattern.contains("{stream}") {
        all.entry("stream").or_insert_with(|| knock.stream.into());
    }
    all
}

fn address(knock: &Knock<'_>) -> Option<String> {
    knock.shown.address.map(|address| address.to_string())
}

fn header(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).map(text)
}

fn text(value: &hyper::header::HeaderValue) -> String {
    String::from_utf8_lossy(value.as_bytes()).into_owned()
}

/// The certificate that the client showed; TLS has verified it.
fn certificate(knock: &Knock<'_>) -> Option<Value> {
    let chain = &knock.shown.peer?.secured.as_deref()?.client_chain;
    let (_, certificate) = x509_parser::parse_x509_certificate(chain.first()?).ok()?;
    let validity = certificate.validity();
    Some(json!({
        "subjectDN": certificate.subject().to_string(),
        "issuerDN": certificate.issuer().to_string(),
        "serialNumber": certificate.raw_serial_as_string(),
        "validity": {
            "notBefore": validity.not_before.to_string(),
            "notAfter": validity.not_after.to_string(),
        },
    }))
}
