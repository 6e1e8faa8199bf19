//! What the switch must know of a datagram: from whom, to whom, whether it carries something of TCP; and how a byte of it
//! is changed so that TCP does not notice.

use std::net::Ipv4Addr;

/// What a datagram says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) from: Ipv4Addr,
    pub(crate) to: Ipv4Addr,
    pub(crate) tcp: Option<Tcp>,
}

/// A segment of TCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tcp {
    pub(crate) ports: (u16, u16),
    pub(crate) sequence: u32,
    /// It begins a connection.
    pub(crate) is_syn: bool,
    /// Where its payload begins, and how long it is.
    pub(crate) payload: (usize, usize),
    begins: usize,
}

impl Head {
    /// `None` of anything but a whole IPv4 datagram.
    pub(crate) fn of(bytes: &[u8]) -> Option<Self> {
        let head: &[u8; 20] = bytes.first_chunk()?;
        let begins = usize::from(head[0] & 15) * 4;
        if head[0] >> 4 != 4
            || begins < 20
            || usize::from(u16::from_be_bytes([head[2], head[3]])) != bytes.len()
        {
            return None;
        }
        let address = |at: usize| Ipv4Addr::new(head[at], head[at + 1], head[at + 2], head[at + 3]);
        let is_first = u16::from_be_bytes([head[6], head[7]]) & 0x1fff == 0;
        let tcp = if head[9] == 6 && is_first { Tcp::of(bytes, begins) } else { None };
        Some(Self { from: address(12), to: address(16), tcp })
    }
}

impl Tcp {
    fn of(bytes: &[u8], begins: usize) -> Option<Self> {
        let head: &[u8; 20] = bytes.get(begins..)?.first_chunk()?;
        let payload = begins + usize::from(head[12] >> 4) * 4;
        let len = bytes.len().checked_sub(payload)?;
        Some(Self {
            ports: (u16::from_be_bytes([head[0], head[1]]), u16::from_be_bytes([head[2], head[3]])),
            sequence: u32::from_be_bytes([head[4], head[5], head[6], head[7]]),
            is_syn: head[13] & 2 != 0,
            payload: (payload, len),
            begins,
        })
    }

    /// Changes a byte of the payload and makes TCP's sum right again; false where there is none.
    pub(crate) fn corrupt(&self, bytes: &mut [u8], random: u64) -> bool {
        let (at, len) = self.payload;
        if len == 0 {
            return false;
        }
        let place = at + (random >> 8) as usize % len;
        bytes[place] ^= (random as u8) | 1;
        let sum = self.begins + 16;
        bytes[sum..sum + 2].fill(0);
        let right = checksum(bytes, self.begins);
        bytes[sum..sum + 2].copy_from_slice(&right.to_be_bytes());
        true
    }
}

/// TCP's sum over its pseudo head and itself (RFC 9293, 3.1).
fn checksum(bytes: &[u8], begins: usize) -> u16 {
    let segment = &bytes[begins..];
    let words = |bytes: &[u8]| {
        bytes
            .chunks(2)
            .map(|two| u64::from(two[0]) << 8 | u64::from(two.get(1).copied().unwrap_or(0)))
            .sum::<u64>()
    };
    let mut sum = words(&bytes[12..20]) + 6 + segment.len() as u64 + words(segment);
    while sum >> 16 != 0 {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 10.77.0.2:8080 → 10.77.0.9:40000, "hello", with a right sum.
    fn hello() -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 45, 0, 0, 0, 0, 64, 6, 0, 0, 10, 77, 0, 2, 10, 77, 0, 9];
        bytes.extend([0x1f, 0x90, 0x9c, 0x40, 0, 0, 0, 7, 0, 0, 0, 0, 0x50, 0x18, 1, 0, 0, 0, 0, 0]);
        bytes.extend(b"hello");
        let right = checksum(&bytes, 20);
        bytes[36..38].copy_from_slice(&right.to_be_bytes());
        bytes
    }

    #[test]
    fn a_segment_says_whose_it_is_and_where_its_payload_is() {
        let head = Head::of(&hello()).unwrap();
        assert_eq!((head.from, head.to), (Ipv4Addr::new(10, 77, 0, 2), Ipv4Addr::new(10, 77, 0, 9)));
        let tcp = head.tcp.unwrap();
        assert_eq!((tcp.ports, tcp.sequence, tcp.payload), ((8080, 40_000), 7, (40, 5)));
    }

    #[test]
    fn what_is_not_whole_or_not_ipv4_is_not_passed_on() {
        let whole = hello();
        for len in 0..whole.len() {
            assert_eq!(Head::of(&whole[..len]), None, "{len} bytes");
        }
        let mut six = whole;
        six[0] = 0x60;
        assert_eq!(Head::of(&six), None);
    }

    #[test]
    fn a_changed_byte_is_one_that_tcp_does_not_notice() {
        let (before, mut after) = (hello(), hello());
        assert!(Head::of(&before).unwrap().tcp.unwrap().corrupt(&mut after, 0x1234_5678));
        assert_eq!(before.iter().zip(&after).skip(40).filter(|(a, b)| a != b).count(), 1);
        // Over everything, its own sum included, it comes to nothing.
        assert_eq!(checksum(&after, 20), 0);
    }
}
