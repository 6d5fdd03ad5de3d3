//! Who asks, and what they may see and do.

use hyper::Request;
use hyper::header::AUTHORIZATION;

use super::Content;
use super::local::{is_deliberate, is_local};
use super::problem::Fault;
use crate::admission::Operators;

const API_KEY: &str = "x-api-key";

/// What the door knows of who may come.
#[derive(Debug)]
pub(super) struct Access {
    /// `None` where no keys are asked for.
    pub(super) operators: Option<Operators>,
    pub(super) is_loopback: bool,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Visitor {
    /// Somebody on this host, and no key is asked for.
    Local,
    /// An operator with a key.
    Operator(String),
    /// Somebody on this host without a key, where orders need one.
    Reader,
    /// Somebody without a key, from anywhere.
    Stranger,
}

impl Access {
    /// Who it is.
    ///
    /// # Errors
    /// A key that opens nothing; never a silent step down, for who shows a key means to use it.
    pub(super) fn visitor<B>(&self, request: &Request<B>) -> Result<Visitor, Fault> {
        let without = match (&self.operators, self.is_loopback) {
            (_, false) => Visitor::Stranger,
            (None, true) => Visitor::Local,
            (Some(_), true) => Visitor::Reader,
        };
        let Some(operators) = &self.operators else { return Ok(without) };
        match secret(request) {
            None => Ok(without),
            Some(secret) => {
                operators.recognise(secret).map(Visitor::Operator).ok_or(Fault::KeyNeeded)
            }
        }
    }
}

impl Visitor {
    /// Lets those pass who may look.
    pub(super) fn may_look<B>(&self, request: &Request<B>) -> Result<(), Fault> {
        match self {
            Self::Stranger => Err(Fault::KeyNeeded),
            // A page elsewhere has no key, so the name by which it was asked does not matter.
            Self::Operator(_) => Ok(()),
            Self::Local | Self::Reader => is_local(request),
        }
    }

    /// Lets those pass who may change something.
    pub(super) fn may_order<B>(&self, request: &Request<B>) -> Result<(), Fault> {
        match self {
            Self::Stranger | Self::Reader => return Err(Fault::KeyNeeded),
            Self::Operator(_) => {}
            Self::Local => is_local(request)?,
        }
        is_deliberate(request)
    }

    /// How much of a dead letter they see.
    pub(super) fn content(&self) -> Content {
        match self {
            Self::Local | Self::Operator(_) => Content::Shown,
            Self::Reader | Self::Stranger => Content::Withheld,
        }
    }

    /// What the dashboard is told: whether it should offer orders.
    pub(super) fn as_str(&self) -> &'static str {
        match self {
            Self::Local | Self::Operator(_) => "orders",
            Self::Reader | Self::Stranger => "looks",
        }
    }

    /// Whose order it is, for the log.
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Operator(name) => name,
            Self::Local => "(local)",
            Self::Reader | Self::Stranger => "(nobody with a key)",
        }
    }
}

fn secret<B>(request: &Request<B>) -> Option<&str> {
    let text = |name: &str| request.headers().get(name)?.to_str().ok();
    let bearer = || {
        let (scheme, secret) = text(AUTHORIZATION.as_str())?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| secret.trim())
    };
    text(API_KEY).or_else(bearer)
}
