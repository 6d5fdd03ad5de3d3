//! Rules that look at address, method, path and headers, before anybody is asked who it is: each
//! counts what fits, or sends it away.

use crate::admission::Pattern;
use hyper::Request;
use hyper::header::HeaderName;

use super::problem::Fault;
use super::visitor::Visitor;
use crate::base::bucket::{Bucket, Crowd, Shape, Short};
use crate::base::nets::{Nets, sender_of};
use crate::base::units::CountRate;

/// Most addresses that one rule remembers.
const ADDRESSES_MAX: usize = 10_000;

/// One `[rule.NAME]`. All that it names must fit; what it doesn't name fits always.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RuleSettings {
    /// `NAME`.
    pub name: String,
    /// What it does.
    pub mode: Mode,
    /// From these; from everywhere if there are none.
    pub addresses: Nets,
    /// `POST`; any method if there are none.
    pub methods: Vec<String>,
    /// The path, without the query.
    pub path: Option<Pattern>,
    /// A header.
    pub header: Option<HeaderRule>,
    /// So many from one address are let through.
    pub rate: Option<CountRate>,
}

/// What a rule does with what fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It is counted, no more: to see whom a rule would meet.
    Count,
    /// It is sent away.
    Block,
}

/// What a header must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderRule {
    /// Its name in small letters.
    pub name: String,
    /// One of its values fits; without a pattern, it is missing.
    pub value: Option<Pattern>,
}

/// The rules of one listener.
#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    settings: RuleSettings,
    pace: Option<(Shape, Crowd<Bucket>)>,
}

impl Rules {
    pub(super) fn new(settings: &[RuleSettings]) -> Self {
        let rule = |settings: &RuleSettings| {
            // At a rate of nothing, nothing is let through; the configuration knows none.
            let shape =
                settings.rate.and_then(|rate| Shape::new(rate.count, rate.per, Some(rate.count)));
            let pace = shape.map(|shape| (shape, Crowd::new(ADDRESSES_MAX, shape.refill())));
            Rule { settings: settings.clone(), pace }
        };
        Self(settings.iter().map(rule).collect())
    }

    /// Asks all rules in their order, up to one that sends the request away. `met` hears of each
    /// that fits.
    pub(super) fn check<B>(
        &self,
        visitor: &Visitor,
        request: &Request<B>,
        met: impl Fn(&RuleSettings),
    ) -> Result<(), Fault> {
        for rule in self.0.iter().filter(|rule| rule.fits(visitor, request)) {
            let fault = match rule.pace(visitor) {
                Err(Short::Later(retry_after)) => Fault::TooFastForRule { retry_after },
                Err(Short::Never(_)) => Fault::BlockedByRule,
                Ok(()) if rule.pace.is_some() => continue,
                Ok(()) => Fault::BlockedByRule,
            };
            met(&rule.settings);
            if rule.settings.mode == Mode::Block {
                return Err(fault);
            }
        }
        Ok(())
    }
}

impl Rule {
    fn fits<B>(&self, visitor: &Visitor, request: &Request<B>) -> bool {
        let RuleSettings { addresses, methods, path, header, .. } = &self.settings;
        let is_from = |nets: &Nets| visitor.client.is_some_and(|client| nets.contain(client));
        (addresses.is_empty() || is_from(addresses))
            && (methods.is_empty()
                || methods.iter().any(|method| method == request.method().as_str()))
            && path.as_ref().is_none_or(|path| path.fits(request.uri().path()))
            && header.as_ref().is_none_or(|header| header.fits(request))
    }

    /// Takes one from the bucket of the address; who has none (a unix socket) shares one.
    fn pace(&self, visitor: &Visitor) -> Result<(), Short> {
        let Some((shape, crowd)) = &self.pace else { return Ok(()) };
        let name = visitor.client.map(|client| sender_of(client).to_string()).unwrap_or_default();
        crowd.of(&name, || Bucket::new(*shape)).take(1)
    }
}

impl HeaderRule {
    fn fits<B>(&self, request: &Request<B>) -> bool {
        let Ok(name) = self.name.parse::<HeaderName>() else { return false };
        let Some(pattern) = &self.value else { return !request.headers().contains_key(name) };
        let mut values = request.headers().get_all(name).iter();
        values.any(|value| pattern.fits(&String::from_utf8_lossy(value.as_bytes())))
    }
}
