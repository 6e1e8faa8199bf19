//! PROXY protocol version 2 (HAProxy's `proxy-protocol.txt`, 2.2): who connects, in a head before everything else.
//!
//! Lives here: the head, read ([`read`]) and written ([`head`]), and which proxies are believed ([`Network`]). Does not
//! live here: sockets, or what follows from an address (`percore` counts it).
//!
//! ```text
//! "\r\n\r\n\0\r\nQUIT\n"  version·command  family·transport  length:u16  addresses, TLVs
//!          12                    1                1               2        as long as it says
//! ```

mod network;

pub use network::{Network, NetworkError};

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

/// What every head begins with: the beginning of nothing else that is spoken to us.
pub const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";

/// The longest head that is read: addresses take at most 232 bytes, the rest are TLVs, which are passed over. What
/// proxies send of them (a name, a version of TLS, a checksum) is a few hundred bytes.
pub const HEAD_BYTES: usize = 1024;

/// Signature, version and command, family and transport, length.
const FIXED: usize = 16;
const VERSION: u8 = 2;
/// The proxy's own connection: a check of its health.
const LOCAL: u8 = 0;
const PROXIED: u8 = 1;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// Between whom a connection is, as the proxy has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Between {
    /// Who connects.
    pub from: SocketAddr,
    /// To where.
    pub to: SocketAddr,
}

/// What the first bytes of a connection are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Read {
    /// They may become a head.
    Incomplete,
    /// They are something else: there is no head.
    Absent,
    /// A head.
    Whole {
        /// Between whom; `None` where the proxy speaks for itself, or says nothing that is an address of TCP.
        between: Option<Between>,
        /// How many bytes it has.
        consumed: usize,
    },
}

/// Why a head is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Another version, or a command that version 2 does not have.
    #[error("version and command are 0x{0:02x}; 0x20 and 0x21 are allowed")]
    Version(u8),
    /// A family or transport that version 2 does not have.
    #[error("family and transport are 0x{0:02x}, which version 2 does not have")]
    Family(u8),
    /// Too little for the addresses that it announces.
    #[error("{0} bytes for two addresses that take {1}")]
    Short(usize, usize),
    /// More than is read.
    #[error("a head of {0} bytes; at most {HEAD_BYTES} are read")]
    Long(usize),
}

/// Looks at the first bytes of a connection, of which more may come.
///
/// # Errors
/// They begin like a head, and are none.
pub fn read(bytes: &[u8]) -> Result<Read, Refused> {
    let begun = bytes.len().min(SIGNATURE.len());
    if bytes[..begun] != SIGNATURE[..begun] {
        return Ok(Read::Absent);
    }
    // Refused at the first byte that is wrong: nothing is waited for that cannot help.
    let Some(&version_and_command) = bytes.get(12) else { return Ok(Read::Incomplete) };
    let command = version_and_command & 0x0f;
    if version_and_command >> 4 != VERSION || command > PROXIED {
        return Err(Refused::Version(version_and_command));
    }
    let Some(&family) = bytes.get(13) else { return Ok(Read::Incomplete) };
    if family >> 4 > 3 || family & 0x0f > 2 {
        return Err(Refused::Family(family));
    }
    let Some(&[high, low]) = bytes.get(14..FIXED) else { return Ok(Read::Incomplete) };
    let len = usize::from(u16::from_be_bytes([high, low]));
    let consumed = FIXED + len;
    if consumed > HEAD_BYTES {
        return Err(Refused::Long(consumed));
    }
    let wanted = match (command, family) {
        (LOCAL, _) => 0,
        (_, TCP_OVER_IPV4) => 12,
        (_, TCP_OVER_IPV6) => 36,
        _ => 0,
    };
    if len < wanted {
        return Err(Refused::Short(len, wanted));
    }
    let Some(rest) = bytes.get(FIXED..consumed) else { return Ok(Read::Incomplete) };
    let between = match wanted {
        12 => Some(v4(rest)),
        36 => Some(v6(rest)),
        _ => None,
    };
    Ok(Read::Whole { between, consumed })
}

/// How many more bytes a head has at least that begins so: who reads no more than that reads nothing of what is behind it.
/// 0 where no more is waited for.
pub fn wanted(bytes: &[u8]) -> usize {
    if read(bytes) != Ok(Read::Incomplete) {
        return 0;
    }
    let len = match bytes.get(14..FIXED) {
        Some(&[high, low]) => FIXED + usize::from(u16::from_be_bytes([high, low])),
        _ => FIXED,
    };
    len - bytes.len()
}

fn v4(bytes: &[u8]) -> Between {
    let address = |at: usize| Ipv4Addr::new(bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]);
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    Between { from: SocketAddr::from((address(0), port(8))), to: SocketAddr::from((address(4), port(10))) }
}

fn v6(bytes: &[u8]) -> Between {
    let address = |at: usize| {
        let mut octets = [0; 16];
        octets.copy_from_slice(&bytes[at..at + 16]);
        Ipv6Addr::from(octets)
    };
    let port = |at: usize| u16::from_be_bytes([bytes[at], bytes[at + 1]]);
    Between { from: SocketAddr::from((address(0), port(32))), to: SocketAddr::from((address(16), port(34))) }
}

/// The head for a connection; of 28 bytes, or of 52 where one end is of IPv6.
pub fn head(between: Between) -> Vec<u8> {
    let Between { from, to } = between;
    let mut head = SIGNATURE.to_vec();
    head.push(VERSION << 4 | PROXIED);
    match (from.ip().to_canonical(), to.ip().to_canonical()) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            head.extend([TCP_OVER_IPV4, 0, 12]);
            head.extend(source.octets().into_iter().chain(destination.octets()));
        }
        (source, destination) => {
            let v6 = |ip| match ip {
                IpAddr::V4(ip) => ip.to_ipv6_mapped().octets(),
                IpAddr::V6(ip) => ip.octets(),
            };
            head.extend([TCP_OVER_IPV6, 0, 36]);
            head.extend(v6(source).into_iter().chain(v6(destination)));
        }
    }
    head.extend(from.port().to_be_bytes());
    head.extend(to.port().to_be_bytes());
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    fn between(from: &str, to: &str) -> Between {
        Between { from: from.parse().unwrap(), to: to.parse().unwrap() }
    }

    #[test]
    fn a_head_is_as_the_specification_lays_it_out() {
        let head_of = |from, to| head(between(from, to));
        let wanted = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb";
        assert_eq!(head_of("192.0.2.1:56324", "198.51.100.2:443"), wanted);
        let head = head_of("[2001:db8::1]:1", "[2001:db8::2]:2");
        assert_eq!((head.len(), &head[12..16], head[31], head[47]), (52, &[0x21, 0x21, 0, 36][..], 1, 2));
        // A listener for both families sees IPv4 in a coat of IPv6.
        let head = head_of("[::ffff:192.0.2.1]:1", "[::ffff:192.0.2.2]:2");
        assert_eq!((head.len(), head[13]), (28, TCP_OVER_IPV4));
    }

    #[test]
    fn a_head_is_waited_for_to_its_last_byte_and_what_follows_is_left() {
        for between in [between("192.0.2.1:1", "192.0.2.2:2"), between("[2001:db8::1]:1", "[::1]:2")] {
            let mut said = head(between);
            let consumed = said.len();
            for cut in 0..consumed {
                assert_eq!(read(&said[..cut]), Ok(Read::Incomplete), "at {cut}");
            }
            said.extend(b"GET / HTTP/1.1\r\n");
            assert_eq!(read(&said), Ok(Read::Whole { between: Some(between), consumed }));
        }
    }

    /// A head with these four bytes behind the signature, and a body.
    fn made(fields: [u8; 2], body: &[u8]) -> Vec<u8> {
        let len = u16::try_from(body.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &fields, &len, body].concat()
    }

    #[test]
    fn a_proxy_that_speaks_for_itself_and_what_is_no_tcp_is_nobody_else() {
        // LOCAL, with addresses that mean nothing; UNSPEC; UDP; a unix socket; and TLVs behind all of them.
        for (fields, len) in
            [([0x20, 0x00], 0), ([0x20, 0x11], 3), ([0x21, 0x00], 9), ([0x21, 0x12], 12), ([0x21, 0x31], 216)]
        {
            let said = made(fields, &vec![7; len]);
            assert_eq!(read(&said), Ok(Read::Whole { between: None, consumed: 16 + len }), "{fields:?}");
        }
        let tlvs = [&[192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2][..], b"\x02\0\x04host", b"\x04\0\0"].concat();
        let said = made([0x21, 0x11], &tlvs);
        let wanted = between("192.0.2.1:1", "192.0.2.2:2");
        assert_eq!(read(&said), Ok(Read::Whole { between: Some(wanted), consumed: 16 + tlvs.len() }));
    }

    #[test]
    fn what_is_wrong_is_refused_as_soon_as_it_is_seen() {
        let begun = |fields: &[u8]| read(&[&SIGNATURE[..], fields].concat());
        assert_eq!(begun(&[0x11]), Err(Refused::Version(0x11)));
        assert_eq!(begun(&[0x22]), Err(Refused::Version(0x22)));
        assert_eq!(begun(&[0x21, 0x41]), Err(Refused::Family(0x41)));
        assert_eq!(begun(&[0x21, 0x13]), Err(Refused::Family(0x13)));
        assert_eq!(begun(&[0x21, 0x11, 0, 11]), Err(Refused::Short(11, 12)));
        assert_eq!(begun(&[0x21, 0x21, 0, 35]), Err(Refused::Short(35, 36)));
        assert_eq!(begun(&[0x21, 0x11, 0xff, 0xff]), Err(Refused::Long(65_551)));
        assert_eq!(begun(&[0x21, 0x11, 0x03, 0xf0]), Ok(Read::Incomplete), "the longest");
    }

    #[test]
    fn what_else_is_spoken_to_us_is_no_head_from_its_first_byte_on() {
        for said in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\x00", b"PROXY TCP4 ", b"\r\nGET"] {
            let first = said.iter().zip(SIGNATURE).position(|(byte, wanted)| *byte != wanted).unwrap();
            assert_eq!(read(&said[..=first]), Ok(Read::Absent), "{said:?}");
        }
    }
}
