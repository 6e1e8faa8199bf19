//! What is done to a node, and undone.

use super::cell::Trouble;
use super::cluster::{self, Cluster};
use crate::switch::Rule;
use std::fs;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

/// Everybody else, seen from a node.
fn others(cluster: &Cluster, of: Ipv4Addr) -> Vec<Ipv4Addr> {
    cluster.switch.addresses().iter().copied().filter(|address| *address != of).collect()
}

/// Does it to the node at this place.
pub(super) fn strike(cluster: &mut Cluster, trouble: Trouble, place: usize, clock: &Path) -> io::Result<()> {
    let us = cluster.nodes[place].space.address();
    let closed = Rule { is_open: false, ..Rule::default() };
    let (into, out) = match trouble {
        Trouble::Sigkill | Trouble::RestartStorm | Trouble::AllGone => {
            cluster.kill(place);
            return Ok(());
        }
        Trouble::Sigstop => {
            cluster.pause(place, true);
            return Ok(());
        }
        Trouble::ClockStep => return fs::write(clock, "+3600\n"),
        Trouble::PoorFeed => {
            let rule = Rule { lost: 50, delay: Duration::from_millis(40), ..Rule::default() };
            for ingest in 0..cluster::INGESTS {
                cluster.switch.rule(cluster::ingest_at(ingest), us, rule);
                cluster.switch.rule(us, cluster::ingest_at(ingest), rule);
            }
            return Ok(());
        }
        Trouble::BlackHoleIn => (closed, Rule::default()),
        Trouble::BlackHoleOut => (Rule::default(), closed),
        Trouble::BlackHole => (closed, closed),
        Trouble::Loss => {
            let rule = Rule { lost: 50, reordered: 5, doubled: 2, ..Rule::default() };
            (rule, rule)
        }
        Trouble::Late => {
            let (delay, jitter) = (Duration::from_millis(200), Duration::from_millis(20));
            let rule = Rule { delay, jitter, ..Rule::default() };
            (rule, rule)
        }
        Trouble::Narrow => {
            let rule = Rule { bytes_per_second: Some(125_000), ..Rule::default() };
            (rule, rule)
        }
        Trouble::CorruptByte => {
            let rule = Rule { changed: 5, ..Rule::default() };
            (rule, rule)
        }
        Trouble::CorruptOften => {
            let rule = Rule { changed: 20, ..Rule::default() };
            (rule, rule)
        }
    };
    for other in others(cluster, us) {
        cluster.switch.rule(other, us, into);
        cluster.switch.rule(us, other, out);
    }
    Ok(())
}

/// Undoes it; who was killed is started.
pub(super) fn heal(cluster: &mut Cluster, trouble: Trouble, place: usize, clock: &Path) -> io::Result<()> {
    cluster.switch.heal();
    match trouble {
        Trouble::Sigstop => cluster.pause(place, false),
        Trouble::ClockStep => fs::write(clock, "+0\n")?,
        _ => {}
    }
    if !cluster.nodes[place].is_running() {
        cluster.start(place, &[])?;
    }
    Ok(())
}

/// A wall clock that a file sets; the monotonic one stays as it is.
pub(super) fn faked(library: &Path, clock: &Path) -> Vec<(String, String)> {
    let path = |path: &Path| path.display().to_string();
    vec![
        ("LD_PRELOAD".into(), path(library)),
        ("FAKETIME_TIMESTAMP_FILE".into(), path(clock)),
        ("FAKETIME_CACHE_DURATION".into(), "1".into()),
        ("FAKETIME_DONT_FAKE_MONOTONIC".into(), "1".into()),
        ("DONT_FAKE_MONOTONIC".into(), "1".into()),
    ]
}
