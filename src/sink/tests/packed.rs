//! Many lines in one Firehose record.

use bytes::Bytes;

use super::aws::{aws, clock, firehose_settings, put};
use crate::sink::fake_upstream::{Answer, FakeUpstream};
use crate::sink::{Entry, Fate, Firehose, FirehoseSettings, Sink};

async fn packing_firehose(url: &str, deaggregation: bool) -> Firehose {
    let settings = FirehoseSettings { pack: true, deaggregation, ..firehose_settings(url) };
    Firehose::connect(&settings, &clock()).await.unwrap()
}

#[tokio::test]
async fn packed_lines_travel_in_few_firehose_records_and_share_their_fate() {
    let fake = FakeUpstream::start().await;
    let settings = FirehoseSettings { pack: true, pack_bytes: 16 << 10, ..firehose_settings("") };
    let settings = FirehoseSettings { aws: aws(&fake.url()), ..settings };
    let sink = Firehose::connect(&settings, &clock()).await.unwrap();
    let line = |letter: &str, bytes| letter.repeat(bytes);
    let lines = [line("a", 8_000), line("b", 8_000), line("c", 20_000), "d\n\nd".into()];
    fake.script(|request| Answer::fail_entries(request, "InternalFailure", |at, _| at == 0));

    let fates = put(&sink, &lines.each_ref().map(String::as_str)).await.unwrap();

    let failed = |fate: &Fate| matches!(fate, Fate::Failed(_));
    assert_eq!(fates.iter().map(failed).collect::<Vec<_>>(), [true, true, false, false]);
    let sizes: Vec<_> = fake.requests()[0].records.iter().map(|record| record.data.len()).collect();
    assert_eq!(sizes, [16_002, 20_001, 5]);
    assert_eq!(fake.taken()[1].data, b"d\n\nd\n");
}

#[tokio::test]
async fn without_newlines_nothing_is_packed() {
    let fake = FakeUpstream::start().await;
    let unframed =
        FirehoseSettings { newline: false, pack: true, ..firehose_settings(&fake.url()) };
    let sink = Firehose::connect(&unframed, &clock()).await.unwrap();

    assert_eq!(put(&sink, &["a", "b"]).await, Ok(vec![Fate::Taken; 2]));

    assert_eq!(fake.taken_count(), 2);
    assert_eq!(sink.limits().entries, 500);
}

#[tokio::test]
async fn a_full_request_of_packed_lines_of_any_size_stays_within_the_services_limits() {
    let fake = FakeUpstream::start().await;
    for (deaggregation, pack_bytes) in [(false, 16 << 10), (false, 1_024_000), (true, 16 << 10)] {
        for bytes in [0, 1, 60, 8_192, 8_191, 16_384, 1_023_999] {
            let base = firehose_settings(&fake.url());
            let settings = FirehoseSettings { pack: true, pack_bytes, deaggregation, ..base };
            let sink = Firehose::connect(&settings, &clock()).await.unwrap();
            let line = sink.entry(String::new(), vec![b'x'; bytes].into());
            let limits = sink.limits();
            let count = limits.entries.min(limits.request_bytes / sink.weigh(&line));

            let outcome = sink.put(vec![line; count]).await;

            assert_eq!(outcome, Ok(vec![Fate::Taken; count]), "{bytes} {pack_bytes}");
            let request = fake.requests().pop().unwrap();
            assert!(request.body_bytes <= 4 << 20, "{}", request.body_bytes);
            // A full request has little room left, unless the count of lines ended it.
            assert!(count == limits.entries || request.body_bytes > 2_700_000, "{bytes}");
        }
    }
}

#[tokio::test]
async fn a_record_that_firehose_takes_apart_has_at_most_500_lines() {
    let fake = FakeUpstream::start().await;
    let sink = packing_firehose(&fake.url(), true).await;
    let lines = vec![sink.entry(String::new(), Bytes::from_static(b"x")); 501];

    assert_eq!(sink.put(lines).await, Ok(vec![Fate::Taken; 501]));

    let sizes: Vec<_> = fake.taken().iter().map(|taken| taken.data.len()).collect();
    assert_eq!(sizes, [1_000, 2]);
}

#[tokio::test]
async fn a_packed_line_over_the_limit_weighs_more_than_the_limit() {
    let sink = packing_firehose("http://127.0.0.1:1", false).await;
    let most = sink.limits().entry_bytes;
    for (bytes, fits) in [(1_023_999, true), (1_024_000, true), (1_024_001, false)] {
        let entry = Entry::plain(String::new(), vec![b'x'; bytes].into());
        assert_eq!(sink.weigh(&entry) <= most, fits, "{bytes}");
    }
}
