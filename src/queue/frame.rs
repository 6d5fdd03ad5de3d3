//! The bytes of a frame: one group commit, all of it or nothing (docs/DISK_FORMAT.md).

use bytes::Bytes;

use super::cut::Cut;
use super::group::Mark;
use super::once::Kept;
use super::pack;
use super::seal::{Cipher, SEAL_BYTES};

/// Length of a frame's header.
pub(super) const HEADER_BYTES: usize = 56;
/// The header's own checksum stands behind this many bytes.
const CHECKED_BYTES: usize = HEADER_BYTES - 4;
/// Frames begin at multiples of this, counted from the start of the file.
pub(super) const ALIGN: u64 = 8;
/// What claims a position from here on was never written.
pub(super) const POSITION_MAX: u64 = u64::MAX / 8;
/// No frame has a longer body; a header that says so is damaged. Bounds what reading allocates.
pub(super) const BODY_BYTES_MAX: u32 = 64 << 20;

pub(super) const MAGIC: [u8; 4] = *b"wfrm";
/// The marks of this frame are the whole table, not changes to it.
pub(super) const SNAPSHOT: u16 = 1;
/// Nothing stands behind this frame: its segment was sealed.
pub(super) const FOOTER: u16 = 2;
/// The segment got its name with this frame: none that was written later is among them.
pub(super) const NAMING: u16 = 4;
/// Every flag this version understands.
const KNOWN_FLAGS: u16 = SNAPSHOT | FOOTER | NAMING;

/// The body as it is, or packed by zstd.
const PLAIN: u8 = 0;
const ZSTD: u8 = 1;
/// The body, packed or not, is sealed with AES-256-GCM.
const AES_256_GCM: u8 = 1;

/// What a frame says of itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) flags: u16,
    pub(super) codec: u8,
    pub(super) cipher: u8,
    /// The segment's; a frame of another life of a recycled file has another.
    pub(super) salt: u64,
    /// Position of its first payload; of the next one to come if it has none.
    pub(super) first: u64,
    pub(super) count: u32,
    /// Length of the body as it lies on disk.
    pub(super) body_bytes: u32,
    /// Length of the body before it was packed and sealed.
    pub(super) plain_bytes: u32,
    pub(super) body_crc: u32,
    pub(super) unix_ms: u64,
    pub(super) mark_count: u32,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = Vec::with_capacity(HEADER_BYTES);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&self.flags.to_le_bytes());
        bytes.extend_from_slice(&[self.codec, self.cipher]);
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&self.first.to_le_bytes());
        bytes.extend_from_slice(&self.count.to_le_bytes());
        bytes.extend_from_slice(&self.body_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.plain_bytes.to_le_bytes());
        bytes.extend_from_slice(&self.body_crc.to_le_bytes());
        bytes.extend_from_slice(&self.unix_ms.to_le_bytes());
        bytes.extend_from_slice(&self.mark_count.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        bytes.try_into().expect("the fields above are 56 bytes long")
    }

    /// `None` if these bytes are no header, or a damaged one.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (checked, mut rest) =
            bytes.split_at_checked(CHECKED_BYTES).map(|(a, b)| (a, Cut(b)))?;
        let mut cut = Cut(checked);
        if cut.bytes(4)? != MAGIC || rest.u32()? != crc32c::crc32c(checked) {
            return None;
        }
        let flags = cut.u16()?;
        let header = Self {
            flags,
            codec: cut.u8()?,
            cipher: cut.u8()?,
            salt: cut.u64()?,
            first: cut.u64()?,
            count: cut.u32()?,
            body_bytes: cut.u32()?,
            plain_bytes: cut.u32()?,
            body_crc: cut.u32()?,
            unix_ms: cut.u64()?,
            mark_count: cut.u32()?,
        };
        let longest = header.body_bytes.max(header.plain_bytes);
        let sane = longest <= BODY_BYTES_MAX && header.first < POSITION_MAX;
        sane.then_some(header)
    }

    /// Position of the first payload behind this frame.
    pub(super) fn end(&self) -> u64 {
        self.first + u64::from(self.count)
    }

    /// Bytes from this header to the next.
    pub(super) fn total_bytes(&self) -> u64 {
        (HEADER_BYTES as u64 + u64::from(self.body_bytes)).next_multiple_of(ALIGN)
    }

    pub(super) fn has(&self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    pub(super) fn is_packed(&self) -> bool {
        self.codec != PLAIN
    }

    pub(super) fn is_sealed(&self) -> bool {
        self.cipher != 0
    }

    /// Whether this version can read the body at all.
    pub(super) fn is_known(&self) -> bool {
        self.flags & !KNOWN_FLAGS == 0 && self.codec <= ZSTD && self.cipher <= AES_256_GCM
    }

    /// Whether `stored` is what was written.
    pub(super) fn fits(&self, stored: &[u8]) -> bool {
        stored.len() as u64 == u64::from(self.body_bytes) && crc32c::crc32c(stored) == self.body_crc
    }

    /// What a seal is bound to beside the body: everything else in the header, and the place in
    /// the file. So no frame can be put where another was.
    pub(super) fn bound(&self, offset: u64) -> Vec<u8> {
        let header = Self { body_crc: 0, ..*self };
        let mut bound = header.encode().to_vec();
        bound.truncate(CHECKED_BYTES);
        bound.extend_from_slice(&offset.to_le_bytes());
        bound
    }

    /// The body out of what is stored at `offset`; or in words why there is none.
    pub(super) fn body(
        &self,
        stored: Bytes,
        offset: u64,
        cipher: Option<&Cipher>,
    ) -> Result<Bytes, &'static str> {
        if !self.is_known() {
            return Err("the frame uses features that this weir does not know");
        }
        if !self.fits(&stored) {
            return Err("the checksum of a frame's body does not fit");
        }
        let packed = match (cipher, self.is_sealed()) {
            (None, false) => stored,
            (Some(cipher), true) => {
                let opened = cipher.open(&self.bound(offset), &stored);
                opened.ok_or("the seal of a frame does not fit: it was changed, or moved")?.into()
            }
            (Some(_), false) => return Err("a frame is not sealed, as its segment says it is"),
            (None, true) => return Err("a frame is sealed with a key that is not known"),
        };
        let plain_bytes = in_memory(u64::from(self.plain_bytes));
        if self.is_packed() {
            let plain = pack::unpack(&packed, plain_bytes);
            return plain.map(Bytes::from).ok_or("the body of a frame does not unpack");
        }
        let is_whole = packed.len() == plain_bytes;
        is_whole.then_some(packed).ok_or("the body of a frame has not the length it says")
    }
}

/// The payloads of a body, sharing its memory; `None` if it does not hold what its header says.
pub(super) fn payloads(header: &Header, body: &Bytes) -> Option<Vec<Bytes>> {
    let mut cut = Cut(body);
    // Each takes at least its length: a false count allocates no more than a true one of so many
    // empty payloads, eight times the body.
    let mut all = Vec::with_capacity(in_memory(u64::from(header.count)).min(body.len() / 4));
    for _ in 0..header.count {
        let length = in_memory(u64::from(cut.u32()?));
        all.push(body.slice_ref(cut.bytes(length)?));
    }
    Some(all)
}

/// What stands before a mark: whether it has a value, or is an idempotency key.
const FORGOTTEN: u8 = 0;
const VALUE: u8 = 1;
const KEY: u8 = 2;

/// The marks and the idempotency keys of a body.
pub(super) fn marks(header: &Header, body: &Bytes) -> Option<(Vec<Mark>, Vec<Kept>)> {
    let mut cut = Cut(body);
    for _ in 0..header.count {
        let length = in_memory(u64::from(cut.u32()?));
        cut.bytes(length)?;
    }
    let (mut all, mut keys) = (Vec::new(), Vec::new());
    for _ in 0..header.mark_count {
        let name_bytes = usize::from(cut.u8()?);
        let kind = cut.u8()?;
        let value_bytes = usize::from(cut.u16()?);
        let (name, value) = (cut.bytes(name_bytes)?, cut.bytes(value_bytes)?);
        if kind == KEY {
            keys.push(Kept::read(name, value)?);
            continue;
        }
        let name = String::from_utf8(name.to_vec()).ok()?;
        let value = (kind == VALUE).then(|| Bytes::copy_from_slice(value));
        all.push(Mark { name, value });
    }
    Some((all, keys))
}

/// Bytes of a mark in a body.
pub(super) fn mark_bytes(name: &str, value: Option<&Bytes>) -> usize {
    4 + name.len() + value.map_or(0, Bytes::len)
}

/// Bytes of a payload in a body.
pub(super) fn payload_bytes(payload: &Bytes) -> usize {
    4 + payload.len()
}

/// What becomes of bodies on their way to disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    pub(super) is_packed: bool,
    pub(super) is_sealed: bool,
}

/// Builds one frame after the other in the same memory.
#[derive(Debug, Default)]
pub(super) struct Builder {
    form: Form,
    /// Room for the header, and the body, packed if that pays.
    bytes: Vec<u8>,
    /// The sealed frame, while there is one: each segment has its own.
    sealed: Vec<u8>,
    header: Header,
}

/// A builder keeps no more memory than this from one frame to the next.
const KEPT_BYTES_MAX: usize = 2 << 20;
/// And this while nothing is written: there may be hundreds of quiet streams.
const RESTING_BYTES_MAX: usize = 64 << 10;

impl Builder {
    pub(super) fn new(form: Form) -> Self {
        Self { form, ..Self::default() }
    }

    /// Begins a frame.
    pub(super) fn begin(&mut self, first: u64, unix_ms: u64, flags: u16) {
        self.header = Header { first, unix_ms, flags, ..Header::default() };
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES_MAX);
        self.sealed.clear();
        self.sealed.shrink_to(KEPT_BYTES_MAX);
        self.bytes.resize(HEADER_BYTES, 0);
    }

    /// Adds a payload; marks come behind all payloads.
    pub(super) fn payload(&mut self, payload: &[u8]) {
        self.bytes.extend_from_slice(&length(payload.len()).to_le_bytes());
        self.bytes.extend_from_slice(payload);
        self.header.count += 1;
    }

    /// Adds a mark; name and value were checked against their bounds.
    pub(super) fn mark(&mut self, name: &str, value: Option<&Bytes>) {
        let kind = if value.is_some() { VALUE } else { FORGOTTEN };
        self.marked(name.as_bytes(), kind, value.map_or(&[], |value| value));
    }

    /// Adds an idempotency key, among the marks.
    pub(super) fn key(&mut self, kept: &Kept) {
        self.marked(&kept.key.print, KEY, &kept.value());
    }

    fn marked(&mut self, name: &[u8], kind: u8, value: &[u8]) {
        let name_bytes = u8::try_from(name.len()).expect("names are at most 255 bytes");
        let value_bytes = u16::try_from(value.len()).expect("values are at most 4 KiB");
        self.bytes.extend_from_slice(&[name_bytes, kind]);
        self.bytes.extend_from_slice(&value_bytes.to_le_bytes());
        self.bytes.extend_from_slice(name);
        self.bytes.extend_from_slice(value);
        self.header.mark_count += 1;
    }

    /// Ends the body. Behind the frame stands a header of zeroes, which the next frame overwrites:
    /// what an earlier life of the file left there is never taken for this one's.
    pub(super) fn finish(&mut self) {
        let body = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
        self.header.plain_bytes = length(body.len());
        if let Some(packed) = self.form.is_packed.then(|| pack::pack(body)).flatten() {
            self.header.codec = ZSTD;
            self.bytes.truncate(HEADER_BYTES);
            self.bytes.extend_from_slice(&packed);
        }
        let body = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
        self.header.body_bytes = length(body.len());
        if self.form.is_sealed {
            self.header.cipher = AES_256_GCM;
            self.header.body_bytes += length(SEAL_BYTES);
            return;
        }
        self.header.body_crc = crc32c::crc32c(body);
        self.bytes.resize(in_memory(self.header.total_bytes()) + HEADER_BYTES, 0);
    }

    /// The finished frame is one that its segment gets its name with.
    pub(super) fn comes_with_the_name(&mut self) {
        self.header.flags |= NAMING;
    }

    /// The finished frame for the segment with this salt and cipher, to stand at `offset`, and the
    /// zeroes behind it.
    pub(super) fn sealed_for(&mut self, salt: u64, cipher: Option<&Cipher>, offset: u64) -> &[u8] {
        self.header.salt = salt;
        let out = match cipher.filter(|_| self.form.is_sealed) {
            Some(cipher) => {
                let body = self.bytes.get(HEADER_BYTES..).unwrap_or_default();
                self.sealed.clear();
                self.sealed.resize(HEADER_BYTES, 0);
                cipher.seal(&self.header.bound(offset), body, &mut self.sealed);
                let sealed = self.sealed.get(HEADER_BYTES..).unwrap_or_default();
                self.header.body_crc = crc32c::crc32c(sealed);
                self.sealed.resize(in_memory(self.header.total_bytes()) + HEADER_BYTES, 0);
                &mut self.sealed
            }
            None => &mut self.bytes,
        };
        if let Some(room) = out.get_mut(..HEADER_BYTES) {
            room.copy_from_slice(&self.header.encode());
        }
        out
    }

    /// Gives memory back between bursts.
    pub(super) fn rest(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(RESTING_BYTES_MAX);
        self.sealed.clear();
        self.sealed.shrink_to(RESTING_BYTES_MAX);
    }

    /// What the finished frame says of itself.
    pub(super) fn header(&self) -> &Header {
        &self.header
    }
}

/// Bodies are bounded far below 4 GiB by the limits on groups and marks.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("bodies are bounded by the limit on groups")
}

/// A length as memory counts it; too large a one stays too large.
pub(super) fn in_memory(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}
