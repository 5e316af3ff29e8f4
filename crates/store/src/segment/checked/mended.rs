//! What is wrong with a file, and how to read it all the same: a checksum also tells which single bit of its bytes was
//! flipped, and where it stands such a bit is set right in memory. Where more is damaged, the rest can still be read.
//! This module must not know what is done about a damaged file.

use std::collections::HashMap;
use std::fmt;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use parquet::file::metadata::ParquetMetaDataReader;

use super::{BLOCK_BYTES, BlockDamage, CheckedFile, FileFacts, Inner, Reading, blocks, footer, read_range};

/// So many blocks of one file may have a flipped bit each; with more, something else has happened to the file. A damage
/// of many bytes looks like one flipped bit once in some thousands of blocks.
const FLIPS_MAX: usize = 4;
/// The polynomial of CRC-32 as zlib, Parquet and we have it, lowest bit first.
const POLYNOMIAL: u32 = 0xEDB8_8320;
/// What Linux says of a sector that does not read.
const UNREADABLE_SECTOR: i32 = 5;

/// What is wrong with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is not there.
    Missing,
    /// It has another length.
    Length { found: u64, expected: u64 },
    /// One bit is not what it was; the rest of its stretch is, so it can be set right.
    Flip { offset: u64, bit: u8 },
    /// Bytes among the row groups are not those that were written.
    Block(BlockDamage),
    /// The tail, without which nothing in the file can be found.
    Tail(BlockDamage),
}

impl Fault {
    /// Where it is, if at one place.
    pub(crate) fn place(&self) -> Option<(u64, u64)> {
        match self {
            Self::Missing | Self::Length { .. } => None,
            Self::Flip { offset, .. } => Some((*offset, 1)),
            Self::Block(damage) | Self::Tail(damage) => Some((damage.offset, damage.bytes)),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing => write!(f, "it is not there"),
            Self::Length { found, expected } => write!(f, "it has {found} bytes where {expected} were written"),
            Self::Flip { offset, bit } => write!(f, "bit {bit} of the byte at {offset} was flipped"),
            Self::Block(damage) => write!(f, "{} bytes at {} are damaged", damage.bytes, damage.offset),
            Self::Tail(damage) => {
                write!(f, "its table of contents, {} bytes at {}, is damaged", damage.bytes, damage.offset)
            }
        }
    }
}

/// The bytes of a stretch, as they should be.
enum Stretch {
    Whole(Vec<u8>),
    Flipped(Vec<u8>, Fault),
    Damaged,
}

impl CheckedFile {
    /// Reads all of the file at `path`, which should be that of `facts`, and tells what is wrong with it; and gives it for
    /// reading, with flipped bits set right, if its table of contents can be relied on. Damaged blocks still fail then.
    ///
    /// # Errors
    /// When the system does not let us look, which says nothing of the file.
    pub(crate) fn examine(path: &Path, facts: Option<FileFacts>) -> io::Result<(Option<Self>, Vec<Fault>)> {
        let mut file = match File::open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok((None, vec![Fault::Missing])),
            opened => opened?,
        };
        let bytes = file.metadata()?.len();
        let Some(facts) = facts else {
            drop(file);
            return Ok(match Self::open(path, None) {
                Ok(file) => (Some(file), Vec::new()),
                Err(_) => (None, vec![Fault::Tail(BlockDamage { offset: 0, bytes })]),
            });
        };
        let mut faults = Vec::new();
        if bytes != facts.bytes {
            faults.push(Fault::Length { found: bytes, expected: facts.bytes });
        }
        // What stands behind the end is not ours, and in nobody's way.
        if bytes < facts.bytes || facts.checked_bytes > facts.bytes {
            return Ok((None, faults));
        }
        let tail = match stretch(&mut file, facts.checked_bytes..facts.bytes, facts.tail_crc32)? {
            Stretch::Whole(tail) => Some(tail),
            Stretch::Flipped(tail, flip) => {
                faults.push(flip);
                Some(tail)
            }
            Stretch::Damaged => None,
        };
        let contents = tail.map(Bytes::from).and_then(|tail| {
            let metadata = ParquetMetaDataReader::decode_metadata(footer(&tail)?).ok()?;
            let blocks = blocks(&metadata)?;
            (blocks.len() as u64 == facts.checked_bytes.div_ceil(BLOCK_BYTES)).then_some((tail, metadata, blocks))
        });
        let Some((tail, metadata, blocks)) = contents else {
            let (offset, bytes) = (facts.checked_bytes, facts.bytes - facts.checked_bytes);
            faults.retain(|fault| matches!(fault, Fault::Length { .. }));
            faults.push(Fault::Tail(BlockDamage { offset, bytes }));
            return Ok((None, faults));
        };
        let (mended, damaged) = mend(&mut file, facts.checked_bytes, &blocks)?;
        faults.extend(damaged);
        let inner = Inner {
            path: path.to_owned(),
            bytes: facts.bytes,
            checked_bytes: facts.checked_bytes,
            tail,
            metadata,
            blocks: Some(blocks),
            mended,
            reading: Mutex::new(Reading { file, last: None }),
        };
        Ok((Some(Self(Arc::new(inner))), faults))
    }

    /// The row groups, by number, and columns, by their place among those of the table, that stand in one of `faults`.
    pub(crate) fn hit_by(&self, faults: &[Fault]) -> Vec<(usize, usize)> {
        let damages = faults.iter().filter_map(|fault| match fault {
            Fault::Block(damage) => Some(*damage),
            _ => None,
        });
        let damages: Vec<BlockDamage> = damages.collect();
        let mut hit = Vec::new();
        let schema = self.metadata().file_metadata().schema_descr();
        for (group, row_group) in self.metadata().row_groups().iter().enumerate() {
            for (leaf, column) in row_group.columns().iter().enumerate() {
                let (start, bytes) = column.byte_range();
                let touches =
                    |damage: &BlockDamage| damage.offset < start + bytes && start < damage.offset + damage.bytes;
                if damages.iter().any(touches) {
                    hit.push((group, schema.get_column_root_idx(leaf)));
                }
            }
        }
        hit.dedup();
        hit
    }
}

/// Reads all blocks; gives those with a flipped bit set right, and what is wrong.
fn mend(file: &mut File, checked_bytes: u64, blocks: &[u32]) -> io::Result<(HashMap<u64, Bytes>, Vec<Fault>)> {
    let (mut mended, mut flips, mut faults) = (HashMap::new(), Vec::new(), Vec::new());
    for (block, crc) in (0..).zip(blocks) {
        let range = block * BLOCK_BYTES..((block + 1) * BLOCK_BYTES).min(checked_bytes);
        let damage = BlockDamage { offset: range.start, bytes: range.end - range.start };
        match stretch(file, range, *crc)? {
            Stretch::Whole(_) => {}
            Stretch::Flipped(bytes, flip) => {
                mended.insert(block, Bytes::from(bytes));
                flips.push(flip);
                faults.push(Fault::Block(damage));
            }
            Stretch::Damaged => faults.push(Fault::Block(damage)),
        }
    }
    if faults.len() == flips.len() && flips.len() <= FLIPS_MAX {
        return Ok((mended, flips));
    }
    Ok((HashMap::new(), faults))
}

/// The bytes in `range`, whose checksum should be `crc`.
fn stretch(file: &mut File, range: Range<u64>, crc: u32) -> io::Result<Stretch> {
    let mut bytes = match read_range(file, range.clone()) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Stretch::Damaged),
        Err(error) if error.raw_os_error() == Some(UNREADABLE_SECTOR) => return Ok(Stretch::Damaged),
        Err(error) => return Err(error),
    };
    if crc32fast::hash(&bytes) == crc {
        return Ok(Stretch::Whole(bytes));
    }
    let Some((place, bit)) = flipped_bit(&bytes, crc) else { return Ok(Stretch::Damaged) };
    bytes[place] ^= 1 << bit;
    Ok(Stretch::Flipped(bytes, Fault::Flip { offset: range.start + place as u64, bit }))
}

/// The byte, and in it the bit, whose flip alone makes the CRC-32 of `bytes` another one than `expected`, if there is one.
pub(crate) fn flipped_bit(bytes: &[u8], expected: u32) -> Option<(usize, u8)> {
    let difference = crc32fast::hash(bytes) ^ expected;
    // What a flip of the last bit would change, then of the one before it, and so on.
    let mut change = POLYNOMIAL;
    for place in (0..bytes.len()).rev() {
        for bit in (0..8).rev() {
            if change == difference {
                return Some((place, bit));
            }
            change = (change >> 1) ^ if change & 1 == 1 { POLYNOMIAL } else { 0 };
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_one_flipped_bit_is_found_and_two_are_not_taken_for_one() {
        let bytes: Vec<u8> = (0..3_000_u32).map(|place| ((place * place) >> 3) as u8).collect();
        let crc = crc32fast::hash(&bytes);
        for (place, bit) in [(0, 0), (0, 7), (1, 3), (1_500, 6), (2_999, 0), (2_999, 7)] {
            let mut flipped = bytes.clone();
            flipped[place] ^= 1 << bit;
            assert_eq!(flipped_bit(&flipped, crc), Some((place, bit)));
            flipped[1_000] ^= 0x10;
            assert_eq!(flipped_bit(&flipped, crc), None);
        }
        assert_eq!(flipped_bit(&bytes, crc), None);
    }
}
