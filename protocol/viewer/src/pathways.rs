//! Where the same media can be had: rungs at pathways (RFC 8216bis, content steering; our balancer's list of
//! edges), which of them is used and which rest after a failure.

use crate::Url;
use crate::reading::{Multivariant, VariantStream};
use std::time::Instant;

/// Pathways of one viewer: what our balancer lists. The others are left out.
pub(crate) const PATHWAYS: usize = 16;

/// Rungs of a pathway. The others are left out.
pub(crate) const RUNGS: usize = 16;

/// The pathway of redundant variant streams without a PATHWAY-ID.
const DEFAULT_ID: &str = ".";

/// Rungs at pathways. The default has none: the entry is asked.
#[derive(Debug, Default)]
pub(crate) struct Pathways {
    bandwidths: Box<[u64]>,
    /// The origins and ids of all, one behind the other: texts of their own would be half a kilobyte more.
    names: Box<str>,
    list: Box<[Pathway]>,
    current: u8,
    /// As content steering would have them; as they are listed until it has spoken.
    order: Box<[u8]>,
}

#[derive(Debug)]
struct Pathway {
    /// Where its origin begins in the text of all of them, where that ends and its id begins, where that ends.
    names: [u32; 3],
    rungs: Rungs,
    rests_until: Option<Instant>,
}

/// The media playlists of a pathway.
#[derive(Debug)]
enum Rungs {
    Listed(Box<[Url]>),
    /// The same targets as the first pathway's, at its own origin: so it is with our edges, and a token in
    /// every URL of every pathway is most of what a viewer would weigh.
    AsFirst,
}

impl Pathways {
    /// What a multivariant playlist, read from `base`, lists; `None` if no URI of it is one.
    pub(crate) fn of(base: &Url, playlist: &Multivariant<'_>, most: usize) -> Option<Self> {
        let most = most.clamp(1, PATHWAYS);
        let found = by_pathway(base, playlist);
        let first = &found.first()?.streams;
        let bandwidths = first.iter().map(|(_, bandwidth)| *bandwidth).collect();
        let current = found.iter().position(|pathway| Some(&*pathway.id) == playlist.first_pathway);
        let mut list: Vec<(&str, &str, Rungs)> = Vec::with_capacity(PATHWAYS);
        for (at, pathway) in found.iter().enumerate() {
            let streams = &pathway.streams;
            let origin = streams.first().map_or("", |(url, _)| url.origin());
            let is_as_first = at > 0
                && streams.len() == first.len()
                && streams
                    .iter()
                    .zip(first)
                    .all(|((url, _), (first, _))| url.target() == first.target() && url.origin() == origin);
            let rungs = match is_as_first {
                true => Rungs::AsFirst,
                false => Rungs::Listed(streams.iter().map(|(url, _)| url.clone()).collect()),
            };
            list.push((origin, &pathway.id, rungs));
        }
        let edges = playlist.edges.iter().filter_map(|(id, origin)| Some((*id, Url::parse(origin).ok()?)));
        let edges: Vec<(&str, Url)> = edges.take(PATHWAYS).collect();
        for (id, url) in &edges {
            if list.len() < PATHWAYS && list.iter().all(|(known, ..)| *known != url.origin()) {
                list.push((url.origin(), id, Rungs::AsFirst));
            }
        }
        // The first is the pattern of those that are as it is, so it stays; who knows but one begins with it.
        list.truncate(most);
        let current = current.filter(|current| *current < list.len());
        Some(Self::pack(bandwidths, list, current.unwrap_or(0) as u8))
    }

    /// One media playlist and nothing else.
    pub(crate) fn single(url: Url) -> Self {
        let rungs = Rungs::Listed([url.clone()].into());
        Self::pack([0].into(), vec![(url.origin(), DEFAULT_ID, rungs)], 0)
    }

    fn pack(bandwidths: Box<[u64]>, list: Vec<(&str, &str, Rungs)>, current: u8) -> Self {
        let mut names =
            String::with_capacity(list.iter().map(|(origin, id, _)| origin.len() + id.len()).sum());
        let pack = |(origin, id, rungs): (&str, &str, Rungs)| {
            let begin = names.len() as u32;
            names.push_str(origin);
            let end = names.len() as u32;
            names.push_str(id);
            Pathway { names: [begin, end, names.len() as u32], rungs, rests_until: None }
        };
        let list: Box<[Pathway]> = list.into_iter().map(pack).collect();
        let order = (0..list.len() as u8).collect();
        Self { bandwidths, names: names.into(), list, current, order }
    }

    pub(crate) fn current(&self) -> u8 {
        self.current
    }

    pub(crate) fn bandwidths(&self) -> &[u64] {
        &self.bandwidths
    }

    pub(crate) fn origin(&self, pathway: u8) -> &str {
        let Some(asked) = self.list.get(usize::from(pathway)) else { return "" };
        let [begin, end, _] = asked.names;
        &self.names[begin as usize..end as usize]
    }

    /// What a steering server calls it.
    pub(crate) fn id(&self, pathway: u8) -> &str {
        let Some(asked) = self.list.get(usize::from(pathway)) else { return "" };
        let [_, begin, end] = asked.names;
        &self.names[begin as usize..end as usize]
    }

    /// The media playlist of a rung at a pathway.
    pub(crate) fn url(&self, pathway: u8, rung: u8) -> Option<Url> {
        let (first, asked) = (self.list.first()?, self.list.get(usize::from(pathway))?);
        let of = |rungs: &'_ [Url]| rungs.get(usize::from(rung)).or_else(|| rungs.last()).cloned();
        match (&asked.rungs, &first.rungs) {
            (Rungs::Listed(rungs), _) => of(rungs),
            (Rungs::AsFirst, Rungs::Listed(rungs)) => of(rungs)?.at(self.origin(pathway)).ok(),
            (Rungs::AsFirst, Rungs::AsFirst) => None,
        }
    }

    /// A URL of one of these origins, at the origin of this pathway.
    pub(crate) fn moved(&self, url: Url, pathway: u8) -> Url {
        let here = self.origin(pathway);
        let is_ours = url.origin() != here
            && (0..self.list.len()).any(|known| self.origin(known as u8) == url.origin());
        if is_ours { url.at(here).unwrap_or(url) } else { url }
    }

    /// The next to ask, of those whose bit is not set in `tried`: the current one first, those that rest last.
    pub(crate) fn next(&self, tried: u16, at: Instant) -> Option<u8> {
        let current = usize::from(self.current);
        let order = || {
            let order = self.order.iter().map(|index| usize::from(*index));
            let others = order.filter(move |index| *index != current);
            std::iter::once(current).chain(others).filter(|index| tried & (1 << index) == 0)
        };
        let awake = order().find(|&index| !self.rests(index as u8, at));
        awake.or_else(|| order().next()).filter(|index| *index < self.list.len()).map(|index| index as u8)
    }

    /// Takes an order of preference (PATHWAY-PRIORITY): who is named comes before who is not, and names that nobody
    /// has are passed over. Where to go now, if that is elsewhere: the first named one that does not rest. An order
    /// that names nobody is none.
    pub(crate) fn prefer<'a>(&mut self, ids: impl Iterator<Item = &'a str>, at: Instant) -> Option<u8> {
        let mut order: Vec<u8> = Vec::with_capacity(self.list.len());
        for id in ids {
            let found = (0..self.list.len() as u8).find(|index| self.id(*index) == id);
            order.extend(found.filter(|found| !order.contains(found)));
        }
        let first = order.iter().copied().find(|index| !self.rests(*index, at));
        if order.is_empty() {
            return None;
        }
        let unnamed: Vec<u8> = self.order.iter().copied().filter(|index| !order.contains(index)).collect();
        order.extend(unnamed);
        self.order = order.into();
        first.filter(|first| *first != self.current)
    }

    pub(crate) fn rests(&self, pathway: u8, at: Instant) -> bool {
        let pathway = self.list.get(usize::from(pathway));
        pathway.and_then(|pathway| pathway.rests_until).is_some_and(|until| until > at)
    }

    pub(crate) fn rest(&mut self, pathway: u8, until: Instant) {
        if let Some(pathway) = self.list.get_mut(usize::from(pathway)) {
            pathway.rests_until = Some(until);
        }
    }

    /// Uses this one from here on.
    pub(crate) fn settle(&mut self, pathway: u8) {
        self.current = pathway;
        if let Some(pathway) = self.list.get_mut(usize::from(pathway)) {
            pathway.rests_until = None;
        }
    }
}

/// A pathway as it is listed.
struct Found {
    id: String,
    /// Media playlists and their BANDWIDTH.
    streams: Vec<(Url, u64)>,
}

/// The variant streams of each pathway, in the order of the playlist.
fn by_pathway(base: &Url, playlist: &Multivariant<'_>) -> Vec<Found> {
    let mut found: Vec<Found> = Vec::new();
    for (at, stream) in playlist.variant_streams.iter().enumerate() {
        let Ok(url) = base.resolve(stream.uri) else { continue };
        let named = stream.pathway_id.filter(|id| !id.is_empty()).unwrap_or(DEFAULT_ID);
        // The same stream again at another place is a redundant one, as before pathways had names.
        let is_twin =
            |before: &&VariantStream<'_>| before.attributes == stream.attributes && before.uri != stream.uri;
        let twins = playlist.variant_streams[..at].iter().filter(is_twin).count();
        let id = format!("{named}{}", ".".repeat(twins));
        let place = match found.iter().position(|known| known.id == id) {
            Some(place) => place,
            None if found.len() == PATHWAYS => continue,
            None => {
                found.push(Found { id, streams: Vec::new() });
                found.len() - 1
            }
        };
        let streams = &mut found[place].streams;
        // One media playlist with several audio groups is listed several times.
        if streams.len() < RUNGS && streams.iter().all(|(known, _)| *known != url) {
            streams.push((url, stream.bandwidth));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reading::{Reading, read};
    use std::time::Duration;

    fn pathways(text: &str) -> Pathways {
        let text = format!("#EXTM3U\n{text}");
        let Some(Reading::Multivariant(playlist)) = read(text.as_bytes()) else { panic!("{text}") };
        Pathways::of(&Url::parse("http://e1/v/tok/demo/index.m3u8").unwrap(), &playlist, PATHWAYS).unwrap()
    }

    fn urls(pathways: &Pathways, rung: u8) -> Vec<String> {
        (0..20).map_while(|pathway| pathways.url(pathway, rung)).map(|url| url.to_string()).collect()
    }

    #[test]
    fn our_list_of_edges_is_more_pathways() {
        let pathways = pathways(
            "#EXT-X-SESSION-DATA:DATA-ID=\"com.mascaret.edges\",VALUE=\"a=http://e1 b=http://e2 c=http://e3:1 bad=x\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=2,PATHWAY-ID=\"a\"\nhttp://e1/v/tok/demo/720p/index.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"a\"\nhttp://e1/v/tok/demo/360p/index.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=2,PATHWAY-ID=\"b\"\nhttp://e2/v/tok/demo/720p/index.m3u8\n\
             #EXT-X-STREAM-INF:BANDWIDTH=1,PATHWAY-ID=\"b\"\nhttp://e2/v/tok/demo/360p/index.m3u8\n",
        );
        assert_eq!(
            urls(&pathways, 1),
            [
                "http://e1/v/tok/demo/360p/index.m3u8",
                "http://e2/v/tok/demo/360p/index.m3u8",
                "http://e3:1/v/tok/demo/360p/index.m3u8"
            ]
        );
        assert_eq!(pathways.bandwidths(), [2, 1]);
        assert!(matches!(pathways.list[1].rungs, Rungs::AsFirst));
        let segment = Url::parse("http://e1/v/tok/demo/360p/7.ts").unwrap();
        assert_eq!(pathways.moved(segment, 2).as_str(), "http://e3:1/v/tok/demo/360p/7.ts");
        let foreign = Url::parse("http://cdn/7.ts").unwrap();
        assert_eq!(pathways.moved(foreign.clone(), 2), foreign);
    }

    #[test]
    fn content_steering_says_where_to_begin() {
        let pathways = pathways(
            "#EXT-X-CONTENT-STEERING:SERVER-URI=\"/s\",PATHWAY-ID=\"y\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=2,PATHWAY-ID=\"x\"\nx/a\n#EXT-X-STREAM-INF:BANDWIDTH=2,PATHWAY-ID=\"y\"\ny/a\n",
        );
        assert_eq!(pathways.current(), 1);
        assert_eq!(urls(&pathways, 0), ["http://e1/v/tok/demo/x/a", "http://e1/v/tok/demo/y/a"]);
    }

    #[test]
    fn redundant_streams_are_pathways_and_audio_groups_are_not() {
        let redundant = pathways(
            "#EXT-X-STREAM-INF:BANDWIDTH=2\na\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb\n\
             #EXT-X-STREAM-INF:BANDWIDTH=2\nhttp://cdn2/a\n#EXT-X-STREAM-INF:BANDWIDTH=1\nhttp://cdn2/b\n",
        );
        assert_eq!(urls(&redundant, 1), ["http://e1/v/tok/demo/b", "http://cdn2/b"]);
        let groups = pathways(
            "#EXT-X-STREAM-INF:BANDWIDTH=2,AUDIO=\"x\"\na\n#EXT-X-STREAM-INF:BANDWIDTH=1,AUDIO=\"y\"\na\n",
        );
        assert_eq!((urls(&groups, 0).len(), groups.bandwidths().len()), (1, 1));
    }

    #[test]
    fn who_failed_is_asked_last_and_for_a_while() {
        let mut pathways = pathways(
            "#EXT-X-SESSION-DATA:DATA-ID=\"com.mascaret.edges\",VALUE=\"b=http://e2 c=http://e3\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=2\na\n",
        );
        let at = crate::epoch();
        let later = at + Duration::from_secs(30);
        assert_eq!(pathways.next(0, at), Some(0));
        pathways.rest(0, later);
        assert_eq!(pathways.next(0, at), Some(1));
        pathways.rest(1, later);
        pathways.rest(2, later);
        assert_eq!(pathways.next(0, at), Some(0));
        assert_eq!(pathways.next(0b001, at), Some(1));
        assert_eq!(pathways.next(0b111, at), None);
        assert_eq!(pathways.next(0, later), Some(0));
        pathways.settle(2);
        assert_eq!((pathways.next(0, at), pathways.next(0b100, later)), (Some(2), Some(0)));
        assert_eq!(Pathways::default().next(0, at), None);
    }

    #[test]
    fn a_preference_goes_before_the_order_of_the_list_and_after_what_failed() {
        let mut pathways = pathways(
            "#EXT-X-SESSION-DATA:DATA-ID=\"com.mascaret.edges\",VALUE=\"a=http://e1 b=http://e2 c=http://e3\"\n\
             #EXT-X-STREAM-INF:BANDWIDTH=2,PATHWAY-ID=\"a\"\nhttp://e1/v/tok/demo/a\n",
        );
        let at = crate::epoch();
        let later = at + Duration::from_secs(30);
        assert_eq!((0..3).map(|pathway| pathways.id(pathway)).collect::<String>(), "abc");
        let mut prefer = |ids: &str, at| pathways.prefer(ids.split(' '), at);
        assert_eq!((prefer("a b c", at), prefer("x", at), prefer("", at)), (None, None, None));
        assert_eq!(prefer("x c c a", at), Some(2));
        pathways.settle(2);
        // Named ones first, then the others, as before.
        pathways.rest(2, later);
        assert_eq!((pathways.next(0, at), pathways.next(0b001, at)), (Some(0), Some(1)));
        assert_eq!(pathways.prefer(["c"].into_iter(), at), None, "it rests, and nobody else is named");
        assert_eq!(pathways.prefer(["c", "b"].into_iter(), at), Some(1));
        assert_eq!(pathways.next(0b100, at), Some(1));
    }

    #[test]
    fn who_knows_one_pathway_begins_with_the_first() {
        let text = "#EXTM3U\n#EXT-X-CONTENT-STEERING:SERVER-URI=\"/s\",PATHWAY-ID=\"y\"\n\
                    #EXT-X-STREAM-INF:BANDWIDTH=2,PATHWAY-ID=\"x\"\nx/a\n#EXT-X-STREAM-INF:BANDWIDTH=2,PATHWAY-ID=\"y\"\ny/a\n";
        let Some(Reading::Multivariant(playlist)) = read(text.as_bytes()) else { panic!("{text}") };
        let one = Pathways::of(&Url::parse("http://e1/i.m3u8").unwrap(), &playlist, 1).unwrap();
        assert_eq!((one.current(), urls(&one, 0)), (0, vec!["http://e1/x/a".to_owned()]));
    }

    #[test]
    fn pathways_and_rungs_are_bounded() {
        let streams: String = (0..40)
            .flat_map(|p| {
                (0..3).map(move |r| {
                    format!("#EXT-X-STREAM-INF:BANDWIDTH={r},PATHWAY-ID=\"{p}\"\nhttp://e{p}/{r}\n")
                })
            })
            .collect();
        assert_eq!(urls(&pathways(&streams), 0).len(), PATHWAYS);
        let rungs: String = (0..40).map(|r| format!("#EXT-X-STREAM-INF:BANDWIDTH={r}\n{r}\n")).collect();
        assert_eq!(pathways(&rungs).bandwidths().len(), RUNGS);
    }
}
