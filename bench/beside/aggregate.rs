//! The format of the KPL, read independently of weir: a magic, protobuf messages, MD5.
//! <https://github.com/awslabs/amazon-kinesis-producer/blob/master/aggregation-format.md>

const MAGIC: [u8; 4] = [0xf3, 0x89, 0x9a, 0xc2];
const MD5_BYTES: usize = 16;

/// The records of an aggregate; `None` if this is a record of its own.
pub(crate) fn members(data: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let message = data.strip_prefix(&MAGIC)?;
    let message = &message[..message.len().checked_sub(MD5_BYTES)?];
    // Field 3 of the aggregate is a record, field 3 of a record is its data.
    Some(fields(message, 3).filter_map(|record| fields(record, 3).next()))
}

/// The texts of one field of a message.
fn fields(mut message: &[u8], wanted: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        while !message.is_empty() {
            let tag = varint(&mut message)?;
            let value = varint(&mut message)?;
            // Numbers are what this format has beside texts.
            if tag & 7 == 0 {
                continue;
            }
            let (text, rest) = message.split_at_checked(usize::try_from(value).ok()?)?;
            message = rest;
            if tag >> 3 == wanted {
                return Some(text);
            }
        }
        None
    })
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut number = 0;
    for place in 0..10 {
        let (&byte, rest) = message.split_first()?;
        *message = rest;
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The number of a record: behind `"id":"` in what came over HTTP, the last word of a line of a log.
pub(crate) fn number_in(record: &[u8]) -> Option<u64> {
    const BEFORE: &[u8] = b"{\"id\":\"";
    let digits = match record.strip_prefix(BEFORE) {
        Some(rest) => rest.get(..10)?,
        None => {
            let line = record.trim_ascii_end();
            // A system that sends the line as text of JSON ends it with a quote.
            let line = line.strip_suffix(b"\"").unwrap_or(line);
            line.get(line.len().checked_sub(8)?..)?
        }
    };
    std::str::from_utf8(digits).ok()?.parse().ok()
}
