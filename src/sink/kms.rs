//! AWS KMS: makes data keys and unwraps them. The one service here that takes no entries.

use std::time::Duration;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_sdk_kms::Client;
use aws_sdk_kms::primitives::Blob;
use aws_sdk_kms::types::DataKeySpec;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::aws::Keeper;
use super::{At, AwsSettings, Fault, ServiceClock, aws};
use crate::base::clock::Clock;
use crate::base::secret::Secret;

/// Where data keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KmsSettings {
    /// The key that wraps them: id, alias or ARN.
    pub key: String,
    /// Age at which a data key is followed by a new one.
    pub rotate_after: Duration,
    /// How to reach KMS.
    pub aws: AwsSettings,
}

/// A data key as it may lie about: only KMS can unwrap it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped(pub Vec<u8>);

/// KMS, and the key there.
#[derive(Debug)]
pub struct Kms {
    client: Client,
    keeper: Keeper,
    key: String,
}

/// What a data key is for is bound to it under this name: that of the stream.
const CONTEXT: &str = "weir-stream";

impl Kms {
    /// Makes a client; the network is not touched before the first request.
    ///
    /// # Errors
    /// In words, when the settings name no region or no usable endpoint.
    pub async fn connect(settings: &KmsSettings) -> Result<Self, String> {
        Self::connect_with(settings, None).await
    }

    /// The same with credentials of the caller's choosing.
    pub(crate) async fn connect_with(
        settings: &KmsSettings,
        credentials: Option<SharedCredentialsProvider>,
    ) -> Result<Self, String> {
        // Learns the time from the first answer, as every service's clock does.
        let clock = ServiceClock::new(Clock::real(), None);
        let (config, keeper, _) = aws::config(&settings.aws, &clock, credentials).await?;
        Ok(Self { client: Client::new(&config), keeper, key: settings.key.clone() })
    }

    /// Asks for a new data key of 32 bytes: in base64, and wrapped.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn make(&self, stream: &str) -> Result<(Secret, Wrapped), Fault> {
        let answer = self
            .client
            .generate_data_key()
            .key_id(&self.key)
            .key_spec(DataKeySpec::Aes256)
            .encryption_context(CONTEXT, stream)
            .send()
            .await
            .map_err(aws::fault_of)
            .inspect_err(|fault| self.keeper.heed(fault))?;
        let wrapped = answer.ciphertext_blob.ok_or_else(no_key)?.into_inner();
        Ok((encoded(answer.plaintext)?, Wrapped(wrapped)))
    }

    /// Asks for a data key that was made before, in base64.
    ///
    /// # Errors
    /// [`Fault`].
    pub async fn unwrap(&self, stream: &str, wrapped: &Wrapped) -> Result<Secret, Fault> {
        // The wrapped key names the key that wrapped it, so that another may take its place in the
        // settings.
        let answer = self
            .client
            .decrypt()
            .ciphertext_blob(Blob::new(wrapped.0.clone()))
            .encryption_context(CONTEXT, stream)
            .send()
            .await
            .map_err(aws::fault_of)
            .inspect_err(|fault| self.keeper.heed(fault))?;
        encoded(answer.plaintext)
    }
}

impl Fault {
    /// Whether KMS, or the way to it, is away for now rather than in disagreement.
    pub fn is_away(&self) -> bool {
        match self.at {
            At::Answer(status) => {
                status == 429 || status >= 500 || self.code.contains("Throttling")
            }
            At::Transport | At::Timeout | At::Upload(_) | At::Credentials => true,
            At::Entry | At::Settings | At::Disk => false,
        }
    }

    /// Whether KMS may say something else when it is asked again: it was away, or the request was
    /// signed by a clock that its answer has put right since.
    pub fn may_pass(&self) -> bool {
        self.is_away() || SIGNED_WRONG.iter().any(|code| self.code.starts_with(code))
    }
}

/// How the codes begin that a wrong clock leads to.
const SIGNED_WRONG: [&str; 4] =
    ["InvalidSignature", "SignatureDoesNotMatch", "RequestExpired", "RequestTimeTooSkewed"];

fn encoded(key: Option<Blob>) -> Result<Secret, Fault> {
    Ok(Secret::new(BASE64.encode(key.ok_or_else(no_key)?.into_inner())))
}

fn no_key() -> Fault {
    aws::ambiguous("no-key", "KMS answered without a key".into())
}
