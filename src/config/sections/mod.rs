//! One file per table: its rows, and how a table becomes the Settings of its room.

mod address;
pub(super) mod auth;
pub(super) mod aws;
pub(super) mod destination;
pub(super) mod directory;
pub(super) mod encryption;
pub(super) mod framing;
pub(super) mod http;
mod iot;
pub(super) mod plan;
pub(super) mod process;
mod role;
pub(super) mod route;
pub(super) mod rule;
pub(super) mod stream;
pub(super) mod tail;
mod traces;
pub(super) mod treatment;
pub(super) mod uplink;

use std::path::PathBuf;

use toml::de::DeTable;

use crate::source;

use self::auth::Auth;
use self::destination::Upstream;
use self::encryption::Sealing;
use self::http::Http;
use self::plan::Plan;
use self::process::Process;
use self::route::Route;
use self::rule::Rule;
use self::stream::Flow;
use self::tail::Tailed;
use super::document::{At, Section};
use super::key::Table;
use super::value::Reading;
use crate::delivery::LinkSettings;

/// Every table there is, in the order of the reference.
pub(super) const TABLES: &[&Table] = &[
    &process::TOP,
    &http::TABLE,
    &route::TABLE,
    &rule::TABLE,
    &auth::api_key::TABLE,
    &auth::jwt::TABLE,
    &auth::mtls::TABLE,
    &auth::peer::TABLE,
    &auth::authorizer::HTTP,
    &auth::authorizer::LAMBDA,
    &auth::sigv4::TABLE,
    &plan::TABLE,
    &tail::TABLE,
    &framing::STDIN,
    &stream::TABLE,
    &destination::KINESIS,
    &destination::FIREHOSE,
    &destination::DIRECTORY,
    &encryption::KEY,
    &encryption::KMS,
    &uplink::TABLE,
    &process::DEAD_LETTERS,
    &process::ADMIN,
];

/// The names that may stand in brackets.
const NAMES: &[&str] = &[
    "http",
    "route",
    "rule",
    "auth",
    "plan",
    "tail",
    "stdin",
    "stream",
    "destination",
    "encryption",
    "uplink",
    "dead_letters",
    "admin",
];

/// All tables, read one by one; the rules across them come next.
#[derive(Debug)]
pub(super) struct Sections {
    pub(super) process: Process,
    pub(super) http: Vec<Http>,
    pub(super) routes: Vec<Route>,
    pub(super) rules: Vec<Rule>,
    pub(super) auth: Vec<Auth>,
    /// Names of auth blocks, also of those that are at fault.
    pub(super) auths: Vec<At<String>>,
    pub(super) plans: Vec<Plan>,
    pub(super) tails: Vec<Tailed>,
    pub(super) stdin: source::framing::Settings,
    pub(super) flows: Vec<Flow>,
    pub(super) uplink: LinkSettings,
    pub(super) upstreams: Vec<Upstream>,
    /// Names of destinations, also of those that are at fault.
    pub(super) destinations: Vec<At<String>>,
    pub(super) sealings: Vec<Sealing>,
    /// Names of encryptions, also of those that are at fault.
    pub(super) encryptions: Vec<At<String>>,
}

/// Reads no more than where the state lies.
pub(super) fn state_dir(document: &DeTable<'_>, reading: &mut Reading<'_>) -> PathBuf {
    process::state_dir(&mut Section::root(&process::TOP, NAMES, document), reading)
}

/// Reads every table of the file.
pub(super) fn read(document: &DeTable<'_>, reading: &mut Reading<'_>) -> Sections {
    let mut root = Section::root(&process::TOP, NAMES, document);
    let process = process::read(&mut root, reading);

    let http = root.take_named(&http::TABLE, &mut reading.faults);
    let http = http.iter().map(|table| http::read(table, reading)).collect();
    let routes = root.take_named(&route::TABLE, &mut reading.faults);
    let routes = routes.iter().map(|table| route::read(table, reading)).collect();
    let rules = root.take_named(&rule::TABLE, &mut reading.faults);
    let rules = rules.iter().map(|table| rule::read(table, reading)).collect();
    let auth = root.take_named(&auth::api_key::TABLE, &mut reading.faults);
    let auths = auth.iter().map(|table| table.name.clone()).collect();
    let auth =
        auth.iter().filter_map(|table| auth::read(table, &process.state_dir, reading)).collect();
    let plans = root.take_named(&plan::TABLE, &mut reading.faults);
    let plans = plans.iter().map(|table| plan::read(table, reading)).collect();
    let tails = root.take_named(&tail::TABLE, &mut reading.faults);
    let tails =
        tails.iter().map(|table| tail::read(table, &process.dead_letters, reading)).collect();
    let stdin = framing::read_stdin(&mut root, reading);
    let flows = root.take_named(&stream::TABLE, &mut reading.faults);
    let flows =
        flows.iter().map(|table| stream::read(table, &process.state_dir, reading)).collect();
    let upstreams = root.take_named(&destination::KINESIS, &mut reading.faults);
    let destinations = upstreams.iter().map(|table| table.name.clone()).collect();
    let upstreams =
        upstreams.iter().filter_map(|table| destination::read(table, reading)).collect();
    let sealings = root.take_named(&encryption::KEY, &mut reading.faults);
    let encryptions = sealings.iter().map(|table| table.name.clone()).collect();
    let sealings = sealings.iter().filter_map(|table| encryption::read(table, reading)).collect();

    let uplink = uplink::read(&mut root, reading);

    root.finish(&mut reading.faults);
    Sections {
        process,
        http,
        routes,
        rules,
        auth,
        auths,
        plans,
        tails,
        stdin,
        flows,
        uplink,
        upstreams,
        destinations,
        sealings,
        encryptions,
    }
}
