//! What the configuration decides about callers, plans and streams.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::treatment::Treatment;
use crate::base::secret::Secret;
use crate::base::units::{ByteRate, CountRate};
use crate::record::KeyTemplate;
use crate::sink::{LambdaSettings, WebSettings};

use super::callers::{Algorithm, PeerRule, SubjectRule};
use super::quota::Quota;

/// Everything admission needs to know.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// By the name of the stream.
    pub streams: BTreeMap<String, StreamSettings>,
    /// By the name of the auth block.
    pub auth: BTreeMap<String, AuthSettings>,
    /// By the name of the plan.
    pub plans: BTreeMap<String, PlanSettings>,
}

/// What a stream takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StreamSettings {
    /// Largest payload of one record, in bytes.
    pub max_record_bytes: u64,
    /// The key of a record whose sender chose none; without it records are spread evenly.
    pub partition_key: Option<KeyTemplate>,
    /// Other names it is known by.
    pub aliases: Vec<String>,
    /// The plan of the whole stream, whoever hands in.
    pub plan: Option<String>,
    /// What is done to its records.
    pub treatment: Treatment,
}

/// One way to recognise callers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthSettings {
    /// How.
    pub kind: AuthKind,
    /// The plan of callers that bring none of their own.
    pub plan: Option<String>,
    /// The only streams its callers are let in to; all if `None`.
    pub streams: Option<Vec<String>>,
}

/// How callers are recognised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthKind {
    /// Keys, hashed, in a TOML file that `weir keys` writes.
    ApiKey {
        /// The file.
        file: PathBuf,
    },
    /// Requests that are signed as AWS wants it.
    SigV4(SigV4Settings),
    /// Tokens of an issuer.
    Jwt(Box<JwtSettings>),
    /// Certificates shown in TLS.
    Mtls {
        /// The first that fits names the caller.
        callers: Vec<SubjectRule>,
    },
    /// Processes at the other end of unix sockets.
    Peer {
        /// The first that fits names the caller.
        callers: Vec<PeerRule>,
    },
    /// Somebody else who is asked.
    Authorizer(Box<AuthorizerSettings>),
}

/// Tokens of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JwtSettings {
    /// `iss`, exactly.
    pub issuer: String,
    /// `aud` has one of them; where there is no `aud`, `client_id` is one.
    pub audience: Vec<String>,
    /// Where the keys come from.
    pub keys: KeysFrom,
    /// What they were when they last came.
    pub cache: PathBuf,
    /// Signatures that are taken.
    pub algorithms: Vec<Algorithm>,
    /// `scope` or `scp` has one of them; nothing is asked if there are none.
    pub scopes: Vec<String>,
    /// Claims that must be there: with this value, or any.
    pub required: Vec<(String, Option<String>)>,
    /// How far clocks may differ.
    pub leeway: Duration,
    /// The claim that names the caller.
    pub caller_claim: String,
    /// The claim that names its plan.
    pub plan_claim: Option<String>,
    /// Keys older than this are fetched anew.
    pub refresh: Duration,
    /// Keys that could not be fetched anew for this long are worth nothing.
    pub offline: Duration,
    /// How to reach the issuer.
    pub web: WebSettings,
}

/// Where the keys of an issuer come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeysFrom {
    /// `issuer/.well-known/openid-configuration` says where.
    Discovery,
    /// This address.
    Url(String),
    /// This file, read anew when it changes.
    File(PathBuf),
}

/// Somebody else who is asked who a caller is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthorizerSettings {
    /// Who.
    pub to: AuthorizerTo,
    /// What it is told.
    pub event: EventKind,
    /// What makes one caller another: all of it must be there.
    pub identity: Vec<Identity>,
    /// The first half of method ARNs: `arn:aws:execute-api:eu-west-1:123456789012:weir/prod`.
    pub api: String,
    /// How long an answer is good.
    pub ttl: Duration,
    /// How much longer while it is down.
    pub stale: Duration,
    /// Longest wait for an answer.
    pub timeout: Duration,
    /// Most questions at once.
    pub max_concurrent: usize,
    /// The entry of its context that names the plan.
    pub plan_context: Option<String>,
}

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AuthorizerTo {
    /// A server: `POST` with the event as JSON.
    Http {
        /// Its address.
        url: String,
        /// What it is shown.
        bearer: Option<Secret>,
        /// How to reach it.
        web: WebSettings,
    },
    /// A Lambda function.
    Lambda(Box<LambdaSettings>),
}

/// Which of API Gateway's events it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventKind {
    /// `TOKEN`: the identity alone.
    Token,
    /// `REQUEST`, version 1.0.
    Request,
    /// `REQUEST`, version 2.0.
    Request2,
}

/// A part of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Identity {
    /// A header, by its name in small letters.
    Header(String),
    /// A parameter of the query.
    Query(String),
    /// The address of the client.
    Address,
}

/// How fast and how much each holder of this plan may hand in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PlanSettings {
    /// Requests in a time.
    pub requests: Option<CountRate>,
    /// Most requests at once; one second of `requests` by default.
    pub requests_burst: Option<u64>,
    /// Records in a time.
    pub rate: Option<CountRate>,
    /// Most records at once; one second of `rate` by default.
    pub burst: Option<u64>,
    /// Bytes of body in a time.
    pub bytes: Option<ByteRate>,
    /// Most bytes at once; as many as in that time by default.
    pub bytes_burst: Option<u64>,
    /// Records that are stored in a day, week or month.
    pub quota: Option<Quota>,
    /// Bytes of payload that are stored in a day, week or month.
    pub quota_bytes: Option<Quota>,
}

/// How signed requests are judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SigV4Settings {
    /// The access keys with their secrets.
    pub file: PathBuf,
    /// How much is believed.
    pub mode: SignatureMode,
    /// How far the clocks of both sides may be apart.
    pub skew: Duration,
    /// The only region a request may be signed for.
    pub region: Option<String>,
    /// Whether a body need not be signed.
    pub allows_unsigned_body: bool,
}

/// What is done with a signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignatureMode {
    /// It must be right.
    Verify,
    /// Its key names the caller, and nothing is checked.
    Identify,
    /// It is not looked at.
    Off,
}
