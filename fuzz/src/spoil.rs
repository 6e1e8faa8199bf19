//! Spoiling: what goes wrong with bytes by accident, and what is done to them on purpose.

use crate::Chance;

/// The longest that spoiling makes a case; the bounds of the readers are tested by name, elsewhere.
const LONGEST: usize = 16 * 1024;

/// Spoils the bytes in one place.
pub fn spoil(bytes: &mut Vec<u8>, chance: &mut Chance) {
    if bytes.is_empty() {
        let byte = chance.byte();
        bytes.push(byte);
    }
    let at = chance.below(bytes.len());
    match chance.below(12) {
        0 | 1 => bytes[at] ^= 1 << chance.below(8),
        2 => bytes[at] = chance.byte(),
        3 => bytes[at] = chance.pick(&[0, 1, 2, 3, 0x7f, 0x80, 0xbf, 0xc0, 0xff]),
        4 | 5 => {
            // A length, a time or a type, in either order of bytes.
            let width = 1 + chance.below(4);
            let number = chance.awkward(8 * width as u32);
            let number = if chance.one_in(4) { number.to_le_bytes() } else { number.to_be_bytes() };
            let number = if chance.one_in(4) { &number[..width] } else { &number[4 - width..] };
            let end = bytes.len().min(at + width);
            bytes[at..end].copy_from_slice(&number[..end - at]);
        }
        6 => bytes.truncate(at),
        7 => {
            let end = some_end(at, bytes.len(), chance);
            bytes.drain(at..end);
        }
        8 => {
            let len = 1 + chance.below(8);
            let noise = chance.bytes(len);
            bytes.splice(at..at, noise);
        }
        9 => {
            // Once more, or many times more.
            let end = some_end(at, bytes.len(), chance);
            let times = if chance.one_in(4) { 1 + chance.below(64) } else { 1 };
            let again = bytes[at..end].repeat(times);
            bytes.splice(at..at, again);
        }
        10 => {
            let end = some_end(at, bytes.len(), chance);
            let to = chance.below(bytes.len() - (end - at) + 1);
            let moved: Vec<u8> = bytes.drain(at..end).collect();
            bytes.splice(to..to, moved);
        }
        _ => {
            let end = some_end(at, bytes.len(), chance);
            bytes[at..end].fill(0);
        }
    }
    bytes.truncate(LONGEST);
}

/// The beginning of these and the end of those.
pub(crate) fn splice(bytes: &mut Vec<u8>, other: &[u8], chance: &mut Chance) {
    let keep = chance.below(bytes.len() + 1);
    let from = chance.below(other.len() + 1);
    bytes.truncate(keep);
    bytes.extend(&other[from..]);
}

/// The end of a range that begins here: short mostly.
fn some_end(at: usize, len: usize, chance: &mut Chance) -> usize {
    let most = if chance.one_in(4) { len - at } else { (len - at).min(16) };
    at + 1 + chance.below(most)
}
