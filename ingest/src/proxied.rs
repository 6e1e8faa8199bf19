//! Whose a connection is that a proxy passes on: PROXY protocol version 2, before TLS and before RTMP.
//!
//! Lives here: waiting for the head, and reading not a byte beyond it. Does not live here: what a head is (`proxy`), or
//! what follows from an address (`door`).
//!
//! Who is named in `ingest.proxies` begins with a head, always; who is not never does, and is refused by what it says: neither
//! RTMP nor TLS begins so. Edges are milder (decision 23).

use proxy::{Network, Read};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt};

/// How long a proxy may take to say whose a connection is: it is its first word.
pub(crate) const HEAD_WITHIN: Duration = Duration::from_secs(5);

/// Why it is not known whose a connection is.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Nameless {
    /// It has ended, or was reset, before it said anything: a look whether we live.
    #[error("it ended before it said anything")]
    Silent,
    /// It has ended in mid-head.
    #[error("it ended within its PROXY head")]
    Begun,
    /// It is no head.
    #[error(
        "it begins with something else than a head of PROXY protocol version 2, which who is named in \
         `ingest.proxies` must"
    )]
    Absent,
    /// It begins like one.
    #[error("its PROXY head is none: {0}")]
    Broken(#[from] proxy::Refused),
    /// It takes its time.
    #[error("no PROXY head within {0:?}")]
    Late(Duration),
}

/// Who is believed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Proxies(pub(crate) Vec<Network>);

impl Proxies {
    /// Whether connections from there are somebody else's.
    pub(crate) fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

/// Whose a proxy's connection is; the proxy's own where it says that.
pub(crate) async fn whose(
    socket: &mut (impl AsyncRead + Unpin),
    proxy: SocketAddr,
    within: Duration,
) -> Result<SocketAddr, Nameless> {
    match tokio::time::timeout(within, head(socket)).await {
        Ok(from) => Ok(from?.unwrap_or(proxy)),
        Err(_) => Err(Nameless::Late(within)),
    }
}

async fn head(socket: &mut (impl AsyncRead + Unpin)) -> Result<Option<SocketAddr>, Nameless> {
    let mut said = Vec::new();
    loop {
        match proxy::read(&said)? {
            Read::Whole { between, .. } => return Ok(between.map(|between| between.from)),
            Read::Absent => return Err(Nameless::Absent),
            Read::Incomplete => {}
        }
        // No more than the head has: what is behind it is TLS's, or RTMP's.
        let mut more = socket.take(proxy::wanted(&said) as u64);
        match more.read_buf(&mut said).await {
            Ok(1..) => {}
            _ if said.is_empty() => return Err(Nameless::Silent),
            _ => return Err(Nameless::Begun),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use proxy::{Between, HEAD_BYTES};
    use tokio::io::AsyncWriteExt;

    const PROXY: ([u8; 4], u16) = ([10, 0, 0, 3], 40_000);

    fn now<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
    }

    /// What comes of these bytes, and what is left for whoever reads on.
    fn of(mut said: &[u8]) -> (Result<SocketAddr, String>, &[u8]) {
        let whose = now(whose(&mut said, PROXY.into(), HEAD_WITHIN)).map_err(|why| why.to_string());
        (whose, said)
    }

    fn between(from: SocketAddr) -> Between {
        Between { from, to: SocketAddr::from(([10, 0, 0, 1], 1935)) }
    }

    #[test]
    fn a_proxy_says_whose_it_is_and_rtmp_begins_behind_that() {
        let from = SocketAddr::from(([203, 0, 113, 7], 50_123));
        let said = [proxy::head(between(from)), b"\x03rtmp".to_vec()].concat();
        assert_eq!(of(&said), (Ok(from), &b"\x03rtmp"[..]));
        // A look whether we live, by HAProxy: LOCAL, without addresses.
        let local = [&proxy::SIGNATURE[..], &[0x20, 0, 0, 0], b"\x03"].concat();
        assert_eq!(of(&local), (Ok(PROXY.into()), &b"\x03"[..]));
    }

    #[test]
    fn what_is_no_head_is_refused_in_words() {
        assert!(of(b"").0.unwrap_err().contains("before it said anything"));
        assert!(of(&proxy::SIGNATURE).0.unwrap_err().contains("within its PROXY head"));
        let rtmp = [&[3][..], &[0; 1536]].concat();
        assert!(of(&rtmp).0.unwrap_err().contains("`ingest.proxies`"));
        // Version 1 is a line of text.
        assert!(of(b"PROXY TCP4 203.0.113.7 10.0.0.1 50123 1935\r\n").0.unwrap_err().contains("version 2"));
        let version_3 = [&proxy::SIGNATURE[..], &[0x31]].concat();
        assert!(of(&version_3).0.unwrap_err().contains("0x31"));
    }

    #[test]
    fn a_proxy_that_says_nothing_is_not_waited_for() {
        now(async {
            let (mut ours, mut its) = tokio::io::duplex(64);
            its.write_all(&proxy::SIGNATURE[..3]).await.unwrap();
            let within = Duration::from_millis(20);
            let why = whose(&mut ours, PROXY.into(), within).await.unwrap_err();
            assert_eq!(why.to_string(), "no PROXY head within 20ms");
        });
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_as_one_reads_them_whole_and_nothing_behind_a_head_is_lost(
            from in any::<([u8; 4], u16)>(),
            spoiled in any::<(prop::sample::Index, u8)>(),
            tlvs in prop::collection::vec(any::<u8>(), 0..1100),
            rest in prop::collection::vec(any::<u8>(), 0..50),
        ) {
            let mut said = proxy::head(between(from.into()));
            let len = said.len() - 16 + tlvs.len();
            said[14..16].copy_from_slice(&u16::try_from(len).unwrap().to_be_bytes());
            said.extend(tlvs);
            let at = spoiled.0.index(28);
            said[at] ^= spoiled.1;
            said.extend(rest);
            let (whose, left) = of(&said);
            match proxy::read(&said) {
                Ok(Read::Whole { between, consumed }) => {
                    prop_assert_eq!(whose, Ok(between.map_or_else(|| PROXY.into(), |it| it.from)));
                    prop_assert_eq!(left, &said[consumed..]);
                    prop_assert!(consumed <= HEAD_BYTES);
                }
                _ => prop_assert!(whose.is_err()),
            }
        }

        #[test]
        fn a_strangers_bytes_are_refused_and_no_more_of_them_is_read_than_a_head_has(
            said in prop::collection::vec(any::<u8>(), 0..3000),
        ) {
            let (whose, left) = of(&said);
            prop_assert!(whose.is_err(), "random bytes are no head");
            prop_assert!(said.len() - left.len() <= 16);
        }
    }
}
