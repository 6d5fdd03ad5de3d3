//! Links that are slow, and links that stop.

use std::time::Duration;

use bytes::Bytes;

use super::aws::{aws, kinesis_settings};
use crate::base::clock::Clock;
use crate::sink::fake_upstream::{Answer, FakeUpstream};
use crate::sink::slow_link::SlowLink;
use crate::sink::{
    At, AwsSettings, Entry, Fate, Kinesis, KinesisSettings, Outcome, ServiceClock, Sink,
};

const MIB: usize = 1 << 20;
/// What one such record is on the wire.
const WIRE_BYTES: u64 = 4 * 1024 * 1024 / 3;

/// Gives nothing up that moves, and what does not move soon.
async fn over(link: &SlowLink) -> Kinesis {
    let aws = AwsSettings { request_timeout: Duration::from_millis(1_500), ..aws(&link.url()) };
    let settings = KinesisSettings { aws, ..kinesis_settings("") };
    Kinesis::connect(&settings, &ServiceClock::new(Clock::real(), None)).await.unwrap()
}

async fn put_a_mib(sink: &Kinesis) -> Outcome {
    let entry = Entry::plain("key".into(), Bytes::from(vec![b'x'; MIB]));
    sink.put(vec![entry]).await
}

#[tokio::test]
async fn a_request_that_takes_long_arrives_as_long_as_it_moves() {
    let fake = FakeUpstream::start().await;
    // 85 turns, and more than two seconds.
    let link = SlowLink::start(fake.address(), Duration::from_millis(30)).await;
    let sink = over(&link).await;

    assert_eq!(put_a_mib(&sink).await, Ok(vec![Fate::Taken]));

    assert_eq!((fake.request_count(), fake.taken_count()), (1, 1));
    let rate = sink.upload_rate().unwrap();
    // 16 KiB in each turn of 30 ms, or longer, on a machine that has other things to do.
    assert!((1..2 * MIB as u64).contains(&rate), "{rate} bytes/s");
    assert_eq!(sink.upload_rate(), None, "told once");
}

#[tokio::test]
async fn a_request_that_is_stuck_half_way_is_given_up_and_tells_how_far_it_came() {
    let fake = FakeUpstream::start().await;
    let link = SlowLink::start(fake.address(), Duration::from_millis(1)).await;
    link.carry_at_a_stretch(256 << 10);
    let sink = over(&link).await;

    let fault = put_a_mib(&sink).await.unwrap_err();

    let At::Upload(sent) = fault.at else { panic!("{fault:?}") };
    assert!(sent >= link.carried() && sent < WIRE_BYTES, "{sent} bytes");
    assert_eq!(fault.code, "upload-cut-off");
    assert!(fault.message.contains("bytes of the request were sent"), "{}", fault.message);
    assert!(fault.message.contains("nothing moved for 1.5s"), "{}", fault.message);
    assert_eq!(fake.request_count(), 0);
}

#[tokio::test]
async fn a_request_that_was_sent_and_is_not_answered_is_no_matter_of_the_link() {
    let fake = FakeUpstream::start().await;
    fake.next(1, Answer::Stall);
    let link = SlowLink::start(fake.address(), Duration::from_millis(1)).await;
    let sink = over(&link).await;

    let fault = put_a_mib(&sink).await.unwrap_err();

    assert_eq!((fault.at, fault.code.as_str()), (At::Timeout, "timeout"));
    assert_eq!(put_a_mib(&sink).await, Ok(vec![Fate::Taken]));
}
