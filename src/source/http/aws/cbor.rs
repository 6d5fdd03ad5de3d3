//! A call in CBOR 1.1: definite and indefinite lengths, blobs as byte strings, which are not copied
//! unless they come in pieces.

use bytes::{Bytes, BytesMut};
use minicbor::Decoder;
use minicbor::data::Type;

use super::ask::{Ask, ENTRIES_MAX, Entry};
use super::call::Service;
use super::fault::CallFault;
use crate::base::cbor::Left;

/// How deep lists, maps and tags may stand in each other, in a member that is passed over; as deep as
/// the reader of JSON goes.
const DEPTH_MAX: usize = 128;

pub(super) fn read(service: Service, body: &Bytes) -> Result<Ask, CallFault> {
    let mut reading = Reading { service, body, decoder: Decoder::new(body) };
    let ask = reading.ask().map_err(|error| {
        CallFault::Malformed(format!("the body is not the CBOR that is wanted here: {error}"))
    })?;
    if reading.decoder.position() < body.len() {
        return Err(CallFault::Malformed("the body goes on behind its end".into()));
    }
    Ok(ask)
}

type Read<T> = Result<T, minicbor::decode::Error>;

struct Reading<'b> {
    service: Service,
    body: &'b Bytes,
    decoder: Decoder<'b>,
}

impl Reading<'_> {
    fn ask(&mut self) -> Read<Ask> {
        match self.service {
            Service::Kinesis => self.of_kinesis(),
            Service::Firehose => self.of_firehose(),
        }
    }

    fn of_kinesis(&mut self) -> Read<Ask> {
        let (mut ask, mut own) = (Ask::default(), Entry::default());
        self.map(|reading, name| {
            match name {
                "StreamName" => ask.stream_name = reading.text()?,
                "StreamARN" => ask.stream_arn = reading.text()?,
                "DryRun" => ask.is_dry_run = reading.flag()?,
                "Records" => ask.entries = reading.entries()?,
                "SequenceNumberForOrdering" => ask.ordering = reading.text()?,
                "Limit" | "MaxResults" => ask.limit = reading.number()?,
                "NextToken" => ask.next_token = reading.text()?,
                "ExclusiveStartShardId" | "ExclusiveStartStreamName" => {
                    ask.start_after = reading.text()?;
                }
                _ => reading.member(&mut own, name)?,
            }
            Ok(())
        })?;
        ask.entry = Some(own);
        Ok(ask)
    }

    fn of_firehose(&mut self) -> Read<Ask> {
        let mut ask = Ask::default();
        self.map(|reading, name| {
            match name {
                "DeliveryStreamName" => ask.delivery_stream = reading.text()?,
                "Records" => ask.entries = reading.entries()?,
                "Record" if reading.is_null()? => ask.entry = None,
                "Record" => ask.entry = Some(reading.entry()?),
                "Limit" => ask.limit = reading.number()?,
                "ExclusiveStartDeliveryStreamName" => ask.start_after = reading.text()?,
                _ => reading.skip(DEPTH_MAX)?,
            }
            Ok(())
        })?;
        Ok(ask)
    }

    fn entry(&mut self) -> Read<Entry> {
        let mut entry = Entry::default();
        self.map(|reading, name| reading.member(&mut entry, name))?;
        Ok(entry)
    }

    /// A member of a record; others are passed over.
    fn member(&mut self, entry: &mut Entry, name: &str) -> Read<()> {
        match (name, self.service) {
            ("Data", _) => entry.data = self.blob()?,
            ("PartitionKey", Service::Kinesis) => entry.key = self.text()?,
            ("ExplicitHashKey", Service::Kinesis) => entry.hash_key = self.text()?,
            _ => self.skip(DEPTH_MAX)?,
        }
        Ok(())
    }

    /// Passes over one value. The decoder's own way keeps a note of every list that is open, which
    /// is many times the bytes that open it.
    fn skip(&mut self, depth: usize) -> Read<()> {
        let deeper = || {
            let why = "lists and maps stand too deep in each other";
            depth.checked_sub(1).ok_or_else(|| minicbor::decode::Error::message(why))
        };
        match self.decoder.datatype()? {
            Type::Array | Type::ArrayIndef => {
                let (depth, mut left) = (deeper()?, Left::of(self.decoder.array()?));
                while left.has_next(&mut self.decoder)? {
                    self.skip(depth)?;
                }
                Ok(())
            }
            Type::Map | Type::MapIndef => {
                let (depth, mut left) = (deeper()?, Left::of(self.decoder.map()?));
                while left.has_next(&mut self.decoder)? {
                    self.skip(depth)?;
                    self.skip(depth)?;
                }
                Ok(())
            }
            Type::Tag => {
                let depth = deeper()?;
                self.decoder.tag()?;
                self.skip(depth)
            }
            Type::Break => Err(minicbor::decode::Error::message("an end where nothing is open")),
            _ => self.decoder.skip(),
        }
    }

    /// As many as a call may have and one more; the rest is only looked over.
    fn entries(&mut self) -> Read<Option<Vec<Entry>>> {
        if self.is_null()? {
            return Ok(None);
        }
        let mut entries = Vec::new();
        let mut left = Left::of(self.decoder.array()?);
        while left.has_next(&mut self.decoder)? {
            if entries.len() > ENTRIES_MAX {
                self.skip(DEPTH_MAX)?;
            } else {
                entries.push(self.entry()?);
            }
        }
        Ok(Some(entries))
    }

    fn map(&mut self, mut member: impl FnMut(&mut Self, &str) -> Read<()>) -> Read<()> {
        let mut left = Left::of(self.decoder.map()?);
        while left.has_next(&mut self.decoder)? {
            // Names come in one piece; one in several is none that is known.
            let name = if self.decoder.datatype()? == Type::StringIndef {
                self.decoder.skip()?;
                ""
            } else {
                self.decoder.str()?
            };
            member(self, name)?;
        }
        Ok(())
    }

    fn text(&mut self) -> Read<Option<String>> {
        if self.is_null()? {
            return Ok(None);
        }
        if self.decoder.datatype()? == Type::StringIndef {
            return self.decoder.str_iter()?.collect::<Read<String>>().map(Some);
        }
        self.decoder.str().map(|text| Some(text.to_owned()))
    }

    fn blob(&mut self) -> Read<Option<Bytes>> {
        if self.is_null()? {
            return Ok(None);
        }
        if self.decoder.datatype()? == Type::BytesIndef {
            let mut whole = BytesMut::new();
            for piece in self.decoder.bytes_iter()? {
                whole.extend_from_slice(piece?);
            }
            return Ok(Some(whole.freeze()));
        }
        let bytes = self.decoder.bytes()?;
        Ok(Some(self.body.slice_ref(bytes)))
    }

    fn flag(&mut self) -> Read<bool> {
        if self.is_null()? { Ok(false) } else { self.decoder.bool() }
    }

    fn number(&mut self) -> Read<Option<i64>> {
        if self.is_null()? { Ok(None) } else { self.decoder.i64().map(Some) }
    }

    /// Passes over a null.
    fn is_null(&mut self) -> Read<bool> {
        let is_null = matches!(self.decoder.datatype()?, Type::Null | Type::Undefined);
        if is_null {
            self.decoder.skip()?;
        }
        Ok(is_null)
    }
}

#[cfg(test)]
mod tests {
    use ciborium::{Value, cbor};
    use minicbor::Encoder;

    use super::*;

    fn bytes(value: &Value) -> Bytes {
        let mut out = Vec::new();
        ciborium::into_writer(value, &mut out).unwrap();
        out.into()
    }

    fn data(data: &[u8]) -> Value {
        Value::Bytes(data.to_vec())
    }

    /// As the SDK for Java writes it: all ends are open, and the blob comes in pieces.
    fn open_ends() -> Bytes {
        let mut out = Encoder::new(Vec::new());
        out.begin_map().unwrap().str("StreamName").unwrap();
        out.begin_str().unwrap().str("or").unwrap().str("ders").unwrap().end().unwrap();
        out.str("StreamCreationTimestamp").unwrap().tag(minicbor::data::Tag::new(1)).unwrap();
        out.u64(1_795_327_519_123).unwrap().str("Records").unwrap().begin_array().unwrap();
        out.begin_map().unwrap().str("Data").unwrap();
        out.begin_bytes().unwrap().bytes(b"a").unwrap().bytes(&[0xff]).unwrap().end().unwrap();
        out.str("PartitionKey").unwrap().str("k").unwrap().end().unwrap();
        out.begin_map().unwrap().str("Data").unwrap().bytes(b"b").unwrap();
        out.str("ExplicitHashKey").unwrap().str("7").unwrap();
        out.str("PartitionKey").unwrap().null().unwrap().end().unwrap();
        out.end().unwrap().end().unwrap();
        out.into_writer().into()
    }

    fn expected() -> Vec<Entry> {
        let entry = |data: &[u8], key: Option<&str>, hash: Option<&str>| Entry {
            data: Some(Bytes::copy_from_slice(data)),
            key: key.map(str::to_owned),
            hash_key: hash.map(str::to_owned),
        };
        vec![entry(b"a\xff", Some("k"), None), entry(b"b", None, Some("7"))]
    }

    fn read(body: &Bytes) -> Result<Ask, CallFault> {
        super::read(Service::Kinesis, body)
    }

    #[test]
    fn definite_and_indefinite_lengths_say_the_same() {
        let definite = cbor!({
            "StreamName" => "orders",
            "other" => [1, {"deep" => [null, 1.5]}],
            "Records" => [
                {"Data" => data(b"a\xff"), "PartitionKey" => "k"},
                {"Data" => data(b"b"), "ExplicitHashKey" => "7", "PartitionKey" => null},
            ],
        });
        for body in [bytes(&definite.unwrap()), open_ends()] {
            let ask = read(&body).unwrap();
            assert_eq!(ask.stream_name.as_deref(), Some("orders"));
            assert_eq!(ask.entries, Some(expected()));
        }
    }

    #[test]
    fn payloads_are_bytes_of_the_body() {
        let body = bytes(&cbor!({ "Data" => data(&[7; 1000]) }).unwrap());

        let payload = read(&body).unwrap().entry.unwrap().data.unwrap();

        assert!(body.as_ptr_range().contains(&payload.as_ptr()));
    }

    #[test]
    fn a_body_that_is_cut_anywhere_is_malformed() {
        let whole = open_ends();
        for end in 0..whole.len() {
            let read = read(&whole.slice(..end));
            assert!(matches!(read, Err(CallFault::Malformed(_))), "{end}: {read:?}");
        }
        let longer = Bytes::from([&whole[..], &[0]].concat());
        assert!(matches!(read(&longer), Err(CallFault::Malformed(_))));
    }

    #[test]
    fn what_is_not_as_the_protocol_says_is_malformed() {
        for value in [
            cbor!([1]),
            cbor!("text"),
            cbor!({ 1 => 2 }),
            cbor!({ "Records" => {} }),
            cbor!({ "Records" => [1] }),
            cbor!({ "Data" => "YQ==" }),
            cbor!({ "DryRun" => 1 }),
            cbor!({ "StreamName" => data(b"a") }),
        ] {
            let value = value.unwrap();
            assert!(matches!(read(&bytes(&value)), Err(CallFault::Malformed(_))), "{value:?}");
        }
        // Lengths that nothing can have, ends of nothing, and depth without end.
        for body in [
            b"\xbb\xff\xff\xff\xff\xff\xff\xff\xff".to_vec(),
            b"\xa1\x61x\xff".to_vec(),
            b"\xa1\x61x\x82\x01\xff".to_vec(),
            [&b"\xa1\x61x"[..], &[0x9f; 1 << 20]].concat(),
            [&b"\xa1\x61x\x82"[..], &[0x9f; 1 << 20]].concat(),
        ] {
            assert!(matches!(read(&body.into()), Err(CallFault::Malformed(_))));
        }
    }

    /// A member that nobody knows: so many values in each other, and their ends.
    fn nested(open: &[u8], depth: usize, close: &[u8]) -> Bytes {
        [b"\xa1\x61x", open.repeat(depth).as_slice(), b"\x01", &close.repeat(depth)].concat().into()
    }

    #[test]
    fn what_is_passed_over_is_128_deep_at_most() {
        for (open, close) in [
            (&b"\x9f"[..], &b"\xff"[..]),
            (b"\x81", b""),
            (b"\x82\x00", b""),
            (b"\xbf\x61k", b"\xff"),
            (b"\xa1\x61k", b""),
            (b"\xc1", b""),
        ] {
            for (depth, is_right) in [(0, true), (127, true), (128, true), (129, false)] {
                let read = read(&nested(open, depth, close));
                assert_eq!(read.is_ok(), is_right, "{depth} of {open:?}: {read:?}");
            }
            let Err(CallFault::Malformed(why)) = read(&nested(open, 1 << 20, close)) else {
                panic!("{open:?}")
            };
            assert!(why.contains("too deep"), "{why}");
        }
    }

    #[test]
    fn members_are_those_of_the_service() {
        let of_kinesis = cbor!({ "Data" => data(b"a"), "PartitionKey" => "k", "Record" => 7 });
        let of_firehose = cbor!({
            "DeliveryStreamName" => "d", "Data" => 7, "DryRun" => 7,
            "Record" => { "Data" => data(b"a"), "PartitionKey" => 7 },
        });
        let entry = |key: Option<&str>| Entry {
            data: Some(Bytes::from_static(b"a")),
            key: key.map(str::to_owned),
            hash_key: None,
        };
        let (of_kinesis, of_firehose) = (bytes(&of_kinesis.unwrap()), bytes(&of_firehose.unwrap()));
        assert_eq!(read(&of_kinesis).unwrap().entry, Some(entry(Some("k"))));
        let asked = super::read(Service::Firehose, &of_firehose).unwrap();
        assert_eq!(asked.entry, Some(entry(None)));
        assert!(super::read(Service::Firehose, &of_kinesis).is_err(), "`Record` is a record");
        let bare = bytes(&cbor!({ "Data" => data(b"a") }).unwrap());
        assert_eq!(super::read(Service::Firehose, &bare).unwrap().entry, None);
    }

    #[test]
    fn of_too_many_records_one_more_than_allowed_is_kept() {
        for (count, kept) in [(499, 499), (500, 500), (501, 501), (10_000, 501)] {
            let records = Value::Array(vec![Value::Map(Vec::new()); count]);
            let body = bytes(&cbor!({ "Records" => records }).unwrap());
            assert_eq!(read(&body).unwrap().entries.unwrap().len(), kept);
        }
    }
}
