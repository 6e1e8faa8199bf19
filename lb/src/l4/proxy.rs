//! PROXY protocol version 2 (HAProxy's `proxy-protocol.txt`, 2.2): who connects, in a head of 28 or 52 bytes before
//! everything else.

use std::net::{IpAddr, SocketAddr};

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
/// Version 2, a proxied connection.
const PROXIED: u8 = 0x21;
const TCP_OVER_IPV4: u8 = 0x11;
const TCP_OVER_IPV6: u8 = 0x21;

/// The head for a connection of `from` that came in at `to`.
pub(super) fn header(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    let mut head = SIGNATURE.to_vec();
    head.push(PROXIED);
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

    #[test]
    fn a_head_is_as_the_specification_lays_it_out() {
        let head = header("192.0.2.1:56324".parse().unwrap(), "198.51.100.2:443".parse().unwrap());
        let wanted = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb";
        assert_eq!(head, wanted);
        let head = header("[2001:db8::1]:1".parse().unwrap(), "[2001:db8::2]:2".parse().unwrap());
        assert_eq!((head.len(), &head[12..16], head[31], head[47]), (52, &[0x21, 0x21, 0, 36][..], 1, 2));
        // A listener for both families sees IPv4 in a coat of IPv6.
        let head = header("[::ffff:192.0.2.1]:1".parse().unwrap(), "[::ffff:192.0.2.2]:2".parse().unwrap());
        assert_eq!((head.len(), head[13]), (28, TCP_OVER_IPV4));
    }
}
