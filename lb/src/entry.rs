//! What a viewer with an edge is told: the multivariant playlist, or where to go.

use crate::pack::Packer;
use crate::pathway::Pathway;
use hls::{ContentSteering, MultivariantPlaylist, SessionData};
use http::{Cors, Head, Prerendered, Status};
use media::StreamFacts;
use std::fmt::Write as _;
use ticket::{EdgeId, Token};

/// DATA-ID of the list of edges for loaders that ask a second edge when the first is slow. The value is
/// `id=origin` pairs with a space between them, the assigned edge first: a quoted string of HLS cannot hold
/// JSON's quotes. Every edge takes the token of this playlist.
pub(crate) const EDGES_DATA_ID: &str = "com.mascaret.edges";

/// Edges in that list: a loader never gets through more, and each costs every viewer 40 bytes. The others are
/// left out.
pub(crate) const EDGES_LISTED: usize = 16;

/// Where this viewer goes: the assigned edge and those behind it, as the viewer reaches them.
pub(crate) struct Way<'a> {
    pub(crate) token: &'a Token,
    pub(crate) edges: Vec<(&'a EdgeId, &'a Pathway)>,
    pub(crate) is_tls: bool,
}

impl Way<'_> {
    /// What stands before `index.m3u8` and before every rendition.
    fn base(&self, pathway: &Pathway, broadcast: &str) -> String {
        format!("{}/v/{}/{broadcast}/", pathway.origin(self.is_tls), self.token)
    }
}

/// The playlist, each variant stream once for each pathway; `None` while its rates are not measured.
pub(crate) fn playlist(
    facts: &StreamFacts,
    without_top: bool,
    way: &Way<'_>,
    fleet: &[(&EdgeId, &Pathway)],
    steering: String,
) -> Option<String> {
    let pathways: Vec<hls::Pathway> = way
        .edges
        .iter()
        .map(|(id, pathway)| hls::Pathway {
            id: Some(id.to_string()),
            base: way.base(pathway, facts.broadcast.as_str()),
        })
        .collect();
    let mut playlist = if without_top && facts.renditions.len() > 1 {
        let facts = StreamFacts { renditions: facts.renditions[1..].to_vec(), ..facts.clone() };
        MultivariantPlaylist::of(&facts, &pathways)?
    } else {
        MultivariantPlaylist::of(facts, &pathways)?
    };
    let first = way.edges.first().map(|(id, _)| id.to_string());
    playlist.content_steering = Some(ContentSteering { server_uri: steering, pathway_id: first });
    let mut list = String::with_capacity(48 * EDGES_LISTED);
    let assigned = way.edges.iter().copied();
    let rest = fleet.iter().copied().filter(|(id, _)| !way.edges.iter().any(|(known, _)| known == id));
    for (id, pathway) in assigned.chain(rest).take(EDGES_LISTED) {
        let space = if list.is_empty() { "" } else { " " };
        let _ = write!(list, "{space}{id}={}", pathway.origin(way.is_tls));
    }
    playlist.session_data.push(SessionData {
        data_id: EDGES_DATA_ID.into(),
        value: Some(list),
        uri: None,
        language: None,
    });
    Some(playlist.render())
}

/// 200 with a playlist that is for this viewer alone; packed where there is a packer.
pub(crate) fn answer(playlist: &str, packer: Option<&mut Packer>, cors: &Cors) -> Prerendered {
    let head = Head::new(Status::OK).cache_control("no-store").field("Vary", "Accept-Encoding").cors(cors);
    match packer.and_then(|packer| packer.pack(playlist.as_bytes())) {
        Some(packed) => head
            .content(hls::MEDIA_TYPE, packed.len() as u64)
            .field("Content-Encoding", "gzip")
            .with_body(&packed),
        None => head.content(hls::MEDIA_TYPE, playlist.len() as u64).with_body(playlist.as_bytes()),
    }
}

/// 307 to the assigned edge's own multivariant playlist.
pub(crate) fn redirect(broadcast: &str, way: &Way<'_>, cors: &Cors) -> Option<Prerendered> {
    let (_, pathway) = way.edges.first()?;
    let location =
        format_args!("{}/v/{}/{broadcast}/index.m3u8", pathway.origin(way.is_tls), way.token).to_string();
    Some(
        Head::new(Status::TEMPORARY_REDIRECT)
            .field("Location", location)
            .cache_control("no-store")
            .cors(cors)
            .field("Content-Length", 0)
            .alone(),
    )
}
