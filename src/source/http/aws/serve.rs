//! A call from head to answer: know the caller; read; judge the signature; read what is asked;
//! check it as the service does; admit, store, answer.

use std::sync::Arc;

use bytes::Bytes;
use hyper::Request;
use hyper::header::{AUTHORIZATION, CONTENT_ENCODING, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use super::answer::{Described, Listed, Stored, limits};
use super::ask::Ask;
use super::call::{Call, Form, Operation, Service, service};
use super::check::{self, Put};
use super::fault::CallFault;
use super::page;
use super::shards::Shards;
use crate::admission::{Admitted, Guest, Knock, Pass, Refusal, Shown};
use crate::base::serve::{Answer, Arriving};
use crate::base::tasks;
use crate::record::RawRecord;
use crate::source::http::body::{Share, in_turn, read};
use crate::source::http::door::Door;
use crate::source::http::endpoint::is_long;
use crate::source::http::head::{Head, origin, packing};
use crate::source::http::problem::Fault;
use crate::source::http::rejected::Rejected;
use crate::source::http::unpack::{most_bytes, unpack};
use crate::source::http::visitor::Visitor;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
/// Says the same again, where Kinesis has the name of a host.
const HOST_ID: HeaderName = HeaderName::from_static("x-amz-id-2");
/// Of callers who sign nothing.
const REGION: &str = "us-east-1";
/// As a pattern of a path, for those who decide by it.
const PATTERN: &str = "/";

/// Somebody who called, and what for, as far as the head tells.
struct Caller {
    call: Call,
    head: Parts,
    visitor: Visitor,
    id: String,
}

/// What is left to do once the body was read.
enum Next {
    Answer(Answer),
    Store(Box<Ready>),
}

/// Records ready to be stored, and what the answer needs beside their receipt.
struct Ready {
    admitted: Admitted,
    stream: String,
    shards: Shards,
    places: Vec<usize>,
    held_back: usize,
    share: Share,
}

impl Door {
    /// Answers a request that names a target. `is_read` becomes true once nothing of the body is
    /// left on the connection.
    pub(in crate::source::http) async fn answer_call(
        self: &Arc<Self>,
        request: Request<Arriving>,
        visitor: &Visitor,
        id: &str,
        is_read: &mut bool,
    ) -> Answer {
        let service = service(request.headers());
        let form = Form::of(request.headers()).unwrap_or_default();
        let answered = match Call::of(request.headers()) {
            Ok(call) => {
                let (head, body) = request.into_parts();
                let (visitor, id) = (visitor.clone(), id.to_owned());
                self.take_call(Caller { call, head, visitor, id }, body, is_read).await
            }
            Err(fault) => Err(fault),
        };
        let mut answer = answered.unwrap_or_else(|fault| {
            if let CallFault::Door(fault) = &fault {
                self.say(fault, id);
            }
            fault.answer(service, form)
        });
        name_request(&mut answer, service, id);
        answer
    }

    /// Refuses a request that names a target, in the manner of its service.
    pub(in crate::source::http) fn refuse_call<B>(
        request: &Request<B>,
        fault: Fault,
        id: &str,
    ) -> Answer {
        let (service, form) = (service(request.headers()), Form::of(request.headers()));
        let mut answer = CallFault::Door(fault).answer(service, form.unwrap_or_default());
        name_request(&mut answer, service, id);
        answer
    }

    async fn take_call(
        self: &Arc<Self>,
        caller: Caller,
        body: Arriving,
        is_read: &mut bool,
    ) -> Result<Answer, CallFault> {
        let call = caller.call;
        let knock = self.knock(&caller, "");
        let shows_nothing = knock.shown.is_nothing();
        let guest = self.admission.greet(&knock).await.map_err(|refusal| match refusal {
            Refusal::UnknownCaller if shows_nothing => CallFault::NoCaller,
            other => other.into(),
        })?;
        let body_max = self.settings.max_body_bytes;
        if Head::declared_bytes(&caller.head.headers).is_some_and(|bytes| bytes > body_max) {
            return Err(Fault::BodyTooLarge { limit: body_max }.into());
        }
        let mut share = self.budget.share();
        let body = read(body, &self.settings, &mut share).await?;
        *is_read = true;
        self.count_body(body.len());
        let is_packed = caller.head.headers.contains_key(CONTENT_ENCODING);
        // Which stream it is for stands in the body: the busiest counts.
        let looked_into = self.admission.looked_into_bytes();
        let is_long = is_long(body.len(), is_packed, looked_into.is_some());
        let is_long = is_long || looked_into.is_some() && self.admission.is_slow();
        let mut bytes = body.len() as u64;
        if is_packed {
            bytes = most_bytes(body.len(), self.settings.max_unpacked_bytes);
            share.take_turn(bytes).await?;
        }
        let mut room = None;
        if let Some(largest) = looked_into.filter(|_| is_long) {
            room = Some(in_turn(self.admission.room(largest.min(bytes))).await?);
        }
        let door = self.clone();
        let work = move || {
            let next = door.perform(&caller, guest, body, share);
            drop(room);
            next
        };
        let next = if is_long { tasks::blocking(work).await } else { work() };
        let ready = match next? {
            Next::Answer(answer) => return Ok(answer),
            Next::Store(ready) => *ready,
        };
        let Ready { admitted, stream, shards, places, held_back, share } = ready;
        let receipt = self.admission.store(admitted).await?;
        // Until here the bytes were in memory.
        drop(share);
        let receipt = &receipt;
        let stored =
            Stored { receipt, stream: &stream, shards: &shards, places: &places, held_back };
        Ok(call.stored(&stored))
    }

    fn knock<'a>(&'a self, caller: &'a Caller, stream: &'a str) -> Knock<'a> {
        let shown = Shown {
            api_key: Head::api_key(&caller.head.headers),
            head: Some(&caller.head),
            peer: Some(&caller.visitor.peer),
            address: caller.visitor.client,
            request: &caller.id,
            pattern: PATTERN,
            params: &[],
        };
        // Each record is charged by itself, as far as the plan reaches.
        let declared_bytes = None;
        let (source, auth) = (self.source.as_str(), self.settings.auth.as_slice());
        Knock { source, auth, bounds: self.bounds(), stream, declared_bytes, shown }
    }

    /// Everything between the body and the queue. May be long, and waits for nothing.
    fn perform(
        &self,
        caller: &Caller,
        guest: Guest,
        body: Bytes,
        mut share: Share,
    ) -> Result<Next, CallFault> {
        let call = caller.call;
        let guest = self.admission.prove_guest(guest, &self.knock(caller, ""), &body)?;
        let body = match packing(&caller.head.headers)? {
            Some(packing) => unpack(packing, &body, self.settings.max_unpacked_bytes, &mut share)?,
            None => body,
        };
        share.grow(Ask::copied_bytes(call.form, &body))?;
        let ask = Ask::read(call.form, call.service, &body)?;
        match call.operation {
            Operation::PutRecord | Operation::PutMany => {
                let put = Put::of(ask, call)?;
                self.take_put(caller, guest, put, share).map(|ready| Next::Store(Box::new(ready)))
            }
            Operation::DescribeStream | Operation::DescribeStreamSummary => {
                self.describe(caller, guest, &ask).map(Next::Answer)
            }
            Operation::ListShards => self.list_shards(caller, guest, &ask).map(Next::Answer),
            Operation::ListStreams => self.list_streams(caller, &guest, &ask).map(Next::Answer),
            Operation::DescribeLimits => {
                let count = self.admission.streams_of(&self.knock(caller, ""), &guest)?.len();
                Ok(Next::Answer(limits(call, count)))
            }
        }
    }

    fn take_put(
        &self,
        caller: &Caller,
        guest: Guest,
        put: Put,
        mut share: Share,
    ) -> Result<Ready, CallFault> {
        let Put { stream, is_dry_run, mut records } = put;
        let pass = self.lead(caller, guest, &stream)?;
        share.grow_by_records(records.len(), pass.key_bytes_max())?;
        let of_request = origin(&caller.head.headers, pass.key_headers(), &[]);
        records.iter_mut().for_each(|record: &mut RawRecord| record.origin.clone_from(&of_request));
        let shards = self.shards_of(pass.stream());
        let places = shards.places(&records);
        let count = records.len();
        if is_dry_run {
            let rejected =
                Rejected::new(count, Vec::new(), self.admission.look_over(&pass, records));
            let fault = (!rejected.is_empty()).then(|| Fault::Rejected(rejected).into());
            return Err(fault.unwrap_or(CallFault::DryRun));
        }
        let (admitted, rejections, held_back) = self.admission.admit_first(&pass, records)?;
        let rejected = Rejected::new(count, Vec::new(), rejections);
        if !rejected.is_empty() {
            return Err(Fault::Rejected(rejected).into());
        }
        Ok(Ready { admitted, stream, shards, places, held_back, share })
    }

    fn lead(&self, caller: &Caller, guest: Guest, stream: &str) -> Result<Pass, CallFault> {
        let led = self.admission.lead(&self.knock(caller, stream), guest);
        led.map_err(|refusal| match refusal {
            Refusal::UnknownStream => CallFault::NoSuchStream(stream.to_owned()),
            other => other.into(),
        })
    }

    fn describe(&self, caller: &Caller, guest: Guest, ask: &Ask) -> Result<Answer, CallFault> {
        let name = check::stream(ask, caller.call.service)?;
        let pass = self.lead(caller, guest, &name)?;
        let described = Described {
            max_record_bytes: pass.max_record_bytes(),
            name: &name,
            region: region(&caller.head),
            since_unix_ms: self.since_unix_ms,
            shards: &self.shards_of(pass.stream()),
        };
        Ok(described.answer(caller.call))
    }

    fn list_shards(&self, caller: &Caller, guest: Guest, ask: &Ask) -> Result<Answer, CallFault> {
        let page = page::Asked::of(ask)?;
        let pass = self.lead(caller, guest, &page.stream)?;
        page.answer(caller.call, &self.shards_of(pass.stream()))
    }

    fn list_streams(&self, caller: &Caller, guest: &Guest, ask: &Ask) -> Result<Answer, CallFault> {
        let after = ask.start_after.as_deref().or(ask.next_token.as_deref()).unwrap_or_default();
        let limit = usize::try_from(ask.limit.unwrap_or(STREAMS_LISTED)).unwrap_or(1).max(1);
        let names = self.admission.streams_of(&self.knock(caller, ""), guest)?;
        let names = names.into_iter().filter(|name| name.as_str() > after);
        let mut names: Vec<String> = names.take(limit + 1).collect();
        let has_more = names.len() > limit;
        names.truncate(limit);
        let (region, since_unix_ms) = (region(&caller.head), self.since_unix_ms);
        Ok(Listed { names: &names, has_more, region, since_unix_ms }.answer(caller.call))
    }
}

/// How many streams a page has unless it is said, as at Kinesis.
const STREAMS_LISTED: i64 = 100;
/// Longest name of a region; it is repeated in answers.
const REGION_CHARS_MAX: usize = 32;

fn name_request(answer: &mut Answer, service: Service, id: &str) {
    let Ok(id) = HeaderValue::from_str(id) else { return };
    if service == Service::Kinesis {
        answer.headers_mut().insert(HOST_ID, id.clone());
    }
    answer.headers_mut().insert(REQUEST_ID, id);
}

/// The region that a request is signed for, whether or not its signature matters here.
fn region(head: &Parts) -> &str {
    let signed = head.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    let scope = signed.and_then(|signed| signed.split_once("Credential=")).map(|(_, scope)| scope);
    let region = scope.and_then(|scope| scope.split('/').nth(2));
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    region
        .filter(|name| (1..=REGION_CHARS_MAX).contains(&name.len()) && name.bytes().all(plain))
        .unwrap_or(REGION)
}
