//! Which addresses are anybody's, and which are only to be reached from where a lobby stands: a webhook's address is
//! chosen by a stranger, and what he cannot reach himself he shall not reach through us.
//!
//! Names are looked up once, by [`Outside`], and the connection goes to what was looked at: a name that answers otherwise
//! the second time gains nothing.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use ureq::config::Config;
use ureq::http::Uri;
use ureq::unversioned::resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::NextTimeout;

/// Whether an address is one of the public Internet (IANA's special-purpose registries, RFC 6890).
pub(crate) fn is_outside(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => is_outside_v4(address),
        IpAddr::V6(address) => is_outside_v6(address),
    }
}

fn is_outside_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let is_special = address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_documentation()
        || address.is_multicast()
        || a == 0
        || a >= 240
        || (a == 100 && (64..128).contains(&b))
        || (a, b, c) == (192, 0, 0)
        || (a, b, c) == (192, 88, 99)
        || (a == 198 && (18..20).contains(&b));
    !is_special
}

fn is_outside_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let within = |high: u16, low: u16| {
        let ([x, y], [z, w]) = (high.to_be_bytes(), low.to_be_bytes());
        is_outside_v4(Ipv4Addr::new(x, y, z, w))
    };
    match (a, b) {
        // Translated to IPv4 on the way: 64:ff9b::/96, 6to4.
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => within(g, h),
        (0x2002, _) => within(b, c),
        // Teredo and what else is under 2001::/23; documentation.
        (0x2001, 0..0x200 | 0xdb8) => false,
        // 2000::/3 is all that is given out.
        _ => (0x2000..0x4000).contains(&a) && !(a == 0x3fff && b < 0x1000),
    }
}

/// Looks names up, and leaves out what is not outside.
#[derive(Debug)]
pub(crate) struct Outside;

impl Resolver for Outside {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, ureq::Error> {
        let found = DefaultResolver::default().resolve(uri, config, timeout)?;
        let mut kept = self.empty();
        found.iter().filter(|address| is_outside(address.ip())).for_each(|address| kept.push(*address));
        match kept.is_empty() {
            false => Ok(kept),
            true => Err(ureq::Error::Io(io::Error::new(
                io::ErrorKind::PermissionDenied,
                "its address is of this machine or of a private network (lobby.webhooks_inside)",
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_we_could_reach_is_inside() {
        for inside in [
            "127.0.0.1",
            "127.200.3.4",
            "0.0.0.0",
            "10.1.2.3",
            "172.16.0.1",
            "172.31.255.255",
            "192.168.1.1",
            "169.254.169.254",
            "100.64.0.1",
            "192.0.0.8",
            "198.18.0.1",
            "224.0.0.1",
            "255.255.255.255",
            "240.0.0.1",
            "203.0.113.5",
            "::",
            "::1",
            "::127.0.0.1",
            "::ffff:127.0.0.1",
            "::ffff:10.0.0.1",
            "fe80::1",
            "fc00::1",
            "fd12:3456::1",
            "fec0::1",
            "ff02::1",
            "64:ff9b::7f00:1",
            "64:ff9b:1::1",
            "2002:7f00:1::",
            "2002:a00:1::1",
            "2001:0:1::1",
            "2001:db8::1",
            "100::1",
        ] {
            assert!(!is_outside(inside.parse().unwrap()), "{inside}");
        }
        for outside in [
            "1.1.1.1",
            "100.63.0.1",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "198.20.0.1",
            "223.255.255.255",
            "2606:4700::1111",
            "2a00:1450::1",
            "64:ff9b::101:101",
            "2002:101:101::1",
            "::ffff:8.8.8.8",
        ] {
            assert!(is_outside(outside.parse().unwrap()), "{outside}");
        }
    }

    #[test]
    fn a_name_is_what_it_leads_to_however_it_is_written() {
        let agent = ureq::Agent::with_parts(
            Config::builder().proxy(None).build(),
            ureq::unversioned::transport::DefaultConnector::default(),
            Outside,
        );
        for url in [
            "http://localhost:9/",
            "http://127.0.0.1:9/",
            "http://2130706433:9/",
            "http://0x7f.1:9/",
            "http://[::1]:9/",
            "http://[::ffff:127.0.0.1]:9/",
            "http://0:9/",
            "http://127.1:9/",
        ] {
            match agent.get(url).call() {
                Err(ureq::Error::Io(error)) => {
                    assert_eq!(error.kind(), io::ErrorKind::PermissionDenied, "{url}: {error}")
                }
                // Not every way of writing it is understood everywhere; nowhere is it a way in.
                Err(ureq::Error::BadUri(_) | ureq::Error::HostNotFound) => {}
                other => panic!("{url}: {other:?}"),
            }
        }
    }
}
