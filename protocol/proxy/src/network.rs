//! Addresses with one beginning: whose word on who connects is taken.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// One address, or all that begin alike: `10.0.0.3`, `10.0.0.0/24`, `2001:db8::/32`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

/// Why a text is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NetworkError {
    /// No address.
    #[error("{0:?} is no address; allowed is `10.0.0.3` or `10.0.0.0/24`")]
    Address(String),
    /// More bits than an address has, or no number.
    #[error("{0:?}: of this address 0 to {1} bits can be named")]
    Bits(String, u8),
    /// It says more than its length keeps: likely a mistake.
    #[error("{0:?} has bits behind its first {1}: is `{2}` meant?")]
    Beyond(String, u8, Network),
}

impl Network {
    /// Whether it has this address; an IPv4 address in a coat of IPv6 is the IPv4 address.
    pub fn contains(&self, address: IpAddr) -> bool {
        masked(address.to_canonical(), self.bits) == Some(self.address)
    }
}

/// The first bits of an address, of as many as it has.
fn masked(address: IpAddr, bits: u8) -> Option<IpAddr> {
    Some(match address {
        IpAddr::V4(v4) => {
            let rest = 32_u32.checked_sub(u32::from(bits))?;
            IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(rest).unwrap_or(0)).into())
        }
        IpAddr::V6(v6) => {
            let rest = 128_u32.checked_sub(u32::from(bits))?;
            IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(rest).unwrap_or(0)).into())
        }
    })
}

impl FromStr for Network {
    type Err = NetworkError;

    fn from_str(text: &str) -> Result<Self, NetworkError> {
        let (address, bits) = text.split_once('/').map_or((text, None), |(it, bits)| (it, Some(bits)));
        let address: IpAddr = address.parse().map_err(|_| NetworkError::Address(text.to_owned()))?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let wrong = || NetworkError::Bits(text.to_owned(), most);
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        let first = masked(address, bits).ok_or_else(wrong)?;
        if first != address {
            return Err(NetworkError::Beyond(text.to_owned(), bits, Self { address: first, bits }));
        }
        Ok(Self { address, bits })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.bits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn has(network: &str, address: &str) -> bool {
        network.parse::<Network>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_network_has_what_begins_like_it() {
        assert!(has("10.0.0.3", "10.0.0.3") && has("10.0.0.3", "::ffff:10.0.0.3"));
        assert!(!has("10.0.0.3", "10.0.0.2") && !has("10.0.0.3", "2001:db8::1"));
        assert!(has("10.0.0.0/30", "10.0.0.3") && !has("10.0.0.0/30", "10.0.0.4"));
        assert!(has("2001:db8::/32", "2001:db8:9::1") && !has("2001:db8::/32", "2001:db9::1"));
        assert!(has("0.0.0.0/0", "192.0.2.1") && !has("0.0.0.0/0", "2001:db8::1"));
        assert!(has("::/0", "2001:db8::1") && !has("::/64", "10.0.0.1"));
    }

    #[test]
    fn a_network_is_written_as_it_is_read_and_mistakes_are_named() {
        for text in ["10.0.0.3/32", "10.0.0.0/24", "2001:db8::/32", "::/0"] {
            assert_eq!(text.parse::<Network>().unwrap().to_string(), text);
        }
        for (text, says) in [
            ("lb1", "no address"),
            ("10.0.0.0/33", "0 to 32 bits"),
            ("::/129", "0 to 128 bits"),
            ("10.0.0.0/", "0 to 32 bits"),
            ("10.0.0.3/24", "is `10.0.0.0/24` meant?"),
        ] {
            let refused = text.parse::<Network>().unwrap_err().to_string();
            assert!(refused.contains(says), "{text}: {refused}");
        }
    }
}
