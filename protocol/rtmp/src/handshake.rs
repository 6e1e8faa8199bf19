//! The simple handshake (5.2): C0 C1 C2 from them, S0 S1 S2 from us.
//!
//! Lives here: counting 3,073 bytes and echoing half of them. Does not live here: the digest handshake of Flash
//! Player 9 (nothing that publishes today insists on it), nor time-outs (`conversation`).

/// C1, S1, C2 and S2: a time, four zero bytes, 1,528 bytes of anything (5.2.3).
const PACKET_BYTES: usize = 1536;

/// The only version there is (5.2.2).
const VERSION: u8 = 3;

/// Why these are not the first bytes of RTMP.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The first byte is not version 3.
    #[error("the first byte is {first:#04x}, RTMP begins with 0x03; it looks like {looks_like}")]
    NotRtmp {
        /// The byte.
        first: u8,
        /// What usually begins with it.
        looks_like: &'static str,
    },
}

/// Where a handshake stands.
#[derive(Debug)]
pub struct Handshake {
    awaited: Awaited,
    nonce: [u8; 32],
}

#[derive(Debug)]
enum Awaited {
    Version,
    /// C1 as far as it has come; it is sent back whole as S2.
    C1(Vec<u8>),
    /// Bytes of C2 still to come. They echo S1, or do not: old encoders send anything here, so nobody looks.
    C2(usize),
    Nothing,
}

impl Handshake {
    /// A handshake that sends these bytes, over and over, as S1's random ones. They protect nothing; the
    /// specification wants them to tell connections apart.
    pub fn new(nonce: [u8; 32]) -> Self {
        Self { awaited: Awaited::Version, nonce }
    }

    /// True once C2 has come to its end.
    pub fn is_complete(&self) -> bool {
        matches!(self.awaited, Awaited::Nothing)
    }

    /// Takes from `input` what belongs to the handshake; puts into `reply` what is to be sent.
    pub fn push(&mut self, input: &mut &[u8], reply: &mut Vec<u8>) -> Result<(), HandshakeError> {
        while !self.is_complete()
            && let Some(&first) = input.first()
        {
            match &mut self.awaited {
                Awaited::Version => {
                    if first != VERSION {
                        return Err(HandshakeError::NotRtmp { first, looks_like: looks_like(first) });
                    }
                    *input = &input[1..];
                    self.awaited = Awaited::C1(Vec::with_capacity(PACKET_BYTES));
                }
                Awaited::C1(c1) => {
                    let (taken, rest) = input.split_at(input.len().min(PACKET_BYTES - c1.len()));
                    c1.extend_from_slice(taken);
                    *input = rest;
                    if c1.len() == PACKET_BYTES {
                        reply.push(VERSION);
                        reply.extend_from_slice(&[0; 8]);
                        reply.extend(self.nonce.iter().cycle().take(PACKET_BYTES - 8));
                        // librtmp compares S2 with its C1 byte for byte and complains of any difference, the
                        // time of reading that 5.2.4 asks for included.
                        reply.extend_from_slice(c1);
                        self.awaited = Awaited::C2(PACKET_BYTES);
                    }
                }
                Awaited::C2(left) => {
                    let taken = input.len().min(*left);
                    *input = &input[taken..];
                    *left -= taken;
                    if *left == 0 {
                        self.awaited = Awaited::Nothing;
                    }
                }
                Awaited::Nothing => {}
            }
        }
        Ok(())
    }

    /// Heap bytes held.
    pub fn held_bytes(&self) -> usize {
        match &self.awaited {
            Awaited::C1(c1) => c1.capacity(),
            _ => 0,
        }
    }
}

fn looks_like(first: u8) -> &'static str {
    match first {
        0x16 => "TLS: RTMPS has its own port",
        b'G' | b'P' | b'H' | b'O' => "HTTP: viewers are served elsewhere, and RTMPT is not spoken",
        6 | 8 => "RTMPE, which is not spoken",
        _ => "nothing known",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c1_comes_back_as_s2_however_it_was_cut() {
        let mut c0c1 = vec![VERSION];
        c0c1.extend((0..PACKET_BYTES).map(|i| i as u8));
        for cut in [1, 2, 1000, 1537] {
            let (mut handshake, mut reply) = (Handshake::new([7; 32]), Vec::new());
            for mut piece in c0c1.chunks(cut) {
                handshake.push(&mut piece, &mut reply).unwrap();
            }
            assert_eq!(reply.len(), 1 + 2 * PACKET_BYTES);
            assert_eq!((reply[0], &reply[1 + PACKET_BYTES..]), (VERSION, &c0c1[1..]));
            assert!(!handshake.is_complete(), "C2 has not come yet");
        }
    }

    #[test]
    fn what_follows_c2_is_left_alone() {
        let mut bytes = vec![VERSION];
        bytes.resize(1 + 2 * PACKET_BYTES, 0);
        bytes.extend(b"next");
        let (mut handshake, mut input, mut reply) = (Handshake::new([0; 32]), &bytes[..], Vec::new());
        handshake.push(&mut input, &mut reply).unwrap();
        assert!(handshake.is_complete());
        assert_eq!(input, b"next");
    }

    #[test]
    fn a_browser_at_the_wrong_port_is_told_apart() {
        let refused = Handshake::new([0; 32]).push(&mut &b"GET / HTTP/1.1"[..], &mut Vec::new()).unwrap_err();
        assert!(refused.to_string().contains("HTTP"), "{refused}");
    }
}
