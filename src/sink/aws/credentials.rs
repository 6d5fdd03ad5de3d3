//! Where credentials come from: the settings, or the SDK's default chain, asked at the first
//! request and whenever the last ones have expired.

use std::time::Duration;

use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use aws_config::identity::IdentityCache;
use aws_config::provider_config::ProviderConfig;
use aws_credential_types::Credentials;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider};
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::identity::SharedIdentityCache;

use crate::sink::AwsSettings;

/// Longest time the chain may take to find credentials: off EC2 its last link tries for some
/// seconds to reach an instance service that is not there.
pub(super) const FETCH_MAX: Duration = Duration::from_secs(10);

/// Credentials are kept until they expire and fetched again then; a failure is never kept.
pub(super) fn cache() -> SharedIdentityCache {
    IdentityCache::lazy().load_timeout(FETCH_MAX).build()
}

/// What the settings say, without asking anybody yet. The chain asks container and instance
/// services by the same HTTP client as the upstream.
pub(super) async fn provider(
    settings: &AwsSettings,
    region: Region,
    http: SharedHttpClient,
) -> SharedCredentialsProvider {
    if let Some(fixed) = &settings.credentials {
        return SharedCredentialsProvider::new(Credentials::new(
            fixed.access_key_id.reveal(),
            fixed.secret_access_key.reveal(),
            fixed.session_token.as_ref().map(|token| token.reveal().to_owned()),
            None,
            "weir configuration",
        ));
    }
    let means = ProviderConfig::without_region().with_http_client(http);
    let mut chain = DefaultCredentialsChain::builder().configure(means).region(region);
    if let Some(profile) = &settings.profile {
        chain = chain.profile_name(profile);
    }
    SharedCredentialsProvider::new(Patient(chain.build().await))
}

/// The chain with an end: running out of time is a fault of the credentials and says so.
#[derive(Debug)]
struct Patient(DefaultCredentialsChain);

/// A little less than the cache allows, so that the words below are the ones that are seen.
const CHAIN_MAX: Duration = Duration::from_secs(9);

impl ProvideCredentials for Patient {
    fn provide_credentials<'a>(
        &'a self,
    ) -> aws_credential_types::provider::future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        use aws_credential_types::provider::error::CredentialsError;
        aws_credential_types::provider::future::ProvideCredentials::new(async {
            match tokio::time::timeout(CHAIN_MAX, self.0.provide_credentials()).await {
                Ok(found) => found,
                Err(_) => match self.0.fallback_on_interrupt() {
                    Some(last) => Ok(last),
                    None => Err(CredentialsError::provider_timed_out(CHAIN_MAX)),
                },
            }
        })
    }

    fn fallback_on_interrupt(&self) -> Option<Credentials> {
        self.0.fallback_on_interrupt()
    }
}
