//! How whole numbers become bytes, before zstd squeezes them: the encodings of Parquet, laid out so that zstd finds
//! something. Its entropy coder works on bytes, so what is packed to 4 or 8 bits against one reference for the whole
//! page gives it the same symbols for the same differences; what is packed as tightly as can be gives it noise. A
//! large step, as between the last row of an asset and the first of the next, would spoil the alignment of the 31
//! values beside it; these are written with 64 bits, whose zeros zstd takes for next to nothing.
//!
//! This module must not know of columns, files or compression.

/// Values of one miniblock: the least that Parquet allows, so that a large step makes few others wide.
const MINI: usize = 32;

/// The least block that Parquet allows, for numbers that are packed as tightly as can be.
const TIGHT_BLOCK: usize = 128;

/// The largest block of numbers that are packed against one reference. Widths stand at the start of a block, where
/// they do not come between the values.
const ALIGNED_BLOCK: usize = 32_768;

/// How many differences are looked at to find a reference.
const REFERENCE_SAMPLE: usize = 2_048;

/// How wide a stored number is. The 32 lower bits of a narrow one count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Width {
    Narrow,
    Wide,
}

impl Width {
    pub(super) fn bytes(self) -> usize {
        match self {
            Self::Narrow => 4,
            Self::Wide => 8,
        }
    }

    fn bits(self) -> u32 {
        8 * self.bytes() as u32
    }

    /// `number` as this width has it: arithmetic wraps around.
    fn wrap(self, number: i64) -> i64 {
        match self {
            Self::Narrow => i64::from(number as i32),
            Self::Wide => number,
        }
    }

    fn unsigned(self, number: i64) -> u64 {
        match self {
            Self::Narrow => u64::from(number as u32),
            Self::Wide => number as u64,
        }
    }
}

/// How differences are packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    /// 4, 8 or all bits, against the reference that 4 bits hold most differences from.
    Nibbles,
    /// 8 or all bits, against the reference that 8 bits hold most differences from.
    Bytes,
    /// As few bits as can be, against the least of each block.
    Tight,
}

/// Appends `values` to `output` in the encoding `DELTA_BINARY_PACKED`.
pub(super) fn pack_deltas(values: &[i64], width: Width, packing: Packing, output: &mut Vec<u8>) {
    let deltas = values.len().saturating_sub(1);
    let block = match packing {
        Packing::Tight => TIGHT_BLOCK,
        Packing::Nibbles | Packing::Bytes => deltas.next_multiple_of(TIGHT_BLOCK).clamp(TIGHT_BLOCK, ALIGNED_BLOCK),
    };
    push_varint(block as u64, output);
    push_varint((block / MINI) as u64, output);
    push_varint(values.len() as u64, output);
    push_varint(zigzag(width.wrap(values.first().copied().unwrap_or(0))), output);
    let common = match packing {
        Packing::Nibbles => Some(reference(values, width, 15)),
        Packing::Bytes => Some(reference(values, width, 255)),
        Packing::Tight => None,
    };
    for start in (0..deltas).step_by(block) {
        // One value more than there are differences.
        let values = &values[start..values.len().min(start + block + 1)];
        let reference = common.unwrap_or_else(|| {
            let deltas = values.windows(2).map(|pair| width.wrap(pair[1].wrapping_sub(pair[0])));
            deltas.min().unwrap_or(0)
        });
        push_varint(zigzag(reference), output);
        pack_block(values, width, packing, reference, block / MINI, output);
    }
}

fn pack_block(values: &[i64], width: Width, packing: Packing, reference: i64, minis: usize, output: &mut Vec<u8>) {
    let widths = output.len();
    output.resize(widths + minis, 0);
    let deltas = values.len() - 1;
    for (mini, start) in (0..deltas).step_by(MINI).enumerate() {
        let mut above = [0; MINI];
        let count = MINI.min(deltas - start);
        let mut any = 0;
        for (place, above) in above[..count].iter_mut().enumerate() {
            let delta = values[start + place + 1].wrapping_sub(values[start + place]);
            *above = width.unsigned(delta.wrapping_sub(reference));
            any |= *above;
        }
        let bits = match (packing, u64::BITS - any.leading_zeros()) {
            (_, 0) => 0,
            (Packing::Tight, bits) => bits,
            (Packing::Nibbles, ..=4) => 4,
            (_, ..=8) => 8,
            _ => width.bits(),
        };
        output[widths + mini] = bits as u8;
        pack_bits(&above, bits, output);
    }
}

/// The number from which on `span` further ones hold the most differences, in the middle of what room is left.
fn reference(values: &[i64], width: Width, span: u64) -> i64 {
    let step = values.len().div_ceil(REFERENCE_SAMPLE).max(1);
    let pairs = values.windows(2).step_by(step);
    let mut deltas: Vec<i64> = pairs.map(|pair| width.wrap(pair[1].wrapping_sub(pair[0]))).collect();
    deltas.sort_unstable();
    let (mut best, mut best_count, mut end) = (0, 0, 0);
    for (start, least) in deltas.iter().enumerate() {
        while deltas.get(end).is_some_and(|delta| delta.wrapping_sub(*least) as u64 <= span) {
            end += 1;
        }
        if end - start > best_count {
            best_count = end - start;
            let room = span - deltas[end - 1].wrapping_sub(*least) as u64;
            best = least.wrapping_sub((room / 2) as i64);
        }
    }
    width.wrap(best)
}

/// Appends the lower `bits` of each of `numbers`, whose count times `bits` is a multiple of 8.
pub(super) fn pack_bits(numbers: &[u64], bits: u32, output: &mut Vec<u8>) {
    match bits {
        0 => {}
        4 => output.extend(numbers.chunks(2).map(|pair| (pair[0] | pair[1] << 4) as u8)),
        8 => output.extend(numbers.iter().map(|number| *number as u8)),
        64 => output.extend(numbers.iter().flat_map(|number| number.to_le_bytes())),
        _ => {
            let (mut waiting, mut count) = (0_u64, 0);
            for number in numbers {
                waiting |= number << count;
                count += bits;
                if count >= u64::BITS {
                    output.extend_from_slice(&waiting.to_le_bytes());
                    count -= u64::BITS;
                    // What did not fit any more; all of it did where nothing is left.
                    waiting = if count == 0 { 0 } else { number >> (bits - count) };
                }
            }
            output.extend_from_slice(&waiting.to_le_bytes()[..count.div_ceil(8) as usize]);
        }
    }
}

/// Appends `values` in the encoding `PLAIN`.
pub(super) fn push_plain(values: &[i64], width: Width, output: &mut Vec<u8>) {
    match width {
        Width::Narrow => output.extend(values.iter().flat_map(|value| (*value as i32).to_le_bytes())),
        Width::Wide => output.extend(values.iter().flat_map(|value| value.to_le_bytes())),
    }
}

/// Appends `values` in the encoding `BYTE_STREAM_SPLIT`: first the lowest byte of each, then the next.
pub(super) fn push_split(values: &[i64], width: Width, output: &mut Vec<u8>) {
    for place in 0..width.bytes() {
        output.extend(values.iter().map(|value| (value >> (8 * place)) as u8));
    }
}

/// Appends places in a dictionary of `words` values, in the encoding `RLE_DICTIONARY`, as one run of 4 or 8 bits
/// each: zstd finds the repetitions.
pub(super) fn push_places(places: &[u8], words: usize, output: &mut Vec<u8>) {
    let bits = if words <= 16 { 4 } else { 8 };
    output.push(bits);
    let groups = places.len().div_ceil(8);
    push_varint((groups as u64) << 1 | 1, output);
    let start = output.len();
    match bits {
        4 => output.extend(places.chunks(2).map(|pair| pair[0] | pair.get(1).map_or(0, |place| place << 4))),
        _ => output.extend_from_slice(places),
    }
    output.resize(start + groups * usize::from(bits), 0);
}

/// Appends the definition levels of rows whose bits in `validity` say whether they have a value, least bit first, as a
/// version 1 page has them. Nothing is said of a bit behind the last row.
pub(super) fn push_levels(validity: Option<&[u8]>, rows: usize, output: &mut Vec<u8>) {
    let length = output.len();
    output.extend_from_slice(&[0; 4]);
    match validity {
        None => push_run(true, rows, output),
        Some(bytes) => {
            // The bits of a byte are one group of eight levels, as Parquet has them.
            let mut start = 0;
            while start < bytes.len() {
                let first = bytes[start];
                let same = bytes[start..].iter().take_while(|byte| **byte == first).count();
                if matches!(first, 0 | 0xff) {
                    push_run(first != 0, (8 * same).min(rows - 8 * start), output);
                    start += same;
                    continue;
                }
                let mixed = bytes[start..].iter().take_while(|byte| !matches!(**byte, 0 | 0xff)).count();
                push_varint((mixed as u64) << 1 | 1, output);
                output.extend_from_slice(&bytes[start..start + mixed]);
                start += mixed;
            }
        }
    }
    let bytes = (output.len() - length - 4) as u32;
    output[length..length + 4].copy_from_slice(&bytes.to_le_bytes());
}

fn push_run(present: bool, rows: usize, output: &mut Vec<u8>) {
    push_varint((rows as u64) << 1, output);
    output.push(u8::from(present));
}

fn push_varint(mut number: u64, output: &mut Vec<u8>) {
    while number >= 0x80 {
        output.push(number as u8 | 0x80);
        number >>= 7;
    }
    output.push(number as u8);
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63) as u64
}
