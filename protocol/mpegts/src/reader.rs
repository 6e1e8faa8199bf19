//! From bytes to packets to streams.

use crate::elementary::Elementary;
use crate::fault::{Fault, FaultKind};
use crate::limits::{MOST_FAULTS, MOST_PROGRAMS, MOST_TRACKS};
use crate::packet::Packet;
use crate::section::{Sections, elementary_streams, program_map_pids};
use crate::summary::Summary;
use crate::{PACKET_BYTES, SYNC_BYTE};
use std::collections::BTreeMap;

const PAT_PID: u16 = 0;
const NULL_PID: u16 = 0x1fff;

/// Reads one transport stream.
#[derive(Debug)]
pub struct Reader {
    /// Bytes of a packet that is not whole yet, or that are looked through for the next packet's start.
    partial: Vec<u8>,
    skipped: u64,
    counters: BTreeMap<u16, Counter>,
    pat: Sections,
    maps: BTreeMap<u16, Sections>,
    tracks: Vec<(u16, Elementary)>,
    has_pat: bool,
    has_map: bool,
    has_payload: bool,
    summary: Summary,
}

#[derive(Clone, Copy, Debug)]
struct Counter {
    last: u8,
    /// The same packet may come twice, not three times (2.4.3.3).
    is_repeated: bool,
}

impl Default for Reader {
    fn default() -> Self {
        Self::new()
    }
}

impl Reader {
    /// Nothing read yet.
    pub fn new() -> Self {
        Self {
            partial: Vec::new(),
            skipped: 0,
            counters: BTreeMap::new(),
            pat: Sections::default(),
            maps: BTreeMap::new(),
            tracks: Vec::new(),
            has_pat: false,
            has_map: false,
            has_payload: false,
            summary: Summary::default(),
        }
    }

    /// What a whole stream is.
    pub fn read(bytes: &[u8]) -> Summary {
        let mut reader = Self::new();
        reader.push(bytes);
        reader.finish()
    }

    /// Takes more bytes.
    pub fn push(&mut self, mut bytes: &[u8]) {
        // A packet begun earlier is completed byte by byte at most once per call.
        while !self.partial.is_empty() && !bytes.is_empty() {
            let (take, rest) = bytes.split_at(bytes.len().min(PACKET_BYTES - self.partial.len()));
            self.partial.extend_from_slice(take);
            bytes = rest;
            if self.partial.len() < PACKET_BYTES {
                return;
            }
            let partial = std::mem::take(&mut self.partial);
            self.take_aligned(&partial);
        }
        self.take_aligned(bytes);
    }

    /// No more bytes: what they were.
    pub fn finish(mut self) -> Summary {
        self.tell_lost();
        if !self.partial.is_empty() {
            self.fault(FaultKind::Truncated { bytes: self.partial.len() });
        }
        for (_, elementary) in std::mem::take(&mut self.tracks) {
            let (track, outcome) = elementary.finish();
            self.summary.tracks.push(track);
            outcome.unwrap_or_else(|kind| self.fault(kind));
        }
        self.summary
    }

    /// Takes bytes that begin where a packet should; keeps what is left over.
    fn take_aligned(&mut self, mut bytes: &[u8]) {
        while let Some(first) = bytes.first() {
            if *first != SYNC_BYTE {
                let skip = bytes.iter().position(|byte| *byte == SYNC_BYTE).unwrap_or(bytes.len());
                self.skipped += skip as u64;
                bytes = &bytes[skip..];
                continue;
            }
            let Some((packet, rest)) = bytes.split_first_chunk::<PACKET_BYTES>() else {
                self.partial = bytes.to_vec();
                return;
            };
            // While out of step a 0x47 counts only if another follows a packet later.
            if self.skipped > 0 && rest.first().is_some_and(|next| *next != SYNC_BYTE) {
                self.skipped += 1;
                bytes = &bytes[1..];
                continue;
            }
            self.tell_lost();
            self.take_packet(packet);
            self.summary.packets += 1;
            bytes = rest;
        }
    }

    fn take_packet(&mut self, bytes: &[u8; PACKET_BYTES]) {
        match Packet::parse(bytes) {
            Ok(packet) if packet.pid == NULL_PID => {}
            Ok(packet) if packet.is_damaged => self.fault(FaultKind::Damaged { pid: packet.pid }),
            Ok(packet) => {
                if self.follows(&packet) {
                    self.take_payload(&packet);
                }
            }
            Err(kind) => self.fault(kind),
        }
    }

    /// Checks the counter; false for a packet that is there a second time.
    fn follows(&mut self, packet: &Packet<'_>) -> bool {
        if !packet.has_payload {
            return false;
        }
        let found = packet.counter;
        let Some(counter) = self.counters.get_mut(&packet.pid) else {
            self.counters.insert(packet.pid, Counter { last: found, is_repeated: false });
            return true;
        };
        let (last, was_repeated) = (counter.last, counter.is_repeated);
        let expected = last.wrapping_add(1) & 0x0f;
        let is_repeat = found == last && !packet.is_discontinuous && !was_repeated;
        *counter = Counter { last: found, is_repeated: is_repeat };
        if found != expected && !is_repeat && !packet.is_discontinuous {
            self.fault(FaultKind::Continuity { pid: packet.pid, expected, found });
        }
        !is_repeat
    }

    fn take_payload(&mut self, packet: &Packet<'_>) {
        let Packet { pid, payload, is_unit_start, .. } = *packet;
        if pid == PAT_PID {
            self.take_pat(payload, is_unit_start);
        } else if self.maps.contains_key(&pid) {
            self.take_map(pid, payload, is_unit_start);
        } else if let Some((_, track)) = self.tracks.iter_mut().find(|(known, _)| *known == pid) {
            self.has_payload = true;
            track.count(packet.counter, packet.is_discontinuous);
            if let Err(kind) = track.push(payload, is_unit_start) {
                self.fault(kind);
            }
        } else if is_unit_start && payload.starts_with(&[0, 0, 1]) {
            // Media before the tables that would say what it is.
            self.has_payload = true;
        }
    }

    fn take_pat(&mut self, payload: &[u8], is_unit_start: bool) {
        let mut named = None;
        let outcome = self.pat.push(PAT_PID, payload, is_unit_start, |section| {
            named = program_map_pids(section);
        });
        outcome.unwrap_or_else(|kind| self.fault(kind));
        let Some(named) = named else { return };
        self.has_pat = true;
        self.summary.programs = self.summary.programs.max(named.len());
        for pid in named.into_iter().filter(|pid| *pid != PAT_PID) {
            if self.maps.len() < MOST_PROGRAMS {
                self.maps.entry(pid).or_default();
            }
        }
    }

    fn take_map(&mut self, pid: u16, payload: &[u8], is_unit_start: bool) {
        let Some(sections) = self.maps.get_mut(&pid) else { return };
        let mut named = None;
        let outcome = sections.push(pid, payload, is_unit_start, |section| {
            named = elementary_streams(section);
        });
        outcome.unwrap_or_else(|kind| self.fault(kind));
        let Some(named) = named else { return };
        if !self.has_map {
            self.has_map = true;
            self.summary.has_tables_first = self.has_pat && !self.has_payload;
        }
        for (pid, stream_type) in named {
            let known = self.tracks.iter().find(|(known, _)| *known == pid);
            match known.map(|(_, track)| track.stream_type()) {
                Some(from) if from == stream_type => {}
                Some(from) => self.fault(FaultKind::CodecChanged { pid, from, to: stream_type }),
                None if self.tracks.len() == MOST_TRACKS => {
                    self.fault(FaultKind::TooManyTracks { pid, limit: MOST_TRACKS });
                }
                None => self.tracks.push((pid, Elementary::new(pid, stream_type))),
            }
        }
    }

    fn tell_lost(&mut self) {
        if self.skipped > 0 {
            let skipped = std::mem::take(&mut self.skipped);
            self.fault(FaultKind::LostSync { skipped });
        }
    }

    fn fault(&mut self, kind: FaultKind) {
        if self.summary.faults.len() < MOST_FAULTS {
            self.summary.faults.push(Fault { packet: self.summary.packets, kind });
        } else {
            self.summary.faults_more += 1;
        }
    }
}
