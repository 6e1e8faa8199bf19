//! `mascaret top`: the whole cluster, live, on one screen; a line a second where nobody sits at a terminal.
//!
//! Lives here: the loop around keys, looks and drawing. Does not live here: what a key does (`desk`), how it looks
//! (`screen`), whom it asks (`sight`).

mod desk;
mod screen;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

use node::Stop;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEventKind, KeyModifiers};

use crate::sight::{Asked, Sight};
use crate::{DONE, cli, failed, status};
use desk::{Act, Desk, Key};

/// How often the cluster is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often keys are.
const KEYS_EVERY: Duration = Duration::from_millis(50);

pub(crate) fn run(args: &cli::Top) -> ExitCode {
    let asked = Asked::new(&args.nodes);
    let is_seen = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    if is_seen && !args.lines { on_screen(&asked) } else { in_lines(&asked, args.lasts) }
}

/// One line a look, for logs and pipes.
fn in_lines(asked: &Asked, lasts: Option<Duration>) -> ExitCode {
    let stop = Stop::new();
    if let Err(error) = stop.on_signals(None) {
        return failed(error);
    }
    let begin = Instant::now();
    let (mut is_any_seen, mut last_event) = (false, None);
    loop {
        let sight = asked.look();
        is_any_seen |= sight.nodes.iter().any(|node| node.answers);
        let mut out = std::io::stdout().lock();
        let told = lines(&sight, &mut last_event);
        if told.iter().try_for_each(|line| writeln!(out, "{line}")).and_then(|()| out.flush()).is_err() {
            // Whoever read us has gone.
            return DONE;
        }
        drop(out);
        if lasts.is_some_and(|lasts| begin.elapsed() >= lasts) || stop.wait_timeout(LOOK_EVERY) {
            break;
        }
    }
    if is_any_seen {
        DONE
    } else {
        failed("no node answers; start `mascaret demo`, or name operator listeners")
    }
}

/// How it is, and what has happened since the look before.
fn lines(sight: &Sight, last_event: &mut Option<u64>) -> Vec<String> {
    let new = sight.events.iter().filter(|event| last_event.is_some_and(|last| event.number > last));
    let mut told: Vec<String> = new
        .filter(|event| event.kind != "log")
        .map(|event| format!("{} {}", event.clock(), event.text))
        .collect();
    *last_event = Some(sight.events.last().map_or(0, |event| event.number));
    let summary = if sight.nodes.is_empty() { "no node answers".to_owned() } else { status::summary(sight) };
    told.push(summary);
    told
}

fn on_screen(asked: &Asked) -> ExitCode {
    let looks = look_on(asked.clone());
    let mut terminal = match ratatui::try_init() {
        Ok(terminal) => terminal,
        Err(error) => return failed(error),
    };
    let shown = show(&mut terminal, asked, &looks);
    ratatui::restore();
    match shown {
        Ok(()) => DONE,
        Err(error) => failed(error),
    }
}

fn show(
    terminal: &mut ratatui::DefaultTerminal,
    asked: &Asked,
    looks: &Receiver<Sight>,
) -> std::io::Result<()> {
    let mut desk = Desk::default();
    loop {
        match looks.recv_timeout(KEYS_EVERY) {
            Ok(sight) => desk.see(sight),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return Ok(()),
        }
        while event::poll(Duration::ZERO)? {
            let Some(key) = key(&event::read()?) else { continue };
            match desk.press(key) {
                Act::None => {}
                Act::End => return Ok(()),
                Act::Post { ways, edge } => {
                    let outcome = asked.post_to_one(&ways);
                    desk.hear(&edge, outcome);
                }
            }
        }
        terminal.draw(|frame| screen::draw(frame, &desk))?;
    }
}

fn key(event: &Event) -> Option<Key> {
    let Event::Key(key) = event else { return None };
    if key.kind != KeyEventKind::Press {
        return None;
    }
    match key.code {
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Key::Quit),
        KeyCode::Char('q') | KeyCode::Esc => Some(Key::Quit),
        KeyCode::Up | KeyCode::Char('k') => Some(Key::Up),
        KeyCode::Down | KeyCode::Char('j') => Some(Key::Down),
        KeyCode::Char('d') => Some(Key::Drain),
        KeyCode::Char('r') => Some(Key::Ready),
        KeyCode::Char('y') | KeyCode::Enter => Some(Key::Yes),
        KeyCode::Char('n') => Some(Key::No),
        KeyCode::Char('l') => Some(Key::Lines),
        _ => None,
    }
}

/// Looks on a thread of its own, which ends with the process or when nobody takes its looks.
fn look_on(asked: Asked) -> Receiver<Sight> {
    let (tell, looks) = sync_channel(1);
    // Without the thread the receiver is disconnected, and the screen ends at once.
    let _ = std::thread::Builder::new().name("looks".into()).spawn(move || {
        loop {
            let begun = Instant::now();
            if tell.send(asked.look()).is_err() {
                return;
            }
            std::thread::sleep(LOOK_EVERY.saturating_sub(begun.elapsed()));
        }
    });
    looks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sight::Happened;

    #[test]
    fn lines_tell_what_is_new_and_nothing_twice() {
        let event = |number: u64, kind: &str| Happened {
            number,
            unix_ms: 36_192_000,
            level: "warn".into(),
            kind: kind.into(),
            text: format!("event {number}"),
        };
        let mut last = None;
        let mut sight = Sight { events: vec![event(1, "edge_lost")], ..Sight::default() };
        assert_eq!(lines(&sight, &mut last), ["no node answers"], "what was before is history");
        sight.events.extend([event(2, "log"), event(3, "edge_ready")]);
        assert_eq!(lines(&sight, &mut last), ["10:03:12 event 3", "no node answers"]);
        assert_eq!(lines(&sight, &mut last).len(), 1);
    }
}
