//! A lobby that is only its feed: one room, and messages of which one is as long as the other.

use crate::error::BenchError;
use crate::feed;
use chat::{Author, Badge, Entry, LogId, Sequence, What};
use edgefan::NodeId;
use node::certs::{CertificateSettings, Certificates};
use node::fan::lobby::server::{self, ChatFeed, LobbyServer};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// Where the edge under test dials it.
pub(crate) const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 7003);

/// So many digits that every number has as many.
const FIRST: u64 = 1_000_000_000;
/// What is said each time: 120 characters.
const TEXT: &str = "the bore came in at half past nine, two metres high, and everybody on the bank who had said that it \
                    would not come: silent";

/// The lobby.
#[derive(Debug)]
pub(crate) struct Parlour {
    feed: ChatFeed,
    server: LobbyServer,
    next: AtomicU64,
}

impl Parlour {
    /// Called where its threads shall run.
    pub(crate) fn start(certificates: &Path) -> Result<Self, BenchError> {
        let certificates =
            CertificateSettings { directory: certificates.to_owned(), ..CertificateSettings::default() };
        let tls = Certificates::new(certificates)
            .cluster_server_config()
            .map_err(|error| BenchError::Refused(error.to_string()))?;
        let feed = ChatFeed::default();
        feed.open(&feed::broadcast(), LogId(1), 0, Sequence(FIRST), Vec::new());
        let settings = server::Settings {
            node: NodeId::parse("lobby1").expect("a constant that is a name"),
            version: env!("CARGO_PKG_VERSION").into(),
            listen: LISTEN,
        };
        let server = server::start(settings, &feed, tls).map_err(BenchError::when("the lobby"))?;
        Ok(Self { feed, server, next: AtomicU64::new(FIRST) })
    }

    /// Says something; when.
    pub(crate) fn says(&self) -> Instant {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let by = Author { id: "7".into(), name: "Ana".into(), badge: Badge::Viewer };
        let what = What::Said { by, text: TEXT.into() };
        let entry = Entry { sequence: Sequence(number), at_ms: 1_800_000_000_000, what };
        let said = Instant::now();
        // In a row, so it is never refused.
        let _ = self.feed.push(&feed::broadcast(), entry);
        said
    }
}

impl Drop for Parlour {
    fn drop(&mut self) {
        self.server.stop();
    }
}
