//! Plans: token buckets of records and bytes, one pair per plan and caller.

use std::collections::{BTreeMap, HashMap};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

use super::{PlanSettings, Refusal};

/// Most callers of one plan that are remembered; a caller that is forgotten starts with full
/// buckets, so those whose buckets are full anyway go first.
const CALLERS_MAX: usize = 10_000;

/// All plans by name.
#[derive(Debug)]
pub(super) struct Plans(BTreeMap<String, Plan>);

#[derive(Debug)]
struct Plan {
    records: Option<Shape>,
    bytes: Option<Shape>,
    clock: TokioClock,
    callers: Mutex<HashMap<String, Seat>>,
}

#[derive(Debug)]
struct Seat {
    buckets: Arc<Buckets>,
    last_used: Instant,
}

/// The buckets of one caller.
#[derive(Debug)]
pub(super) struct Buckets {
    records: Option<Bucket>,
    bytes: Option<Bucket>,
}

#[derive(Debug)]
struct Bucket {
    shape: Shape,
    clock: TokioClock,
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
}

impl Plans {
    pub(super) fn new(settings: &BTreeMap<String, PlanSettings>) -> Result<Self, String> {
        let clock = TokioClock(Instant::now());
        let plan = |(name, settings): (&String, &PlanSettings)| {
            let words = |why: &str| format!("plan `{name}` lets nothing through, ever: {why}");
            if settings.burst.is_some() && settings.rate.is_none() {
                return Err(format!("plan `{name}` has a `burst` but no `rate`; add the rate"));
            }
            let records = settings.rate.map(|rate| {
                let burst = settings.burst.unwrap_or_else(|| one_second(rate.count, rate.per));
                Shape::new(rate.count, rate.per, burst, "records")
                    .ok_or_else(|| words("its `rate` or `burst` is 0"))
            });
            let bytes = settings.bytes.map(|rate| {
                Shape::new(rate.bytes.0, rate.per, rate.bytes.0, "bytes")
                    .ok_or_else(|| words("its `bytes` is 0"))
            });
            let (records, bytes) = (records.transpose()?, bytes.transpose()?);
            Ok((name.clone(), Plan { records, bytes, clock, callers: Mutex::default() }))
        };
        Ok(Self(settings.iter().map(plan).collect::<Result<_, String>>()?))
    }

    /// The buckets of a caller; `None` for a plan that does not exist, which no key may name.
    pub(super) fn buckets(&self, plan: &str, caller: &str) -> Option<Arc<Buckets>> {
        Some(self.0.get(plan)?.buckets(caller))
    }
}

impl Plan {
    fn buckets(&self, caller: &str) -> Arc<Buckets> {
        let now = Instant::now();
        let mut callers = self.callers.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = callers.get_mut(caller) {
            seat.last_used = now;
            return seat.buckets.clone();
        }
        if callers.len() >= CALLERS_MAX {
            self.make_room(&mut callers, now);
        }
        let bucket = |shape: Option<Shape>| shape.map(|shape| Bucket::new(shape, self.clock));
        let buckets =
            Arc::new(Buckets { records: bucket(self.records), bytes: bucket(self.bytes) });
        let seat = Seat { buckets: buckets.clone(), last_used: now };
        callers.insert(caller.to_owned(), seat);
        buckets
    }

    /// Forgets callers whose buckets have long been full again; if there is none, the one that was
    /// quiet for longest.
    fn make_room(&self, callers: &mut HashMap<String, Seat>, now: Instant) {
        let shapes = [self.records, self.bytes];
        let refill = shapes.iter().flatten().map(Shape::refill).max().unwrap_or_default();
        callers.retain(|_, seat| now.duration_since(seat.last_used) < refill);
        if callers.len() >= CALLERS_MAX {
            let quietest = callers.iter().min_by_key(|(_, seat)| seat.last_used);
            if let Some(name) = quietest.map(|(name, _)| name.clone()) {
                callers.remove(&name);
            }
        }
    }
}

impl Buckets {
    pub(super) fn take_records(&self, count: u64) -> Result<(), Refusal> {
        self.records.as_ref().map_or(Ok(()), |bucket| bucket.take(count))
    }

    pub(super) fn take_bytes(&self, count: u64) -> Result<(), Refusal> {
        self.bytes.as_ref().map_or(Ok(()), |bucket| bucket.take(count))
    }
}

impl Bucket {
    fn new(shape: Shape, clock: TokioClock) -> Self {
        Self { shape, clock, limiter: RateLimiter::direct_with_clock(shape.quota(), clock) }
    }

    fn take(&self, count: u64) -> Result<(), Refusal> {
        let Shape { burst, unit, .. } = self.shape;
        if count > burst {
            return Err(Refusal::OverBurst { limit: burst, unit });
        }
        let Some(tokens) = self.shape.tokens(count) else { return Ok(()) };
        match self.limiter.check_n(tokens) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(later)) => {
                Err(Refusal::TooFast { retry_after: later.wait_time_from(self.clock.now()) })
            }
            // `burst` was checked above and is what the limiter was made for.
            Err(_) => Err(Refusal::OverBurst { limit: burst, unit }),
        }
    }
}

/// Rate and burst as governor wants them: at most 2^32 tokens, each worth whole nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shape {
    /// Most at once.
    burst: u64,
    /// `records` or `bytes`.
    unit: &'static str,
    /// How many one token stands for: more than 1 only at rates where a single one would come
    /// back so fast that its whole nanoseconds are too coarse.
    per_token: u64,
    /// How long one token takes to come back.
    token_time: Duration,
}

impl Shape {
    /// Coarsest error of a rate is then 1 in 10,000.
    const TOKEN_TIME_MIN: u128 = 10_000;

    /// `None` when nothing would ever get through.
    fn new(count: u64, per: Duration, burst: u64, unit: &'static str) -> Option<Self> {
        let (wanted, nanos) = (u128::from(count), per.as_nanos());
        if wanted == 0 || nanos == 0 || burst == 0 {
            return None;
        }
        let for_precision = (Self::TOKEN_TIME_MIN * wanted).div_ceil(nanos);
        let for_count = u128::from(burst).div_ceil(u128::from(u32::MAX));
        let per_token = for_precision.max(for_count);
        let token_time = nanos.saturating_mul(per_token) / wanted;
        // The limiter reckons in 64 bits of nanoseconds from its start on; a burst that would take
        // more than a century to come back is cut there.
        let tokens_max = (1_u128 << 61) / token_time.max(1);
        let burst = u128::from(burst).min(tokens_max.saturating_mul(per_token));
        Some(Self {
            burst: u64::try_from(burst).ok().filter(|burst| *burst > 0)?,
            unit,
            per_token: u64::try_from(per_token).ok()?,
            token_time: Duration::from_nanos(u64::try_from(token_time).ok()?),
        })
    }

    fn tokens(&self, count: u64) -> Option<NonZeroU32> {
        let tokens = count.div_ceil(self.per_token);
        NonZeroU32::new(u32::try_from(tokens).unwrap_or(u32::MAX))
    }

    fn quota(&self) -> Quota {
        let burst = self.tokens(self.burst).unwrap_or(NonZeroU32::MIN);
        let refill = self.token_time.max(Duration::from_nanos(1));
        let quota = Quota::with_period(refill).expect("a token takes at least a nanosecond");
        quota.allow_burst(burst)
    }

    /// From empty to full.
    fn refill(&self) -> Duration {
        let tokens = self.tokens(self.burst).map_or(1, NonZeroU32::get);
        self.token_time.saturating_mul(tokens)
    }
}

fn one_second(count: u64, per: Duration) -> u64 {
    let second = Duration::from_secs(1).as_nanos();
    let burst = (u128::from(count) * second).div_ceil(per.as_nanos().max(1));
    u64::try_from(burst).unwrap_or(u64::MAX)
}

/// Time since the plans were made, by tokio's clock, which tests can pause.
#[derive(Clone, Copy, Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}
