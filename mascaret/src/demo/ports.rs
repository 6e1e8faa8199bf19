//! Which addresses are free; and if one is not, whose it is.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};

/// An address that somebody else has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) address: SocketAddr,
    /// `nginx (pid 123)`, where it can be seen.
    pub(crate) by: Option<String>,
    /// What the kernel says when it is not that somebody has it.
    pub(crate) error: Option<String>,
}

/// Those of `addresses` that cannot be listened on.
pub(crate) fn taken(addresses: impl Iterator<Item = SocketAddr>) -> Vec<Taken> {
    let mut owners = None;
    addresses
        .filter_map(|address| {
            let error = TcpListener::bind(address).err()?;
            if error.kind() != io::ErrorKind::AddrInUse {
                return Some(Taken { address, by: None, error: Some(error.to_string()) });
            }
            let by = owners.get_or_insert_with(owners_of_listeners).get(&listener_for(address)?).cloned();
            Some(Taken { address, by, error: None })
        })
        .collect()
}

/// The inode of the socket that listens at this address, or at its port on all addresses.
fn listener_for(address: SocketAddr) -> Option<u64> {
    let exact = listeners().into_iter().filter(|(at, _)| at.port() == address.port());
    exact
        .filter(|(at, _)| at.ip() == address.ip() || at.ip().is_unspecified())
        .map(|(_, inode)| inode)
        .next()
        .or(Some(0))
}

fn listeners() -> Vec<(SocketAddr, u64)> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| fs::read_to_string(path).unwrap_or_default());
    tables.iter().flat_map(|table| table.lines().skip(1).filter_map(parse_row)).collect()
}

/// One row of /proc/net/tcp (proc(5)): local address in hex, words in host order; state 0A listens.
fn parse_row(row: &str) -> Option<(SocketAddr, u64)> {
    let fields: Vec<&str> = row.split_whitespace().collect();
    if *fields.get(3)? != "0A" {
        return None;
    }
    let (ip, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let ip = match ip.len() {
        8 => IpAddr::V4(Ipv4Addr::from(u32::from_str_radix(ip, 16).ok()?.swap_bytes())),
        // Which IPv6 address it is does not matter here, only whether it is all of them.
        _ if ip.bytes().all(|digit| digit == b'0') => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        _ => return None,
    };
    Some((SocketAddr::new(ip, port), fields.get(9)?.parse().ok()?))
}

/// Socket inode → program, for as many processes as we may look into.
fn owners_of_listeners() -> HashMap<u64, String> {
    let mut owners = HashMap::new();
    for process in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        for descriptor in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            let Ok(link) = fs::read_link(descriptor.path()) else { continue };
            let inode =
                link.to_str().and_then(|link| link.strip_prefix("socket:[")?.strip_suffix(']')?.parse().ok());
            if let Some(inode) = inode {
                owners.insert(inode, format!("{} (pid {pid})", name.trim()));
            }
        }
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_address_is_told_with_its_owner() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = listener.local_addr().unwrap();
        let free = {
            let other = TcpListener::bind("127.0.0.1:0").unwrap();
            other.local_addr().unwrap()
        };
        let taken = taken([ours, free].into_iter());
        assert_eq!(taken.len(), 1);
        assert_eq!(taken[0].address, ours);
        let by = taken[0].by.clone().expect("we may look at ourselves");
        assert!(by.contains(&format!("pid {}", std::process::id())), "{by}");
    }

    #[test]
    fn an_address_that_is_not_ours_is_told_why() {
        let taken = taken(["192.0.2.1:80".parse().unwrap()].into_iter());
        assert!(taken[0].error.is_some(), "{taken:?}");
    }

    #[test]
    fn a_listener_on_all_addresses_has_every_address() {
        let row = "   0: 00000000:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 777 1 0";
        assert_eq!(parse_row(row), Some(("0.0.0.0:8080".parse().unwrap(), 777)));
        let row = "   0: 1500007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000  0 0 7 1 0";
        assert_eq!(parse_row(row), Some(("127.0.0.21:8080".parse().unwrap(), 7)));
        let established = row.replace(" 0A ", " 01 ");
        assert_eq!(parse_row(&established), None);
    }
}
