//! Hidden files that a crash left behind: cut to the last whole put, then finished like any other.

use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use super::folder::OPEN_FOLDER;
use super::name::Name;
use super::object::Object;
use crate::base::disk::{Disk, DiskFile, Open};
use crate::sink::Compression;

/// Bytes read at once while looking for the end.
const CHUNK_BYTES: usize = 64 << 10;

/// What became of hidden files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Leftovers {
    /// How many were finished.
    pub(super) finished: usize,
    /// Whether somebody holds one of them: another process, or a worker of this one that was cut off
    /// and lets go in a moment.
    pub(super) are_held: bool,
}

/// Finishes every hidden file that nobody holds, also those of destinations that are no more.
pub(super) fn finish_all(disk: &dyn Disk, path: &Path) -> io::Result<Leftovers> {
    let mut all = Leftovers::default();
    for listed in disk.list(&path.join(OPEN_FOLDER))? {
        if let Some(name) = Name::of_part(&listed.name) {
            match finish(disk, path, name)? {
                Some(is_finished) => all.finished += usize::from(is_finished),
                None => all.are_held = true,
            }
        }
    }
    Ok(all)
}

/// Whether there was anything to finish; `None` while somebody holds it.
fn finish(disk: &dyn Disk, path: &Path, name: Name) -> io::Result<Option<bool>> {
    let part = name.part(path);
    let file = match disk.open(&part, Open::Write) {
        Ok(file) => file,
        // Its owner finished it just now.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Some(false)),
        Err(error) => return Err(error),
    };
    if !file.try_lock()? {
        return Ok(None);
    }
    let whole = whole_bytes(&*file, name.compression())?;
    Object::found(file, name, part, whole).give_up(disk, path)?;
    Ok(Some(whole > 0))
}

/// How many bytes from the start are whole puts. Every record that was taken lies within them,
/// for it was synced; what follows was never answered for.
fn whole_bytes(file: &dyn DiskFile, packing: Compression) -> io::Result<u64> {
    match packing {
        Compression::None => last_newline(file),
        Compression::Gzip => whole_members(file, |reader| {
            let mut member = flate2::bufread::GzDecoder::new(reader);
            io::copy(&mut member, &mut io::sink())?;
            Ok(member.into_inner())
        }),
        Compression::Zstd => whole_members(file, |reader| {
            let mut frame = zstd::stream::read::Decoder::with_buffer(reader)?.single_frame();
            io::copy(&mut frame, &mut io::sink())?;
            Ok(frame.finish())
        }),
    }
}

fn last_newline(file: &dyn DiskFile) -> io::Result<u64> {
    let mut end = file.bytes()?;
    let mut chunk = vec![0; CHUNK_BYTES];
    while end > 0 {
        let begin = end.saturating_sub(CHUNK_BYTES as u64);
        let read = crate::base::disk::read_full_at(file, &mut chunk, begin)?;
        let wanted = usize::try_from(end - begin).unwrap_or(CHUNK_BYTES).min(read);
        let there = chunk.get(..wanted).unwrap_or_default();
        if let Some(at) = there.iter().rposition(|byte| *byte == b'\n') {
            return Ok(begin + at as u64 + 1);
        }
        end = begin;
    }
    Ok(0)
}

type Counted<'a> = BufReader<FromFile<'a>>;

/// Unpacks member after member, into nothing, until one is torn.
fn whole_members<'a>(
    file: &'a dyn DiskFile,
    mut skip: impl FnMut(Counted<'a>) -> io::Result<Counted<'a>>,
) -> io::Result<u64> {
    let mut whole = 0;
    let mut reader = BufReader::with_capacity(CHUNK_BYTES, FromFile { file, at: 0 });
    loop {
        if reader.fill_buf()?.is_empty() {
            return Ok(whole);
        }
        reader = match skip(reader) {
            Ok(reader) => reader,
            Err(error) if is_torn(&error) => return Ok(whole),
            Err(error) => return Err(error),
        };
        whole = reader.get_ref().at - reader.buffer().len() as u64;
    }
}

/// What the decoders say of bytes they cannot read; anything else is the disk's own complaint.
fn is_torn(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidData, InvalidInput, Other, UnexpectedEof};
    matches!(error.kind(), UnexpectedEof | InvalidInput | InvalidData | Other)
        && error.raw_os_error().is_none()
}

/// Reads a file from its start on.
struct FromFile<'a> {
    file: &'a dyn DiskFile,
    at: u64,
}

impl Read for FromFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
