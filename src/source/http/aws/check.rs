//! Checks what a call asks for as the service does: its clients do not.

use super::ask::{Ask, ENTRIES_MAX, Entry};
use super::call::{Call, Operation, Service};
use super::fault::CallFault;
use super::names::{is_delivery_stream_name, is_stream_name, name_in_arn};
use crate::record::{PARTITION_KEY_CHARS_MAX, RawRecord, parse_hash_key};

/// Most bytes of data and keys of one call of Kinesis, before base64, and of one record.
const KINESIS_BYTES_MAX: usize = 10 << 20;
/// Most bytes of one record of Firehose, before base64.
const FIREHOSE_RECORD_BYTES_MAX: usize = 1_024_000;
/// Most bytes of all records of one call of Firehose.
const FIREHOSE_BYTES_MAX: usize = 4 << 20;
/// Most digits of a sequence number.
const SEQUENCE_DIGITS_MAX: usize = 129;
/// Most faults that are told at once.
const FAULTS_MAX: usize = 10;

/// Records that may be handed in.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Put {
    pub(super) stream: String,
    pub(super) is_dry_run: bool,
    pub(super) records: Vec<RawRecord>,
}

/// The stream that a call names.
pub(super) fn stream(ask: &Ask, service: Service) -> Result<String, CallFault> {
    let mut faults = Faults::default();
    let name = match service {
        Service::Firehose => ask.delivery_stream.as_deref().filter(|name| {
            faults.unless(is_delivery_stream_name(name), || {
                let name = clip(name);
                format!("Value '{name}' at 'deliveryStreamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+ and have 1 to 64 characters")
            })
        }),
        Service::Kinesis => {
            let by_name = ask.stream_name.as_deref();
            by_name.inspect(|name| {
                faults.unless(is_stream_name(name), || {
                    let name = clip(name);
                    format!("Value '{name}' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+ and have 1 to 128 characters")
                });
            });
            let by_arn = ask.stream_arn.as_deref().and_then(|arn| {
                let name = name_in_arn(arn);
                faults.unless(name.is_some(), || {
                    let arn = clip(arn);
                    format!("Value '{arn}' at 'streamARN' failed to satisfy constraint: Member must satisfy regular expression pattern: arn:aws.*:kinesis:.*:\\d{{12}}:stream/\\S+")
                });
                name
            });
            if let (Some(by_name), Some(by_arn)) = (by_name, by_arn)
                && by_name != by_arn
            {
                let why = "StreamARN and StreamName refer to different streams.";
                return Err(CallFault::BadArgument(why.to_owned()));
            }
            by_name.or(by_arn)
        }
    };
    faults.none()?;
    name.map(str::to_owned).ok_or_else(|| match service {
        Service::Kinesis => {
            CallFault::BadArgument("Either StreamName or StreamARN must be given.".into())
        }
        Service::Firehose => CallFault::Invalid(one_fault(
            "Value null at 'deliveryStreamName' failed to satisfy constraint: Member must not be null",
        )),
    })
}

impl Put {
    /// Checks a call that hands in records.
    ///
    /// # Errors
    /// [`CallFault::Invalid`], [`CallFault::BadArgument`].
    pub(super) fn of(mut ask: Ask, call: Call) -> Result<Self, CallFault> {
        let stream = stream(&ask, call.service)?;
        let mut faults = Faults::default();
        let is_one = call.operation == Operation::PutRecord;
        check_ordering(&ask, &mut faults);
        let entries = ask.take_entries(is_one);
        if entries.is_none() {
            let name = if is_one { "record" } else { "records" };
            faults.add(format!(
                "Value null at '{name}' failed to satisfy constraint: Member must not be null"
            ));
        }
        let entries = entries.unwrap_or_default();
        if !is_one && !(1..=ENTRIES_MAX).contains(&entries.len()) {
            let (bound, limit) =
                if entries.is_empty() { ("greater", 1) } else { ("less", ENTRIES_MAX) };
            faults.add(format!("Value at 'records' failed to satisfy constraint: Member must have length {bound} than or equal to {limit}"));
        }
        faults.none()?;
        let bytes = entries.iter().map(Entry::bytes).sum::<usize>();
        for (index, entry) in entries.iter().enumerate() {
            let at = if is_one { String::new() } else { format!("records.{}.member.", index + 1) };
            entry.check(&at, call.service, &mut faults);
        }
        faults.none()?;
        check_total(bytes, call.service)?;
        let is_kinesis = call.service == Service::Kinesis;
        let record = |entry| Entry::record(entry, is_kinesis);
        let records = entries.into_iter().map(record).collect::<Result<_, _>>()?;
        Ok(Self { stream, is_dry_run: ask.is_dry_run && is_kinesis, records })
    }
}

fn check_total(bytes: usize, service: Service) -> Result<(), CallFault> {
    let limit = match service {
        Service::Kinesis => KINESIS_BYTES_MAX,
        Service::Firehose => FIREHOSE_BYTES_MAX,
    };
    if bytes <= limit {
        return Ok(());
    }
    Err(CallFault::BadArgument(match service {
        Service::Kinesis => format!(
            "Records size exceeds {} MB limit: data and partition keys have {bytes} bytes. Nothing was stored.",
            limit >> 20
        ),
        Service::Firehose => format!(
            "Records size exceeds {} MB limit: the records have {bytes} bytes. Nothing was stored.",
            limit >> 20
        ),
    }))
}

fn check_ordering(ask: &Ask, faults: &mut Faults) {
    let Some(number) = ask.ordering.as_deref() else { return };
    let is_number = number == "0"
        || (1..=SEQUENCE_DIGITS_MAX).contains(&number.len())
            && !number.starts_with('0')
            && number.bytes().all(|byte| byte.is_ascii_digit());
    faults.unless(is_number, || {
        let number = clip(number);
        format!("Value '{number}' at 'sequenceNumberForOrdering' failed to satisfy constraint: Member must satisfy regular expression pattern: 0|([1-9]\\d{{0,128}})")
    });
}

impl Entry {
    fn bytes(&self) -> usize {
        self.data.as_ref().map_or(0, bytes::Bytes::len) + self.key.as_ref().map_or(0, String::len)
    }

    fn check(&self, at: &str, service: Service, faults: &mut Faults) {
        let bytes_max = match service {
            Service::Kinesis => KINESIS_BYTES_MAX,
            Service::Firehose => FIREHOSE_RECORD_BYTES_MAX,
        };
        match &self.data {
            None => faults.add(format!(
                "Value null at '{at}data' failed to satisfy constraint: Member must not be null"
            )),
            Some(data) => {
                faults.unless(data.len() <= bytes_max, || {
                    format!("Value at '{at}data' failed to satisfy constraint: Member must have length less than or equal to {bytes_max}")
                });
            }
        }
        if service == Service::Firehose {
            return;
        }
        let Some(key) = self.key.as_deref() else {
            return faults.add(format!(
                "Value null at '{at}partitionKey' failed to satisfy constraint: Member must not be null"
            ));
        };
        // Bytes are counted first: characters only where it matters.
        let is_right = !key.is_empty()
            && (key.len() <= PARTITION_KEY_CHARS_MAX
                || key.chars().nth(PARTITION_KEY_CHARS_MAX).is_none());
        faults.unless(is_right, || {
            let (bound, limit) =
                if key.is_empty() { ("greater", 1) } else { ("less", PARTITION_KEY_CHARS_MAX) };
            let key = clip(key);
            format!("Value '{key}' at '{at}partitionKey' failed to satisfy constraint: Member must have length {bound} than or equal to {limit}")
        });
    }

    fn record(self, is_kinesis: bool) -> Result<RawRecord, CallFault> {
        let hash_key = self.hash_key.filter(|_| is_kinesis);
        let hash_key = hash_key.map(|text| parse_hash_key(&text).map_err(|_| {
            let text = clip(&text);
            CallFault::BadArgument(format!("Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {text}"))
        }));
        Ok(RawRecord {
            payload: self.data.unwrap_or_default(),
            partition_key: self.key.filter(|_| is_kinesis),
            hash_key: hash_key.transpose()?,
            ..RawRecord::default()
        })
    }
}

/// What is wrong, in the order of the call.
#[derive(Default)]
struct Faults {
    words: Vec<String>,
}

impl Faults {
    fn add(&mut self, words: String) {
        if self.words.len() < FAULTS_MAX {
            self.words.push(words);
        }
    }

    fn unless(&mut self, is_right: bool, words: impl FnOnce() -> String) -> bool {
        if !is_right {
            self.add(words());
        }
        is_right
    }

    fn none(&self) -> Result<(), CallFault> {
        match self.words.len() {
            0 => Ok(()),
            1 => Err(CallFault::Invalid(one_fault(self.words.first().map_or("", |one| one)))),
            count => Err(CallFault::Invalid(format!(
                "{count} validation errors detected: {}",
                self.words.join("; ")
            ))),
        }
    }
}

fn one_fault(words: &str) -> String {
    format!("1 validation error detected: {words}")
}

/// Enough of a value to know it by.
fn clip(value: &str) -> &str {
    value.char_indices().nth(64).map_or(value, |(end, _)| value.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::source::http::aws::call::Form;

    fn call(service: Service, operation: Operation) -> Call {
        Call { service, operation, form: Form::Json }
    }

    fn entry(bytes: usize, key: &str) -> Entry {
        let key = Some(key.to_owned());
        Entry { data: Some(Bytes::from(vec![b'x'; bytes])), key, hash_key: None }
    }

    fn many(service: Service, entries: Vec<Entry>) -> Result<Put, CallFault> {
        let name = Some("orders".to_owned());
        let (stream_name, delivery_stream) = (name.clone(), name);
        let ask = Ask { stream_name, delivery_stream, entries: Some(entries), ..Ask::default() };
        Put::of(ask, call(service, Operation::PutMany))
    }

    #[track_caller]
    fn check_invalid(put: Result<Put, CallFault>, says: &str) {
        let Err(CallFault::Invalid(why)) = put else { panic!("{put:?}") };
        assert!(why.contains(says), "{why}");
    }

    #[track_caller]
    fn check_bad_argument(put: Result<Put, CallFault>, says: &str) {
        let Err(CallFault::BadArgument(why)) = put else { panic!("{put:?}") };
        assert!(why.contains(says), "{why}");
    }

    #[test]
    fn a_call_has_1_to_500_records() {
        for service in [Service::Kinesis, Service::Firehose] {
            check_invalid(many(service, Vec::new()), "length greater than or equal to 1");
            for count in [1, 499, 500] {
                let put = many(service, vec![entry(1, "k"); count]).unwrap();
                assert_eq!(put.records.len(), count);
            }
            check_invalid(many(service, vec![entry(1, "k"); 501]), "less than or equal to 500");
        }
    }

    #[test]
    fn a_call_of_kinesis_has_10_mib_at_most_with_its_keys() {
        let most = 10 << 20;
        let halves = |more: usize| vec![entry(most / 2 - 1, "k"), entry(most / 2 - 1 + more, "k")];
        assert!(many(Service::Kinesis, halves(0)).is_ok());
        check_bad_argument(many(Service::Kinesis, halves(1)), "exceeds 10 MB limit");
        check_invalid(
            many(Service::Kinesis, vec![entry(most + 1, "k")]),
            "'records.1.member.data'",
        );
    }

    #[test]
    fn a_call_of_firehose_has_4_mib_at_most_and_each_record_1000_kib() {
        let firehose = |sizes: &[usize]| {
            many(Service::Firehose, sizes.iter().map(|size| entry(*size, "")).collect())
        };
        assert!(firehose(&[1_024_000]).is_ok());
        check_invalid(firehose(&[1, 1_024_001]), "'records.2.member.data'");
        let rest = (4 << 20) - 4 * 1_000_000;
        assert!(firehose(&[1_000_000, 1_000_000, 1_000_000, 1_000_000, rest]).is_ok());
        check_bad_argument(
            firehose(&[1_000_000, 1_000_000, 1_000_000, 1_000_000, rest + 1]),
            "exceeds 4 MB limit",
        );
    }

    #[test]
    fn keys_have_1_to_256_characters_and_are_not_missing() {
        for (key, is_right) in [
            (String::new(), false),
            ("k".repeat(255), true),
            ("é".repeat(256), true),
            ("é".repeat(257), false),
        ] {
            let put = many(Service::Kinesis, vec![entry(0, &key)]);
            assert_eq!(put.is_ok(), is_right, "{put:?}");
        }
        let keyless = Entry { key: None, ..entry(0, "") };
        check_invalid(
            many(Service::Kinesis, vec![entry(0, "k"), keyless.clone()]),
            "Value null at 'records.2.member.partitionKey'",
        );
        assert!(many(Service::Firehose, vec![keyless]).is_ok());
    }

    #[test]
    fn hash_keys_are_numbers_of_128_bits() {
        let with = |hash: &str| {
            let entry = Entry { hash_key: Some(hash.to_owned()), ..entry(1, "k") };
            many(Service::Kinesis, vec![entry])
        };
        let most = u128::MAX.to_string();
        assert_eq!(with(&most).unwrap().records[0].hash_key, Some(u128::MAX));
        for wrong in ["", "-1", "01", "340282366920938463463374607431768211456", "x"] {
            check_bad_argument(with(wrong), "Invalid ExplicitHashKey");
        }
    }

    #[test]
    fn a_stream_is_named_by_name_or_arn() {
        let arn =
            |name: &str| Some(format!("arn:aws:kinesis:eu-west-1:123456789012:stream/{name}"));
        let name = |name: &str| Some(name.to_owned());
        let of = |stream_name: Option<String>, stream_arn: Option<String>| {
            stream(&Ask { stream_name, stream_arn, ..Ask::default() }, Service::Kinesis)
        };
        assert_eq!(of(name("a"), None).as_deref(), Ok("a"));
        assert_eq!(of(None, arn("a")).as_deref(), Ok("a"));
        assert_eq!(of(name("a"), arn("a")).as_deref(), Ok("a"));
        assert!(matches!(of(name("a"), arn("b")), Err(CallFault::BadArgument(_))));
        assert!(matches!(of(None, None), Err(CallFault::BadArgument(_))));
        assert!(matches!(of(name("a b"), None), Err(CallFault::Invalid(_))));
        assert!(matches!(of(None, name("arn")), Err(CallFault::Invalid(_))));
        assert!(matches!(stream(&Ask::default(), Service::Firehose), Err(CallFault::Invalid(_))));
    }

    #[test]
    fn all_faults_are_told_at_once() {
        let put = many(Service::Kinesis, vec![Entry::default(), entry(0, "")]);
        check_invalid(put, "3 validation errors detected: ");
    }
}
