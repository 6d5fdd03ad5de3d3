//! Token buckets, and who has one: crowds whose memory is bounded whatever names come.

use std::collections::HashMap;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use tokio::time::Instant;

/// One bucket; full at first.
#[derive(Debug)]
pub struct Bucket {
    shape: Shape,
    clock: TokioClock,
    limiter: RateLimiter<NotKeyed, InMemoryState, TokioClock, NoOpMiddleware<Nanos>>,
}

/// Why a bucket gave nothing; it has what it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Short {
    /// It will have enough after this time.
    Later(Duration),
    /// It never holds so many; this is what it holds.
    Never(u64),
}

impl Bucket {
    /// A full one.
    pub fn new(shape: Shape) -> Self {
        let clock = TokioClock(Instant::now());
        Self { shape, clock, limiter: RateLimiter::direct_with_clock(shape.quota(), clock) }
    }

    /// Takes so many out.
    ///
    /// # Errors
    /// [`Short`].
    pub fn take(&self, count: u64) -> Result<(), Short> {
        let burst = self.shape.burst;
        if count > burst {
            return Err(Short::Never(burst));
        }
        let Some(tokens) = self.shape.tokens(count) else { return Ok(()) };
        match self.limiter.check_n(tokens) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(later)) => Err(Short::Later(later.wait_time_from(self.clock.now()))),
            // `burst` was checked above and is what the limiter was made for.
            Err(_) => Err(Short::Never(burst)),
        }
    }
}

/// Things of many, by name. There are never more than so many: who was quiet for so long that its
/// thing is as new goes first, then the quietest quarter.
#[derive(Debug)]
pub struct Crowd<T> {
    seats: Mutex<HashMap<Box<str>, Seat<T>>>,
    most: usize,
    as_new_after: Duration,
}

#[derive(Debug)]
struct Seat<T> {
    thing: Arc<T>,
    last_used: Instant,
}

impl<T> Crowd<T> {
    /// At most `most`, each as new when nobody touched it for `as_new_after`.
    pub fn new(most: usize, as_new_after: Duration) -> Self {
        Self { seats: Mutex::default(), most: most.max(4), as_new_after }
    }

    /// That of this name, if it has one.
    pub fn known(&self, name: &str) -> Option<Arc<T>> {
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        let seat = seats.get_mut(name)?;
        seat.last_used = Instant::now();
        Some(seat.thing.clone())
    }

    /// That of this name, a new one if it has none.
    pub fn of(&self, name: &str, new: impl FnOnce() -> T) -> Arc<T> {
        let now = Instant::now();
        let mut seats = self.seats.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(seat) = seats.get_mut(name) {
            seat.last_used = now;
            return seat.thing.clone();
        }
        if seats.len() >= self.most {
            self.make_room(&mut seats, now);
        }
        let thing = Arc::new(new());
        seats.insert(name.into(), Seat { thing: thing.clone(), last_used: now });
        thing
    }

    /// A quarter at a time, so that a stream of new names does not look through all of them for
    /// each.
    fn make_room(&self, seats: &mut HashMap<Box<str>, Seat<T>>, now: Instant) {
        seats.retain(|_, seat| now.duration_since(seat.last_used) < self.as_new_after);
        let most = self.most - self.most / 4;
        if seats.len() < most {
            return;
        }
        let mut uses: Vec<Instant> = seats.values().map(|seat| seat.last_used).collect();
        let place = uses.len() - most;
        let (_, oldest_to_stay, _) = uses.select_nth_unstable(place);
        let oldest_to_stay = *oldest_to_stay;
        seats.retain(|_, seat| seat.last_used > oldest_to_stay);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Rate and burst as governor wants them: at most 2^32 tokens, each worth whole nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Most at once.
    burst: u64,
    /// How many one token stands for: more than 1 only at rates where a single one would come
    /// back so fast that its whole nanoseconds are too coarse.
    per_token: u64,
    /// How long one token takes to come back.
    token_time: Duration,
}

impl Shape {
    /// Coarsest error of a rate is then 1 in 10,000.
    const TOKEN_TIME_MIN: u128 = 10_000;

    /// So many in a time, at most `burst` at once (one second's worth without it); `None` when nothing would ever get through.
    pub fn new(count: u64, per: Duration, burst: Option<u64>) -> Option<Self> {
        let burst = burst.unwrap_or_else(|| one_second(count, per));
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
    pub fn refill(&self) -> Duration {
        let tokens = self.tokens(self.burst).map_or(1, NonZeroU32::get);
        self.token_time.saturating_mul(tokens)
    }
}

fn one_second(count: u64, per: Duration) -> u64 {
    let second = Duration::from_secs(1).as_nanos();
    let burst = (u128::from(count) * second).div_ceil(per.as_nanos().max(1));
    u64::try_from(burst).unwrap_or(u64::MAX)
}

/// Time since some moment, by tokio's clock, which tests can pause.
#[derive(Clone, Copy, Debug)]
struct TokioClock(Instant);

impl Clock for TokioClock {
    type Instant = Nanos;

    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_bucket_gives_what_it_has_and_fills_up_again() {
        let bucket = Bucket::new(Shape::new(10, Duration::from_secs(1), Some(5)).unwrap());

        assert_eq!(bucket.take(6), Err(Short::Never(5)));
        assert_eq!((bucket.take(5), bucket.take(0)), (Ok(()), Ok(())));
        assert_eq!(bucket.take(1), Err(Short::Later(Duration::from_millis(100))));
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(bucket.take(1), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn a_million_names_leave_a_crowd_of_bounded_size() {
        let crowd = Crowd::new(1000, Duration::from_secs(1));
        for n in 0..1_000_000_u32 {
            if n % 100 == 0 {
                tokio::time::advance(Duration::from_millis(1)).await;
            }
            crowd.of(&n.to_string(), || n);
            if n % 1_000 == 0 {
                assert!(crowd.count() <= 1000);
            }
        }
        assert!(crowd.known("999999").is_some() && crowd.known("0").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_as_new_goes_before_who_is_busy() {
        let crowd = Crowd::new(8, Duration::from_secs(1));
        for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
            crowd.of(name, || ());
        }
        tokio::time::advance(Duration::from_millis(600)).await;
        crowd.known("a").unwrap();
        tokio::time::advance(Duration::from_millis(600)).await;
        crowd.of("new", || ());

        assert_eq!(crowd.count(), 2);
        assert!(crowd.known("a").is_some() && crowd.known("b").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn all_may_come_at_one_moment() {
        let crowd = Crowd::new(8, Duration::from_secs(1));
        for n in 0..100 {
            crowd.of(&n.to_string(), || ());
            assert!(crowd.count() <= 8);
        }
    }
}
