//! Callers that somebody else knows: an HTTP endpoint or a Lambda function, asked as API Gateway asks
//! its authorizers.
//!
//! An answer is kept by what makes one caller another, and decided anew for each request. Waits and
//! questions are bounded; while nobody answers, requests are refused, or, if that was chosen, judged
//! by an answer that is a little too old.

mod event;
mod memory;
mod policy;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};

use self::memory::{Memory, Print};
use self::policy::Answer;
use super::Caller;
use crate::admission::settings::{AuthorizerSettings, AuthorizerTo, Identity};
use crate::admission::{Knock, Refusal};
use crate::base::clock::Clock;
use crate::base::secret::Secret;
use crate::base::seldom::Seldom;
use crate::sink::{Lambda, LambdaFault, Web};

/// Most bytes of an answer.
const ANSWER_BYTES_MAX: usize = 64 << 10;
/// After a question that nobody answered, others rest for this long: whoever comes meanwhile is
/// refused at once instead of waiting for the same silence.
const REST: Duration = Duration::from_secs(1);
/// How often a lasting fault is written to the log.
const SAY_EVERY: Duration = Duration::from_secs(30);

/// One authorizer.
#[derive(Debug)]
pub(super) struct Authorizer {
    block: String,
    settings: AuthorizerSettings,
    to: To,
    clock: Clock,
    memory: Memory,
    questions: Semaphore,
    silent_until: Mutex<Option<Instant>>,
    said: Seldom,
}

/// Who is asked.
#[derive(Debug)]
enum To {
    Http { web: Web, url: String, bearer: Option<Secret> },
    Lambda(Lambda),
}

impl Authorizer {
    pub(super) fn open(
        clock: &Clock,
        block: &str,
        settings: AuthorizerSettings,
        lambda: Option<Lambda>,
    ) -> Result<Self, String> {
        let to = match (&settings.to, lambda) {
            (AuthorizerTo::Http { url, bearer, web }, _) => {
                let web = Web::new(web).map_err(|why| format!("auth `{block}`: {why}"))?;
                To::Http { web, url: url.clone(), bearer: bearer.clone() }
            }
            (AuthorizerTo::Lambda(_), Some(lambda)) => To::Lambda(lambda),
            (AuthorizerTo::Lambda(_), None) => {
                return Err(format!("auth `{block}` has no way to its function"));
            }
        };
        Ok(Self {
            block: block.to_owned(),
            to,
            clock: clock.clone(),
            memory: Memory::new(settings.ttl, settings.stale),
            questions: Semaphore::new(settings.max_concurrent.min(Semaphore::MAX_PERMITS)),
            silent_until: Mutex::default(),
            said: Seldom::new(SAY_EVERY),
            settings,
        })
    }

    /// `None` if a part of the identity is missing: nobody is asked then.
    pub(super) async fn recognise(&self, knock: &Knock<'_>) -> Option<Result<Caller, Refusal>> {
        let identity = self.identity(knock)?;
        let arn = event::method_arn(&self.settings.api, knock)?;
        let answer = match self.answer(knock, &identity).await {
            Ok(answer) => answer,
            Err(refusal) => return Some(Err(refusal)),
        };
        Some(if answer.allows(&arn) { self.caller(&answer) } else { Err(Refusal::NotAllowed) })
    }

    /// All its parts; one that is empty counts as missing.
    fn identity(&self, knock: &Knock<'_>) -> Option<Vec<String>> {
        let head = knock.shown.head?;
        let part = |identity: &Identity| match identity {
            Identity::Header(name) => Some(head.headers.get(name)?.to_str().ok()?.to_owned()),
            Identity::Query(name) => {
                let mut pairs = event::query_pairs(knock).into_iter();
                pairs.find(|(has, _)| has == name).map(|(_, value)| value)
            }
            Identity::Address => knock.shown.address.map(|address| address.to_string()),
        };
        self.settings.identity.iter().map(|one| part(one).filter(|part| !part.is_empty())).collect()
    }

    fn caller(&self, answer: &Answer) -> Result<Caller, Refusal> {
        let name = match answer.principal.as_str() {
            "" => answer.context.get("principalId").and_then(Value::as_str).unwrap_or(&self.block),
            name => name,
        };
        let mut caller = Caller::checked(name).ok_or(Refusal::NotAllowed)?;
        let plan = self.settings.plan_context.as_ref().and_then(|key| answer.context.get(key));
        caller.plan = plan.and_then(Value::as_str).map(str::to_owned);
        Ok(caller)
    }

    async fn answer(&self, knock: &Knock<'_>, identity: &[String]) -> Result<Arc<Answer>, Refusal> {
        let print = print(identity);
        if let Some(answer) = self.memory.fresh(&print) {
            return Ok(answer);
        }
        // Boxed: every request would have room for it otherwise, whoever it comes from.
        let asking = Box::pin(self.ask_once(knock, identity, print));
        let asked = timeout(self.settings.timeout, asking).await;
        let why = match asked.unwrap_or_else(|_| Err(NoAnswer::Bad("it is too slow".to_owned()))) {
            Ok(answer) => return Ok(answer),
            Err(NoAnswer::Refused(refusal)) => return Err(refusal),
            Err(NoAnswer::Bad(why)) => why,
            Err(NoAnswer::Away(why)) => {
                *self.silent_until() = Some(Instant::now() + REST);
                why
            }
        };
        let stale = self.memory.stale(&print);
        if let Some(unsaid) = self.said.turn() {
            let (auth, stale) = (&self.block, stale.is_some());
            tracing::warn!(auth, why, stale, unsaid, "the authorizer gives no answer");
        }
        stale.ok_or(Refusal::Unchecked)
    }

    /// One question per identity at a time; who waited for it looks at the answer first.
    async fn ask_once(
        &self,
        knock: &Knock<'_>,
        identity: &[String],
        print: Print,
    ) -> Result<Arc<Answer>, NoAnswer> {
        let asking = self.memory.turn(print);
        let turn = if self.settings.ttl.is_zero() { None } else { Some(asking.lock().await) };
        if let Some(answer) = self.memory.fresh(&print) {
            return Ok(answer);
        }
        if self.silent_until().is_some_and(|until| Instant::now() < until) {
            return Err(NoAnswer::Bad("it was away a moment ago".to_owned()));
        }
        let place = self.questions.acquire().await.expect("nobody closes the line of questions");
        let answer = Arc::new(self.ask(knock, identity).await?);
        drop(place);
        self.memory.keep(&print, &answer);
        drop(turn);
        Ok(answer)
    }

    async fn ask(&self, knock: &Knock<'_>, identity: &[String]) -> Result<Answer, NoAnswer> {
        let event = event::event(&self.settings, knock, identity, self.clock.unix_ms());
        let event = event.map(|event| event.to_string().into_bytes()).unwrap_or_default();
        let body = match &self.to {
            To::Lambda(lambda) => lambda.invoke(event).await?,
            To::Http { web, url, bearer } => {
                let post = web.post(url, bearer.as_ref(), event, ANSWER_BYTES_MAX);
                match post.await.map_err(NoAnswer::Away)? {
                    (200, body) => body,
                    (401, _) => return Err(NoAnswer::Refused(Refusal::UnknownCaller)),
                    (403, _) => return Err(NoAnswer::Refused(Refusal::NotAllowed)),
                    (status, _) => return Err(NoAnswer::Bad(format!("it answered {status}"))),
                }
            }
        };
        Answer::parse(&body).map_err(NoAnswer::Bad)
    }

    fn silent_until(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent_until.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum NoAnswer {
    /// It says so without a policy.
    Refused(Refusal),
    /// It is there, and what it says is no answer: perhaps to this caller alone.
    Bad(String),
    /// Nobody is there.
    Away(String),
}

impl From<LambdaFault> for NoAnswer {
    fn from(fault: LambdaFault) -> Self {
        match fault {
            LambdaFault::Away(why) => Self::Away(why),
            // The documented way for a function to send a caller away.
            LambdaFault::Function(words) if words == "Unauthorized" => {
                Self::Refused(Refusal::UnknownCaller)
            }
            LambdaFault::Function(words) => Self::Bad(format!("the function failed: {words}")),
        }
    }
}

/// Parts of any length, none of which can pass for a piece of its neighbour.
fn print(identity: &[String]) -> Print {
    let mut hash = Sha256::new();
    for part in identity {
        hash.update((part.len() as u64).to_le_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
