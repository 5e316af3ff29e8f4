//! Checksums of a segment's file: counted while it is written, compared whenever it is read. A file is a run of row
//! groups, covered by one CRC-32 for each 64 KiB in the footer, and the tail behind them, indexes and footer, whose
//! CRC-32 the manifest keeps. This module must not know of columns, encodings or who reads.

mod mended;

use std::collections::HashMap;
use std::error::Error;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use parquet::errors::ParquetError;
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::{ChunkReader, Length};
use serde::{Deserialize, Serialize};

pub(crate) use self::mended::{Fault, flipped_bit};

/// How many bytes one checksum covers.
const BLOCK_BYTES: u64 = 64 << 10;

/// The metadata key of the checksums of the blocks: eight hexadecimal digits each.
pub(crate) const META_BLOCKS: &str = "tongmai.block_crc32";

/// What the manifest keeps of a file, to tell later whether it is still the one that was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileFacts {
    /// How large it is.
    pub(crate) bytes: u64,
    /// How much of it, from its start, the checksums of blocks cover.
    pub(crate) checked_bytes: u64,
    /// The CRC-32 of everything behind that.
    pub(crate) tail_crc32: u32,
}

/// Bytes that are not those that were written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct BlockDamage {
    /// Where they begin.
    pub(crate) offset: u64,
    /// How many they may be.
    pub(crate) bytes: u64,
}

/// A read of bytes that are not those that were written.
#[derive(Debug, thiserror::Error)]
#[error("the file `{path}` is damaged within the {bytes} bytes at {offset}")]
pub(crate) struct Damaged {
    path: PathBuf,
    offset: u64,
    bytes: u64,
}

impl Damaged {
    /// What stands around the path in the text of an error.
    const TEXT: [&str; 2] = ["the file `", "` is damaged within the "];
}

/// The file whose damage is the reason, or among the reasons, of `error`; for [`Store::quarantine`](crate::Store::quarantine).
pub fn damaged_file(error: &(dyn Error + 'static)) -> Option<PathBuf> {
    let mut next = Some(error);
    while let Some(cause) = next {
        let inner = cause.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        let inner = inner.and_then(|inner| inner.downcast_ref::<Damaged>());
        if let Some(damaged) = inner.or_else(|| cause.downcast_ref()) {
            return Some(damaged.path.clone());
        }
        // Engines on the way keep the text of an error only.
        let text = cause.to_string();
        let [before, after] = Damaged::TEXT;
        let path = text.split_once(before).and_then(|(_, rest)| rest.split_once(after));
        if let Some((path, _)) = path {
            return Some(path.into());
        }
        next = cause.source();
    }
    None
}

/// Counts the checksums of what passes through it.
#[derive(Debug)]
pub(crate) struct Summed<W> {
    output: W,
    hasher: crc32fast::Hasher,
    bytes: u64,
    /// The checksums of the blocks before `bytes`; no block is begun after [`Summed::begin_tail`].
    blocks: Vec<u32>,
    checked_bytes: Option<u64>,
}

impl<W: Write> Summed<W> {
    pub(crate) fn new(output: W) -> Self {
        Self { output, hasher: crc32fast::Hasher::new(), bytes: 0, blocks: Vec::new(), checked_bytes: None }
    }

    /// Ends the row groups, and tells the value of [`META_BLOCKS`].
    pub(crate) fn begin_tail(&mut self) -> String {
        assert!(self.checked_bytes.is_none(), "a file has one tail");
        if !self.bytes.is_multiple_of(BLOCK_BYTES) {
            self.end_block();
        }
        self.checked_bytes = Some(self.bytes);
        self.blocks.iter().map(|crc| format!("{crc:08x}")).collect()
    }

    pub(crate) fn finish(self) -> (W, FileFacts) {
        let checked_bytes = self.checked_bytes.expect("the tail was begun");
        let facts = FileFacts { bytes: self.bytes, checked_bytes, tail_crc32: self.hasher.finalize() };
        (self.output, facts)
    }

    fn end_block(&mut self) {
        self.blocks.push(std::mem::take(&mut self.hasher).finalize());
    }

    fn count(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let room = match self.checked_bytes {
                Some(_) => bytes.len() as u64,
                None => BLOCK_BYTES - self.bytes % BLOCK_BYTES,
            };
            let (now, later) = bytes.split_at(bytes.len().min(room as usize));
            self.hasher.update(now);
            self.bytes += now.len() as u64;
            if self.checked_bytes.is_none() && self.bytes.is_multiple_of(BLOCK_BYTES) {
                self.end_block();
            }
            bytes = later;
        }
    }
}

impl<W: Write> Write for Summed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.output.write(bytes)?;
        self.count(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.output.flush()
    }
}

/// A Parquet file whose every byte is compared with its checksum before anybody sees it.
#[derive(Debug, Clone)]
pub struct CheckedFile(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    bytes: u64,
    /// Where the tail begins.
    checked_bytes: u64,
    tail: Bytes,
    metadata: ParquetMetaData,
    /// None of a file that was written before there were checksums.
    blocks: Option<Vec<u32>>,
    /// Blocks with a flipped bit that was set right.
    mended: HashMap<u64, Bytes>,
    reading: Mutex<Reading>,
}

/// The file and the block that was read last: pages are smaller than blocks, and readers go from page to page.
#[derive(Debug)]
struct Reading {
    file: File,
    last: Option<(u64, Bytes)>,
}

impl CheckedFile {
    /// Opens `path`, whose tail has to be that of `facts`. A file without facts is from before there were checksums,
    /// and is read as it is.
    ///
    /// # Errors
    /// When the file is missing, or its tail or its length is another.
    pub(crate) fn open(path: &Path, facts: Option<FileFacts>) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let bytes = file.metadata()?.len();
        let damaged = |range: Range<u64>| {
            let damaged = Damaged { path: path.to_owned(), offset: range.start, bytes: range.end - range.start };
            io::Error::new(io::ErrorKind::InvalidData, damaged)
        };
        let (checked_bytes, tail, metadata, blocks) = match facts {
            None => {
                let metadata = ParquetMetaDataReader::new().parse_and_finish(&file).map_err(io::Error::other)?;
                (bytes, Bytes::new(), metadata, None)
            }
            Some(facts) => {
                if bytes != facts.bytes || facts.checked_bytes > bytes {
                    return Err(damaged(bytes.min(facts.bytes)..bytes.max(facts.bytes)));
                }
                let tail = Bytes::from(read_range(&mut file, facts.checked_bytes..bytes)?);
                let footer = footer(&tail).filter(|_| crc32fast::hash(&tail) == facts.tail_crc32);
                let footer = footer.ok_or_else(|| damaged(facts.checked_bytes..bytes))?;
                let metadata = ParquetMetaDataReader::decode_metadata(footer).map_err(io::Error::other)?;
                let expected = facts.checked_bytes.div_ceil(BLOCK_BYTES);
                let blocks = blocks(&metadata).filter(|blocks| blocks.len() as u64 == expected);
                let blocks = blocks.ok_or_else(|| io::Error::other(format!("no checksums in `{}`", path.display())))?;
                (facts.checked_bytes, tail, metadata, Some(blocks))
            }
        };
        let (mended, reading) = (HashMap::new(), Mutex::new(Reading { file, last: None }));
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            bytes,
            checked_bytes,
            tail,
            metadata,
            blocks,
            mended,
            reading,
        })))
    }

    /// What the footer says.
    pub fn metadata(&self) -> &ParquetMetaData {
        &self.0.metadata
    }
}

impl Inner {
    fn block_range(&self, block: u64) -> Range<u64> {
        block * BLOCK_BYTES..((block + 1) * BLOCK_BYTES).min(self.checked_bytes)
    }

    /// The bytes of a block, unless they are damaged.
    fn read_block(&self, block: u64) -> io::Result<Option<Bytes>> {
        if let Some(bytes) = self.mended.get(&block) {
            return Ok(Some(bytes.clone()));
        }
        let mut reading = self.reading.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((last, bytes)) = &reading.last
            && *last == block
        {
            return Ok(Some(bytes.clone()));
        }
        let bytes = Bytes::from(read_range(&mut reading.file, self.block_range(block))?);
        if self.blocks.as_ref().is_some_and(|blocks| crc32fast::hash(&bytes) != blocks[block as usize]) {
            return Ok(None);
        }
        reading.last = Some((block, bytes.clone()));
        Ok(Some(bytes))
    }

    /// The checked bytes from `start` on, as far as they are at hand in one piece: to the end of their block, or of
    /// the tail. None at the end of the file.
    fn piece(&self, start: u64) -> io::Result<Bytes> {
        let checked = self.checked_bytes;
        if start >= checked {
            let skipped = usize::try_from(start - checked).unwrap_or(usize::MAX).min(self.tail.len());
            return Ok(self.tail.slice(skipped..));
        }
        let block = start / BLOCK_BYTES;
        let range = self.block_range(block);
        let bytes = self.read_block(block)?.ok_or_else(|| {
            let (path, offset) = (self.path.clone(), range.start);
            io::Error::new(io::ErrorKind::InvalidData, Damaged { path, offset, bytes: range.end - range.start })
        })?;
        Ok(bytes.slice((start - range.start) as usize..))
    }
}

impl Length for CheckedFile {
    fn len(&self) -> u64 {
        self.0.bytes
    }
}

impl ChunkReader for CheckedFile {
    type T = CheckedRead;

    fn get_read(&self, start: u64) -> Result<CheckedRead, ParquetError> {
        Ok(CheckedRead { file: self.clone(), position: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        if start.checked_add(length as u64).is_none_or(|end| end > self.0.bytes) {
            let bytes = self.0.bytes;
            return Err(ParquetError::EOF(format!("expected {length} bytes at {start} of a file of {bytes}")));
        }
        let first = self.0.piece(start)?;
        if first.len() >= length {
            return Ok(first.slice(..length));
        }
        let mut whole = Vec::with_capacity(length);
        whole.extend_from_slice(&first);
        while whole.len() < length {
            let piece = self.0.piece(start + whole.len() as u64)?;
            whole.extend_from_slice(&piece[..piece.len().min(length - whole.len())]);
        }
        Ok(whole.into())
    }
}

/// Reads a [`CheckedFile`] from a place on.
#[derive(Debug)]
pub struct CheckedRead {
    file: CheckedFile,
    position: u64,
}

impl Read for CheckedRead {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let piece = self.file.0.piece(self.position)?;
        let bytes = piece.len().min(buffer.len());
        buffer[..bytes].copy_from_slice(&piece[..bytes]);
        self.position += bytes as u64;
        Ok(bytes)
    }
}

fn read_range(file: &mut File, range: Range<u64>) -> io::Result<Vec<u8>> {
    file.seek(SeekFrom::Start(range.start))?;
    let mut bytes = Vec::with_capacity((range.end - range.start) as usize);
    file.take(range.end - range.start).read_to_end(&mut bytes)?;
    if (bytes.len() as u64) < range.end - range.start {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes)
}

/// The part of the tail that says what stands where: the last eight bytes are its length and Parquet's mark.
fn footer(tail: &[u8]) -> Option<&[u8]> {
    let (before, end) = tail.split_last_chunk::<8>()?;
    let length = u32::from_le_bytes(*end.first_chunk()?) as usize;
    before.get(before.len().checked_sub(length)?..).filter(|_| &end[4..] == b"PAR1")
}

fn blocks(metadata: &ParquetMetaData) -> Option<Vec<u32>> {
    let pairs = metadata.file_metadata().key_value_metadata()?;
    let text = pairs.iter().find(|pair| pair.key == META_BLOCKS)?.value.as_ref()?;
    text.as_bytes().chunks(8).map(|digits| u32::from_str_radix(str::from_utf8(digits).ok()?, 16).ok()).collect()
}
