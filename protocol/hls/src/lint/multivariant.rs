//! A multivariant playlist by itself: section 5 of the rules.

use super::finding::Findings;
use super::url;
use crate::{Alternative, AlternativeKind, MultivariantPlaylist, VariantStream};
use std::collections::{BTreeMap, BTreeSet};

/// CODECS words that are pictures.
const VIDEO_WORDS: [&str; 9] = ["avc1", "avc3", "hvc1", "hev1", "dvh1", "dvhe", "av01", "vp09", "vp08"];

/// The pathway of a variant stream that names none (rule V10).
const DEFAULT_PATHWAY: &str = ".";

/// Checks what one multivariant playlist says.
pub(crate) fn check(playlist: &MultivariantPlaylist, place: &str, at_ms: u64, findings: &mut Findings) {
    let mut check = Check { playlist, place, at_ms, findings };
    playlist.variant_streams.iter().for_each(|variant| check.variant_stream(variant));
    check.order();
    check.groups();
    check.session_data();
    check.pathways();
    check.tls();
    if !playlist.independent_segments {
        check.advise("M17", "no EXT-X-INDEPENDENT-SEGMENTS");
    }
}

/// True for a variant stream with pictures.
pub(crate) fn has_video(variant: &VariantStream) -> bool {
    variant.resolution.is_some() || codec_words(variant).any(|word| VIDEO_WORDS.contains(&kind_of(word)))
}

/// The words of CODECS.
pub(crate) fn codec_words(variant: &VariantStream) -> impl Iterator<Item = &str> {
    variant.codecs.as_deref().unwrap_or_default().split(',').map(str::trim).filter(|word| !word.is_empty())
}

fn kind_of(word: &str) -> &str {
    word.split('.').next().unwrap_or_default()
}

/// Which pathway a variant stream is on.
pub(crate) fn pathway(variant: &VariantStream) -> &str {
    variant.pathway_id.as_deref().unwrap_or(DEFAULT_PATHWAY)
}

struct Check<'a> {
    playlist: &'a MultivariantPlaylist,
    place: &'a str,
    at_ms: u64,
    findings: &'a mut Findings,
}

impl Check<'_> {
    fn add(&mut self, id: &'static str, text: impl Into<String>) {
        self.findings.add(id, self.place, self.at_ms, text);
    }

    fn advise(&mut self, id: &'static str, text: impl Into<String>) {
        self.findings.advise(id, self.place, self.at_ms, text);
    }

    fn variant_stream(&mut self, variant: &VariantStream) {
        let uri = &variant.uri;
        if variant.bandwidth.0 == 0 {
            self.add("V01", format!("{uri} has BANDWIDTH=0"));
        }
        if variant.average_bandwidth.is_some_and(|average| average > variant.bandwidth) {
            self.add("V01", format!("{uri} has an AVERAGE-BANDWIDTH above its BANDWIDTH"));
        }
        if variant.codecs.is_none() {
            self.add("V02", format!("{uri} has no CODECS"));
        }
        if variant.average_bandwidth.is_none() {
            self.add("V02", format!("{uri} has no AVERAGE-BANDWIDTH"));
        }
        if has_video(variant) {
            if variant.resolution.is_none() {
                self.add("V02", format!("{uri} has pictures and no RESOLUTION"));
            }
            if variant.frame_rate.is_none() {
                self.add("V02", format!("{uri} has pictures and no FRAME-RATE"));
            }
        }
    }

    fn order(&mut self) {
        let variants = &self.playlist.variant_streams;
        let Some(first) = variants.first() else {
            return self.add("V08", "no variant stream");
        };
        let on_first: Vec<_> = variants.iter().filter(|v| pathway(v) == pathway(first)).collect();
        if on_first.len() < 2 {
            self.add("V08", "one variant stream, more are asked for");
        }
        let off = |variant: &VariantStream| variant.bandwidth.0.abs_diff(MultivariantPlaylist::START_NEAR.0);
        let same_kind = on_first.iter().filter(|variant| has_video(variant) == has_video(first));
        if let Some(nearest) = same_kind.min_by_key(|variant| off(variant)).filter(|v| off(v) < off(first)) {
            let text = format!("{} stands first and {} is nearer 2 Mbit/s", first.uri, nearest.uri);
            self.advise("V08", text);
        }
        if variants.iter().any(|v| v.score.is_some()) && variants.iter().any(|v| v.score.is_none()) {
            self.add("V09", "SCORE is on some variant streams and not on others");
        }
    }

    fn groups(&mut self) {
        let mut groups: BTreeMap<(AlternativeKind, &str), Vec<&Alternative>> = BTreeMap::new();
        for alternative in &self.playlist.alternatives {
            groups.entry((alternative.kind, &alternative.group_id)).or_default().push(alternative);
        }
        let mut faults = Vec::new();
        for ((kind, group), members) in &groups {
            let names: BTreeSet<_> = members.iter().map(|member| &member.name).collect();
            if names.len() < members.len() {
                faults.push(("V04", format!("the {} group {group:?} has a NAME twice", kind.word())));
            }
            if members.iter().filter(|member| member.is_default).count() > 1 {
                faults.push(("V04", format!("the {} group {group:?} has two with DEFAULT=YES", kind.word())));
            }
            let members_of = |group: &[&Alternative]| -> BTreeSet<(String, Option<String>)> {
                group.iter().map(|m| (m.name.clone(), m.language.clone())).collect()
            };
            let first = groups.iter().find(|((other, _), _)| other == kind);
            if let Some(((_, first), others)) = first
                && members_of(others) != members_of(members)
            {
                let text = format!("the {} groups {first:?} and {group:?} have other members", kind.word());
                faults.push(("V05", text));
            }
        }
        for variant in &self.playlist.variant_streams {
            let captions = variant.closed_captions.as_deref().filter(|group| *group != "NONE");
            let named = [
                (AlternativeKind::Audio, variant.audio.as_deref()),
                (AlternativeKind::Video, variant.video.as_deref()),
                (AlternativeKind::Subtitles, variant.subtitles.as_deref()),
                (AlternativeKind::ClosedCaptions, captions),
            ];
            for (kind, group) in named {
                if let Some(group) = group.filter(|group| !groups.contains_key(&(kind, *group))) {
                    faults.push((
                        "V03",
                        format!("{} names no {} group there is: {group:?}", variant.uri, kind.word()),
                    ));
                }
            }
        }
        let none = |variant: &VariantStream| variant.closed_captions.as_deref() == Some("NONE");
        let variants = &self.playlist.variant_streams;
        if variants.iter().any(none) && !variants.iter().all(none) {
            faults.push(("V03", "CLOSED-CAPTIONS=NONE is on some variant streams and not on others".into()));
        }
        faults.into_iter().for_each(|(id, text)| self.add(id, text));
    }

    fn session_data(&mut self) {
        let mut seen = BTreeSet::new();
        for datum in &self.playlist.session_data {
            if !seen.insert((&datum.data_id, &datum.language)) {
                self.add("V07", format!("the session data {:?} stand twice in one language", datum.data_id));
            }
        }
    }

    fn pathways(&mut self) {
        let variants = &self.playlist.variant_streams;
        let is_id = |id: &str| {
            !id.is_empty() && id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        };
        let ids: BTreeSet<&str> = variants.iter().map(pathway).collect();
        for id in ids.iter().filter(|id| !is_id(id)) {
            self.add("V10", format!("the pathway id {id:?}; letters, digits, '.', '-' and '_' are allowed"));
        }
        if let Some(steering) = &self.playlist.content_steering {
            match &steering.pathway_id {
                None => self.advise("V10", "EXT-X-CONTENT-STEERING has no PATHWAY-ID"),
                Some(id) if !ids.contains(id.as_str()) => {
                    self.add(
                        "V10",
                        format!("EXT-X-CONTENT-STEERING starts on {id:?}, no variant stream is there"),
                    );
                }
                Some(_) => {}
            }
        }
        if ids.len() < 2 && !variants.is_empty() {
            self.advise("V10", "every variant stream is in one place: no pathway to fail over to");
        }
    }

    fn tls(&mut self) {
        let origins: BTreeSet<String> = self
            .playlist
            .variant_streams
            .iter()
            .map(|variant| url::origin(&url::resolve(self.place, &variant.uri)).to_owned())
            .filter(|origin| origin.starts_with("http://"))
            .collect();
        for origin in origins {
            self.findings.add("V12", &origin, self.at_ms, "served without TLS");
        }
    }
}
