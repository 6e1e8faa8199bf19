//! Base64url without padding (RFC 4648, section 5), for texts that leave no bits over.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// The 4 characters of every 3 bytes. `bytes` is a multiple of 3 long and `text` 4/3 of it.
pub(crate) fn encode(bytes: &[u8], text: &mut [u8]) {
    debug_assert!(bytes.len().is_multiple_of(3) && text.len() == bytes.len() / 3 * 4);
    for (three, four) in bytes.chunks_exact(3).zip(text.chunks_exact_mut(4)) {
        let bits = u32::from(three[0]) << 16 | u32::from(three[1]) << 8 | u32::from(three[2]);
        for (place, character) in four.iter_mut().enumerate() {
            *character = ALPHABET[(bits >> (18 - 6 * place) & 63) as usize];
        }
    }
}

/// The six bits of a character; `also` are the two characters that stand beside `-` and `_`.
pub(crate) fn value(character: u8, also: [u8; 2]) -> Option<u8> {
    Some(match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'-' => 62,
        b'_' => 63,
        _ if character == also[0] => 62,
        _ if character == also[1] => 63,
        _ => return None,
    })
}

/// The other way; on a refusal, where the first character stands that is none.
pub(crate) fn decode(text: &[u8], bytes: &mut [u8]) -> Result<(), usize> {
    debug_assert!(text.len().is_multiple_of(4) && bytes.len() == text.len() / 4 * 3);
    for (at, (four, three)) in text.chunks_exact(4).zip(bytes.chunks_exact_mut(3)).enumerate() {
        let mut bits = 0;
        for (place, &character) in four.iter().enumerate() {
            let six = value(character, [b'-', b'_']).ok_or(at * 4 + place)?;
            bits = bits << 6 | u32::from(six);
        }
        three.copy_from_slice(&bits.to_be_bytes()[1..]);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_rfc_4648_that_need_no_padding() {
        for (plain, coded) in
            [(&b"foo"[..], &b"Zm9v"[..]), (b"foobar", b"Zm9vYmFy"), (b"\xfb\xff\xfe", b"-__-")]
        {
            let mut text = vec![0; coded.len()];
            encode(plain, &mut text);
            assert_eq!(text, coded);
            let mut bytes = vec![0; plain.len()];
            assert_eq!(decode(coded, &mut bytes), Ok(()));
            assert_eq!(bytes, plain);
        }
    }

    #[test]
    fn a_strange_character_is_refused_where_it_stands() {
        for (text, at) in [("Zm9+", 3), ("Zm9vZ=9v", 5), ("Z\n9v", 1)] {
            assert_eq!(decode(text.as_bytes(), &mut vec![0; text.len() / 4 * 3]), Err(at));
        }
    }
}
