//! What holds for any two ends and for any bytes.

use proptest::prelude::*;
use proxy::{Between, HEAD_BYTES, Read, head, read, wanted};
use std::net::{IpAddr, SocketAddr};

fn address() -> impl Strategy<Value = SocketAddr> {
    let ip = prop_oneof![any::<[u8; 4]>().prop_map(IpAddr::from), any::<[u8; 16]>().prop_map(IpAddr::from)];
    (ip, any::<u16>()).prop_map(SocketAddr::from)
}

/// The same without a coat of IPv6, which two ends of IPv4 lose on the way.
fn bare(address: SocketAddr) -> SocketAddr {
    (address.ip().to_canonical(), address.port()).into()
}

proptest! {
    #[test]
    fn what_is_written_is_read(from in address(), to in address(), rest in any::<Vec<u8>>()) {
        let said = [head(Between { from, to }), rest].concat();
        let Ok(Read::Whole { between: Some(between), consumed }) = read(&said) else {
            panic!("{:?}", read(&said))
        };
        prop_assert_eq!((bare(between.from), bare(between.to)), (bare(from), bare(to)));
        prop_assert_eq!(consumed, head(Between { from, to }).len());
    }

    #[test]
    fn however_bytes_are_cut_the_same_is_read(from in address(), to in address(), noise in any::<(prop::sample::Index, u8)>()) {
        let mut said = head(Between { from, to });
        let at = noise.0.index(said.len());
        said[at] ^= noise.1;
        said.resize(HEAD_BYTES * 2, 0);
        let whole = read(&said);
        let end = if let Ok(Read::Whole { consumed, .. }) = whole { consumed } else { said.len() };
        for cut in 0..=end {
            let begun = read(&said[..cut]);
            prop_assert_eq!(wanted(&said[..cut]) > 0, begun == Ok(Read::Incomplete));
            if matches!(whole, Ok(Read::Whole { .. })) {
                prop_assert!(cut + wanted(&said[..cut]) <= end, "what is behind the head is not wanted");
            }
            prop_assert!(begun == whole || begun == Ok(Read::Incomplete), "{:?} at {} and then {:?}", begun, cut, whole);
        }
        prop_assert!(whole != Ok(Read::Incomplete), "nobody is waited for beyond the longest head");
    }
}
