//! What is on the air, by the word of every ingest, and how it arrives.
//!
//! Lives here: twins that both have a broadcast, ingests that are gone, and what is said of it in plain words. Does not live
//! here: the links (`node::fan::admission`), who is told by webhooks (`hooks`).

use ::admission::Health;
use media::BroadcastId;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a broadcast stays on the air whose ingest's link is gone: it dials again within a few seconds.
const GONE_WITHIN: Duration = Duration::from_secs(10);
/// Older than that, a measure says nothing.
const OLD_AFTER: Duration = Duration::from_secs(10);
/// Broadcasts that are known to be on the air.
pub(crate) const ON_AIR: usize = 4096;
/// A rate may be so much over the ladder's, in per cent: sound, and what an encoder overshoots.
const OVER_PERCENT: u64 = 115;
/// Without a sync unit for so long nobody new can begin to watch.
const NO_SYNC_MS: u32 = 12_000;
/// Behind by more than that, an ingest does not keep up.
const BEHIND_MS: u32 = 3_000;

#[derive(Debug, Default)]
struct Feed {
    gone: Option<Instant>,
    health: Option<(Health, Instant)>,
}

/// Clones are the same one.
#[derive(Clone, Debug, Default)]
pub(crate) struct OnAir {
    feeds: Arc<Mutex<BTreeMap<BroadcastId, BTreeMap<u64, Feed>>>>,
}

impl OnAir {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<BroadcastId, BTreeMap<u64, Feed>>> {
        // Every change is whole before anything could panic.
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An ingest says that it has a publisher of it, or none any more; true if that begins or ends it.
    pub(crate) fn air(&self, link: u64, broadcast: &BroadcastId, is_on: bool) -> bool {
        let mut all = self.lock();
        if is_on {
            if !all.contains_key(broadcast) && all.len() >= ON_AIR {
                return false;
            }
            let feeds = all.entry(broadcast.clone()).or_default();
            let begins = feeds.is_empty();
            // Whoever dials again takes the place of what he was.
            feeds.retain(|_, feed| feed.gone.is_none());
            feeds.insert(link, Feed::default());
            return begins;
        }
        let Some(feeds) = all.get_mut(broadcast) else { return false };
        let ends = feeds.remove(&link).is_some() && feeds.is_empty();
        if feeds.is_empty() {
            all.remove(broadcast);
        }
        ends
    }

    /// How it arrives there.
    pub(crate) fn health(&self, link: u64, broadcast: &BroadcastId, health: Health, now: Instant) {
        if let Some(feed) = self.lock().get_mut(broadcast).and_then(|feeds| feeds.get_mut(&link)) {
            feed.health = Some((health, now));
        }
    }

    /// A link is gone; its ingest may dial again, and is waited for.
    pub(crate) fn gone(&self, link: u64, now: Instant) {
        for feed in self.lock().values_mut().filter_map(|feeds| feeds.get_mut(&link)) {
            feed.gone = Some(now);
        }
    }

    /// What has ended because nobody came back.
    pub(crate) fn sweep(&self, now: Instant) -> Vec<BroadcastId> {
        let mut all = self.lock();
        for feeds in all.values_mut() {
            feeds.retain(|_, it| it.gone.is_none_or(|at| now.saturating_duration_since(at) < GONE_WITHIN));
        }
        let over: Vec<_> =
            all.iter().filter(|(_, feeds)| feeds.is_empty()).map(|(name, _)| name.clone()).collect();
        all.retain(|_, feeds| !feeds.is_empty());
        over
    }

    /// What its publisher is told: whether it arrives, where a measure is known how, and what he might mend.
    pub(crate) fn shown(&self, broadcast: &BroadcastId, now: Instant) -> Value {
        let all = self.lock();
        let feeds = all.get(broadcast);
        let fresh = |feed: &&Feed| feed.gone.is_none();
        let measured =
            feeds.into_iter().flat_map(BTreeMap::values).filter(fresh).filter_map(|feed| feed.health);
        // Of twins the one that has more of it.
        let health = measured
            .filter(|(_, at)| now.saturating_duration_since(*at) < OLD_AFTER)
            .map(|(health, _)| health)
            .max_by_key(|health| health.bits);
        let advice = health.map(|health| advice(&health)).unwrap_or_default();
        json!({
            "on_air": feeds.is_some(),
            "ingests": feeds.map_or(0, BTreeMap::len),
            "bits": health.map(|it| it.bits),
            "picture_group_ms": health.map(|it| it.picture_group_ms).filter(|ms| *ms > 0),
            "advice": advice.iter().map(|(code, says)| json!({ "code": code, "says": says })).collect::<Vec<_>>(),
        })
    }
}

fn seconds(ms: u32) -> String {
    format!("{:.1}", f64::from(ms) / 1e3).trim_end_matches(".0").to_owned()
}

fn megabits(bits: u32) -> String {
    format!("{:.1}", f64::from(bits) / 1e6)
}

/// What is not as it should be, in words for whoever sits at the encoder.
fn advice(it: &Health) -> Vec<(&'static str, String)> {
    let mut all = Vec::new();
    let segment = seconds(it.segment_ms);
    if !it.has_pictures && it.has_sound {
        all.push(("no_pictures", "No pictures arrive, only sound.".to_owned()));
    }
    if it.has_pictures && !it.has_sound {
        all.push(("no_sound", "No sound arrives.".to_owned()));
    }
    if it.sync_age_ms > NO_SYNC_MS.max(3 * it.segment_ms) {
        let says = format!(
            "There has been no keyframe for {} s: nobody new can begin to watch. Set the keyframe interval of your encoder to \
             {segment} s.",
            seconds(it.sync_age_ms / 1000 * 1000)
        );
        all.push(("no_keyframe", says));
    } else if it.segment_ms > 0 && it.picture_group_ms > it.segment_ms + it.segment_ms / 20 {
        let says = format!(
            "A keyframe comes every {} s, and a segment has {segment} s: your picture cannot be passed on as it is. Set the \
             keyframe interval of your encoder to {segment} s.",
            seconds(it.picture_group_ms)
        );
        all.push(("picture_group_too_long", says));
    }
    if it.sound_gaps > 0 {
        let times = if it.sound_gaps == 1 { "once".to_owned() } else { format!("{} times", it.sound_gaps) };
        all.push((
            "sound_gaps",
            format!(
                "The sound broke off {times} in the last minute. Is your line, or your machine, at its limit?"
            ),
        ));
    }
    if it.ceiling_bits > 0 && u64::from(it.bits) * 100 > u64::from(it.ceiling_bits) * OVER_PERCENT {
        let says = format!(
            "You send {} Mbit/s; {} Mbit/s are meant for a picture of that size. Many viewers will be given a smaller one: send \
             less.",
            megabits(it.bits),
            megabits(it.ceiling_bits)
        );
        all.push(("over_the_ladder", says));
    }
    if it.behind_ms > BEHIND_MS {
        let says = format!(
            "The ingest is {} s behind with its work; whoever runs it should know.",
            seconds(it.behind_ms)
        );
        all.push(("behind", says));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    const FINE: Health = Health {
        has_pictures: true,
        has_sound: true,
        bits: 2_600_000,
        ceiling_bits: 2_500_000,
        picture_group_ms: 2000,
        sync_age_ms: 900,
        segment_ms: 2000,
        sound_gaps: 0,
        behind_ms: 400,
    };

    fn tide() -> BroadcastId {
        BroadcastId::parse("tide").unwrap()
    }

    #[test]
    fn what_is_as_it_should_be_needs_no_advice_and_each_trouble_has_its_own() {
        assert_eq!(advice(&FINE), []);
        for (health, code, part) in [
            (Health { has_pictures: false, ..FINE }, "no_pictures", "only sound"),
            (Health { has_sound: false, ..FINE }, "no_sound", "No sound"),
            (Health { sync_age_ms: 15_400, picture_group_ms: 15_000, ..FINE }, "no_keyframe", "for 15 s"),
            (
                Health { picture_group_ms: 8341, ..FINE },
                "picture_group_too_long",
                "every 8.3 s, and a segment has 2 s",
            ),
            (Health { sound_gaps: 3, ..FINE }, "sound_gaps", "3 times"),
            (Health { bits: 6_200_000, ..FINE }, "over_the_ladder", "6.2 Mbit/s; 2.5 Mbit/s"),
            (Health { behind_ms: 4200, ..FINE }, "behind", "4.2 s behind"),
        ] {
            let said = advice(&health);
            assert_eq!(said.len(), 1, "{said:?}");
            assert!(said[0].0 == code && said[0].1.contains(part), "{said:?}");
        }
        assert_eq!(advice(&Health { bits: 9_000_000, ceiling_bits: 0, ..FINE }), [], "no rung of that size");
    }

    #[test]
    fn twins_have_it_until_both_have_lost_it() {
        let (air, now) = (OnAir::default(), Instant::now());
        assert!(air.air(1, &tide(), true));
        assert!(!air.air(2, &tide(), true), "it has begun already");
        assert!(!air.air(1, &tide(), false), "the other has it");
        assert_eq!(air.shown(&tide(), now)["on_air"], true);
        assert!(air.air(2, &tide(), false));
        assert!(!air.air(2, &tide(), false), "once");
        assert_eq!(air.shown(&tide(), now)["on_air"], false);
    }

    #[test]
    fn an_ingest_that_dials_again_interrupts_nothing_and_one_that_does_not_ends_it() {
        let (air, noon) = (OnAir::default(), Instant::now());
        air.air(1, &tide(), true);
        air.gone(1, noon);
        assert!(!air.air(3, &tide(), true), "it was on the air all the time");
        assert_eq!(air.sweep(noon + GONE_WITHIN * 2), []);
        air.gone(3, noon);
        assert_eq!(air.sweep(noon + GONE_WITHIN - Duration::from_millis(1)), []);
        assert_eq!(air.sweep(noon + GONE_WITHIN), [tide()]);
        assert_eq!(air.sweep(noon + GONE_WITHIN), []);
    }

    #[test]
    fn a_measure_is_of_the_feed_that_has_more_and_not_an_old_one() {
        let (air, now) = (OnAir::default(), Instant::now());
        air.health(1, &tide(), FINE, now);
        assert_eq!(air.shown(&tide(), now)["bits"], Value::Null, "who has no publisher has no measure");
        air.air(1, &tide(), true);
        air.air(2, &tide(), true);
        air.health(1, &tide(), Health { bits: 0, ..Health::default() }, now);
        air.health(2, &tide(), Health { sound_gaps: 1, ..FINE }, now);
        let shown = air.shown(&tide(), now);
        assert_eq!((&shown["bits"], &shown["ingests"]), (&json!(2_600_000), &json!(2)));
        assert_eq!(shown["advice"][0]["code"], "sound_gaps");
        assert_eq!(air.shown(&tide(), now + OLD_AFTER)["advice"], json!([]));
    }
}
