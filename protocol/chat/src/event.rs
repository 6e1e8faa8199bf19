//! Entries as pages read them: server-sent events, rendered once and shared by all who read.
//!
//! ```text
//! id: 6a21f0c3.17            which log, and the entry's number: what Last-Event-ID says
//! event: message             message, gone, slow; lost and room, which are about the log itself
//! data: {"n":17,"at":…}      one line: JSON has no line ends in it
//! ```
//!
//! Lives here: the bytes. Does not live here: who gets which (`readers`).

use crate::{Entry, LogId, RoomFacts, Sequence, What};
use bytes::{Bytes, BytesMut};
use media::BroadcastId;
use std::fmt::{self, Write as _};

/// How far a reader has come: what its page remembers of the last event, and says when it reads on anywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventId {
    /// Of which log; `None` where only a number is said: of whichever there is.
    pub log: Option<LogId>,
    /// The last entry that was read.
    pub sequence: Sequence,
}

impl EventId {
    /// `log.number` with the log in hexadecimal digits, or a number alone; `None` for anything else, as if nothing was said.
    pub fn parse(text: &str) -> Option<Self> {
        let (log, number) = match text.split_once('.') {
            None => (None, text),
            Some((log, number)) => {
                let is_plain =
                    (1..=8).contains(&log.len()) && log.bytes().all(|digit| digit.is_ascii_hexdigit());
                (Some(LogId(u32::from_str_radix(log, 16).ok().filter(|_| is_plain)?)), number)
            }
        };
        let is_plain = number.bytes().all(|digit| digit.is_ascii_digit());
        Some(Self { log, sequence: Sequence(number.parse().ok().filter(|_| is_plain)?) })
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.log {
            Some(log) => write!(f, "{log}.{}", self.sequence),
            None => self.sequence.fmt(f),
        }
    }
}

/// One entry, rendered.
#[derive(Clone, Debug)]
pub struct Line {
    pub(crate) bytes: Bytes,
    /// Where its JSON stands, if it is something said.
    json: Option<(u32, u32)>,
}

impl Line {
    /// The JSON of something said that is still to be shown.
    pub(crate) fn said(&self) -> Option<&[u8]> {
        self.json.map(|(from, to)| &self.bytes[from as usize..to as usize])
    }

    /// What stands in the place of an entry that was taken back.
    pub(crate) fn taken_back(log: LogId, sequence: Sequence) -> Self {
        let mut out = BytesMut::new();
        gone(&mut out, log, sequence, sequence);
        Self { bytes: out.freeze(), json: None }
    }
}

/// Entries in a row of one room, as they came together: made on one thread, shared by all cores and their readers.
#[derive(Clone, Debug)]
pub struct Run {
    /// Of which room.
    pub room: BroadcastId,
    /// What the room is after it.
    pub facts: RoomFacts,
    /// The number of its first line.
    pub first: Sequence,
    /// What went before is not the reader's: the log is another one, or entries between are lost here.
    pub(crate) is_anew: bool,
    /// What is said of that, and all lines.
    pub(crate) bytes: Bytes,
    pub(crate) lines: Vec<Line>,
    /// Earlier entries that it takes back.
    pub(crate) taken_back: Vec<Sequence>,
}

/// What goes before the lines of a run, if they do not simply go on.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Breach {
    /// The log is another one.
    pub(crate) is_other_log: bool,
    /// The first and last number that will not come.
    pub(crate) lost: Option<(Sequence, Sequence)>,
}

impl Run {
    pub(crate) fn render(
        room: BroadcastId,
        facts: RoomFacts,
        breach: Breach,
        entries: &[Entry],
        taken_back: Vec<Sequence>,
    ) -> Self {
        let mut out = BytesMut::with_capacity(entries.len() * 256 + 64);
        if breach.is_other_log {
            room_event(&mut out, &facts);
        }
        if let Some((from, to)) = breach.lost {
            lost(&mut out, facts.log, from, to);
        }
        let mut ends = Vec::with_capacity(entries.len());
        let before = out.len();
        for entry in entries {
            let json = one(&mut out, facts.log, entry);
            ends.push((out.len(), json));
        }
        let bytes = out.freeze();
        let mut from = before;
        let line = |(to, json): (usize, Option<(usize, usize)>)| {
            let json = json.map(|(start, end)| ((start - from) as u32, (end - from) as u32));
            let line = Line { bytes: bytes.slice(from..to), json };
            from = to;
            line
        };
        let lines = ends.into_iter().map(line).collect();
        Self {
            room,
            facts,
            first: entries.first().map_or(facts.next, |entry| entry.sequence),
            is_anew: breach.is_other_log || breach.lost.is_some(),
            lines,
            bytes,
            taken_back,
        }
    }

    /// Bytes that all cores share.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there is nothing to say.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// How many entries.
    pub fn entries(&self) -> usize {
        self.lines.len()
    }
}

/// What every reader hears first: when to come back, and what the room is.
pub(crate) fn preface(retry_ms: u64, facts: Option<&RoomFacts>) -> Bytes {
    let mut out = BytesMut::with_capacity(128);
    let _ = write!(out, "retry: {retry_ms}\n\n");
    if let Some(facts) = facts {
        room_event(&mut out, facts);
    }
    out.freeze()
}

/// What is said when nothing else is.
pub(crate) const NOTHING: &[u8] = b":\n\n";

pub(crate) fn room_event(out: &mut BytesMut, facts: &RoomFacts) {
    let RoomFacts { log, next, slow } = facts;
    // Writing to memory does not fail.
    let _ = write!(out, "event: room\ndata: {{\"log\":\"{log}\",\"next\":{next},\"slow\":{slow}}}\n\n");
}

pub(crate) fn lost(out: &mut BytesMut, log: LogId, from: Sequence, to: Sequence) {
    let _ = write!(out, "id: {log}.{to}\nevent: lost\ndata: {{\"from\":{from},\"to\":{to}}}\n\n");
}

fn gone(out: &mut BytesMut, log: LogId, n: Sequence, of: Sequence) {
    let _ = write!(out, "id: {log}.{n}\nevent: gone\ndata: {{\"n\":{n},\"of\":{of}}}\n\n");
}

/// One entry; where its JSON stands if it is something said.
fn one(out: &mut BytesMut, log: LogId, entry: &Entry) -> Option<(usize, usize)> {
    let Entry { sequence: n, at_ms, what } = entry;
    match what {
        What::Said { by, text } => {
            let _ = write!(out, "id: {log}.{n}\nevent: message\ndata: ");
            let from = out.len();
            let _ = write!(out, "{{\"n\":{n},\"at\":{at_ms},\"by\":");
            quoted(out, &by.id);
            out.extend_from_slice(b",\"name\":");
            quoted(out, &by.name);
            let _ = write!(out, ",\"badge\":\"{}\",\"text\":", by.badge.as_str());
            quoted(out, text);
            out.extend_from_slice(b"}");
            let to = out.len();
            out.extend_from_slice(b"\n\n");
            return Some((from, to));
        }
        What::Gone { of } => gone(out, log, *n, *of),
        What::GoneBy { author } => {
            let _ = write!(out, "id: {log}.{n}\nevent: gone\ndata: {{\"n\":{n},\"by\":");
            quoted(out, author);
            out.extend_from_slice(b"}\n\n");
        }
        What::Slow { seconds } => {
            let _ = write!(out, "id: {log}.{n}\nevent: slow\ndata: {{\"n\":{n},\"seconds\":{seconds}}}\n\n");
        }
    }
    None
}

/// A JSON text. Line ends are escaped like every other control character, so that no text can end its line and begin an event
/// of its own; so is what could end a script element, for pages that put JSON into one.
fn quoted(out: &mut BytesMut, text: &str) {
    out.extend_from_slice(b"\"");
    let mut plain = 0;
    for (at, byte) in text.bytes().enumerate() {
        let short = match byte {
            b'"' => "\\\"",
            b'\\' => "\\\\",
            b'\n' => "\\n",
            b'\r' => "\\r",
            b'\t' => "\\t",
            0..0x20 | b'<' | 0x7f => "",
            _ => continue,
        };
        out.extend_from_slice(&text.as_bytes()[plain..at]);
        match short {
            "" => drop(write!(out, "\\u{byte:04x}")),
            short => out.extend_from_slice(short.as_bytes()),
        }
        plain = at + 1;
    }
    out.extend_from_slice(&text.as_bytes()[plain..]);
    out.extend_from_slice(b"\"");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Author, Badge};
    use proptest::prelude::*;

    fn run(entries: &[Entry], breach: Breach) -> Run {
        let facts = RoomFacts { log: LogId(0x2f), next: Sequence(9), slow: 0 };
        Run::render(BroadcastId::parse("tide").unwrap(), facts, breach, entries, Vec::new())
    }

    fn said(n: u64, text: &str) -> Entry {
        let by = Author { id: "7".into(), name: "A\"na".into(), badge: Badge::Viewer };
        Entry { sequence: Sequence(n), at_ms: 1, what: What::Said { by, text: text.into() } }
    }

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn entries_are_events_and_each_can_be_told_alone() {
        let gone = Entry { sequence: Sequence(8), at_ms: 2, what: What::Gone { of: Sequence(3) } };
        let run = run(&[said(7, "a\nb"), gone], Breach::default());
        let first = "id: 2f.7\nevent: message\ndata: {\"n\":7,\"at\":1,\"by\":\"7\",\"name\":\"A\\\"na\",\
                     \"badge\":\"viewer\",\"text\":\"a\\nb\"}\n\n";
        let second = "id: 2f.8\nevent: gone\ndata: {\"n\":8,\"of\":3}\n\n";
        assert_eq!(text(&run.bytes), format!("{first}{second}"));
        assert_eq!((text(&run.lines[0].bytes), text(&run.lines[1].bytes)), (first, second));
        assert!(text(run.lines[0].said().unwrap()).ends_with("\"a\\nb\"}"));
        assert!(run.lines[1].said().is_none());
    }

    #[test]
    fn what_is_lost_is_said_before_what_follows() {
        let lost = Some((Sequence(3), Sequence(6)));
        let run = run(&[said(7, "x")], Breach { is_other_log: true, lost });
        let room = "event: room\ndata: {\"log\":\"2f\",\"next\":9,\"slow\":0}\n\n";
        let lost = "id: 2f.6\nevent: lost\ndata: {\"from\":3,\"to\":6}\n\n";
        assert!(text(&run.bytes).starts_with(&format!("{room}{lost}id: 2f.7\n")), "{}", text(&run.bytes));
        assert!(text(&run.lines[0].bytes).starts_with("id: 2f.7\n") && run.is_anew);
    }

    #[test]
    fn an_id_is_read_back_and_anything_else_is_none() {
        for id in ["2f.17", "17", "0.0"] {
            assert_eq!(EventId::parse(id).unwrap().to_string(), id);
        }
        for none in ["", "x", "2f.", ".3", "2f.3.4", "+2.3", "2f.+3", "123456789.1", "99999999999999999999"] {
            assert_eq!(EventId::parse(none), None, "{none}");
        }
    }

    proptest! {
        /// Whatever somebody says is one line, and reads back as what it was.
        #[test]
        fn no_text_begins_an_event_of_its_own(said_text in "[\\PC\n\r\t\u{0}\"\\\\<]{1,60}") {
            let run = run(&[said(7, &said_text)], Breach::default());
            let seen = text(&run.bytes);
            let body = seen.strip_suffix("\n\n").unwrap();
            prop_assert_eq!(body.split(['\n', '\r']).count(), 3);
            let json: serde_json::Value = serde_json::from_slice(run.lines[0].said().unwrap()).unwrap();
            prop_assert_eq!(json["text"].as_str().unwrap(), said_text);
        }
    }
}
