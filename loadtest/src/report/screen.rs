//! The run while it goes on: a few lines that stay in their place on a terminal, one line a second elsewhere.
//!
//! Drawn with one write per picture, between the marks of a synchronized update, over the lines of the one before: no
//! flicker. The cursor is neither hidden nor is the screen another one, so a load tester that is killed leaves the
//! terminal as it was.

use super::About;
use super::plain::{clock, number, percent, plain, rate, size, span};
use crate::measure::{Ledger, Point, Snapshot, Viewers};
use crossbeam_channel::{Receiver, RecvTimeoutError};
use crossterm::cursor::MoveToPreviousLine;
use crossterm::style::{Color, ResetColor, SetForegroundColor};
use crossterm::terminal::{BeginSynchronizedUpdate, Clear, ClearType, EndSynchronizedUpdate};
use crossterm::{QueueableCommand, terminal};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Between two pictures: four a second.
const REDRAW: Duration = Duration::from_millis(250);

/// Columns of a terminal that does not say how many it has.
const COLUMNS: u16 = 80;

/// Columns of the bar of viewers.
const BAR: usize = 30;

/// Where it is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Lines that stay in their place.
    Terminal {
        /// With colours; the words say the same without.
        is_coloured: bool,
    },
    /// One line a second.
    Lines,
    /// Not at all.
    Quiet,
}

impl Manner {
    /// What suits standard error, where it is told; standard output is for the report. <https://no-color.org>
    pub fn of_stderr() -> Self {
        let is_coloured = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        if std::io::stderr().is_terminal() { Self::Terminal { is_coloured } } else { Self::Lines }
    }
}

/// What is shown while a run goes on.
#[derive(Debug)]
pub struct Screen<'a> {
    about: &'a About,
    manner: Manner,
    begin: Instant,
    /// Lines of the last picture.
    drawn: u16,
    /// Seconds of the run that were told.
    told: usize,
}

/// Text of one colour.
type Piece = (Option<Color>, String);

impl<'a> Screen<'a> {
    /// For a run that begins now.
    pub fn new(about: &'a About, manner: Manner) -> Self {
        Self { about, manner, begin: Instant::now(), drawn: 0, told: 0 }
    }

    /// Takes what the cores say, and shows it, until the last of them has let go of its end of the channel.
    pub fn follow(mut self, cores: &Receiver<Box<Snapshot>>, ledger: &mut Ledger) {
        let mut redraw = Instant::now();
        loop {
            match cores.recv_deadline(redraw + REDRAW) {
                Ok(snapshot) => ledger.push(&snapshot),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if redraw.elapsed() >= REDRAW {
                redraw = Instant::now();
                self.show(ledger);
            }
        }
        ledger.end();
        if self.manner == Manner::Lines {
            self.show(ledger);
        }
        self.wipe();
    }

    /// How it is now.
    fn show(&mut self, ledger: &Ledger) {
        let elapsed = self.begin.elapsed();
        match self.manner {
            Manner::Terminal { is_coloured } => {
                let (columns, rows) = terminal::size().unwrap_or((COLUMNS, 24));
                let mut lines = picture(ledger, self.about, elapsed);
                lines.truncate(usize::from(rows).saturating_sub(1));
                let picture = self.drawing(&lines, usize::from(columns), is_coloured);
                self.write(&picture);
            }
            Manner::Lines => {
                let points = &ledger.series.points;
                if let Some(point) = points.last().filter(|_| points.len() > self.told) {
                    self.told = points.len();
                    let line = line(ledger, point) + "\n";
                    self.write(line.as_bytes());
                }
            }
            Manner::Quiet => {}
        }
    }

    fn drawing(&mut self, lines: &[Vec<Piece>], columns: usize, is_coloured: bool) -> Vec<u8> {
        let mut out = Vec::new();
        // Writing to memory does not fail.
        let _ = (|| -> std::io::Result<()> {
            out.queue(BeginSynchronizedUpdate)?;
            if self.drawn > 0 {
                out.queue(MoveToPreviousLine(self.drawn))?;
            }
            for line in lines {
                // The last column stays free: some terminals wrap as soon as it is written.
                let mut room = columns.saturating_sub(1);
                for (color, text) in line {
                    let text: String = text.chars().take(room).collect();
                    room -= text.chars().count();
                    match color.filter(|_| is_coloured) {
                        Some(color) => {
                            out.queue(SetForegroundColor(color))?;
                            out.write_all(text.as_bytes())?;
                            out.queue(ResetColor)?;
                        }
                        None => out.write_all(text.as_bytes())?,
                    }
                }
                out.queue(Clear(ClearType::UntilNewLine))?;
                out.write_all(b"\r\n")?;
            }
            out.queue(Clear(ClearType::FromCursorDown))?;
            out.queue(EndSynchronizedUpdate)?;
            Ok(())
        })();
        self.drawn = lines.len() as u16;
        out
    }

    /// The lines go; what follows stands in their place.
    fn wipe(&mut self) {
        if self.drawn > 0 {
            let nothing = self.drawing(&[], 0, false);
            self.write(&nothing);
        }
    }

    /// A reader that has gone is told nothing more.
    fn write(&self, bytes: &[u8]) {
        let mut stderr = std::io::stderr().lock();
        let _ = stderr.write_all(bytes).and_then(|()| stderr.flush());
    }
}

/// The picture: what it is about, who watches, how late, how much, what is wrong, and how the load tester itself is.
fn picture(ledger: &Ledger, about: &About, elapsed: Duration) -> Vec<Vec<Piece>> {
    let now = ledger.series.points.last().cloned().unwrap_or_default();
    let viewers = ledger.viewers();
    let text = |text: String| (None, text);
    let label = |name: &str| (Some(Color::Cyan), format!("{name:<9}"));
    let bad = |count: u64, text: String| ((count > 0).then_some(Color::Red), text);

    let seconds = elapsed.as_secs();
    let time = match about.planned {
        Some(planned) => {
            let left = planned.saturating_sub(elapsed).as_secs();
            format!("{} of {}, {} left   ", clock(seconds), clock(planned.as_secs()), clock(left))
        }
        None => format!("{}   ", clock(seconds)),
    };
    // Characters that take two columns would break the count.
    let target: String = plain(&about.target).chars().map(|c| if c.is_ascii() { c } else { '?' }).collect();

    let mut who = vec![label("viewers")];
    who.extend(bar(viewers));
    who.push(text(format!("  {} fine, {} starting, ", number(viewers.fine), number(viewers.starting))));
    who.push(bad(viewers.stalled, format!("{} stalled", number(viewers.stalled))));
    if viewers.gave_up > 0 {
        who.push(bad(1, format!(", {} gave up", number(viewers.gave_up))));
    }
    if viewers.ended > 0 {
        who.push(text(format!(", {} ended", number(viewers.ended))));
    }

    let two = |p50: Option<u64>, p99: Option<u64>| match (p50, p99) {
        (Some(p50), Some(p99)) => format!("{} p50, {} p99", span(p50), span(p99)),
        _ => "-".into(),
    };
    let live = two(ledger.live_latency.quantile_us(0.5), ledger.live_latency.quantile_us(0.99));
    let first = two(now.segment_first_byte_p50_us, now.segment_first_byte_p99_us);
    let covered = now.covers_seconds.max(0.001);
    let (errors, faults, (differing, _)) = (ledger.errors(), ledger.faults.sum(), ledger.differing());
    let lag = ledger.lag.quantile_us(0.99).unwrap_or_default();
    let is_limit = ledger.verdict().was_the_limit();

    vec![
        vec![text(time), (Some(Color::DarkGrey), target)],
        who,
        vec![label("latency"), text(format!("behind live {live}; TTFB {first}"))],
        vec![
            label("network"),
            text(format!(
                "{}, {:.0} answers/s, {} in all",
                rate(now.bits_per_second()),
                now.answered as f64 / covered,
                size(ledger.bytes.sum())
            )),
        ],
        vec![
            label("trouble"),
            bad(
                ledger.stalls,
                format!("{} stalls ({})", number(ledger.stalls), percent(ledger.stall_ratio())),
            ),
            text(", ".into()),
            bad(errors, format!("{} errors", number(errors))),
            text(", ".into()),
            bad(faults, format!("{} faults", number(faults))),
            text(", ".into()),
            bad(differing, format!("{} of {} segments differ", number(differing), number(ledger.compared()))),
        ],
        vec![
            label("itself"),
            text(format!("lag {} p99, busiest thread {}", span(lag), percent(now.cpu_share))),
            bad(
                u64::from(is_limit),
                if is_limit { "; it is itself the limit".into() } else { String::new() },
            ),
        ],
    ]
}

/// Viewers as a bar: fine, starting, stalled or given up. Whoever is stalled is seen, were it one of thousands.
fn bar(viewers: Viewers) -> Vec<Piece> {
    let (all, bad) = (viewers.watching() + viewers.gave_up, viewers.stalled + viewers.gave_up);
    let cells = |part: u64| match all {
        0 => 0,
        all => ((part as f64 / all as f64 * BAR as f64).round() as usize).clamp(usize::from(part > 0), BAR),
    };
    let bad_cells = cells(bad);
    let starting = cells(viewers.starting).min(BAR - bad_cells);
    let fine = if all == 0 { 0 } else { BAR - bad_cells - starting };
    vec![
        (Some(Color::Green), "█".repeat(fine)),
        (Some(Color::Yellow), "▒".repeat(starting)),
        (Some(Color::Red), "×".repeat(bad_cells)),
        (None, "·".repeat(BAR - fine - starting - bad_cells)),
    ]
}

/// A second of the run, in one line.
fn line(ledger: &Ledger, point: &Point) -> String {
    let viewers = point.viewers;
    let mut line = format!(
        "{} · {} fine, {} starting, {} stalled",
        clock(point.second + point.covers_seconds.round() as u64),
        viewers.fine,
        viewers.starting,
        viewers.stalled
    );
    if viewers.gave_up > 0 {
        line += &format!(", {} gave up", viewers.gave_up);
    }
    if let (Some(p50), Some(p99)) = (point.live_latency_p50_us, point.live_latency_p99_us) {
        line += &format!(" · behind live {} p50, {} p99", span(p50), span(p99));
    }
    line += &format!(" · {}", rate(point.bits_per_second()));
    let (differing, _) = ledger.differing();
    for (count, what) in [
        (ledger.stalls, "stalls"),
        (ledger.errors(), "errors"),
        (ledger.faults.sum(), "faults"),
        (differing, "differing"),
    ] {
        if count > 0 || what == "stalls" || what == "errors" {
            line += &format!(" · {} {what}", number(count));
        }
    }
    line
}

#[cfg(test)]
mod tests {
    use super::super::tests::{a_ledger, about};
    use super::*;

    fn words(lines: &[Vec<Piece>]) -> String {
        let lines = lines.iter().map(|line| line.iter().map(|(_, text)| text.as_str()).collect::<String>());
        lines.collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn the_picture_says_who_watches_and_what_is_wrong() {
        let (ledger, about) = (a_ledger(), about());
        let said = words(&picture(&ledger, &about, Duration::from_secs(4)));
        for part in [
            "0:04 of 1:00, 0:56 left",
            "fine",
            "stalled",
            "behind live",
            "3 errors",
            "1 of 2 segments differ",
        ] {
            assert!(said.contains(part), "{part} is not in:\n{said}");
        }
        assert!(said.is_ascii() || said.contains('█'));
    }

    #[test]
    fn one_stalled_viewer_of_ten_thousand_is_seen() {
        let viewers = Viewers { fine: 9999, stalled: 1, ..Viewers::default() };
        let text = words(&[bar(viewers)]);
        assert_eq!((text.matches('█').count(), text.matches('×').count()), (BAR - 1, 1));
        assert_eq!(words(&[bar(Viewers::default())]), "·".repeat(BAR));
        let all_starting = Viewers { starting: 7, ..Viewers::default() };
        assert_eq!(words(&[bar(all_starting)]), "▒".repeat(BAR));
        let all_bad = Viewers { starting: 1, gave_up: 100_000, ..Viewers::default() };
        assert_eq!(words(&[bar(all_bad)]).chars().count(), BAR);
    }

    #[test]
    fn a_picture_is_drawn_over_the_one_before_and_no_line_wraps() {
        let about = about();
        let mut screen = Screen::new(&about, Manner::Terminal { is_coloured: false });
        let lines = picture(&a_ledger(), &about, Duration::from_secs(4));
        let first = String::from_utf8(screen.drawing(&lines, 40, false)).unwrap();
        let second = String::from_utf8(screen.drawing(&lines, 40, false)).unwrap();
        assert!(!first.contains("\u{1b}[6F") && second.contains("\u{1b}[6F"), "{second:?}");
        for line in first.split("\r\n") {
            let shown = line
                .split("\u{1b}")
                .map(|part| part.split_once(['h', 'l', 'K', 'J']).map_or(part, |(_, text)| text));
            assert!(shown.map(|part| part.chars().count()).max().unwrap_or(0) < 40, "{line:?}");
        }
        let wiped = String::from_utf8(screen.drawing(&[], 0, false)).unwrap();
        assert!(wiped.contains("\u{1b}[6F") && wiped.contains("\u{1b}[J"), "{wiped:?}");
    }

    #[test]
    fn a_target_cannot_speak_to_the_terminal() {
        let mut about = about();
        about.target = "http://a/\u{1b}]0;owned\u{7}\u{ff37}".into();
        let said = words(&picture(&a_ledger(), &about, Duration::ZERO));
        assert!(!said.contains(['\u{1b}', '\u{7}', '\u{ff37}']), "{said:?}");
    }

    #[test]
    fn elsewhere_there_is_one_line_a_second() {
        let ledger = a_ledger();
        let said = line(&ledger, ledger.series.points.last().unwrap());
        assert!(said.starts_with("0:04 · ") && said.contains("3 errors"), "{said}");
    }

    #[test]
    fn following_ends_when_the_last_core_lets_go() {
        let (sender, receiver) = crate::measure::hand_over();
        let about = about();
        let mut ledger = Ledger::new(1);
        let core = std::thread::spawn(move || {
            let begin = Instant::now();
            let mut tally = crate::measure::Tally::new(0, begin);
            tally.received(crate::measure::Kind::Segment, 5);
            tally.finish(begin + Duration::from_secs(1), &sender);
        });
        Screen::new(&about, Manner::Quiet).follow(&receiver, &mut ledger);
        core.join().unwrap();
        assert_eq!((ledger.bytes.sum(), ledger.series.points.len()), (5, 1));
    }
}
