//! The SDK's chain of places where credentials may be, and the roles they may take on.

use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use aws_config::ecs::EcsCredentialsProvider;
use aws_config::environment::EnvironmentVariableCredentialsProvider;
use aws_config::imds::credentials::ImdsCredentialsProvider;
use aws_config::meta::credentials::CredentialsProviderChain;
use aws_config::profile::ProfileFileCredentialsProvider;
use aws_config::provider_config::ProviderConfig;
use aws_config::retry::RetryConfig;
use aws_config::sts::AssumeRoleProvider;
use aws_config::timeout::TimeoutConfig;
use aws_config::web_identity_token::WebIdentityTokenCredentialsProvider;
use aws_config::{Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::{
    ProvideCredentials, Result as Found, SharedCredentialsProvider,
};
use aws_smithy_async::rt::sleep::{SharedAsyncSleep, TokioSleep};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

use super::clock::ServiceClock;
use super::transport::Transport;
use super::{behavior, credentials};
use crate::base::disk::foreign;
use crate::sink::{AwsSettings, InstanceCredentials, RoleSettings};
use aws_smithy_types::retry::ReconnectMode;

/// Environment, profile, web identity, container, instance: the SDK's order.
pub(super) struct Chain {
    profile: Option<String>,
    region: Region,
    transport: Transport,
    clock: ServiceClock,
    asks_instance: bool,
    last: Mutex<Option<CredentialsProviderChain>>,
}

impl Chain {
    pub(super) fn new(
        settings: &AwsSettings,
        region: &Region,
        transport: &Transport,
        clock: &ServiceClock,
    ) -> Self {
        Self {
            profile: settings.profile.clone(),
            region: region.clone(),
            transport: transport.untaught(),
            clock: clock.clone(),
            asks_instance: match settings.instance_credentials {
                InstanceCredentials::On => true,
                InstanceCredentials::Off => false,
                InstanceCredentials::Auto => is_instance(),
            },
            last: Mutex::new(None),
        }
    }

    /// A chain reads profiles once in its life, so each fetch makes a new one: what an operator
    /// mends is then found.
    pub(super) async fn fetch(&self) -> Found {
        let chain = self.build();
        let found = chain.provide_credentials().await;
        if found.is_ok() {
            *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain);
        }
        found
    }

    /// What the instance service said last; it may be away for a while.
    pub(super) fn last_known(&self) -> Option<Credentials> {
        let last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.as_ref().and_then(ProvideCredentials::fallback_on_interrupt)
    }

    fn build(&self) -> CredentialsProviderChain {
        let means = ProviderConfig::without_region()
            .with_region(Some(self.region.clone()))
            .with_behavior_version(Some(behavior()))
            .with_http_client(self.transport.clone())
            .with_time_source(self.clock.clone());
        let mut profile = ProfileFileCredentialsProvider::builder().configure(&means);
        if let Some(name) = &self.profile {
            profile = profile.profile_name(name);
        }
        let web = WebIdentityTokenCredentialsProvider::builder().configure(&means).build();
        let container = EcsCredentialsProvider::builder().configure(&means).build();
        let environment = EnvironmentVariableCredentialsProvider::new();
        let chain = match self.profile {
            // Whoever names a profile means it, whatever the environment says.
            Some(_) => CredentialsProviderChain::first_try("Profile", profile.build()),
            None => CredentialsProviderChain::first_try("Environment", environment)
                .or_else("Profile", profile.build())
                .or_else("WebIdentityToken", web)
                .or_else("EcsContainer", container),
        };
        if !self.asks_instance || self.profile.is_some() {
            return chain;
        }
        let instance = ImdsCredentialsProvider::builder().configure(&means).build();
        chain.or_else("Ec2InstanceMetadata", instance)
    }
}

/// Whether this host is an EC2 instance, by its firmware, or was told of a service like the
/// instance's. Anywhere else asking costs seconds, at every start and in every outage.
fn is_instance() -> bool {
    if std::env::var_os("AWS_EC2_METADATA_SERVICE_ENDPOINT").is_some() {
        return true;
    }
    let says = |file: &str, words: &str| {
        let mut text = String::new();
        let read = foreign::reader(Path::new(file))
            .and_then(|file| file.take(256).read_to_string(&mut text));
        read.is_ok() && text.to_ascii_lowercase().starts_with(words)
    };
    says("/sys/class/dmi/id/sys_vendor", "amazon ec2")
        || says("/sys/class/dmi/id/board_vendor", "amazon ec2")
        || says("/sys/hypervisor/uuid", "ec2")
}

/// Takes on a role with the credentials at hand.
pub(super) async fn assume(
    role: &RoleSettings,
    region: &Region,
    transport: &Transport,
    clock: &ServiceClock,
    base: Credentials,
) -> Found {
    let limits = TimeoutConfig::builder().operation_timeout(credentials::FETCH_MAX).build();
    let mut means = SdkConfig::builder()
        .behavior_version(behavior())
        .region(region.clone())
        .http_client(SharedHttpClient::new(transport.untaught()))
        .time_source(clock.clone())
        .sleep_impl(SharedAsyncSleep::new(TokioSleep::new()))
        .retry_config(
            RetryConfig::standard().with_reconnect_mode(ReconnectMode::ReuseAllConnections),
        )
        .timeout_config(limits);
    means.set_endpoint_url(role.endpoint_url.clone());
    let mut provider = AssumeRoleProvider::builder(&role.arn)
        .session_name(&role.session_name)
        .session_length(Duration::from_secs(role.duration.as_secs()))
        .configure(&means.build());
    if let Some(id) = &role.external_id {
        provider = provider.external_id(id.reveal());
    }
    let provider = provider.build_from_provider(SharedCredentialsProvider::new(base)).await;
    provider.provide_credentials().await
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain").field("profile", &self.profile).finish_non_exhaustive()
    }
}
