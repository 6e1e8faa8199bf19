//! The page and what belongs to it, put into the program when it was built (`build.rs`).

use bytes::Bytes;
use http::{Cors, Head, Prerendered, Request, Stamped, Status};
use std::collections::HashMap;

/// One file.
#[derive(Debug)]
pub(crate) struct Asset {
    pub(crate) name: &'static str,
    pub(crate) media_type: &'static str,
    /// Quotes included.
    pub(crate) etag: &'static str,
    /// The name changes with the content.
    pub(crate) is_hashed: bool,
    pub(crate) raw: &'static [u8],
    /// Packed, where that is smaller.
    pub(crate) gz: Option<&'static [u8]>,
}

static ASSETS: &[Asset] = include!(concat!(env!("OUT_DIR"), "/pages.rs"));

/// Scripts and styles are ours and in files; media and playlists come from any edge.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    img-src 'self' data: blob: http: https:; font-src 'self'; connect-src 'self' http: https:; \
    media-src 'self' blob: http: https:; worker-src 'self' blob:; manifest-src 'self'; base-uri 'none'; \
    form-action 'none'; frame-ancestors 'self'";

/// The files with their heads, as one core answers with them.
#[derive(Debug)]
pub(crate) struct Pages {
    by_path: HashMap<&'static str, Page>,
}

#[derive(Debug)]
struct Page {
    asset: &'static Asset,
    raw: Stamped,
    gz: Option<Stamped>,
    unchanged: Stamped,
}

/// A page's answer: a head, and a body that is in the program.
pub(crate) struct Found<'a> {
    pub(crate) head: &'a mut Stamped,
    pub(crate) body: Bytes,
}

impl Pages {
    pub(crate) fn new(cors: &Cors) -> Self {
        let by_path = ASSETS.iter().map(|asset| (asset.name, Page::of(asset, cors))).collect();
        Self { by_path }
    }

    /// What is at that path: a file by its name, the list of broadcasts at `/`, the player at `/watch/…`.
    pub(crate) fn at(&mut self, request: &Request<'_>) -> Option<Found<'_>> {
        let name = match request.path.strip_prefix('/')? {
            "" => "index.html",
            watch if watch.strip_prefix("watch/").is_some_and(is_one_name) => {
                if self.by_path.contains_key("watch.html") { "watch.html" } else { "index.html" }
            }
            name => name,
        };
        let page = self.by_path.get_mut(name)?;
        if request.if_none_match.is_some_and(|list| http::etag_matches(list, page.asset.etag)) {
            return Some(Found { head: &mut page.unchanged, body: Bytes::new() });
        }
        let (head, body) = match (&mut page.gz, page.asset.gz) {
            (Some(head), Some(gz)) if request.accepts_gzip => (head, gz),
            _ => (&mut page.raw, page.asset.raw),
        };
        Some(Found { head, body: Bytes::from_static(body) })
    }
}

impl Page {
    fn of(asset: &'static Asset, cors: &Cors) -> Self {
        let gz = asset.gz.map(|gz| {
            let head = content(asset, gz.len(), cors).field("Content-Encoding", "gzip");
            Stamped::new(head.alone())
        });
        let raw = Stamped::new(content(asset, asset.raw.len(), cors).alone());
        Self { asset, raw, gz, unchanged: Stamped::new(unchanged(asset, cors)) }
    }
}

fn content(asset: &Asset, len: usize, cors: &Cors) -> Head {
    lasting(Head::new(Status::OK), asset, cors)
        .content(asset.media_type, len as u64)
        .field("Content-Security-Policy", POLICY)
        .field("X-Content-Type-Options", "nosniff")
        .field("Referrer-Policy", "no-referrer")
}

fn unchanged(asset: &Asset, cors: &Cors) -> Prerendered {
    lasting(Head::new(Status::NOT_MODIFIED), asset, cors).alone()
}

/// What 200 and 304 both say (RFC 9110, 15.4.5).
fn lasting(head: Head, asset: &Asset, cors: &Cors) -> Head {
    let cache = if asset.is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    head.cache_control(cache).field("ETag", asset.etag).field("Vary", "Accept-Encoding").cors(cors)
}

fn is_one_name(text: &str) -> bool {
    media::BroadcastId::parse(text.strip_suffix('/').unwrap_or(text)).is_ok()
}
