//! What an upstream says of itself when it is asked; nothing is put into it.

use std::time::{SystemTime, UNIX_EPOCH};

use super::Fault;
use super::aws::{Keeper, story};
use super::{At, AwsSettings};
use crate::base::clock::rfc3339;

/// One question, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probed {
    /// What was asked for: a permission, as a policy names it, or `credentials`.
    pub what: &'static str,
    /// What was heard, in words, or why nothing was.
    pub heard: Result<String, Fault>,
    /// What is lost while it is not allowed; `None` where nothing works without.
    pub without: Option<&'static str>,
}

/// Whether there are credentials, from where, and how long they last.
pub(super) async fn credentials(keeper: &Keeper, settings: &AwsSettings) -> Probed {
    let heard = match keeper.look().await {
        Ok(end) => Ok(format!("from {}{}", source(settings), until(end))),
        Err(error) => Err(Fault {
            at: At::Credentials,
            code: "no-credentials".into(),
            message: story(&error),
            retry_after: None,
        }),
    };
    Probed { what: "credentials", heard, without: None }
}

fn source(settings: &AwsSettings) -> String {
    let first = match (&settings.credentials, &settings.iot) {
        (Some(_), _) => "the configuration".to_owned(),
        (None, Some(iot)) => format!("AWS IoT Core, role alias {}", iot.role_alias),
        (None, None) => "the SDK's chain (environment, profile, container, instance)".to_owned(),
    };
    match &settings.assume_role {
        Some(role) => format!("{first}, as {}", role.arn),
        None => first,
    }
}

fn until(end: Option<SystemTime>) -> String {
    let Some(end) = end.and_then(|end| end.duration_since(UNIX_EPOCH).ok()) else {
        return ", without an end".into();
    };
    format!(", good until {}", rfc3339(u64::try_from(end.as_millis()).unwrap_or(u64::MAX)))
}
