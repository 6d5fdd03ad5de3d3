//! A segment's header and its name: one file of frames (docs/DISK_FORMAT.md).

use super::cut::Cut;
use super::frame::{Form, POSITION_MAX};
use super::seal::{KeyId, Keyed, SEED_BYTES};

/// The first frame stands here; the header itself is shorter, the rest is zero.
pub(super) const HEADER_BYTES: u64 = 4096;
/// So much of the header is written and checked.
pub(super) const USED_BYTES: usize = 64;
const CHECKED_BYTES: usize = USED_BYTES - 4;
/// The same stands here once more: without it, one bad sector would cost all of a sealed segment.
pub(super) const COPY_AT: u64 = HEADER_BYTES - USED_BYTES as u64;

/// Bodies may be packed by zstd.
const PACKED: u32 = 1;
/// Bodies are sealed with AES-256-GCM.
const SEALED: u32 = 2;

pub(super) const MAGIC: [u8; 8] = *b"weirseg\0";
/// The version this weir writes, and the only one it reads.
const VERSION: u16 = 1;

/// What a segment says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    /// Position of the first payload that may stand in it.
    pub(super) first: u64,
    /// Random; stands in each of its frames.
    pub(super) salt: u64,
    pub(super) unix_ms: u64,
    /// Whether bodies may be packed.
    pub(super) is_packed: bool,
    /// What bodies are sealed with, if they are.
    pub(super) keyed: Option<Keyed>,
}

/// What the first bytes of a file turned out to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    Good(Header),
    /// Ours, but its checksum does not fit, or it is cut off, or zero.
    Damaged,
    /// Of another program or of a weir that knows more; in words.
    Foreign(String),
}

impl Header {
    pub(super) fn encode(&self) -> [u8; USED_BYTES] {
        let mut bytes = Vec::with_capacity(USED_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&0_u16.to_le_bytes());
        let packed = if self.is_packed { PACKED } else { 0 };
        let sealed = if self.keyed.is_some() { SEALED } else { 0 };
        bytes.extend_from_slice(&(packed | sealed).to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&self.unix_ms.to_le_bytes());
        if let Some(Keyed { key, seed }) = &self.keyed {
            bytes.extend_from_slice(&key.0.to_le_bytes());
            bytes.extend_from_slice(seed);
        }
        bytes.resize(CHECKED_BYTES, 0);
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.try_into().expect("the fields above are 64 bytes long")
    }

    /// The first bytes of a segment, up to its first frame.
    pub(super) fn block(&self) -> Vec<u8> {
        let (encoded, mut block) = (self.encode(), vec![0; USED_BYTES]);
        block.copy_from_slice(&encoded);
        block.resize(super::frame::in_memory(COPY_AT), 0);
        block.extend_from_slice(&encoded);
        block
    }

    /// What becomes of the bodies in it.
    pub(super) fn form(&self) -> Form {
        Form { is_packed: self.is_packed, is_sealed: self.keyed.is_some() }
    }

    /// Judges the first bytes of a file.
    pub(super) fn read(bytes: &[u8]) -> Read {
        if bytes.starts_with(&MAGIC) {
            return Self::checked(bytes).unwrap_or(Read::Damaged);
        }
        let start = bytes.get(..USED_BYTES).unwrap_or(bytes);
        // One turned bit in the magic is damage; another magic is another program.
        let differs = start.iter().zip(MAGIC).filter(|(there, ours)| *there != ours).count();
        if differs <= 1 || start.iter().all(|byte| *byte == 0) {
            return Read::Damaged;
        }
        Read::Foreign("it does not begin like a segment; move it out of the folder".into())
    }

    fn checked(bytes: &[u8]) -> Option<Read> {
        let (checked, rest) = bytes.split_at_checked(CHECKED_BYTES)?;
        if Cut(rest).u32()? != crc32c::crc32c(checked) {
            return None;
        }
        let mut cut = Cut(checked);
        cut.bytes(MAGIC.len())?;
        let version = cut.u16()?;
        let _reserved = cut.u16()?;
        let flags = cut.u32()?;
        if version != VERSION {
            let why = format!("its format is version {version}, this weir reads {VERSION}");
            return Some(Read::Foreign(why));
        }
        let unknown = flags & !(PACKED | SEALED);
        if unknown != 0 {
            let why = format!("it uses features {unknown:#x}, which this weir does not know");
            return Some(Read::Foreign(why));
        }
        let (first, salt, unix_ms) = (cut.u64()?, cut.u64()?, cut.u64()?);
        let keyed = if flags & SEALED == 0 {
            None
        } else {
            let key = KeyId(cut.u64()?);
            Some(Keyed { key, seed: cut.bytes(SEED_BYTES)?.try_into().ok()? })
        };
        let is_packed = flags & PACKED != 0;
        Some(Read::Good(Self { first, salt, unix_ms, is_packed, keyed }))
    }
}

/// The name of the segment that begins with a position.
pub(super) fn name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// The position a segment's name says; `None` for other names.
pub(super) fn parse_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 20)?;
    let first = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    (1..POSITION_MAX).contains(&first).then_some(first)
}

/// The name of a file that is no segment yet; what it holds is never read.
pub(super) fn spare_name(number: u64) -> String {
    format!("spare-{number}.seg")
}

/// Whether a name is one of [`spare_name`]'s.
pub(super) fn is_spare(name: &str) -> bool {
    spare_number(name).is_some()
}

/// The number in a name of [`spare_name`]'s.
pub(super) fn spare_number(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("spare-").and_then(|rest| rest.strip_suffix(".seg"))?;
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}
