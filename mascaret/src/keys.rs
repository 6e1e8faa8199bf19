//! Publish keys: made here, shown once, kept by the ingest as a hash only.

use std::process::ExitCode;

use ingest::keys::KeyHash;
use media::BroadcastId;

use crate::{DONE, cli, failed, wrong_usage};

/// 160 random bits: what nobody guesses, in 32 letters that survive every settings file and every URL.
const KEY_BYTES: usize = 20;

/// A new key, base32 without look-alikes (RFC 4648's alphabet, lower case).
pub(crate) fn new_key() -> Result<String, getrandom::Error> {
    let mut bytes = [0; KEY_BYTES];
    getrandom::fill(&mut bytes)?;
    Ok(base32(&bytes))
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

pub(crate) fn publish_key(args: &cli::IngestKey) -> ExitCode {
    crate::sys::end_with_our_reader();
    let broadcast = match BroadcastId::parse(&args.broadcast) {
        Ok(broadcast) => broadcast,
        Err(error) => return wrong_usage(error),
    };
    let key = match new_key() {
        Ok(key) => key,
        Err(error) => return failed(error),
    };
    let hash = KeyHash::of(&key);
    if args.json {
        println!(
            "{}",
            serde_json::json!({ "broadcast": broadcast.as_str(), "key": key, "hash": hash.to_string() })
        );
    } else {
        println!("key (shown once; for the publisher)   {key}");
        println!("stream key in OBS                     {broadcast}?key={key}");
        println!(
            "\nfor the ingest's settings:\n\n[[ingest.publishers]]\nbroadcast = \"{broadcast}\"\nkey = \"{hash}\""
        );
    }
    DONE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_long_and_never_the_same() {
        let (one, other) = (new_key().unwrap(), new_key().unwrap());
        assert_eq!(one.len(), 32);
        assert_ne!(one, other);
        assert!(one.bytes().all(|byte| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(&byte)));
        // RFC 4648, 10.
        assert_eq!(base32(b"fooba"), "mzxw6ytb");
    }
}
