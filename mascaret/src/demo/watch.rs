//! Watches the cluster as a viewer with four eyes would: every edge, every rendition, every new segment, and
//! whether all edges have the same bytes.
//!
//! Lives here: asking and comparing. Does not live here: what is told of it (`tell`), or who is alive (`child`).

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hls::{MediaPlaylist, MultivariantPlaylist};
use node::Stop;
use sha2::{Digest, Sha256};

use crate::fetch::{Fetcher, resolve};

/// How long an edge on the same machine may take for an answer.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// Between two rounds: twice in a segment, so that no number is missed.
const ROUND: Duration = Duration::from_millis(800);
/// Segments whose hash is kept for comparison: what a window lists, several times over.
const HASHES_MAX: usize = 4096;
/// A rendition whose newest number is older than this does not advance: three segments and a round.
pub(crate) const STALE: Duration = Duration::from_millis(7_000);

/// One rendition of one broadcast at one edge.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) first: u64,
    pub(crate) newest: u64,
    pub(crate) advanced_at: Instant,
    /// Segments that were fetched and compared.
    pub(crate) compared: u64,
    pub(crate) gaps: u64,
}

/// `(edge, broadcast, rendition)`.
pub(crate) type Place = (String, String, String);
/// `(broadcast, rendition, sequence)`.
type SegmentName = (String, String, u64);

/// What was seen so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Board {
    pub(crate) seen: BTreeMap<Place, Seen>,
    /// What the edges disagree about or failed to give, newest last; at most [`FAULTS_MAX`].
    pub(crate) faults: Vec<String>,
    pub(crate) fault_count: u64,
    /// Segments fetched and compared, of edges that were started anew too.
    pub(crate) compared: u64,
    /// Renditions of each broadcast, over all edges.
    pub(crate) renditions: BTreeMap<String, BTreeSet<String>>,
    hashes: BTreeMap<SegmentName, ([u8; 32], String)>,
}

/// Faults that are kept in words; more are counted.
const FAULTS_MAX: usize = 50;

impl Board {
    fn fault(&mut self, what: String) {
        self.fault_count += 1;
        if self.faults.len() < FAULTS_MAX {
            self.faults.push(what);
        }
    }

    /// What an edge lists now. Says whether there is a segment to fetch.
    fn listed(&mut self, place: &Place, playlist: &MediaPlaylist, now: Instant) -> bool {
        let Some(newest) = playlist.last_sequence().map(|sequence| sequence.0) else { return false };
        let gaps = playlist.segments.iter().filter(|segment| segment.is_gap).count() as u64;
        self.renditions.entry(place.1.clone()).or_default().insert(place.2.clone());
        match self.seen.get_mut(place) {
            None => {
                let seen = Seen { first: newest, newest, advanced_at: now, compared: 0, gaps };
                self.seen.insert(place.clone(), seen);
                true
            }
            Some(seen) if newest > seen.newest => {
                seen.newest = newest;
                seen.advanced_at = now;
                seen.gaps = seen.gaps.max(gaps);
                true
            }
            Some(seen) if newest < seen.newest => {
                let (edge, broadcast, rendition) = place;
                let back =
                    format!("{edge}: {broadcast}/{rendition} went back from {} to {newest}", seen.newest);
                seen.newest = newest;
                self.fault(back);
                false
            }
            Some(_) => false,
        }
    }

    /// A segment's bytes, as one edge gave them.
    fn fetched(&mut self, place: &Place, sequence: u64, bytes: &[u8]) {
        let (edge, broadcast, rendition) = place;
        let hash: [u8; 32] = Sha256::digest(bytes).into();
        self.compared += 1;
        if let Some(seen) = self.seen.get_mut(place) {
            seen.compared += 1;
        }
        let name = (broadcast.clone(), rendition.clone(), sequence);
        match self.hashes.get(&name) {
            Some((other, who)) if *other != hash => {
                let fault = format!("{broadcast}/{rendition}/{sequence}.ts differs between {who} and {edge}");
                self.fault(fault);
            }
            Some(_) => {}
            None => {
                if self.hashes.len() >= HASHES_MAX {
                    self.forget_oldest();
                }
                self.hashes.insert(name, (hash, edge.clone()));
            }
        }
    }

    fn forget_oldest(&mut self) {
        let mut sequences: Vec<u64> = self.hashes.keys().map(|name| name.2).collect();
        sequences.sort_unstable();
        let middle = sequences[sequences.len() / 2];
        self.hashes.retain(|name, _| name.2 > middle);
    }

    /// A node that was started anew is seen anew.
    pub(crate) fn forget_edge(&mut self, edge: &str) {
        self.seen.retain(|place, _| place.0 != edge);
    }

    /// Everything that is not as it should be at these edges; empty: video reached every edge.
    pub(crate) fn verdict(
        &self,
        edges: &[&str],
        expected: &[String],
        rungs: usize,
        now: Instant,
    ) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut broadcasts: BTreeSet<&str> = self.renditions.keys().map(String::as_str).collect();
        broadcasts.retain(|broadcast| !expected.iter().any(|it| it == broadcast));
        for broadcast in expected.iter().map(String::as_str).chain(broadcasts.iter().copied()) {
            let known = self.renditions.get(broadcast).cloned().unwrap_or_default();
            if expected.iter().any(|it| it == broadcast) && known.len() < rungs {
                let names: Vec<&str> = known.iter().map(String::as_str).collect();
                wrong.push(format!("{broadcast}: {} of {rungs} rungs ({})", known.len(), names.join(", ")));
            }
            for edge in edges {
                for rendition in &known {
                    let place = ((*edge).to_owned(), broadcast.to_owned(), rendition.clone());
                    match self.seen.get(&place) {
                        None => wrong.push(format!("{edge}: {broadcast}/{rendition} was never listed")),
                        Some(seen) if seen.newest <= seen.first => {
                            wrong.push(format!("{edge}: {broadcast}/{rendition} stayed at {}", seen.first));
                        }
                        Some(seen) if now.duration_since(seen.advanced_at) > STALE => wrong.push(format!(
                            "{edge}: {broadcast}/{rendition} stands at {} for {:.1} s",
                            seen.newest,
                            now.duration_since(seen.advanced_at).as_secs_f64()
                        )),
                        Some(seen) if seen.compared == 0 => {
                            wrong.push(format!(
                                "{edge}: no segment of {broadcast}/{rendition} could be fetched"
                            ));
                        }
                        Some(_) => {}
                    }
                }
            }
        }
        wrong.extend(self.faults.iter().cloned());
        let untold = self.fault_count - self.faults.len() as u64;
        if untold > 0 {
            wrong.push(format!("and {untold} more"));
        }
        wrong
    }
}

/// Whom to watch; changed by keys, read each round.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watched {
    /// Edges that should serve: neither killed nor drained.
    pub(crate) edges: Vec<(String, SocketAddr)>,
    /// Broadcasts to look for, known from the balancers.
    pub(crate) broadcasts: BTreeSet<String>,
}

/// Shared between the one who presses keys and the one who watches.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shared {
    board: Arc<Mutex<Board>>,
    watched: Arc<Mutex<Watched>>,
}

impl Shared {
    pub(crate) fn board(&self) -> std::sync::MutexGuard<'_, Board> {
        self.board.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn watched(&self) -> std::sync::MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks round after round, one thread per edge so that a silent one delays nobody, until `stop`.
pub(crate) fn start(shared: &Shared, edges: &[(String, SocketAddr)], stop: &Stop) {
    for (edge, address) in edges.iter().cloned() {
        let (shared, stop) = (shared.clone(), stop.clone());
        let watch = move || {
            let fetcher = Fetcher::new(ANSWER_MAX);
            while !stop.wait_timeout(ROUND) {
                let (is_watched, broadcasts) = {
                    let watched = shared.watched();
                    (watched.edges.iter().any(|(name, _)| *name == edge), watched.broadcasts.clone())
                };
                if is_watched {
                    for broadcast in broadcasts {
                        look(&shared, &fetcher, &edge, address, &broadcast);
                    }
                }
            }
        };
        // Without a thread nothing is seen of this edge, which the verdict says.
        let _ = std::thread::Builder::new()
            .name(format!("watch {edge_name}", edge_name = edges.len()))
            .spawn(watch);
    }
}

/// One broadcast at one edge. What cannot be had now is seen again in the next round; the verdict tells who
/// never had it.
fn look(shared: &Shared, fetcher: &Fetcher, edge: &str, address: SocketAddr, broadcast: &str) -> Option<()> {
    let top = format!("http://{address}/live/{broadcast}/index.m3u8");
    let answer = fetcher.get(&top).ok().filter(|answer| answer.status == 200)?;
    let multivariant = match MultivariantPlaylist::parse(&answer.body) {
        Ok(multivariant) => multivariant,
        Err(error) => {
            shared.board().fault(format!("{edge}: {broadcast}/index.m3u8: {error}"));
            return None;
        }
    };
    for variant in &multivariant.variant_streams {
        // An edge's own playlist names itself; other pathways are other edges' business.
        let url = resolve(&top, &variant.uri);
        let Some(rendition) = rendition_of(&url) else { continue };
        let Some(answer) = fetcher.get(&url).ok().filter(|answer| answer.status == 200) else { continue };
        let place = (edge.to_owned(), broadcast.to_owned(), rendition);
        let playlist = match MediaPlaylist::parse(&answer.body) {
            Ok(playlist) => playlist,
            Err(error) => {
                shared.board().fault(format!("{edge}: {broadcast}/{}: {error}", place.2));
                continue;
            }
        };
        if !shared.board().listed(&place, &playlist, Instant::now()) {
            continue;
        }
        let Some((sequence, _, segment)) =
            playlist.numbered().last().filter(|(_, _, segment)| !segment.is_gap)
        else {
            continue;
        };
        let at = resolve(&url, &segment.uri);
        match fetcher.get(&at) {
            Ok(answer) if answer.status == 200 => shared.board().fetched(&place, sequence.0, &answer.body),
            Ok(answer) => shared.board().fault(format!("{edge}: {at} answers {}", answer.status)),
            // An edge that is killed in this moment answers nothing; the child's end is told elsewhere.
            Err(_) => {}
        }
    }
    Some(())
}

/// `…/live/tide/360p/index.m3u8` → `360p`.
fn rendition_of(url: &str) -> Option<String> {
    let path = url.split(['?', '#']).next()?;
    path.rsplit('/').nth(1).filter(|rendition| !rendition.is_empty()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hls::Segment;
    use media::MediaSequence;

    fn place(edge: &str) -> Place {
        (edge.into(), "tide".into(), "360p".into())
    }

    fn playlist(first: u64) -> MediaPlaylist {
        let text = format!(
            "#EXTM3U\n#EXT-X-VERSION:6\n#EXT-X-TARGETDURATION:2\n#EXT-X-MEDIA-SEQUENCE:{first}\n\
             #EXTINF:2.00000,\n{first}.ts\n#EXTINF:2.00000,\n{}.ts\n",
            first + 1
        );
        MediaPlaylist::parse(text.as_bytes()).expect("a playlist")
    }

    #[test]
    fn video_reached_an_edge_whose_numbers_advance_and_whose_bytes_agree() {
        let (mut board, now) = (Board::default(), Instant::now());
        for edge in ["edge1", "edge2"] {
            assert!(board.listed(&place(edge), &playlist(10), now));
            board.fetched(&place(edge), 11, b"same");
        }
        let expected = ["tide".to_owned()];
        let wrong = board.verdict(&["edge1", "edge2"], &expected, 1, now);
        assert_eq!(wrong, ["edge1: tide/360p stayed at 11", "edge2: tide/360p stayed at 11"]);
        for edge in ["edge1", "edge2"] {
            assert!(board.listed(&place(edge), &playlist(11), now));
            assert!(!board.listed(&place(edge), &playlist(11), now), "nothing new to fetch");
        }
        assert!(board.verdict(&["edge1", "edge2"], &expected, 1, now).is_empty());
        let later = now + STALE + Duration::from_millis(1);
        assert_eq!(board.verdict(&["edge1"], &expected, 1, later).len(), 1);
        assert_eq!(
            board.verdict(&["edge1", "edge3"], &expected, 1, now),
            ["edge3: tide/360p was never listed"]
        );
        assert_eq!(board.verdict(&["edge1"], &expected, 2, now), ["tide: 1 of 2 rungs (360p)"]);
    }

    #[test]
    fn bytes_that_differ_and_numbers_that_go_back_are_faults() {
        let (mut board, now) = (Board::default(), Instant::now());
        for (edge, bytes) in [("edge1", b"one"), ("edge2", b"two")] {
            board.listed(&place(edge), &playlist(10), now);
            board.fetched(&place(edge), 11, bytes);
        }
        board.listed(&place("edge1"), &playlist(9), now);
        let wrong = board.verdict(&[], &[], 0, now);
        assert_eq!(wrong[0], "tide/360p/11.ts differs between edge1 and edge2");
        assert_eq!(wrong[1], "edge1: tide/360p went back from 11 to 10");
    }

    #[test]
    fn hashes_are_bounded() {
        let mut board = Board::default();
        for sequence in 0..3 * HASHES_MAX as u64 {
            board.fetched(&place("edge1"), sequence, b"");
        }
        assert!(board.hashes.len() <= HASHES_MAX);
        assert!(board.hashes.keys().any(|name| name.2 == 3 * HASHES_MAX as u64 - 1));
    }

    #[test]
    fn an_empty_playlist_is_nothing_to_see() {
        let mut board = Board::default();
        let mut empty = playlist(1);
        empty.segments = Vec::<Segment>::new();
        empty.media_sequence = MediaSequence(0);
        assert!(!board.listed(&place("edge1"), &empty, Instant::now()));
    }

    #[test]
    fn a_rendition_is_the_folder_of_its_playlist() {
        assert_eq!(rendition_of("http://e/live/tide/360p/index.m3u8?x=/y").as_deref(), Some("360p"));
    }
}
