//! PROXY protocol heads: what a balancer before an edge or an ingest says of who connects.

use crate::Chance;
use proxy::{Between, HEAD_BYTES, Read, SIGNATURE, head, read, wanted};
use std::net::{IpAddr, SocketAddr};

/// However it is cut, the same is read; nobody is waited for beyond the bound; what was read is written again as it was.
pub fn proxy_heads(bytes: &[u8]) {
    let whole = read(bytes);
    let end = match whole {
        Ok(Read::Whole { between, consumed }) => {
            assert!((16..=HEAD_BYTES).contains(&consumed) && consumed <= bytes.len());
            if let Some(between) = between {
                let again = read(&head(between));
                let Ok(Read::Whole { between: Some(again), .. }) = again else { panic!("{again:?}") };
                let bare = |it: Between| [it.from, it.to].map(|end| (end.ip().to_canonical(), end.port()));
                assert_eq!(bare(again), bare(between));
            }
            consumed
        }
        Ok(Read::Incomplete) => {
            assert!(bytes.len() < HEAD_BYTES, "{} bytes are waited for more", bytes.len());
            bytes.len()
        }
        Ok(Read::Absent) => {
            assert!(!bytes.starts_with(&SIGNATURE));
            bytes.len()
        }
        Err(refused) => {
            assert!(bytes.starts_with(&SIGNATURE) && !refused.to_string().is_empty());
            bytes.len()
        }
    };
    for cut in [0, 1, 11, 12, 13, 14, 15, 16, end / 2, end.saturating_sub(1), end] {
        let begun = read(&bytes[..cut.min(end)]);
        assert!(begun == whole || begun == Ok(Read::Incomplete), "{begun:?} at {cut}, then {whole:?}");
    }
    // Who reads only what is wanted has the head, and nothing of what is behind it.
    let mut at = 0;
    while let more @ 1.. = wanted(&bytes[..at]) {
        at += more;
        if at > bytes.len() {
            return assert!(!matches!(whole, Ok(Read::Whole { .. })), "{at} of {} are wanted", bytes.len());
        }
    }
    if let Ok(Read::Whole { consumed, .. }) = whole {
        assert_eq!(at, consumed);
    }
}

/// A head, often with TLVs, and the beginning of what follows.
pub fn good_head(chance: &mut Chance) -> Vec<u8> {
    let is_v6 = chance.one_in(2);
    let end = |chance: &mut Chance| {
        let mut octets = [0; 16];
        octets.iter_mut().for_each(|octet| *octet = chance.byte());
        let ip = if is_v6 {
            IpAddr::from(octets)
        } else {
            IpAddr::from([octets[0], octets[1], octets[2], octets[3]])
        };
        SocketAddr::from((ip, u16::from_be_bytes([octets[14], octets[15]])))
    };
    let between = Between { from: end(chance), to: end(chance) };
    let mut said = head(between);
    if chance.one_in(4) {
        // The proxy itself, or no TCP.
        said[12] = chance.pick(&[0x20, 0x21]);
        said[13] = chance.pick(&[0x00, 0x11, 0x12, 0x21, 0x22, 0x31, 0x32]);
    }
    for _ in 0..chance.below(4) {
        let len = chance.below(60);
        said.push(chance.pick(&[1, 2, 3, 4, 5, 0x20, 0x30]));
        said.extend((len as u16).to_be_bytes());
        let value = chance.bytes(len);
        said.extend(value);
    }
    let len = (said.len() - 16) as u16;
    said[14..16].copy_from_slice(&len.to_be_bytes());
    said.extend(b"GET / HTTP/1.1\r\n");
    said
}
