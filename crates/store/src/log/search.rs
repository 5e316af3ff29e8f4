//! Finds the next whole record behind damage, in time that grows with the bytes that are looked through, and not with how
//! long records may be: what takes a record's bytes to be a length would otherwise be hashed to its end, for every byte.
//! The checksum of any stretch follows from the checksums of what stands before its two ends. This module must not know
//! what records say.

use super::{HEAD_BYTES, head_at};

/// The checksum of what stands before is kept at every so many bytes.
const BLOCK_BYTES: usize = 64;
/// The polynomial of CRC-32, lowest bit first.
const POLYNOMIAL: u32 = 0xEDB8_8320;
/// The polynomial 1, lowest bit first: the place of a bit is its power counted from the top.
const ONE: u32 = 1 << 31;
/// x to the power of 8, which moves a checksum on by one byte.
const BYTE: u32 = ONE >> 8;

/// The bytes of one log file, for looking through.
pub(super) struct Search<'a> {
    bytes: &'a [u8],
    /// Where the checksums begin.
    base: usize,
    /// The checksum of the bytes from `base` to the begin of each block.
    before: Vec<u32>,
    /// `moves[place][byte]` moves a checksum on by `byte << (8 * place)` bytes.
    moves: [[u32; 256]; 4],
    /// Bytes that were hashed.
    #[cfg(test)]
    pub(super) hashed: std::cell::Cell<usize>,
}

impl<'a> Search<'a> {
    /// For looking through `bytes` from `base` on.
    pub(super) fn new(bytes: &'a [u8], base: usize) -> Self {
        let mut hasher = crc32fast::Hasher::new();
        let blocks = bytes[base..].chunks(BLOCK_BYTES).map(|block| {
            let before = hasher.clone().finalize();
            hasher.update(block);
            before
        });
        let mut before: Vec<u32> = blocks.collect();
        before.push(hasher.finalize());
        let mut moves = [[ONE; 256]; 4];
        let mut step = BYTE;
        for place in &mut moves {
            for byte in 1..256 {
                place[byte] = multiplied(place[byte - 1], step);
            }
            step = multiplied(place[255], step);
        }
        Self {
            bytes,
            base,
            before,
            moves,
            #[cfg(test)]
            hashed: std::cell::Cell::new(bytes.len() - base),
        }
    }

    /// Where the first whole record begins from `from` on, which is not before the base.
    pub(super) fn next_record(&self, from: usize) -> Option<usize> {
        (from..self.bytes.len()).find(|at| self.is_record(*at))
    }

    fn is_record(&self, at: usize) -> bool {
        let Some((length, crc)) = head_at(self.bytes, at) else { return false };
        let start = at + HEAD_BYTES;
        let moved = length.to_le_bytes().iter().zip(&self.moves).fold(ONE, |moved, (byte, moves)| {
            if *byte == 0 { moved } else { multiplied(moved, moves[usize::from(*byte)]) }
        });
        self.checksum_to(start + length as usize) ^ multiplied(self.checksum_to(start), moved) == crc
    }

    /// The checksum of the bytes from the base to `end`.
    fn checksum_to(&self, end: usize) -> u32 {
        let block = (end - self.base) / BLOCK_BYTES;
        let rest = &self.bytes[self.base + block * BLOCK_BYTES..end];
        #[cfg(test)]
        self.hashed.update(|hashed| hashed + rest.len());
        let mut hasher = crc32fast::Hasher::new_with_initial(self.before[block]);
        hasher.update(rest);
        hasher.finalize()
    }
}

/// The product of two polynomials modulo that of the checksum.
fn multiplied(one: u32, mut other: u32) -> u32 {
    let mut product = 0;
    for bit in (0..32).rev() {
        // All bits of a mask: whether the power is there cannot be foretold, and a wrong guess costs more than the work.
        product ^= other & 0_u32.wrapping_sub((one >> bit) & 1);
        other = (other >> 1) ^ (POLYNOMIAL & 0_u32.wrapping_sub(other & 1));
    }
    product
}

#[cfg(test)]
mod tests {
    use super::super::{RECORD_BYTES_MAX, frame};
    use super::*;

    #[test]
    fn a_record_is_found_wherever_it_begins_and_however_long_it_is() {
        let anywhere: &[_] = &[(0, 0), (0, 1), (3, 77), (64, 200)];
        let short = [1, 7, 63, 64, 65, 255, 256, 4_096, 70_000].map(|length| (length, anywhere));
        for (length, places) in short.into_iter().chain([(17 << 20, &anywhere[1..2])]) {
            for &(base, before) in places {
                let record: Vec<u8> = (0..length).map(|place| ((place * 31 % 251) | 4) as u8).collect();
                let mut bytes = vec![0xff; before];
                frame(&mut bytes, &record);
                bytes.extend([0xff; 9]);
                let search = Search::new(&bytes, base.min(before));
                assert_eq!(search.next_record(base.min(before)), Some(before), "{length} bytes at {before}");
                bytes[before + 8 + length / 2] ^= 1;
                let search = Search::new(&bytes, base.min(before));
                assert_eq!(search.next_record(before), None, "{length} bytes at {before}");
            }
        }
    }

    #[test]
    fn looking_through_a_damaged_record_takes_a_time_that_grows_with_its_length() {
        // Every 64 bytes something looks like lengths of a mebibyte, of 4 KiB and of 16 bytes.
        let mut unit = [0xff; 64];
        unit[..6].copy_from_slice(&[0, 0, 16, 0, 0, 0]);
        let mut bytes = Vec::new();
        frame(&mut bytes, &unit.repeat(16 << 14));
        let end = bytes.len();
        assert!((16 << 20..RECORD_BYTES_MAX).contains(&end));
        frame(&mut bytes, b"the next");
        bytes[1_000] ^= 1;
        let search = Search::new(&bytes, 0);
        assert_eq!(search.next_record(1), Some(end));
        // To the end of each of these records it would be 256 gibibytes.
        let hashed = search.hashed.get();
        assert!((bytes.len()..16 * bytes.len()).contains(&hashed), "{hashed} bytes were hashed");
    }
}
