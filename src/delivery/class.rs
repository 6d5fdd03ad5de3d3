//! What a fault means: every code the services are known to give, and a rule for all others.
//!
//! Sources: the service models of Kinesis and Firehose, and the common errors of AWS.

use std::time::Duration;

use crate::sink::{At, Fault};

/// What is to be done about a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Class {
    /// Too fast: the same records later.
    Throttled,
    /// The network or the service is in trouble: the same records later.
    Transient,
    /// The caller is not known or not allowed: hold, and look now and then.
    Auth,
    /// The signature's time is not the service's: hold, and look now and then.
    Clock,
    /// Something upstream is not as the configuration says: hold, and look now and then.
    Config,
    /// A record is itself at fault: find it, and give it up.
    Poison,
}

use Class::{Auth, Clock, Config, Poison, Throttled, Transient};

/// The class of letters of records that are themselves at fault.
pub(super) const POISON: &str = "poison";

impl Class {
    pub(super) const ALL: [Self; 6] = [Throttled, Transient, Auth, Clock, Config, Poison];

    /// As metrics, logs and letters name it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Throttled => "throttled",
            Transient => "transient",
            Auth => "auth",
            Clock => "clock",
            Config => "config",
            Poison => POISON,
        }
    }

    /// What it means for the operator, in a few words that stand behind the destination's name.
    pub(super) fn in_words(self) -> &'static str {
        match self {
            Throttled => "takes no more at this rate; weir slows down by itself",
            Transient => "cannot be reached or is in trouble; weir tries again by itself",
            Auth => "does not know or does not allow weir; mend the credentials or the policy",
            Clock => "finds the clock of this host wrong; set the clock",
            Config => "is not as the configuration says; mend the one or the other",
            Poison => "takes everything but single records",
        }
    }

    /// Whether somebody must do something before it can get better.
    pub(crate) fn is_hold(self) -> bool {
        matches!(self, Auth | Clock | Config)
    }
}

/// By code. A code stands for itself and for itself with `Exception` behind it, unless the longer
/// one has a row of its own further up.
#[rustfmt::skip]
const BY_CODE: &[(&str, Class)] = &[
    ("ProvisionedThroughputExceeded",       Throttled),
    ("LimitExceeded",                       Throttled),
    ("Throttling",                          Throttled),
    ("ThrottledException",                  Throttled),
    ("RequestThrottled",                    Throttled),
    ("TooManyRequests",                     Throttled),
    ("RequestLimitExceeded",                Throttled),
    ("SlowDown",                            Throttled),
    ("BandwidthLimitExceeded",              Throttled),
    // No SDK retries this one.
    ("KMSThrottling",                       Throttled),
    // Firehose's throttle signal; Kinesis has the shorter name and means trouble.
    ("ServiceUnavailableException",         Throttled),
    ("ServiceUnavailable",                  Transient),
    ("InternalFailure",                     Transient),
    ("InternalError",                       Transient),
    ("InternalServerError",                 Transient),
    ("InternalServerException",             Transient),
    ("RequestTimeout",                      Transient),
    // The stream is being made or changed.
    ("ResourceInUse",                       Transient),
    ("AccessDenied",                        Auth),
    ("NotAuthorized",                       Auth),
    ("UnauthorizedOperation",               Auth),
    ("AuthFailure",                         Auth),
    ("OptInRequired",                       Auth),
    ("ExpiredToken",                        Auth),
    ("UnrecognizedClient",                  Auth),
    ("InvalidClientTokenId",                Auth),
    ("InvalidAccessKeyId",                  Auth),
    ("MissingAuthenticationToken",          Auth),
    ("IncompleteSignature",                 Auth),
    ("InvalidSignature",                    Auth),
    ("SignatureDoesNotMatch",               Auth),
    ("RequestExpired",                      Clock),
    ("RequestTimeTooSkewed",                Clock),
    ("ResourceNotFound",                    Config),
    ("KMSAccessDenied",                     Config),
    ("KMSDisabled",                         Config),
    ("KMSInvalidState",                     Config),
    ("KMSNotFound",                         Config),
    ("KMSOptInRequired",                    Config),
    ("InvalidKMSResource",                  Config),
    // The delivery stream takes CloudWatch Logs only.
    ("InvalidSource",                       Config),
    // A Firehose stream that is fed by a data stream or by Kafka says so.
    ("InvalidStreamType",                   Config),
    ("UnknownOperation",                    Config),
    ("InvalidAction",                       Config),
    // Success of a probe; weir's requests are none, so somebody in between made them so.
    ("DryRunOperation",                     Config),
    ("InvalidArgument",                     Poison),
    ("Validation",                          Poison),
    ("ValidationError",                     Poison),
    ("Serialization",                       Poison),
    ("InvalidParameterValue",               Poison),
    ("RequestEntityTooLarge",               Poison),
    ("RequestTooLarge",                     Poison),
    // Weir's own, for an entry above the sink's limit.
    ("record-too-large",                    Poison),
];

/// Words by which a signature is refused for its time rather than for its key.
const CLOCK_WORDS: [&str; 3] =
    ["Signature expired", "Signature not yet current", "not yet current"];

/// What a fault means.
pub(crate) fn classify(fault: &Fault) -> Class {
    match fault.at {
        At::Transport | At::Timeout | At::Upload(_) | At::Disk => Transient,
        At::Credentials => Auth,
        At::Settings => Config,
        // What an answered request says of one entry is never about the destination as a whole.
        At::Entry => by_code(fault).unwrap_or(Transient),
        At::Answer(status) => match by_code(fault) {
            // A service that fails is no judge of records.
            Some(Poison) if status >= 500 => Transient,
            known => known.unwrap_or_else(|| by_status(status)),
        },
    }
}

/// The services take a signature for five minutes, counted to when they have the whole request; one
/// less, as clocks differ.
const SIGNED_FOR: Duration = Duration::from_secs(240);

/// A signature that was refused for its age after a request of so many bytes took so long: nothing is
/// wrong with the clock, but such a request is too large for the link, like one that breaks off.
pub(super) fn outlived(fault: Fault, took: Duration, sent: u64) -> Fault {
    if took < SIGNED_FOR || classify(&fault) != Clock {
        return fault;
    }
    let message = format!(
        "the request took {} s, longer than its signature is taken for (5 min); it says: {}: {}",
        took.as_secs(),
        fault.code,
        fault.message
    );
    Fault { at: At::Upload(sent), code: "signature-outlived".to_owned(), message, ..fault }
}

fn by_code(fault: &Fault) -> Option<Class> {
    let short = fault.code.strip_suffix("Exception");
    let row = |code: &str| BY_CODE.iter().find(|(known, _)| *known == code);
    let known = row(&fault.code).or_else(|| short.and_then(row)).map(|(_, class)| *class);
    // Whatever else a stream's key may come to is a matter of the key.
    let class = known.or_else(|| fault.code.starts_with("KMS").then_some(Config))?;
    let about_time = || CLOCK_WORDS.iter().any(|words| fault.message.contains(words));
    if class == Auth && about_time() { Some(Clock) } else { Some(class) }
}

/// For codes nobody knows. A new code is never a reason to give records up: a 4xx is held.
fn by_status(status: u16) -> Class {
    match status {
        // Too large as a whole: halves may pass.
        413 => Poison,
        408 => Transient,
        429 => Throttled,
        401 | 403 | 407 => Auth,
        400..=499 => Config,
        // Also what is no answer of the service at all, like a portal's redirect.
        _ => Transient,
    }
}

/// Every code that has a row.
#[cfg(test)]
pub(super) fn known_codes() -> impl Iterator<Item = &'static str> {
    BY_CODE.iter().map(|(code, _)| *code)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(at: At, code: &str, message: &str) -> Fault {
        Fault { at, code: code.into(), message: message.into(), retry_after: None }
    }

    #[track_caller]
    fn check(at: At, expected: Class, codes: &[&str]) {
        for code in codes {
            assert_eq!(classify(&fault(at, code, "words")), expected, "{code}");
        }
    }

    #[test]
    fn every_code_the_services_document_has_its_class() {
        let refused = At::Answer(400);
        check(
            refused,
            Throttled,
            &[
                "ProvisionedThroughputExceededException",
                "LimitExceededException",
                "ThrottlingException",
                "RequestLimitExceeded",
                "Throttling",
                "SlowDown",
                "BandwidthLimitExceeded",
                "KMSThrottlingException",
            ],
        );
        check(At::Answer(503), Throttled, &["ServiceUnavailableException", "SlowDown"]);
        check(
            At::Answer(500),
            Transient,
            &["InternalFailureException", "InternalFailure", "RequestTimeout"],
        );
        check(At::Answer(503), Transient, &["ServiceUnavailable"]);
        check(refused, Transient, &["ResourceInUseException", "RequestTimeout"]);
        check(
            refused,
            Auth,
            &[
                "AccessDeniedException",
                "AccessDenied",
                "NotAuthorized",
                "OptInRequired",
                "ExpiredTokenException",
                "ExpiredToken",
                "UnrecognizedClientException",
                "InvalidClientTokenId",
                "MissingAuthenticationToken",
                "MissingAuthenticationTokenException",
                "IncompleteSignatureException",
                "InvalidSignatureException",
                "SignatureDoesNotMatch",
            ],
        );
        check(refused, Clock, &["RequestTimeTooSkewed", "RequestExpired"]);
        check(
            refused,
            Config,
            &[
                "ResourceNotFoundException",
                "KMSAccessDeniedException",
                "KMSDisabledException",
                "KMSInvalidStateException",
                "KMSNotFoundException",
                "KMSOptInRequired",
                "InvalidKMSResourceException",
                "InvalidSourceException",
                "UnknownOperationException",
            ],
        );
        check(
            refused,
            Poison,
            &["InvalidArgumentException", "ValidationException", "SerializationException"],
        );
        check(At::Entry, Throttled, &["ProvisionedThroughputExceededException"]);
        check(At::Entry, Throttled, &["ServiceUnavailableException"]);
        check(At::Entry, Transient, &["InternalFailure", "SomethingNew", "no-code"]);
    }

    #[test]
    fn a_signature_refused_for_its_time_is_a_matter_of_the_clock() {
        let refused = |words| fault(At::Answer(400), "InvalidSignatureException", words);
        let early = "Signature expired: 20200101T000000Z is now earlier than 20261122T055519Z";
        assert_eq!(classify(&refused(early)), Clock);
        assert_eq!(classify(&refused("Signature not yet current: 2099…")), Clock);
        assert_eq!(classify(&refused("The request signature we calculated does not match")), Auth);
    }

    #[test]
    fn a_signature_that_grew_too_old_on_the_way_is_a_matter_of_the_link() {
        let told = || fault(At::Answer(400), "InvalidSignatureException", "Signature expired: old");
        let outlived = outlived(told(), SIGNED_FOR, 9_000);
        assert_eq!((outlived.at, classify(&outlived)), (At::Upload(9_000), Transient));
        assert!(
            outlived
                .message
                .ends_with("it says: InvalidSignatureException: Signature expired: old")
        );

        let second = Duration::from_secs(1);
        assert_eq!(
            super::outlived(told(), SIGNED_FOR - second, 9_000),
            told(),
            "that is the clock"
        );
        let denied = fault(At::Answer(400), "AccessDeniedException", "no");
        assert_eq!(super::outlived(denied.clone(), SIGNED_FOR * 2, 9_000), denied);
    }

    #[test]
    fn an_unknown_code_goes_by_its_status_and_is_never_poison_but_for_413() {
        for (status, expected) in [
            (302, Transient),
            (400, Config),
            (401, Auth),
            (403, Auth),
            (404, Config),
            (408, Transient),
            (413, Poison),
            (418, Config),
            (429, Throttled),
            (500, Transient),
            (502, Transient),
            (503, Transient),
            (504, Transient),
            (599, Transient),
        ] {
            check(At::Answer(status), expected, &["NobodyKnowsThis", "http-999", ""]);
        }
        check(At::Answer(400), Config, &["KMSSomethingNew", "KMSTooManyKeysException"]);
        // A service that fails is no judge of records.
        check(At::Answer(500), Transient, &["ValidationException", "SerializationException"]);
    }

    #[test]
    fn what_never_reached_the_service_says_nothing_about_a_record() {
        for code in ["ValidationException", "timeout", "connection-refused"] {
            check(At::Transport, Transient, &[code]);
            check(At::Timeout, Transient, &[code]);
            check(At::Upload(9), Transient, &[code]);
            check(At::Disk, Transient, &[code]);
            check(At::Credentials, Auth, &[code]);
            check(At::Settings, Config, &[code]);
        }
    }
}
