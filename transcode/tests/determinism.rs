//! The same units make the same bytes: joined late, started again, killed at any moment.

#![allow(clippy::unwrap_used, reason = "what cannot be is a failure of the test")]

mod support;

use ladder::{Order, Report, ReportReader};
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::io::Read;
use support::*;

const RUNGS: [&str; 3] = ["source", "180p", "90p"];

/// What a parent would compare: start, duration and hash of every segment, by rendition and number.
fn hashes(made: &Made) -> BTreeMap<(String, u64), (u64, u64, Vec<u8>)> {
    let hash = |segment: &Segment| (segment.start, segment.duration, Sha256::digest(&segment.bytes).to_vec());
    made.segments.iter().map(|(key, segment)| (key.clone(), hash(segment))).collect()
}

fn with_b_pictures() -> ladder::PatternBegin {
    ladder::PatternBegin { b_pictures: 2, ..plain() }
}

#[test]
fn the_same_units_make_the_same_bytes() {
    let source = source(&with_b_pictures(), 6);
    let (one, other) = (whole(&source, 0), whole(&source, 0));
    assert_eq!(hashes(&one).len(), 9);
    assert_eq!(hashes(&one), hashes(&other));
    assert_eq!(one.ready, other.ready);
}

#[test]
fn who_joins_late_makes_the_same_from_the_first_whole_segment_on() {
    let source = source(&with_b_pictures(), 9);
    let from_the_start = hashes(&whole(&source, 0));
    // Sync units lie 1 s apart: the first one 1 s, the second one exactly on a boundary, … into the broadcast.
    for nth in 1..6 {
        let mut late = source.clone();
        late.units.drain(..source.sync_at(nth));
        let first_whole = (nth as u64).div_ceil(2);
        let joined = hashes(&whole(&late, first_whole));
        let expected = from_the_start.iter().filter(|((_, number), _)| *number >= first_whole);
        assert_eq!(
            joined,
            expected.map(|(key, hash)| (key.clone(), hash.clone())).collect(),
            "joined at sync {nth}"
        );
    }
}

/// A parent in small: it keeps the units since the sync unit two segments back, and gives them to the next process.
fn transcode_and_kill(source: &Source, kill_after: &[usize]) -> Made {
    let mut made = Made::default();
    let mut first_missing = 0;
    for limit in kill_after.iter().copied().map(Some).chain([None]) {
        // Units from a sync unit at least 2 s before the first missing segment on.
        let boundary = EPOCH + first_missing * 2 * SECOND;
        let is_early = |at: &usize| source.units[*at].presentation_time.ticks() + 2 * SECOND <= boundary;
        let syncs = (0..9).map(|nth| source.sync_at(nth)).filter(is_early);
        let mut replay = source.clone();
        replay.units.drain(..syncs.max().unwrap_or(0));
        let mut child = spawn(&[]);
        let mut pipe = child.stdin.take().unwrap();
        let orders: Vec<Order> =
            [begin(source, first_missing)].into_iter().chain(replay.orders()).chain([Order::End]).collect();
        let writer = std::thread::spawn(move || orders.iter().for_each(|order| send(&mut pipe, order)));
        // Reads up to so many bytes of reports, and kills it there.
        let mut reader = ReportReader::new();
        let mut run = Made::default();
        let mut output = child.stdout.take().unwrap();
        let mut read_so_far = 0;
        let mut buffer = [0; 1024];
        while limit.is_none_or(|limit| read_so_far < limit) {
            let read = output.read(&mut buffer).unwrap();
            if read == 0 {
                break;
            }
            read_so_far += read;
            reader.push(&buffer[..read]);
            while let Some(report) = reader.pull().unwrap() {
                if !matches!(report, Report::Note { .. }) {
                    run.take(report);
                }
            }
        }
        child.kill().unwrap();
        child.wait().unwrap();
        drop(output);
        writer.join().unwrap();
        // What is complete in every rung is kept; the rest is asked for again.
        let is_whole =
            |number: &u64| RUNGS.iter().all(|rung| run.segments.contains_key(&(rung.to_string(), *number)));
        let whole = (first_missing..).take_while(is_whole).count() as u64;
        first_missing += whole;
        for (key, segment) in run.segments {
            if key.1 < first_missing {
                made.segments.entry(key).or_insert(segment);
            }
        }
    }
    made
}

#[test]
fn a_process_killed_at_any_moment_is_started_again_and_nothing_changes() {
    let source = source(&with_b_pictures(), 9);
    let undisturbed = hashes(&whole(&source, 0));
    // In the middle of the first segment, at once, in the next ones, and so on.
    let total: usize = undisturbed.len() * 60_000;
    for seed in 0..3_usize {
        let kills: Vec<usize> = (0..4).map(|nth| (seed * 7919 + nth * 104_729) % (total / 3) + 1).collect();
        let disturbed = hashes(&transcode_and_kill(&source, &kills));
        assert_eq!(disturbed, undisturbed, "killed after {kills:?} bytes");
    }
}
