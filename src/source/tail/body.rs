//! What a followed file holds, plain or compressed: offsets are always those of the lines.
//!
//! A compressed file is read in one direction. Going back further than the last piece means to begin
//! again, so it is done only where the content is compared after a restart. The way to a far offset is
//! gone in several calls, so that other files have their turn in between.

use std::io::{self, BufReader, Read};
use std::path::Path;
use std::sync::Arc;

use flate2::read::MultiGzDecoder;

use super::progress::MARKER_BYTES;
use crate::base::disk::foreign::{ForeignFile, Look};

/// An open file.
#[derive(Debug)]
pub(super) struct Body {
    file: Arc<ForeignFile>,
    form: Form,
}

/// How the content lies there.
#[derive(Debug)]
enum Form {
    /// Too short yet to tell: whoever compresses makes an empty file first.
    Unknown,
    /// As it is.
    Plain,
    /// gzip or zstd.
    Packed(Box<Packed>),
}

/// A compressed file.
struct Packed {
    file: Arc<ForeignFile>,
    format: Format,
    decoder: Option<Box<dyn Read + Send>>,
    /// How far the decoder is.
    at: u64,
    /// The last bytes before that.
    window: Vec<u8>,
    /// How long the content is, once its end was seen.
    end: Option<u64>,
    /// The decoder met the end of the file within the content: somebody still writes it.
    is_torn: bool,
    /// What the file looked like when the decoder began.
    stamp: (u64, i128),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    Gzip,
    Zstd,
}

/// Passed over at once on the way to an offset.
const STRIDE_BYTES: usize = 256 << 10;
/// Most bytes passed over in one call: a tenth of a second of gzip, about.
const UNPACK_BYTES: usize = 16 << 20;
/// Largest window of zstd, as a power of two: all levels but the `--ultra` ones stay within 8 MiB.
const WINDOW_LOG_MAX: u32 = 23;

/// What compressed files begin with.
const MAGIC: [(&[u8], Format); 2] =
    [(&[0x1f, 0x8b, 8], Format::Gzip), (&[0x28, 0xb5, 0x2f, 0xfd], Format::Zstd)];

impl Body {
    /// Opens a regular file; what it begins with says whether it is compressed.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let file = Arc::new(ForeignFile::open(path)?);
        let mut body = Self { file, form: Form::Unknown };
        body.tell_form()?;
        Ok(body)
    }

    /// Looks once more at what was too short when it was opened.
    pub(super) fn tell_form(&mut self) -> io::Result<()> {
        if !matches!(self.form, Form::Unknown) {
            return Ok(());
        }
        let head = self.file.read_at(0, 4)?;
        if let Some((_, format)) = MAGIC.iter().find(|(magic, _)| head.starts_with(magic)) {
            self.form = Form::Packed(Box::new(Packed::new(Arc::clone(&self.file), *format)));
        } else if !MAGIC.iter().any(|(magic, _)| magic.starts_with(&head)) {
            self.form = Form::Plain;
        }
        Ok(())
    }

    pub(super) fn is_packed(&self) -> bool {
        matches!(self.form, Form::Packed(_))
    }

    /// Whether it takes the memory that decompressing takes.
    pub(super) fn is_unpacking(&self) -> bool {
        matches!(&self.form, Form::Packed(packed) if packed.decoder.is_some())
    }

    /// Whether somebody still writes the compressed file, as far as it was read.
    pub(super) fn is_torn(&self) -> bool {
        matches!(&self.form, Form::Packed(packed) if packed.is_torn)
    }

    /// Gives back the memory that decompressing takes; the next read begins again.
    pub(super) fn rest(&mut self) {
        if let Form::Packed(packed) = &mut self.form {
            packed.rest();
        }
    }

    /// Looks at the open file; its length is that of what lies on the disk.
    pub(super) fn look(&self) -> io::Result<Look> {
        self.file.look()
    }

    /// How long the content is, as far as that is known, in a file of which `look` was taken.
    pub(super) fn length(&self, look: &Look) -> Option<u64> {
        match &self.form {
            Form::Unknown | Form::Plain => Some(look.bytes),
            Form::Packed(packed) => packed.end,
        }
    }

    /// Reads as many bytes as there are at `offset`, at most `bytes`; `WouldBlock` if that is still too far
    /// within a compressed file: the next call is nearer.
    pub(super) fn read_at(&mut self, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        self.tell_form()?;
        match &mut self.form {
            Form::Unknown | Form::Plain => self.file.read_at(offset, bytes),
            Form::Packed(packed) => packed.read_at(offset, bytes),
        }
    }
}

impl Packed {
    fn new(file: Arc<ForeignFile>, format: Format) -> Self {
        Self {
            file,
            format,
            decoder: None,
            at: 0,
            window: Vec::new(),
            end: None,
            is_torn: false,
            stamp: (0, 0),
        }
    }

    fn read_at(&mut self, offset: u64, bytes: usize) -> io::Result<Vec<u8>> {
        let look = self.file.look()?;
        let stamp = (look.bytes, look.changed_unix_ns);
        let begins_at = self.at - self.window.len() as u64;
        let has_ended = self.is_torn || self.end == Some(self.at);
        let is_changed = (has_ended || self.end.is_some()) && stamp != self.stamp;
        if offset < begins_at || is_changed || self.decoder.is_none() && !has_ended {
            self.begin(stamp)?;
        }
        let mut kept = std::mem::take(&mut self.window);
        let far = self.at + UNPACK_BYTES as u64;
        while self.at < offset {
            if self.at >= far {
                return Err(not_yet());
            }
            let stride = usize::try_from(offset - self.at).unwrap_or(usize::MAX).min(STRIDE_BYTES);
            kept.clear();
            if self.decode(&mut kept, stride)? < stride {
                return Ok(Vec::new());
            }
        }
        let known = usize::try_from(self.at - offset).unwrap_or(usize::MAX).min(kept.len());
        kept.drain(..kept.len() - known);
        if let Some(more) = bytes.checked_sub(kept.len()) {
            self.decode(&mut kept, more)?;
        }
        let answer = kept.get(..bytes).unwrap_or(&kept).to_vec();
        self.window = kept;
        if self.decoder.is_none() {
            // Nothing follows: the bytes before the end will do.
            self.window.drain(..self.window.len().saturating_sub(MARKER_BYTES));
            self.window.shrink_to_fit();
        }
        Ok(answer)
    }

    fn rest(&mut self) {
        (self.decoder, self.window, self.at, self.is_torn) = (None, Vec::new(), 0, false);
    }

    fn begin(&mut self, stamp: (u64, i128)) -> io::Result<()> {
        let file = Sequence { file: Arc::clone(&self.file), at: 0 };
        self.decoder = Some(match self.format {
            Format::Gzip => Box::new(MultiGzDecoder::new(BufReader::new(file))),
            Format::Zstd => {
                let mut decoder = zstd::stream::read::Decoder::new(file)?;
                decoder.window_log_max(WINDOW_LOG_MAX)?;
                Box::new(decoder)
            }
        });
        (self.at, self.end, self.is_torn, self.stamp) = (0, None, false, stamp);
        self.window.clear();
        Ok(())
    }

    /// Adds so many bytes, fewer at the end.
    fn decode(&mut self, to: &mut Vec<u8>, bytes: usize) -> io::Result<usize> {
        let Some(decoder) = &mut self.decoder else { return Ok(0) };
        let before = to.len();
        let read = decoder.take(bytes as u64).read_to_end(to);
        let done = to.len() - before;
        self.at += done as u64;
        match read {
            Ok(_) if done == bytes => return Ok(done),
            Ok(_) => self.end = Some(self.at),
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => self.is_torn = true,
            Err(error) => {
                self.decoder = None;
                return Err(error);
            }
        }
        self.decoder = None;
        Ok(done)
    }
}

impl std::fmt::Debug for Packed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Packed").field("format", &self.format).finish_non_exhaustive()
    }
}

/// The bytes are further within a compressed file than one call goes.
pub(super) fn not_yet() -> io::Error {
    io::Error::new(io::ErrorKind::WouldBlock, "it is still being decompressed")
}

/// Whether asking again is all there is to do.
pub(super) fn is_not_yet(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock
}

/// A file read from front to back.
struct Sequence {
    file: Arc<ForeignFile>,
    at: u64,
}

impl Read for Sequence {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let bytes = self.file.read_at(self.at, buffer.len())?;
        let Some(start) = buffer.get_mut(..bytes.len()) else { return Ok(0) };
        start.copy_from_slice(&bytes);
        self.at += bytes.len() as u64;
        Ok(bytes.len())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::tests::{Scratch, packed};
    use super::*;

    #[test]
    fn a_compressed_file_reads_like_a_plain_one_in_both_formats_and_any_order() {
        let text: Vec<u8> = (0..200_000u32).flat_map(|n| n.to_le_bytes()).collect();
        for end in [".gz", ".zst"] {
            let scratch = Scratch::new();
            let path = scratch.path(&format!("a{end}"));
            std::fs::write(&path, packed(&text, end)).unwrap();
            let mut body = Body::open(&path).unwrap();
            assert!(body.is_packed());
            let all = text.len() as u64;
            for (offset, bytes) in
                [(0, 10), (10, 300_000), (299_000, 9), (5, 5), (700_000, 200_000), (all, 1), (0, 3)]
            {
                let from = usize::try_from(offset).unwrap();
                let expected = &text[from..(from + bytes).min(text.len())];
                assert_eq!(body.read_at(offset, bytes).unwrap(), expected, "{offset} {bytes}");
            }
            assert_eq!(body.read_at(all + 9, 1).unwrap(), b"");
            let look = body.look().unwrap();
            assert_eq!(body.length(&look), Some(all));
        }
    }

    #[test]
    fn one_that_is_still_being_written_is_torn_and_goes_on_when_it_has_grown() {
        let text = b"some line or other\n".repeat(50_000);
        for end in [".gz", ".zst"] {
            let scratch = Scratch::new();
            let path = scratch.path(&format!("a{end}"));
            let whole = packed(&text, end);
            std::fs::write(&path, &whole[..whole.len() - 9]).unwrap();
            let mut body = Body::open(&path).unwrap();

            let first = body.read_at(0, text.len() + 1).unwrap();
            assert!(text.starts_with(&first));
            assert_eq!(body.length(&body.look().unwrap()), None);
            std::fs::write(&path, &whole).unwrap();

            assert_eq!(body.read_at(0, text.len() + 1).unwrap(), text);
            assert_eq!(body.length(&body.look().unwrap()), Some(text.len() as u64));
        }
    }

    #[test]
    fn one_that_was_opened_while_it_was_empty_turns_out_to_be_compressed() {
        let text = b"some line or other\n".repeat(100);
        for end in [".gz", ".zst", ""] {
            let scratch = Scratch::new();
            let path = scratch.path(&format!("a{end}"));
            let whole = if end.is_empty() { text.clone() } else { packed(&text, end) };
            for bytes in [0, 1, 2] {
                std::fs::write(&path, &whole[..bytes]).unwrap();
                let mut body = Body::open(&path).unwrap();
                assert_eq!(body.length(&body.look().unwrap()), Some(bytes as u64), "{end} {bytes}");

                std::fs::File::options()
                    .append(true)
                    .open(&path)
                    .unwrap()
                    .write_all(&whole[bytes..])
                    .unwrap();
                assert_eq!(body.read_at(0, text.len() + 1).unwrap(), text, "{end} {bytes}");
                assert_eq!(body.is_packed(), !end.is_empty());
            }
        }
    }

    #[test]
    fn damage_is_an_error_and_not_an_end() {
        let scratch = Scratch::new();
        let path = scratch.path("a.gz");
        let mut damaged = packed(&b"some line or other\n".repeat(5000), ".gz");
        damaged.iter_mut().skip(20).for_each(|byte| *byte ^= 0x55);
        std::fs::write(&path, damaged).unwrap();
        let mut body = Body::open(&path).unwrap();

        let read = body.read_at(0, 1 << 20);

        assert_eq!(body.length(&body.look().unwrap()), None, "{read:?}");
    }
}
