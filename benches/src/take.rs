//! One window of one contender, for each kind of row.

use crate::error::BenchError;
use crate::far::{self, FarLine};
use crate::ground::{SERVER_CORE, pin_to};
use crate::meter::{Usage, memory, process_seconds};
use crate::rows::{Kind, Row, Unit, Who};
use crate::run::Bench;
use crate::viewers::{Aim, Load, Sample, counted, held, reading, sealed, shaking};
use crate::wrk;
use std::time::Duration;

/// Connections of rows that do not say.
const CONNECTIONS: usize = 128;
/// Connections of the rows in TLS.
const SEALED: usize = 64;
/// Handshakes on their way at once.
const SHAKING: usize = 64;
/// Connections, that many times over, that a server has had before its memory is looked at.
const BUSY: usize = 50;
/// Bytes between two looks that are no change, how often memory is looked at, and how many times at most.
const SAME: u64 = 64 << 10;
const LOOK_EVERY: Duration = Duration::from_millis(300);
const LOOKS: usize = 30;
const WARM: Duration = Duration::from_millis(400);

/// What a window said.
#[derive(Clone, Debug)]
pub(crate) struct Taken {
    pub(crate) value: f64,
    pub(crate) usage: Option<Usage>,
    pub(crate) notes: Vec<String>,
}

impl Taken {
    fn of(unit: Unit, mut sample: Sample, idle: f64) -> Self {
        sample.usage.busy[SERVER_CORE] -= idle * sample.usage.seconds;
        let value = match unit {
            Unit::CpuSecondsPerGb => sample.seconds_per_gb(),
            Unit::PerCoreSecond => 1e6 / sample.micros_per_answer(),
            _ => sample.micros_per_answer(),
        };
        Self { value, usage: Some(sample.usage), notes: Vec::new() }
    }
}

impl Bench<'_> {
    /// Takes a window; `idle` of the server's core is somebody else's.
    pub(crate) fn take(&mut self, row: &Row, who: Who, idle: f64) -> Result<Taken, BenchError> {
        match row.kind {
            Kind::Idle { is_tls } => return self.idle_memory(row, who, is_tls),
            Kind::Reload => return self.reload(row, who),
            Kind::Chat => return self.chat(row, who),
            Kind::ChatMemory => return self.chat_memory(row, who),
            Kind::ChatShown => return self.chat_shown(row, who),
            Kind::Cores => return self.cores(row, who),
            _ => {}
        }
        let mut aim = self.cast.aim(who, row)?;
        let line = match row.kind {
            Kind::Far { connections } => {
                aim.buffer = Some(far::BUFFER);
                Some(FarLine::lay(connections)?)
            }
            _ => None,
        };
        let small = self.cast.small(&aim);
        let (stop, window) = (self.stop, self.manner.window);
        let load = |connections| Load { connections, warm: WARM, window };
        let sample = row.network.viewers().within(|| match row.kind {
            Kind::Segment { connections, .. } => counted::window(&aim, load(connections), stop),
            Kind::Wrk => Ok(wrk::window(&aim, load(CONNECTIONS), stop)?.sample),
            Kind::TlsBulk => sealed::window(&aim, &small, load(SEALED), stop),
            Kind::Handshakes => shaking::window(&aim, load(SHAKING), stop),
            Kind::Far { connections } => {
                // Slow to fill: the window begins when every viewer has been at it for a while. And longer, because
                // most of the core is idle: what is compared is small beside what the machine does by itself.
                let load = Load { warm: WARM * 4, window: window * 4, ..load(connections) };
                counted::window(&aim, load, stop)
            }
            _ => counted::window(&aim, load(CONNECTIONS), stop),
        })?;
        drop(line);
        let rate = sample.bytes as f64 * 8.0 / sample.usage.seconds / 1e6;
        let mut taken = Taken::of(row.unit, sample, idle);
        if let Kind::Far { connections } = row.kind {
            let wanted = connections * far::MBIT_EACH;
            taken.notes.push(format!("{}: {rate:.0} Mbit/s sent, the line takes {wanted}", who.name()));
        }
        Ok(taken)
    }

    /// What ten thousand idle connections add to the memory of a server that has just been busy: what it takes for
    /// working at all, buffers and rings, is not theirs.
    fn idle_memory(&mut self, row: &Row, who: Who, is_tls: bool) -> Result<Taken, BenchError> {
        self.cast.dismiss(who);
        let stop = self.stop;
        let stand = |bench: &Self, count: usize| {
            let aim = bench.cast.aim(who, row)?;
            let held = row.network.viewers().within(|| {
                for _ in 0..BUSY {
                    held::idle(&aim, is_tls, BUSY, stop)?;
                }
                held::idle(&aim, is_tls, count, stop)
            })?;
            Ok::<_, BenchError>((bench.settled_memory(who)?, held))
        };
        if who.is_ours() {
            self.cast.frugal_edge()?;
        } else {
            // nginx sets memory aside for every connection it may have: that is a connection's memory too.
            self.cast.small_nginx()?;
        }
        let (before, _) = stand(self, 1)?;
        if !who.is_ours() {
            self.cast.dismiss(who);
            self.cast.call(&[who])?;
        }
        let (after, held) = stand(self, held::MANY)?;
        drop(held);
        // The next row has an ordinary one again.
        self.cast.dismiss(who);
        let value = after.saturating_sub(before) as f64 / held::MANY as f64;
        Ok(Taken { value, usage: None, notes: Vec::new() })
    }

    /// Its memory once it stays as it is: what an edge took for the window it has just been sent goes first.
    fn settled_memory(&self, who: Who) -> Result<u64, BenchError> {
        let pids = self.cast.pids_of(who);
        let (mut seen, mut same) = (memory(&pids)?, 0);
        for _ in 0..LOOKS {
            if self.stop.wait_timeout(LOOK_EVERY) {
                return Err(BenchError::Interrupted);
            }
            let now = memory(&pids)?;
            same = if now.abs_diff(seen) <= SAME { same + 1 } else { 0 };
            seen = now;
            if same == 4 {
                break;
            }
        }
        Ok(seen)
    }

    /// How long ten thousand held reloads take to be answered.
    fn reload(&mut self, row: &Row, who: Who) -> Result<Taken, BenchError> {
        let plain = self.cast.aim(who, row)?;
        let (stop, ingest) = (self.stop, &self.cast.ingest);
        let release = row.network.viewers().within(|| {
            let answer = plain.ask(&mut plain.connect(0)?)?;
            let text = String::from_utf8_lossy(&answer.body).into_owned();
            let last =
                text.lines().filter_map(|line| line.strip_suffix(".ts")?.parse::<u64>().ok()).next_back();
            let last = last.ok_or_else(|| BenchError::answer(&plain.server, "lists no segment"))?;
            let aim = plain.at(&format!("{}?_HLS_msn={}", plain.target, last + 1));
            held::release(&aim, answer.len, || ingest.publish().0, stop)
        })?;
        let note = format!(
            "half of them after {:.1} ms; server core {:.1} ms busy, viewers' {:.1} ms",
            release.middle.as_secs_f64() * 1e3,
            release.usage.busy[0] * 1e3,
            release.usage.busy[1] * 1e3,
        );
        Ok(Taken { value: release.last.as_secs_f64() * 1e3, usage: None, notes: vec![note] })
    }

    /// How long one message takes to ten thousand readers.
    fn chat(&mut self, row: &Row, who: Who) -> Result<Taken, BenchError> {
        let aim = self.cast.chat(who, row)?;
        let (stop, parlour) = (self.stop, &self.cast.parlour);
        let batch = row.network.viewers().within(|| {
            let len = reading::message(&aim, || parlour.says(), stop)?;
            let held = reading::readers(&aim, held::MANY, stop)?;
            reading::batch(&aim, held, len, || parlour.says(), stop)
        })?;
        let note = format!(
            "half of them after {:.1} ms; server core {:.1} ms busy, viewers' {:.1} ms",
            batch.middle.as_secs_f64() * 1e3,
            batch.usage.busy[0] * 1e3,
            batch.usage.busy[1] * 1e3,
        );
        Ok(Taken { value: batch.last.as_secs_f64() * 1e3, usage: None, notes: vec![note] })
    }

    /// What ten thousand readers add to the memory of an edge that has just had some.
    fn chat_memory(&mut self, row: &Row, who: Who) -> Result<Taken, BenchError> {
        self.cast.frugal_edge()?;
        let stop = self.stop;
        let stand = |bench: &Self, count: usize| {
            let aim = bench.cast.chat(who, row)?;
            let held = row.network.viewers().within(|| {
                for _ in 0..BUSY {
                    reading::readers(&aim, BUSY, stop)?;
                }
                reading::readers(&aim, count, stop)
            })?;
            Ok::<_, BenchError>((bench.settled_memory(who)?, held))
        };
        let (before, _) = stand(self, 1)?;
        let (after, held) = stand(self, held::MANY)?;
        drop(held);
        self.cast.dismiss(who);
        let value = after.saturating_sub(before) as f64 / held::MANY as f64;
        Ok(Taken { value, usage: None, notes: Vec::new() })
    }

    /// How long after it was said a message is shown.
    fn chat_shown(&mut self, row: &Row, who: Who) -> Result<Taken, BenchError> {
        const READERS: usize = 1_000;
        const SAID: usize = 100;
        let aim = self.cast.chat(who, row)?;
        let (stop, parlour) = (self.stop, &self.cast.parlour);
        let took = row.network.viewers().within(|| {
            let len = reading::message(&aim, || parlour.says(), stop)?;
            let held = reading::readers(&aim, READERS, stop)?;
            reading::shown(&aim, held, len, SAID, || parlour.says(), stop)
        })?;
        let at = |share: f64| took[((took.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
        let note = format!("{SAID} messages: half after {:.1} ms, all after {:.1} ms", at(0.5), at(1.0));
        Ok(Taken { value: at(0.99), usage: None, notes: vec![note] })
    }

    /// What an answer costs the server's processes, and how its connections fell on its cores.
    fn cores(&mut self, row: &Row, who: Who) -> Result<Taken, BenchError> {
        let aim = self.cast.aim(who, row)?;
        let is_wide = matches!(who, Who::EdgeWide | Who::NginxWide);
        let pids = self.cast.pids_of(who);
        let (stop, window) = (self.stop, self.manner.window);
        let balance = self.balance(row, who, &aim)?;
        let (sample, used) = row.network.viewers().within(|| {
            if is_wide {
                pin_to(&[0, 1])?;
            }
            let mut used = (0.0, 0.0);
            let load = Load { connections: CONNECTIONS, warm: WARM, window };
            let sample = counted::window_seen(&aim, load, stop, |is_end| {
                let now = process_seconds(&pids);
                if is_end { used.1 = now } else { used.0 = now }
            })?;
            Ok((sample, used.1 - used.0))
        })?;
        let rate = sample.answers as f64 / sample.usage.seconds;
        let shared = if is_wide { ", its cores shared with the viewers" } else { "" };
        let mut notes = vec![format!("{}: {rate:.0} answers/s{shared}", who.name())];
        notes.extend(balance);
        Ok(Taken { value: used * 1e6 / sample.answers as f64, usage: Some(sample.usage), notes })
    }

    /// How 256 connections fall on the cores of an edge that has several.
    fn balance(&self, row: &Row, who: Who, aim: &Aim) -> Result<Option<String>, BenchError> {
        const TRIED: usize = 256;
        if who != Who::EdgeWide {
            return Ok(None);
        }
        let held = row.network.viewers().within(|| held::idle(aim, false, TRIED, self.stop))?;
        let metrics = self.cast.metrics(who)?;
        drop(held);
        let open = metrics.iter().filter(|(name, _)| name.starts_with("mascaret_edge_core_open{"));
        let open: Vec<String> = open.map(|(_, value)| format!("{value:.0}")).collect();
        Ok(Some(format!("{}: {TRIED} connections fell on its cores as {}", who.name(), open.join(" and "))))
    }
}
