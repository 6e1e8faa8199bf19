//! What the stories of HTTP stand on: an edge with three segments, and shapes: what is said, the head that must come
//! back line for line (only dates and tags are masked), and whether the connection goes on.

use super::{Answer, Cluster, Edge, FIRST, Ingest, Viewer, Wire, any, body, listed, segment_path, settings};
use media::MediaSpan;
use node::settings::Address;
use percore::Driver;
use percore::rustls::ClientConfig;
use std::sync::Arc;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum By {
    Plain,
    Tls,
}

/// An edge with three segments of `tide`.
pub(crate) struct Ground {
    pub(crate) edge: Edge,
    _ingest: Ingest,
    pub(crate) trust: Arc<ClientConfig>,
    _cluster: Cluster,
}

/// What must come back.
pub(crate) struct Shape<'a> {
    pub(crate) says: Vec<u8>,
    /// The head's lines without its end; `*` in a Date and an ETag stands for any.
    pub(crate) head: String,
    pub(crate) body: &'a [u8],
    pub(crate) goes_on: bool,
}

impl Ground {
    pub(crate) fn new(driver: Driver) -> Self {
        Self::with(driver, |settings| settings)
    }

    pub(crate) fn with(driver: Driver, change: impl FnOnce(edge::Settings) -> edge::Settings) -> Self {
        let cluster = Cluster::new();
        let ingest = cluster.ingest(MediaSpan::from_secs(2));
        let settings = edge::Settings { https: Some(Address(any())), ..settings(driver, &[&ingest]) };
        let edge = cluster.edge(change(settings));
        ingest.begins();
        (0..3).for_each(|nth| ingest.segment(nth));
        listed(edge.address(), "360p", 2);
        let trust = cluster.trust();
        Self { edge, _ingest: ingest, trust, _cluster: cluster }
    }

    pub(crate) fn viewer(&self, by: By) -> Viewer<Box<dyn Wire>> {
        match by {
            By::Plain => Viewer::at(self.edge.address()).boxed(),
            By::Tls => Viewer::by_tls(self.edge.running.addresses()[1], &self.trust).boxed(),
        }
    }

    /// Each shape on a connection of its own, by plain sockets and by TLS.
    pub(crate) fn hold(&self, shapes: &[Shape<'_>]) {
        for by in [By::Plain, By::Tls] {
            for shape in shapes {
                let told = String::from_utf8_lossy(&shape.says[..shape.says.len().min(300)]).into_owned();
                // Shown where the story fails.
                println!("{by:?}: {told:?}");
                let mut viewer = self.viewer(by);
                viewer.says(&shape.says);
                let answer = viewer.hears(shape.says.starts_with(b"HEAD "));
                assert_eq!(masked(&answer), shape.head, "{told:?}");
                assert!(answer.body == shape.body, "{told:?}: {:?}", String::from_utf8_lossy(&answer.body));
                if shape.goes_on {
                    assert_eq!(viewer.get("/nowhere").status, 404, "after {told:?}");
                } else {
                    assert!(viewer.is_closed(), "after {told:?}");
                }
            }
        }
    }

    pub(crate) fn ends(self) {
        self.edge.ends();
    }
}

pub(crate) fn masked(answer: &Answer) -> String {
    let lines = answer.head.trim_end_matches("\r\n").split("\r\n").map(|line| match line.split_once(": ") {
        Some(("Date", date)) => {
            assert!(date.len() == 29 && date.ends_with(" GMT"), "{date}");
            "Date: *".to_owned()
        }
        Some(("ETag", tag)) => {
            let hex = tag.trim_matches('"').trim_end_matches("-gz");
            assert!(hex.len() == 16 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{tag}");
            format!("ETag: {}", tag.replace(hex, "*"))
        }
        _ => line.to_owned(),
    });
    lines.collect::<Vec<_>>().join("\n")
}

pub(crate) const PLAYLIST: &str = "/live/tide/360p/index.m3u8";

pub(crate) const CORS: &str = "Access-Control-Allow-Origin: *\n\
                    Access-Control-Expose-Headers: Content-Range, Date, ETag, Retry-After\n\
                    Timing-Allow-Origin: *";

pub(crate) fn get(path: &str, fields: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: edge\r\n{fields}\r\n").into()
}

/// A sentence, as a refusal is one.
pub(crate) fn sentence(status: &str, fields: &str, text: &str, connection: &str) -> String {
    format!(
        "HTTP/1.1 {status}\nDate: *\nCache-Control: no-store\n{CORS}\n{fields}\
         Content-Type: text/plain; charset=utf-8\nContent-Length: {}\nX-Content-Type-Options: nosniff{connection}",
        text.len() + 1
    )
}

/// Refused, and the connection is over.
pub(crate) fn refused(says: impl Into<Vec<u8>>, status: &str, text: &'static str) -> Shape<'static> {
    let fields = if status.starts_with("405") { "Allow: GET, HEAD, OPTIONS\n" } else { "" };
    let head = sentence(status, fields, text.trim_end(), "\nConnection: close");
    Shape { says: says.into(), head, body: text.as_bytes(), goes_on: false }
}

pub(crate) const NOTHING: &str = "nothing here by that name\n";

/// Not here, and the connection goes on.
pub(crate) fn nothing(path: &str) -> Shape<'static> {
    let head = sentence("404 Not Found", "", NOTHING.trim_end(), "");
    Shape { says: get(path, ""), head, body: NOTHING.as_bytes(), goes_on: true }
}

/// 200 (or 304 without a length) of a playlist; `rest` are further lines.
pub(crate) fn playlist_head(status: &str, tag: &str, len: Option<usize>, rest: &str) -> String {
    let content = len.map_or_else(String::new, |len| {
        format!("\nContent-Type: application/vnd.apple.mpegurl\nContent-Length: {len}")
    });
    format!(
        "HTTP/1.1 {status}\nDate: *\nCache-Control: public, max-age=1\nETag: {tag}\nVary: Accept-Encoding\n\
         {CORS}{content}{rest}"
    )
}

/// 200, 206 or 304 of a segment.
pub(crate) fn segment_head(status: &str, len: usize, range: &str, connection: &str) -> String {
    format!(
        "HTTP/1.1 {status}\nDate: *\nContent-Type: video/mp2t\nContent-Length: {len}\n\
         Cache-Control: public, max-age=31536000, immutable\nETag: \"*\"\nAccept-Ranges: bytes\n{range}{CORS}{connection}"
    )
}

pub(crate) fn segment() -> (String, Vec<u8>) {
    (segment_path("360p", 2), body("360p", 2).to_vec())
}

// The first segment there is, so that the paths above name what they seem to.
const _: () = assert!(FIRST == 850_000_000);
