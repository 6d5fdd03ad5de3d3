//! The way to an AWS service: region, endpoint, credentials, timeouts; one attempt per call.

mod cbor;
mod chain;
mod credentials;
mod iot;

mod transport;

mod clock;
mod fault;

use std::time::Duration;

use aws_config::environment::EnvironmentVariableRegionProvider;
use aws_config::identity::IdentityCache;
use aws_config::meta::region::RegionProviderChain;
use aws_config::profile::ProfileFileRegionProvider;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::stalled_stream_protection::StalledStreamProtectionConfig;

use super::{AwsSettings, Fate, Fault};
use aws_smithy_types::retry::ReconnectMode;

pub(super) use cbor::{MEDIA_TYPE as MEDIA_TYPE_OF_CBOR, is_cbor};
pub use clock::{ClockChanges, ClockMemory, ServiceClock};
pub(super) use credentials::Keeper;
pub(super) use fault::{ambiguous, entry_fault, fault_of, story};
pub(super) use transport::{Meter, Transport};

/// What the SDK may change between versions is changed here, after a look at what it means.
fn behavior() -> BehaviorVersion {
    BehaviorVersion::v2026_01_12()
}

/// Settings become what the service clients are built from, the keeper of their
/// credentials, and the meter of what they send.
/// Reads files, never the network.
pub(super) async fn config(
    settings: &AwsSettings,
    clock: &ServiceClock,
    credentials: Option<SharedCredentialsProvider>,
) -> Result<(SdkConfig, Keeper, Meter), String> {
    let Some(region) = region(settings).await else {
        return Err("there is no region to sign for: set `region`, the environment variable \
                    AWS_REGION, or a region in the profile; nothing was connected"
            .into());
    };
    if let Some(url) = &settings.endpoint_url {
        check_endpoint(url)?;
    }

    let transport = Transport::new(settings, clock, None)?;
    let meter = transport.meter();
    let mut loader = aws_config::defaults(behavior())
        .region(region.clone())
        .http_client(transport.clone())
        .time_source(clock.clone())
        .retry_config(unretried())
        // The transport looks after requests that do not move; a second clock would only add a fault.
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        // The keeper knows when the service refused what it keeps.
        .identity_cache(IdentityCache::no_cache())
        .timeout_config(timeouts(settings));
    if settings.fips {
        loader = loader.use_fips(true);
    }
    if settings.dual_stack {
        loader = loader.use_dual_stack(true);
    }
    if let Some(url) = &settings.endpoint_url {
        loader = loader.endpoint_url(url);
    }
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    let keeper = match credentials {
        Some(provider) => Keeper::given(provider, clock),
        None => Keeper::of(settings, region, transport, clock),
    };
    let config = loader.credentials_provider(keeper.clone()).load().await;
    // The clock corrects every signature; corrected once more by the SDK, it would be wrong again.
    let config = config.into_builder().disable_clock_skew_correction(true).build();
    Ok((config, keeper, meter))
}

/// Where a service is called, if it is not where the region has it: as it was set, or else as the
/// environment or the profile says.
pub(super) fn endpoint_of(
    settings: &AwsSettings,
    config: &SdkConfig,
    service: &str,
) -> Option<String> {
    let of_service = || std::env::var(format!("AWS_ENDPOINT_URL_{service}")).ok();
    let of_all = || config.endpoint_url().map(str::to_owned);
    settings.endpoint_url.clone().or_else(of_service).or_else(of_all)
}

/// The SDK's chain without the instance: a gateway that is none would wait for an answer that
/// never comes, at every start.
async fn region(settings: &AwsSettings) -> Option<Region> {
    if let Some(region) = &settings.region {
        return Some(Region::new(region.clone()));
    }
    let mut profile = ProfileFileRegionProvider::builder();
    if let Some(name) = &settings.profile {
        profile = profile.profile_name(name);
    }
    RegionProviderChain::first_try(EnvironmentVariableRegionProvider::new())
        .or_else(profile.build())
        .region()
        .await
}

fn check_endpoint(url: &str) -> Result<(), String> {
    let host = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
    match host {
        Some(rest) if !rest.is_empty() && !rest.contains(char::is_whitespace) => Ok(()),
        _ => Err(format!(
            "`endpoint_url` is {url:?}, but it must be an address like \
             \"https://kinesis.eu-west-1.amazonaws.com\"; nothing was connected"
        )),
    }
}

/// The transport waits as long as something moves, within bounds of its own, and fetching
/// credentials has its own too: the limit over everything is never met, or something is very wrong.
fn timeouts(settings: &AwsSettings) -> TimeoutConfig {
    let whole = transport::EXCHANGE_MAX + credentials::FETCH_MAX + Duration::from_secs(1);
    TimeoutConfig::builder()
        .connect_timeout(settings.connect_timeout)
        .read_timeout(settings.request_timeout)
        .operation_timeout(whole)
        .build()
}

/// One attempt; delivery knows when the next is due. The transport closes connections that are none
/// any more: without this the SDK says of each fault that it found none to close.
fn unretried() -> RetryConfig {
    RetryConfig::disabled().with_reconnect_mode(ReconnectMode::ReuseAllConnections)
}

/// Not one result per entry: nobody knows which is whose.
pub(super) fn miscounted(sent: usize, answered: usize) -> Fault {
    ambiguous("wrong-result-count", format!("{answered} results came for {sent} entries"))
}

/// The fate of one entry: the service has it only if it gave the receipt (a sequence number, a
/// record id) and names no fault. Where both are there, one of them is wrong, and a record twice is
/// better than none.
pub(super) fn fate(receipt: Option<&str>, code: Option<&str>, message: Option<&str>) -> Fate {
    let said = |text: Option<&str>| text.is_some_and(|text| !text.is_empty());
    if said(receipt) && !said(code) {
        return Fate::Taken;
    }
    Fate::Failed(entry_fault(code.filter(|code| !code.is_empty()), message))
}

/// A request that the SDK refuses to build from what it was given.
pub(super) fn unbuilt(error: &dyn std::error::Error) -> Fault {
    fault::settings(error.to_string())
}
