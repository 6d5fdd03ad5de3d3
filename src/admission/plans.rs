//! Plans: how fast and how much, of each caller, stream, listener and source address that has one.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::Refusal;
use super::quota::{Booked, Count, Quotas};
use super::settings::PlanSettings;
use crate::base::bucket::{Bucket, Crowd, Shape, Short};
use crate::base::nets::sender_of;
use crate::base::units::CountRate;

/// Most holders of one plan that are remembered at a time.
const HOLDERS_MAX: usize = 10_000;

/// Whose plan it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Holder<'a> {
    /// Two auth blocks may give one name to different callers.
    Caller {
        block: &'a str,
        name: &'a str,
    },
    Stream(&'a str),
    Listener(&'a str),
    /// One IPv4 address, or one IPv6 /64.
    Address(IpAddr),
}

/// All plans by name.
#[derive(Debug)]
pub(super) struct Plans(BTreeMap<String, Arc<Plan>>);

#[derive(Debug)]
struct Plan {
    name: String,
    requests: Option<Shape>,
    records: Option<Shape>,
    bytes: Option<Shape>,
    settings: PlanSettings,
    quotas: Arc<Quotas>,
    holders: Crowd<Meter>,
}

/// What one holder has left of its plan.
#[derive(Debug)]
pub(super) struct Meter {
    requests: Option<Bucket>,
    records: Option<Bucket>,
    bytes: Option<Bucket>,
    record_quota: Option<Count>,
    byte_quota: Option<Count>,
}

impl Plans {
    /// A plan that is as it was `before` goes on with what its holders have left.
    pub(super) fn new(
        settings: &BTreeMap<String, PlanSettings>,
        quotas: &Arc<Quotas>,
        before: Option<&Self>,
    ) -> Result<Self, String> {
        let plan = |(name, settings): (&String, &PlanSettings)| {
            let known = before.and_then(|before| before.0.get(name));
            let plan = match known.filter(|plan| plan.settings == *settings) {
                Some(known) => known.clone(),
                None => Arc::new(Plan::new(name, settings, quotas)?),
            };
            Ok((name.clone(), plan))
        };
        Ok(Self(settings.iter().map(plan).collect::<Result<_, String>>()?))
    }

    /// The meter of a holder; `None` for a plan that does not exist, which nobody may name.
    pub(super) fn meter(&self, plan: &str, holder: Holder<'_>) -> Option<Arc<Meter>> {
        Some(self.0.get(plan)?.meter(holder))
    }
}

impl Plan {
    fn new(name: &str, settings: &PlanSettings, quotas: &Arc<Quotas>) -> Result<Self, String> {
        let lets_nothing = |what: &str| {
            format!("plan `{name}` lets nothing through, ever: its `{what}` or its burst is 0")
        };
        let counts = |rate: Option<CountRate>, burst, what: &str| match rate {
            Some(rate) => {
                let shape = Shape::new(rate.count, rate.per, burst);
                shape.map(Some).ok_or_else(|| lets_nothing(what))
            }
            None if burst.is_some() => {
                Err(format!("plan `{name}` has a burst but no `{what}`; add it"))
            }
            None => Ok(None),
        };
        let requests = counts(settings.requests, settings.requests_burst, "requests")?;
        let records = counts(settings.rate, settings.burst, "rate")?;
        // A body is as large as it is: what comes in a longer time may come at once.
        let bytes = settings.bytes.map(|rate| CountRate { count: rate.bytes.0, per: rate.per });
        let burst = settings.bytes_burst.or(bytes.map(|rate| rate.count));
        let bytes = counts(bytes, burst, "bytes")?;
        let shapes = [requests, records, bytes];
        let refill = shapes.iter().flatten().map(Shape::refill).max().unwrap_or_default();
        Ok(Self {
            name: name.to_owned(),
            requests,
            records,
            bytes,
            settings: settings.clone(),
            quotas: quotas.clone(),
            holders: Crowd::new(HOLDERS_MAX, refill),
        })
    }

    fn meter(&self, holder: Holder<'_>) -> Arc<Meter> {
        let key = match holder {
            Holder::Caller { block, name } => format!("caller\0{block}\0{name}"),
            Holder::Stream(name) => format!("stream\0{name}"),
            Holder::Listener(name) => format!("listener\0{name}"),
            Holder::Address(address) => format!("address\0{}", sender_of(address)),
        };
        self.holders.of(&key, || {
            let count = |quota, unit| self.quotas.count(quota, &[&self.name, &key, unit]);
            Meter {
                requests: self.requests.map(Bucket::new),
                records: self.records.map(Bucket::new),
                bytes: self.bytes.map(Bucket::new),
                record_quota: self.settings.quota.map(|quota| count(quota, "records")),
                byte_quota: self.settings.quota_bytes.map(|quota| count(quota, "bytes")),
            }
        })
    }
}

impl Meter {
    pub(super) fn take_request(&self) -> Result<(), Refusal> {
        take(self.requests.as_ref(), 1, "requests")
    }

    pub(super) fn take_records(&self, count: u64) -> Result<(), Refusal> {
        take(self.records.as_ref(), count, "records")
    }

    pub(super) fn take_bytes(&self, count: u64) -> Result<(), Refusal> {
        take(self.bytes.as_ref(), count, "bytes")
    }

    fn has_quota(&self) -> bool {
        self.record_quota.is_some() || self.byte_quota.is_some()
    }

    /// Books what is about to be stored; both or nothing.
    fn book(&self, records: u64, bytes: u64) -> Result<InQuotas, Refusal> {
        let mut booked = InQuotas::default();
        if let Some(quota) = &self.record_quota {
            booked.records = Some(quota.book(records, "records")?);
        }
        if let Some(quota) = &self.byte_quota {
            let of_bytes = quota.book(bytes, "bytes").inspect_err(|_| self.give_back(booked))?;
            booked.bytes = Some(of_bytes);
        }
        Ok(booked)
    }

    fn give_back(&self, booked: InQuotas) {
        if let Some((quota, records)) = self.record_quota.as_ref().zip(booked.records) {
            quota.give_back(records);
        }
        if let Some((quota, bytes)) = self.byte_quota.as_ref().zip(booked.bytes) {
            quota.give_back(bytes);
        }
    }
}

/// What was booked in the quotas of one meter.
#[derive(Clone, Copy, Debug, Default)]
struct InQuotas {
    records: Option<Booked>,
    bytes: Option<Booked>,
}

fn take(bucket: Option<&Bucket>, count: u64, unit: &'static str) -> Result<(), Refusal> {
    let Some(bucket) = bucket else { return Ok(()) };
    bucket.take(count).map_err(|short| match short {
        Short::Later(retry_after) => Refusal::TooFast { retry_after },
        Short::Never(limit) => Refusal::OverBurst { limit, unit },
    })
}

/// What was booked for records that are not stored yet. Given back when it is dropped, unless it
/// was kept.
#[derive(Debug, Default)]
pub(super) struct Booking {
    all: Vec<(Arc<Meter>, InQuotas)>,
    is_kept: bool,
}

impl Booking {
    /// Books in all quotas, or in none.
    pub(super) fn of<'m>(
        meters: impl Iterator<Item = &'m Arc<Meter>>,
        records: u64,
        bytes: u64,
    ) -> Result<Self, Refusal> {
        let mut booking = Self::default();
        for meter in meters.filter(|meter| meter.has_quota()) {
            let booked = meter.book(records, bytes)?;
            booking.all.push((meter.clone(), booked));
        }
        Ok(booking)
    }

    /// From now on it counts: records may be stored even if nobody waits for that any more.
    pub(super) fn keep(&mut self) {
        self.is_kept = true;
    }

    /// They were not stored, for sure.
    pub(super) fn undo(mut self) {
        self.is_kept = false;
    }
}

impl Drop for Booking {
    fn drop(&mut self) {
        if !self.is_kept {
            self.all.iter().for_each(|(meter, booked)| meter.give_back(*booked));
        }
    }
}
