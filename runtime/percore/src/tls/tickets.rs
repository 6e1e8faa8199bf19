//! TLS session tickets that every edge of a cluster can open: a viewer that moves to another edge resumes there.
//!
//! Lives here: sealing and opening tickets, and the keys that may change meanwhile. Does not live here: where the
//! secrets come from (balancers hand them to edges, or a file does).
//!
//! ```text
//! ticket = name (16) ‖ seed (32) ‖ AES-256-GCM(key of the seed; issued (8) ‖ session) ‖ tag (16)
//! ```
//! A name says which of our keys it is (RFC 5077, section 4) and is no secret. Each ticket has a key of its own, derived
//! by HKDF-SHA-256 from 32 random bytes: one key for all edges together would be asked for more tickets than random
//! 96-bit nonces allow (2^32, NIST SP 800-38D section 8.3).

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rustls::server::ProducesTickets;

/// Secrets whose tickets are opened: two balancers, each with its key and the one before it.
pub const TICKET_SECRETS: usize = 4;

/// How long a session may be resumed. RFC 8446, section 4.6.1 allows seven days; what a ticket of TLS 1.2 protects is
/// as safe as the ticket's key, so it should not be asked to be for long.
const LIFETIME_SECS: u32 = 12 * 60 * 60;
/// Another edge's clock may be ahead of ours.
const AHEAD_SECS: u64 = 5 * 60;

const NAME_BYTES: usize = 16;
const SEED_BYTES: usize = 32;
const ISSUED_BYTES: usize = 8;
const KEY_BYTES: usize = 32;

/// Seals with the first of the cluster's keys and opens with all of them; by itself as long as there are none.
pub(crate) struct Tickets {
    keys: ArcSwap<Vec<TicketKey>>,
    own: Arc<dyn ProducesTickets>,
    random: SystemRandom,
}

impl fmt::Debug for Tickets {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tickets").field("shared_keys", &self.keys.load().len()).finish_non_exhaustive()
    }
}

impl Tickets {
    /// With keys of our own, which nobody else knows and which rustls changes every six hours.
    pub(crate) fn new() -> Result<Self, rustls::Error> {
        let own = rustls::crypto::aws_lc_rs::Ticketer::new()?;
        Ok(Self { keys: ArcSwap::default(), own, random: SystemRandom::new() })
    }

    /// From now on these, the one that seals first. What an earlier one sealed, and is not among them, opens no more.
    pub(crate) fn share(&self, secrets: impl IntoIterator<Item = [u8; KEY_BYTES]>) {
        self.keys.store(Arc::new(secrets.into_iter().take(TICKET_SECRETS).map(TicketKey::of).collect()));
    }

    fn seal(&self, session: &[u8], now: u64) -> Option<Vec<u8>> {
        let keys = self.keys.load();
        let Some(key) = keys.first() else { return self.own.encrypt(session) };
        let mut seed = [0; SEED_BYTES];
        self.random.fill(&mut seed).ok()?;
        let mut sealed = [&now.to_be_bytes()[..], session].concat();
        let (one, nonce) = key.of_ticket(&seed)?;
        one.seal_in_place_append_tag(nonce, Aad::from(key.name), &mut sealed).ok()?;
        Some([&key.name[..], &seed, &sealed].concat())
    }

    /// `None` is a full handshake, and never more than that: a ticket is a stranger's bytes.
    fn open(&self, ticket: &[u8], now: u64) -> Option<Vec<u8>> {
        let keys = self.keys.load();
        let known = || {
            let (name, rest) = ticket.split_first_chunk::<NAME_BYTES>()?;
            let (seed, sealed) = rest.split_first_chunk::<SEED_BYTES>()?;
            Some((keys.iter().find(|key| key.name == *name)?, seed, sealed))
        };
        let Some((key, seed, sealed)) = known() else { return self.own.decrypt(ticket) };
        let (one, nonce) = key.of_ticket(seed)?;
        let mut sealed = sealed.to_vec();
        let opened = one.open_in_place(nonce, Aad::from(key.name), &mut sealed).ok()?;
        let (issued, session) = opened.split_first_chunk::<ISSUED_BYTES>()?;
        let issued = u64::from_be_bytes(*issued);
        let is_fresh = issued <= now.saturating_add(AHEAD_SECS)
            && now.saturating_sub(issued) <= u64::from(LIFETIME_SECS);
        is_fresh.then(|| session.to_vec())
    }
}

impl ProducesTickets for Tickets {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        LIFETIME_SECS
    }

    fn encrypt(&self, session: &[u8]) -> Option<Vec<u8>> {
        self.seal(session, now())
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        self.open(ticket, now())
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

struct TicketKey {
    name: [u8; NAME_BYTES],
    root: Prk,
}

impl TicketKey {
    /// The balancers' secrets seal tokens in paths too; the labels keep the two uses apart.
    fn of(secret: [u8; KEY_BYTES]) -> Self {
        let root = Salt::new(HKDF_SHA256, b"mascaret tls session tickets").extract(&secret);
        let mut name = [0; NAME_BYTES];
        expand(&root, &[b"name"], &mut name).expect("16 bytes are less than HKDF can give");
        Self { name, root }
    }

    /// The key and the nonce of one ticket.
    fn of_ticket(&self, seed: &[u8; SEED_BYTES]) -> Option<(LessSafeKey, Nonce)> {
        let mut both = [0; KEY_BYTES + NONCE_LEN];
        expand(&self.root, &[b"ticket", seed], &mut both)?;
        let (key, nonce) = both.split_first_chunk::<KEY_BYTES>()?;
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
        Some((key, Nonce::try_assume_unique_for_key(nonce).ok()?))
    }
}

fn expand<const N: usize>(root: &Prk, about: &[&[u8]], out: &mut [u8; N]) -> Option<()> {
    struct Len(usize);
    impl KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    root.expand(about, Len(N)).and_then(|it| it.fill(out)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];

    fn with(secrets: &[[u8; 32]]) -> Tickets {
        let tickets = Tickets::new().unwrap();
        tickets.share(secrets.iter().copied());
        tickets
    }

    #[test]
    fn what_one_edge_seals_another_opens() {
        let (one, other) = (with(&[OLD]), with(&[NEW, OLD]));
        let ticket = one.encrypt(b"session").unwrap();
        assert_eq!(other.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert!(!ticket.windows(7).any(|it| it == b"session"));
        assert_ne!(one.encrypt(b"session").unwrap(), ticket, "two tickets never share a nonce");
    }

    #[test]
    fn the_key_before_this_one_still_opens_and_the_one_before_that_does_not() {
        let edge = with(&[OLD]);
        let ticket = edge.encrypt(b"session").unwrap();
        edge.share([NEW, OLD]);
        assert!(edge.decrypt(&ticket).is_some());
        edge.share([[3; 32], NEW]);
        assert!(edge.decrypt(&ticket).is_none());
    }

    #[test]
    fn without_a_shared_key_an_edge_still_resumes_its_own_and_goes_on_doing_so() {
        let (alone, other) = (Tickets::new().unwrap(), Tickets::new().unwrap());
        let ticket = alone.encrypt(b"session").unwrap();
        assert_eq!(alone.decrypt(&ticket).as_deref(), Some(&b"session"[..]));
        assert!(other.decrypt(&ticket).is_none());
        alone.share([NEW]);
        assert!(
            alone.decrypt(&ticket).is_some(),
            "viewers that came before the balancer did are not turned away"
        );
    }

    #[test]
    fn a_ticket_is_good_for_half_a_day_by_clocks_that_may_differ() {
        let edge = with(&[NEW]);
        let ticket = edge.seal(b"session", 1_000_000).unwrap();
        let opens = |at: u64| edge.open(&ticket, at).is_some();
        assert!(
            opens(1_000_000) && opens(1_000_000 + u64::from(LIFETIME_SECS)) && opens(1_000_000 - AHEAD_SECS)
        );
        assert!(!opens(1_000_001 + u64::from(LIFETIME_SECS)) && !opens(1_000_000 - AHEAD_SECS - 1));
    }

    #[test]
    fn a_ticket_with_any_one_bit_turned_or_any_byte_missing_does_not_open() {
        let edge = with(&[NEW]);
        let ticket = edge.encrypt(b"a session of some length").unwrap();
        for bit in 0..ticket.len() * 8 {
            let mut turned = ticket.clone();
            turned[bit / 8] ^= 1 << (bit % 8);
            assert!(edge.decrypt(&turned).is_none(), "bit {bit}");
        }
        for len in 0..ticket.len() {
            assert!(edge.decrypt(&ticket[..len]).is_none(), "{len} bytes");
        }
        assert!(edge.decrypt(&[&ticket[..], &[0]].concat()).is_none());
        assert!(edge.decrypt(&ticket).is_some());
    }

    #[test]
    fn a_ticket_by_a_stranger_with_our_name_does_not_open() {
        let (ours, theirs) = (with(&[NEW]), with(&[OLD]));
        let mut ticket = theirs.encrypt(b"session").unwrap();
        let name = ours.keys.load()[0].name;
        ticket[..NAME_BYTES].copy_from_slice(&name);
        assert!(ours.decrypt(&ticket).is_none());
    }

    #[test]
    fn no_more_keys_are_kept_than_may_be() {
        let edge = with(&[[1; 32], [2; 32], [3; 32], [4; 32], [5; 32]]);
        assert_eq!(edge.keys.load().len(), TICKET_SECRETS);
    }
}
