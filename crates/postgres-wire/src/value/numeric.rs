//! PostgreSQL's binary form of decimal numbers: digits to the base of ten thousand.

use bytes::{BufMut, BytesMut};

/// Appends the number that `text` writes with plain digits, as Arrow does.
pub(super) fn put(text: &str, out: &mut BytesMut) {
    let (sign, plain) = text.strip_prefix('-').map_or((0_u16, text), |plain| (0x4000, plain));
    let (whole, fraction) = plain.split_once('.').unwrap_or((plain, ""));
    let whole = whole.trim_start_matches('0');
    let scale = fraction.len();
    let padded = format!("{}{whole}{fraction}{}", "0".repeat(fill(whole.len())), "0".repeat(fill(scale)));
    let digit = |four: &[u8]| four.iter().fold(0_i16, |sum, letter| sum * 10 + i16::from(letter.wrapping_sub(b'0')));
    let digits: Vec<i16> = padded.as_bytes().chunks(4).map(digit).collect();
    let leading = digits.iter().take_while(|digit| **digit == 0).count();
    let trailing = digits[leading..].iter().rev().take_while(|digit| **digit == 0).count();
    let kept = &digits[leading..digits.len() - trailing];
    let weight = whole.len().div_ceil(4) as i16 - 1 - leading as i16;
    out.put_i16(kept.len() as i16);
    out.put_i16(if kept.is_empty() { 0 } else { weight });
    out.put_u16(if kept.is_empty() { 0 } else { sign });
    out.put_u16(scale as u16);
    for digit in kept {
        out.put_i16(*digit);
    }
}

/// How many zeros make `length` a multiple of four.
fn fill(length: usize) -> usize {
    (4 - length % 4) % 4
}
