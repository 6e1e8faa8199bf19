//! Random words, and how bytes are written: what is shown once and kept as a SHA-256 only.

use sha2::{Digest, Sha256};

/// 160 random bits: what nobody guesses, in 32 letters that survive every settings file and every URL.
const WORD_BYTES: usize = 20;
/// The bytes of an id: 96 random bits never meet.
const ID_BYTES: usize = 12;

/// `N` random bytes of the kernel's.
///
/// # Panics
/// Where the kernel has none, which is before anything else works.
pub(crate) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the kernel has random bytes");
    bytes
}

/// A new secret in RFC 4648's base32, lower case.
pub fn word() -> String {
    base32(&random::<WORD_BYTES>())
}

/// A new id, in hex.
pub(crate) fn id() -> String {
    hex(&random::<ID_BYTES>())
}

/// SHA-256: how a word is kept.
pub(crate) fn digest(word: &str) -> [u8; 32] {
    Sha256::digest(word.as_bytes()).into()
}

fn base32(bytes: &[u8]) -> String {
    const LETTERS: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
    bytes
        .chunks_exact(5)
        .flat_map(|five| {
            let word = five.iter().fold(0_u64, |word, byte| word << 8 | u64::from(*byte));
            (0..8).rev().map(move |at| char::from(LETTERS[(word >> (at * 5) & 31) as usize]))
        })
        .collect()
}

/// As hex digits, lower case.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// Hex digits, of either case, back.
pub(crate) fn unhex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u32> = text.chars().map(|digit| digit.to_digit(16)).collect::<Option<_>>()?;
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    Some(digits.chunks_exact(2).map(|pair| (pair[0] << 4 | pair[1]) as u8).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_long_and_never_the_same() {
        let (one, other) = (word(), word());
        assert_eq!((one.len(), id().len()), (32, 24));
        assert_ne!(one, other);
        // RFC 4648, 10.
        assert_eq!(base32(b"fooba"), "mzxw6ytb");
    }

    #[test]
    fn hex_comes_back_as_it_went() {
        assert_eq!(unhex(&hex(&[0, 0x9f, 255])), Some(vec![0, 0x9f, 255]));
        assert_eq!(unhex("abc"), None);
        assert_eq!(unhex("zz"), None);
    }
}
