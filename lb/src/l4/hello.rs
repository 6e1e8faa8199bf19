//! The name in a TLS ClientHello. rustls reads it; here is how much it is given, and what is kept to be passed on.

use percore::rustls::server::Acceptor;

/// Bytes of a ClientHello. One with post-quantum key shares has 1.8 KB; a longer one is closed.
pub(super) const HELLO_BYTES: usize = 16 * 1024;

/// Reads one ClientHello.
#[derive(Default)]
pub(super) struct HelloReader {
    acceptor: Acceptor,
    bytes: Vec<u8>,
}

/// What has come so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Read {
    /// A beginning.
    More,
    /// All of it, and the name it asks for, if any.
    Whole(Option<String>),
    /// No ClientHello, or too long a one.
    Strange,
}

impl HelloReader {
    /// More bytes.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Read {
        if self.bytes.len() + bytes.len() > HELLO_BYTES {
            return Read::Strange;
        }
        self.bytes.extend_from_slice(bytes);
        let mut rest = bytes;
        while !rest.is_empty() {
            // What it does not take it has no use for: the hello is whole, or it is none.
            if !matches!(self.acceptor.read_tls(&mut rest), Ok(1..)) {
                break;
            }
            match self.acceptor.accept() {
                Ok(None) => {}
                Ok(Some(accepted)) => {
                    let name = accepted.client_hello().server_name().map(str::to_ascii_lowercase);
                    return Read::Whole(name);
                }
                Err(_) => return Read::Strange,
            }
        }
        Read::More
    }

    /// Everything that was pushed.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use percore::rustls::{ClientConfig, ClientConnection, RootCertStore, pki_types::ServerName};
    use std::sync::Arc;

    /// What a client sends first.
    fn hello(name: &str) -> Vec<u8> {
        let config =
            ClientConfig::builder().with_root_certificates(RootCertStore::empty()).with_no_client_auth();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(config), name).unwrap();
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn the_name_is_read_wherever_the_bytes_are_cut() {
        let bytes = hello("Edge1.Example.org");
        for cut in 1..bytes.len() {
            let mut reader = HelloReader::default();
            assert_eq!(reader.push(&bytes[..cut]), Read::More, "at {cut}");
            assert_eq!(reader.push(&bytes[cut..]), Read::Whole(Some("edge1.example.org".into())));
            assert_eq!(reader.into_bytes(), bytes);
        }
    }

    #[test]
    fn an_address_is_no_name() {
        assert_eq!(HelloReader::default().push(&hello("127.0.0.1")), Read::Whole(None));
    }

    #[test]
    fn a_hello_without_end_is_not_waited_for() {
        // A record of 16 KB that never comes whole, again and again.
        let mut reader = HelloReader::default();
        let mut bytes = vec![0; HELLO_BYTES];
        bytes[..9].copy_from_slice(&[22, 3, 1, 64, 0, 1, 0, 200, 0]);
        assert_eq!(reader.push(&bytes), Read::More);
        assert_eq!(reader.push(&[0]), Read::Strange);
    }

    /// Seeded: every byte of a real hello turned in many ways, and plain noise. Nothing panics, nothing grows.
    #[test]
    fn spoiled_bytes_are_refused_or_read_and_never_panic() {
        let (whole, mut state) = (hello("edge1.example.org"), 1_u64);
        let mut roll = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) as usize
        };
        for case in 0..20_000 {
            let mut bytes =
                if case % 4 == 0 { (0..roll() % 600).map(|_| roll() as u8).collect() } else { whole.clone() };
            for _ in 0..roll() % 4 {
                let at = roll() % bytes.len().max(1);
                if let Some(byte) = bytes.get_mut(at) {
                    *byte = roll() as u8;
                }
            }
            bytes.truncate(roll() % (whole.len() + 50));
            let mut reader = HelloReader::default();
            for piece in bytes.chunks(1 + roll() % 500) {
                if reader.push(piece) != Read::More {
                    break;
                }
            }
            assert!(reader.into_bytes().len() <= HELLO_BYTES);
        }
    }
}
