//! The credentials of one destination: fetched at the first request, ahead of their end, and whenever
//! the service refused them. That there are none now is a fault of the request, never of the sink.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_config::Region;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{
    ProvideCredentials, Result as Found, SharedCredentialsProvider, future,
};
use tokio::time::Instant;
use tracing::{debug, warn};

use super::chain::{Chain, assume};
use super::clock::ServiceClock;
use super::iot;
use super::transport::Transport;
use crate::base::disk::RealDisk;
use crate::base::random;
use crate::base::secret::Secret;
use crate::base::tasks::blocking;
use crate::sink::{At, AwsSettings, Fault, StaticCredentials};

/// Longest time to find credentials; an STS call and its retries fit.
pub(super) const FETCH_MAX: Duration = Duration::from_secs(10);
/// Credentials without an end are asked for again after this time: somebody may have changed them.
const KEPT_MAX: Duration = Duration::from_secs(900);
/// So long before their end they count as expired; a request takes its time.
const EARLY: Duration = Duration::from_secs(60);
/// Ahead of their end, others are fetched once this part of their life is over; plus up to a tenth,
/// so that a fleet that started together does not ask together for ever.
const RENEW_AT: f64 = 0.8;
/// No credentials live longer; a wrong clock makes it look so.
const LIFE_MAX: Duration = Duration::from_secs(7 * 86_400);
/// So long a renewal rests that failed, while the credentials are still good.
const RENEW_AGAIN: Duration = Duration::from_secs(60);

/// Codes, with or without `Exception`, by which the credentials themselves are refused.
const REFUSED: [&str; 7] = [
    "ExpiredToken",
    "UnrecognizedClient",
    "InvalidClientTokenId",
    "InvalidAccessKeyId",
    "InvalidSignature",
    "SignatureDoesNotMatch",
    "MissingAuthenticationToken",
];

/// The credentials of one destination, kept as long as they are good; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Keeper {
    source: Arc<Source>,
    clock: ServiceClock,
    held: Arc<Mutex<Option<Held>>>,
    /// One fetch at a time.
    fetching: Arc<tokio::sync::Mutex<()>>,
}

#[derive(Clone, Debug)]
struct Held {
    credentials: Credentials,
    since: Instant,
    renew_at: Instant,
}

/// Where credentials come from.
#[derive(Debug)]
struct Source {
    base: Base,
    settings: AwsSettings,
    region: Region,
    transport: Option<Transport>,
}

#[derive(Debug)]
enum Base {
    Given(SharedCredentialsProvider),
    /// In the configuration, or in files that it names: as they were read last.
    Written(Mutex<StaticCredentials>),
    Chain(Box<Chain>),
    Device,
}

impl Keeper {
    /// Of what the settings say, without asking anybody yet.
    pub(super) fn of(
        settings: &AwsSettings,
        region: Region,
        transport: Transport,
        clock: &ServiceClock,
    ) -> Self {
        let base = match (&settings.credentials, &settings.iot) {
            (Some(fixed), _) => Base::Written(Mutex::new(fixed.clone())),
            (None, Some(_)) => Base::Device,
            (None, None) => Base::Chain(Box::new(Chain::new(settings, &region, &transport, clock))),
        };
        let settings = settings.clone();
        Self::new(Source { base, settings, region, transport: Some(transport) }, clock)
    }

    /// Of the caller's choosing.
    pub(super) fn given(provider: SharedCredentialsProvider, clock: &ServiceClock) -> Self {
        let settings = AwsSettings::default();
        let (base, region) = (Base::Given(provider), Region::from_static("none"));
        Self::new(Source { base, settings, region, transport: None }, clock)
    }

    fn new(source: Source, clock: &ServiceClock) -> Self {
        let (held, fetching) = (Arc::default(), Arc::default());
        Self { source: Arc::new(source), clock: clock.clone(), held, fetching }
    }

    /// Lets credentials go that the service refused, so that the next request fetches others.
    pub(crate) fn heed(&self, fault: &Fault) {
        let code = fault.code.strip_suffix("Exception").unwrap_or(&fault.code);
        // Others may be in the files by now that are allowed more, and a look at them costs nothing.
        let is_refused =
            REFUSED.contains(&code) || code == "AccessDenied" && self.source.is_written();
        if matches!(fault.at, At::Answer(_)) && is_refused {
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    /// When the credentials at hand end, after fetching them if need be.
    pub(crate) async fn look(&self) -> Result<Option<SystemTime>, CredentialsError> {
        self.provide().await.map(|credentials| credentials.expiry())
    }

    /// When those end that were fetched last, good or not; `None` while there are none, or where
    /// they have no end.
    pub(crate) fn end_unix_ms(&self) -> Option<u64> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        let end = held.as_ref()?.credentials.expiry()?.duration_since(UNIX_EPOCH).ok()?;
        u64::try_from(end.as_millis()).ok()
    }

    /// What time it is, if the service said so since the start.
    pub(crate) fn told_unix_ms(&self) -> Option<u64> {
        self.clock.is_sure().then(|| self.clock.unix_ms())
    }

    fn held(&self) -> Option<Held> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|held| held.is_good(&self.clock)).cloned()
    }

    async fn provide(&self) -> Found {
        if let Some(held) = self.held() {
            return Ok(self.renewed(held).await);
        }
        let _alone = self.fetching.lock().await;
        // Whoever waited for the lock finds what the one before fetched.
        if let Some(held) = self.held() {
            return Ok(held.credentials);
        }
        self.fetch().await
    }

    /// Fetches others ahead of the end, one request for all; those at hand are good as long as that
    /// fails.
    async fn renewed(&self, held: Held) -> Credentials {
        if held.renew_at > Instant::now() {
            return held.credentials;
        }
        let Ok(_alone) = self.fetching.try_lock() else { return held.credentials };
        match self.fetch().await {
            Ok(fresh) => fresh,
            Err(error) => {
                let why = super::fault::story(&error);
                let of = self.source.in_words();
                warn!(of, why, "credentials cannot be renewed now; those at hand are still good");
                let mut kept = self.held.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(kept) = kept.as_mut() {
                    kept.renew_at = Instant::now() + RENEW_AGAIN;
                }
                held.credentials
            }
        }
    }

    async fn fetch(&self) -> Found {
        let found = match tokio::time::timeout(FETCH_MAX, self.source.fetch(&self.clock)).await {
            Ok(found) => found,
            Err(_) => Err(CredentialsError::provider_timed_out(FETCH_MAX)),
        };
        let credentials = found.or_else(|error| self.source.last_known().ok_or(error))?;
        let held = Held::new(credentials.clone(), &self.clock);
        let renew_in = held.renew_at - held.since;
        debug!(?renew_in, "credentials were fetched");
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(credentials)
    }
}

impl Held {
    fn new(credentials: Credentials, clock: &ServiceClock) -> Self {
        let now = UNIX_EPOCH + Duration::from_millis(clock.unix_ms());
        let life = credentials.expiry().and_then(|end| end.duration_since(now).ok());
        let part = RENEW_AT + 0.1 * random::fraction();
        let since = Instant::now();
        let renew_at = since + life.map_or(KEPT_MAX, |life| life.min(LIFE_MAX)).mul_f64(part);
        Self { credentials, since, renew_at }
    }

    fn is_good(&self, clock: &ServiceClock) -> bool {
        let soon = UNIX_EPOCH + Duration::from_millis(clock.unix_ms()) + EARLY;
        match self.credentials.expiry() {
            Some(end) => soon < end,
            None => self.since.elapsed() < KEPT_MAX,
        }
    }
}

impl Source {
    async fn fetch(&self, clock: &ServiceClock) -> Found {
        let base = match &self.base {
            Base::Given(provider) => provider.provide_credentials().await,
            Base::Written(known) => Ok(written(known).await),
            Base::Chain(chain) => chain.fetch().await,
            Base::Device => iot::fetch(&self.settings, clock).await,
        };
        match (&self.settings.assume_role, &self.transport) {
            (Some(role), Some(transport)) => {
                assume(role, &self.region, transport, clock, base?).await
            }
            _ => base,
        }
    }

    /// Whose they are, as far as a sink knows.
    fn in_words(&self) -> String {
        let AwsSettings { iot, assume_role, profile, .. } = &self.settings;
        let role = assume_role.as_ref().map(|role| format!("role {}", role.arn));
        let alias = || iot.as_ref().map(|iot| format!("role alias {}", iot.role_alias));
        let profile = || profile.as_ref().map(|profile| format!("profile {profile}"));
        role.or_else(alias).or_else(profile).unwrap_or_else(|| "the SDK's chain".into())
    }

    fn is_written(&self) -> bool {
        matches!(self.base, Base::Written(_))
    }

    /// What an instance service said last, when it cannot be asked now.
    fn last_known(&self) -> Option<Credentials> {
        match &self.base {
            Base::Chain(chain) if self.settings.assume_role.is_none() => chain.last_known(),
            _ => None,
        }
    }
}

/// What the configuration says, and the files it names say now; one that says nothing any more said
/// what it said last.
async fn written(known: &Mutex<StaticCredentials>) -> Credentials {
    let before = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let now = blocking(move || {
        let again = |secret: &Secret| {
            secret.again(&RealDisk).unwrap_or_else(|why| {
                warn!(why, "credentials cannot be read again; what was read last is kept");
                secret.clone()
            })
        };
        StaticCredentials {
            access_key_id: again(&before.access_key_id),
            secret_access_key: again(&before.secret_access_key),
            session_token: before.session_token.as_ref().map(again),
        }
    })
    .await;
    let credentials = Credentials::new(
        now.access_key_id.reveal(),
        now.secret_access_key.reveal(),
        now.session_token.as_ref().map(|token| token.reveal().to_owned()),
        None,
        "weir configuration",
    );
    *known.lock().unwrap_or_else(PoisonError::into_inner) = now;
    credentials
}

impl ProvideCredentials for Keeper {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::clock::Clock;

    #[tokio::test(start_paused = true)]
    async fn a_fleet_that_started_together_does_not_renew_its_credentials_together() {
        let clock = ServiceClock::new(Clock::starting_at(1_000_000), None);
        let end = UNIX_EPOCH + Duration::from_millis(1_000_000) + Duration::from_secs(1_000);
        for (end, life) in [(Some(end), 1_000.0), (None, KEPT_MAX.as_secs_f64())] {
            let credentials = Credentials::new("AKIAEXAMPLE", "example", None, end, "a test");
            let part = |_| {
                let held = Held::new(credentials.clone(), &clock);
                (held.renew_at - held.since).as_secs_f64() / life
            };
            let parts: Vec<f64> = (0..200).map(part).collect();

            assert!(parts.iter().all(|part| (0.799..0.901).contains(part)), "{parts:?}");
            let early = parts.iter().filter(|part| **part < 0.85).count();
            assert!((40..160).contains(&early), "{early} of 200 before the middle");
        }
    }
}
