//! TLS records made and taken off by the kernel (`linux/tls.h`), which neither `rustix` nor `socket2` offers.
//!
//! Lives here: the socket options, and records that are not data. Does not live here: when a connection is handed over
//! (`tls::kernel`, `engine::kernel`).
//!
//! Unsafe here: setsockopt from, and sendmsg and recvmsg over buffers of our own.

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustls::ConnectionTrafficSecrets;
use zeroize::Zeroizing;

/// Of `IPPROTO_TCP`.
const TCP_ULP: libc::c_int = 31;
const SOL_TLS: libc::c_int = 282;
const SET_RECORD_TYPE: libc::c_int = 1;
const GET_RECORD_TYPE: libc::c_int = 2;

/// What a record is (RFC 8446, section 5.1).
pub(crate) const ALERT: u8 = 21;

/// Which way records travel: `TLS_TX` and `TLS_RX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Send = 1,
    Receive = 2,
}

/// The version in a `tls_crypto_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Version {
    Tls12 = 0x0303,
    Tls13 = 0x0304,
}

/// The cipher in a `tls_crypto_info`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cipher {
    Aes128Gcm = 51,
    Aes256Gcm = 52,
    Chacha20Poly1305 = 54,
}

/// A `tls12_crypto_info_…`: what the kernel must know to make or open records. Overwritten when dropped.
pub(crate) struct Keys(Zeroizing<Vec<u8>>);

impl Keys {
    /// `sequence` is the number of the next record.
    ///
    /// `None`: a cipher the kernel does not know.
    pub(crate) fn new(version: Version, sequence: u64, secrets: &ConnectionTrafficSecrets) -> Option<Self> {
        use ConnectionTrafficSecrets as Of;
        let (cipher, key, iv) = match secrets {
            Of::Aes128Gcm { key, iv } => (Cipher::Aes128Gcm, key, iv.as_ref()),
            Of::Aes256Gcm { key, iv } => (Cipher::Aes256Gcm, key, iv.as_ref()),
            Of::Chacha20Poly1305 { key, iv } => (Cipher::Chacha20Poly1305, key, iv.as_ref()),
            _ => return None,
        };
        Some(Self::of(version, cipher, key.as_ref(), iv.try_into().ok()?, sequence))
    }

    /// Made up, to see whether the kernel takes such.
    pub(crate) fn example(version: Version, cipher: Cipher) -> Self {
        let len = if cipher == Cipher::Aes128Gcm { 16 } else { 32 };
        Self::of(version, cipher, &[1; 32][..len], &[2; 12], 0)
    }

    fn of(version: Version, cipher: Cipher, key: &[u8], iv: &[u8; 12], sequence: u64) -> Self {
        let (salt, rest) = iv.split_at(4);
        let mut explicit = [0; 8];
        explicit.copy_from_slice(rest);
        if version == Version::Tls12 {
            // AES-GCM in TLS 1.2 (RFC 5288) sends its nonce: rustls' are `iv XOR sequence`, the kernel's are `iv`, `iv
            // + 1` and so on from the first one *it* makes. Half the numbers away, the two never meet.
            explicit[0] ^= 0x80;
        }
        // In the order of the kernel's structs: version, cipher, iv, key, salt, sequence.
        let mut bytes = Zeroizing::new(Vec::with_capacity(64));
        bytes.extend_from_slice(&(version as u16).to_ne_bytes());
        bytes.extend_from_slice(&(cipher as u16).to_ne_bytes());
        if cipher == Cipher::Chacha20Poly1305 {
            bytes.extend_from_slice(iv);
            bytes.extend_from_slice(key);
        } else {
            bytes.extend_from_slice(&explicit);
            bytes.extend_from_slice(key);
            bytes.extend_from_slice(salt);
        }
        bytes.extend_from_slice(&sequence.to_be_bytes());
        Self(bytes)
    }
}

/// Makes a connected socket one that may be given keys. Until then it is as before.
pub(crate) fn prepare(socket: BorrowedFd<'_>) -> io::Result<()> {
    set(socket, libc::IPPROTO_TCP, TCP_ULP, b"tls")
}

/// From now on the kernel makes the records that leave, or takes off those that arrive.
pub(crate) fn install(socket: BorrowedFd<'_>, direction: Direction, keys: &Keys) -> io::Result<()> {
    set(socket, SOL_TLS, direction as libc::c_int, &keys.0)
}

fn set(socket: BorrowedFd<'_>, level: libc::c_int, name: libc::c_int, value: &[u8]) -> io::Result<()> {
    // SAFETY: the kernel reads `value.len()` bytes of `value`, which outlives the call.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            level,
            name,
            value.as_ptr().cast(),
            value.len() as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Room for one control message with a byte in it, aligned as its head must be.
#[repr(C, align(8))]
struct Control([MaybeUninit<u8>; 32]);

/// Sends one record of another kind than data.
pub(crate) fn send_record(socket: BorrowedFd<'_>, kind: u8, content: &[u8]) -> io::Result<()> {
    let mut control = Control([MaybeUninit::zeroed(); 32]);
    let mut part = libc::iovec { iov_base: content.as_ptr().cast_mut().cast(), iov_len: content.len() };
    // SAFETY: all zeroes is a msghdr that names nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    // SAFETY: CMSG_SPACE, CMSG_LEN only compute; the head and its byte lie within `control`, which is aligned, longer
    // than CMSG_SPACE(1) = 24, and outlives the call, as `content` does, which sendmsg only reads.
    let answer = unsafe {
        message.msg_controllen = libc::CMSG_SPACE(1) as usize;
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        (*head).cmsg_level = SOL_TLS;
        (*head).cmsg_type = SET_RECORD_TYPE;
        (*head).cmsg_len = libc::CMSG_LEN(1) as usize;
        *libc::CMSG_DATA(head) = kind;
        libc::sendmsg(socket.as_raw_fd(), &raw const message, libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
    };
    if answer < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// Takes the record that a plain receive refuses (EIO) because it is no data: its kind, and how much of `content` it is.
pub(crate) fn receive_record(socket: BorrowedFd<'_>, content: &mut [u8]) -> io::Result<(u8, usize)> {
    let mut control = Control([MaybeUninit::zeroed(); 32]);
    let mut part = libc::iovec { iov_base: content.as_mut_ptr().cast(), iov_len: content.len() };
    // SAFETY: all zeroes is a msghdr that names nothing.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut part;
    message.msg_iovlen = 1;
    message.msg_control = (&raw mut control).cast();
    message.msg_controllen = size_of::<Control>();
    // SAFETY: recvmsg writes within `content` and `control`, which outlive the call; CMSG_FIRSTHDR is null or within
    // `control`, of which every byte is initialised, and a head with our type has the byte behind it.
    unsafe {
        let n = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_DONTWAIT);
        let n = usize::try_from(n).map_err(|_| io::Error::last_os_error())?;
        let head = libc::CMSG_FIRSTHDR(&raw const message);
        if head.is_null() || (*head).cmsg_level != SOL_TLS || (*head).cmsg_type != GET_RECORD_TYPE {
            return Err(io::Error::other("a record without its kind"));
        }
        Ok((*libc::CMSG_DATA(head), n))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn keys_are_laid_out_as_the_kernel_reads_them() {
        let sizes = [(Cipher::Aes128Gcm, 40), (Cipher::Aes256Gcm, 56), (Cipher::Chacha20Poly1305, 56)];
        for (cipher, size) in sizes {
            assert_eq!(Keys::example(Version::Tls13, cipher).0.len(), size, "{cipher:?}");
        }
        let iv = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];
        let keys = Keys::of(Version::Tls13, Cipher::Aes128Gcm, &[0xaa; 16], &iv, 0x0102);
        let (head, rest) = keys.0.split_at(4);
        assert_eq!(head, [0x0304_u16.to_ne_bytes(), 51_u16.to_ne_bytes()].concat());
        assert_eq!(rest[..8], [5, 6, 7, 8, 9, 10, 11, 12]);
        assert_eq!(rest[8..24], [0xaa; 16]);
        assert_eq!(rest[24..], [1, 2, 3, 4, 0, 0, 0, 0, 0, 0, 1, 2]);
    }

    #[test]
    fn the_kernels_nonces_begin_half_the_numbers_away_from_rustls() {
        let iv = [0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
        let keys = Keys::of(Version::Tls12, Cipher::Aes256Gcm, &[0; 32], &iv, 1);
        let first = u64::from_be_bytes(keys.0[4..12].try_into().unwrap());
        assert_eq!(first.wrapping_sub(u64::from_be_bytes(iv[4..].try_into().unwrap())), 1 << 63);
    }

    #[test]
    fn a_socket_that_is_not_connected_is_refused_and_one_without_keys_has_no_other_records() {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        assert!(prepare(socket.as_fd()).is_err());
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(
            send_record(one.as_fd(), ALERT, &[1, 0]).is_err()
                || receive_record(one.as_fd(), &mut [0; 2]).is_err()
        );
        assert!(receive_record(one.as_fd(), &mut [0; 2]).is_err());
    }
}
