//! Where credentials come from: the settings, or the SDK's default chain, asked at the first
//! request, whenever the last ones have expired, and whenever the service refused them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{
    ProvideCredentials, Result as Found, SharedCredentialsProvider, future,
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use tokio::time::Instant;

use crate::base::clock::Clock;
use crate::sink::{At, AwsSettings, Fault};

/// Longest time the chain may take to find credentials: off EC2 its last link tries for some
/// seconds to reach an instance service that is not there.
pub(super) const FETCH_MAX: Duration = Duration::from_secs(10);
/// Credentials without an end are asked for again after this time: somebody may have changed them.
const KEPT_MAX: Duration = Duration::from_secs(900);
/// So long before their end they count as expired; a request takes its time.
const EARLY: Duration = Duration::from_secs(60);

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
    held: Arc<Mutex<Option<Held>>>,
    /// One fetch at a time; and the chain that found something last.
    chain: Arc<tokio::sync::Mutex<Option<DefaultCredentialsChain>>>,
}

#[derive(Debug)]
struct Held {
    credentials: Credentials,
    since: Instant,
}

#[derive(Debug)]
enum Source {
    Given(SharedCredentialsProvider),
    /// The chain asks container and instance services by the same HTTP client as the upstream.
    Chain {
        profile: Option<String>,
        region: Region,
        http: SharedHttpClient,
    },
}

impl Keeper {
    /// Of what the settings say, without asking anybody yet.
    pub(super) fn of(settings: &AwsSettings, region: Region, http: SharedHttpClient) -> Self {
        let Some(fixed) = &settings.credentials else {
            return Self::new(Source::Chain { profile: settings.profile.clone(), region, http });
        };
        Self::given(SharedCredentialsProvider::new(Credentials::new(
            fixed.access_key_id.reveal(),
            fixed.secret_access_key.reveal(),
            fixed.session_token.as_ref().map(|token| token.reveal().to_owned()),
            None,
            "weir configuration",
        )))
    }

    /// Of the caller's choosing.
    pub(super) fn given(provider: SharedCredentialsProvider) -> Self {
        Self::new(Source::Given(provider))
    }

    fn new(source: Source) -> Self {
        Self { source: Arc::new(source), held: Arc::default(), chain: Arc::default() }
    }

    /// Lets credentials go that the service refused, so that the next request fetches others.
    pub(crate) fn heed(&self, fault: &Fault) {
        let code = fault.code.strip_suffix("Exception").unwrap_or(&fault.code);
        if matches!(fault.at, At::Answer(_)) && REFUSED.contains(&code) {
            *self.held.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
    }

    fn held(&self) -> Option<Credentials> {
        let held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        held.as_ref().filter(|held| held.is_good()).map(|held| held.credentials.clone())
    }

    async fn provide(&self) -> Found {
        if let Some(held) = self.held() {
            return Ok(held);
        }
        let mut chain = self.chain.lock().await;
        // Whoever waited for the lock finds what the one before fetched.
        if let Some(held) = self.held() {
            return Ok(held);
        }
        let credentials = self.source.fetch(&mut chain).await?;
        let held = Held { credentials: credentials.clone(), since: Instant::now() };
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Ok(credentials)
    }
}

impl Held {
    fn is_good(&self) -> bool {
        let soon = Duration::from_millis(Clock::real().unix_ms()) + EARLY;
        let ends = |at| UNIX_EPOCH + soon < at;
        self.since.elapsed() < KEPT_MAX && self.credentials.expiry().is_none_or(ends)
    }
}

impl Source {
    /// A chain reads profiles once in its life, so each fetch makes a new one: what an operator
    /// mends is then found. The old one may know what an instance service said last.
    async fn fetch(&self, last: &mut Option<DefaultCredentialsChain>) -> Found {
        let (profile, region, http) = match self {
            Self::Given(provider) => return provider.provide_credentials().await,
            Self::Chain { profile, region, http } => (profile, region, http),
        };
        let means = ProviderConfig::without_region().with_http_client(http.clone());
        let mut chain = DefaultCredentialsChain::builder().configure(means).region(region.clone());
        if let Some(profile) = profile {
            chain = chain.profile_name(profile);
        }
        let chain = chain.build().await;
        let found = match tokio::time::timeout(FETCH_MAX, chain.provide_credentials()).await {
            Ok(found) => found,
            Err(_) => Err(CredentialsError::provider_timed_out(FETCH_MAX)),
        };
        match found {
            Ok(credentials) => {
                *last = Some(chain);
                Ok(credentials)
            }
            Err(error) => {
                let known = last.as_ref().and_then(ProvideCredentials::fallback_on_interrupt);
                known.ok_or(error)
            }
        }
    }
}

impl ProvideCredentials for Keeper {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.provide())
    }
}
