//! Credentials: when they are asked for, kept, and read again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, SharedCredentialsProvider, future};

use super::aws::{clock, kinesis_settings, put};
use crate::base::disk::RealDisk;
use crate::base::scratch::Scratch;
use crate::sink::fake_upstream::{Answer, FakeUpstream};
use crate::sink::{At, Fate, Kinesis, RoleSettings, StaticCredentials};

#[derive(Debug)]
struct NoCredentials;

impl ProvideCredentials for NoCredentials {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        let words = "nobody lent any";
        future::ProvideCredentials::ready(Err::<Credentials, _>(CredentialsError::not_loaded(
            words,
        )))
    }
}

#[tokio::test]
async fn absent_credentials_are_a_fault_of_the_request_not_of_the_start() {
    let fake = FakeUpstream::start().await;
    let none = SharedCredentialsProvider::new(NoCredentials);

    let settings = kinesis_settings(&fake.url());
    let sink = Kinesis::connect_with(&settings, &clock(), Some(none)).await.unwrap();
    let fault = put(&sink, &["a"]).await.unwrap_err();

    assert_eq!((fault.at, fault.code.as_str()), (At::Credentials, "no-credentials"));
    assert!(fault.message.contains("nobody lent any"), "{}", fault.message);
    assert_eq!(fake.request_count(), 0);
}

#[tokio::test]
async fn credentials_that_end_while_nobody_can_be_asked_for_others_are_no_fault_of_credentials() {
    // A role to take on, and an STS that is out of reach.
    let fake = FakeUpstream::start().await;
    let mut settings = kinesis_settings(&fake.url());
    settings.aws.assume_role = Some(RoleSettings {
        arn: "arn:aws:iam::123456789012:role/ingest".into(),
        external_id: None,
        session_name: "weir".into(),
        duration: Duration::from_secs(3_600),
        endpoint_url: Some("http://127.0.0.1:1".into()),
    });
    let sink = Kinesis::connect(&settings, &clock()).await.unwrap();

    let fault = put(&sink, &["a"]).await.unwrap_err();

    assert_eq!((fault.at, fault.code.as_str()), (At::Transport, "credentials-out-of-reach"));
    assert_eq!(fake.request_count(), 0);
}

#[tokio::test]
async fn credentials_in_files_are_read_again_when_they_are_refused_or_not_allowed() {
    let (fake, scratch) = (FakeUpstream::start().await, Scratch::new());
    let (id, key) = (scratch.path().join("id"), scratch.path().join("key"));
    let write = |id_text: &str| {
        std::fs::write(&id, format!("{id_text}\n")).unwrap();
        std::fs::write(&key, "secret\n").unwrap();
    };
    write("AKIA0");
    let read = |path: &std::path::Path| {
        let reference = format!("file:{}", path.display());
        crate::base::secret::resolve(&RealDisk, &|_| None, &reference).unwrap()
    };
    let mut settings = kinesis_settings(&fake.url());
    settings.aws.credentials = Some(StaticCredentials {
        access_key_id: read(&id),
        secret_access_key: read(&key),
        session_token: None,
    });
    let sink = Kinesis::connect(&settings, &clock()).await.unwrap();

    for (number, code) in
        ["UnrecognizedClientException", "AccessDeniedException"].into_iter().enumerate()
    {
        fake.next(1, Answer::refuse(400, code, "no"));
        put(&sink, &["a"]).await.unwrap_err();
        write(&format!("AKIA{}", number + 1));
        assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
        let scope = fake.requests().pop().unwrap().scope;
        assert!(scope.starts_with(&format!("AKIA{}/", number + 1)), "{code}: {scope}");
    }

    // A file that is gone says what it said last.
    fake.next(1, Answer::refuse(400, "AccessDeniedException", "no"));
    put(&sink, &["a"]).await.unwrap_err();
    std::fs::remove_file(&key).unwrap();
    assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
}

/// Counts how often it was asked.
#[derive(Debug)]
struct Counting(Arc<AtomicUsize>);

impl ProvideCredentials for Counting {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.0.fetch_add(1, Ordering::SeqCst);
        let credentials = Credentials::new("AKIAEXAMPLE", "example", None, None, "a test");
        future::ProvideCredentials::ready(Ok(credentials))
    }
}

#[tokio::test]
async fn credentials_are_kept_until_the_service_refuses_them() {
    let fake = FakeUpstream::start().await;
    let count = Arc::new(AtomicUsize::new(0));
    let given = SharedCredentialsProvider::new(Counting(Arc::clone(&count)));
    let settings = kinesis_settings(&fake.url());
    let sink = Kinesis::connect_with(&settings, &clock(), Some(given)).await.unwrap();
    let asked = || count.load(Ordering::SeqCst);

    for (status, code, fetches) in [
        (400, "AccessDeniedException", 1),
        (500, "InternalFailure", 1),
        (400, "ExpiredTokenException", 2),
        (403, "InvalidClientTokenId", 3),
        (400, "UnrecognizedClientException", 4),
        (400, "InvalidSignatureException", 5),
    ] {
        fake.next(1, Answer::refuse(status, code, "no"));
        assert!(put(&sink, &["a"]).await.is_err());
        for _ in 0..2 {
            assert_eq!(put(&sink, &["a"]).await, Ok(vec![Fate::Taken]));
        }
        assert_eq!(asked(), fetches, "{code}");
    }
}
