//! How the desk looks on a terminal: a line for all of it, edges with bars, broadcasts, nodes, and what happened.

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style, Stylize};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Cell, Paragraph, Row, Table, TableState, Wrap};

use super::desk::Desk;
use crate::sight::{Edge, Happened, Node, Sight};
use crate::status;

/// Letters of a bar.
const BAR: usize = 12;
/// Below this width nodes have no place beside broadcasts, nor the age of the newest segment beside the rest of its edge.
const WIDE: u16 = 100;

pub(super) fn draw(frame: &mut Frame<'_>, desk: &Desk) {
    let area = frame.area();
    let Some(sight) = &desk.sight else {
        frame.render_widget(Paragraph::new("asking…"), area);
        return;
    };
    if sight.nodes.is_empty() && sight.edges.is_empty() {
        let said =
            "no node answers; start `mascaret demo`, or name operator listeners: mascaret top 10.0.0.3:9090";
        frame.render_widget(Paragraph::new(said).wrap(Wrap { trim: true }), area);
        return;
    }
    let edges = u16::try_from(sight.edges.len()).unwrap_or(u16::MAX).saturating_add(3);
    let [head, edge_rows, middle, events, foot] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(edges.min(area.height / 2).max(4)),
        Constraint::Fill(1),
        Constraint::Fill(1),
        Constraint::Length(1),
    ])
    .areas(area);
    frame.render_widget(Line::from(status::summary(sight)).bold(), head);
    draw_edges(frame, edge_rows, desk, sight);
    if area.width >= WIDE {
        let [left, right] =
            Layout::horizontal([Constraint::Percentage(60), Constraint::Percentage(40)]).areas(middle);
        draw_broadcasts(frame, left, sight);
        draw_nodes(frame, right, sight);
    } else {
        draw_broadcasts(frame, middle, sight);
    }
    draw_events(frame, events, desk, sight);
    frame.render_widget(foot_line(desk), foot);
}

fn foot_line(desk: &Desk) -> Line<'_> {
    match &desk.question {
        Some(question) => Line::from(vec![
            Span::styled(question.text.as_str(), Style::new().fg(Color::Yellow).bold()),
            Span::raw("  y yes · any other key: no"),
        ]),
        None if !desk.said.is_empty() => Line::from(vec![
            Span::styled(desk.said.as_str(), Style::new().bold()),
            Span::styled(
                "  ↑↓ edge · d drain · r ready · l log · q quit",
                Style::new().add_modifier(Modifier::DIM),
            ),
        ]),
        None => Line::from("↑↓ edge · d drain · r ready · l lines of the log · q quit").dim(),
    }
}

/// Together with the blanks between them and the frame, all but the last are 80 letters.
const EDGE_COLUMNS: [(&str, Constraint); 9] = [
    ("edge", Constraint::Min(8)),
    ("state", Constraint::Length(13)),
    ("viewers", Constraint::Length(7)),
    ("Mbit/s", Constraint::Length(7)),
    ("full", Constraint::Length(BAR as u16 + 5)),
    ("CPU", Constraint::Length(5)),
    ("p99", Constraint::Length(7)),
    ("late", Constraint::Length(7)),
    ("newest", Constraint::Length(6)),
];

fn draw_edges(frame: &mut Frame<'_>, area: Rect, desk: &Desk, sight: &Sight) {
    let shown = if area.width >= WIDE { EDGE_COLUMNS.len() } else { EDGE_COLUMNS.len() - 1 };
    let columns = &EDGE_COLUMNS[..shown];
    let rows = sight.edges.iter().map(|edge| Row::new(edge_cells(edge).into_iter().take(shown)));
    let table = Table::new(rows, columns.iter().map(|(_, width)| *width))
        .header(Row::new(columns.iter().map(|(name, _)| *name)).dim())
        .row_highlight_style(Style::new().add_modifier(Modifier::REVERSED))
        .block(Block::bordered().title("edges"));
    let mut state = TableState::new().with_selected(desk.place());
    frame.render_stateful_widget(table, area, &mut state);
}

/// As [`EDGE_COLUMNS`] names them.
fn edge_cells(edge: &Edge) -> [Cell<'_>; EDGE_COLUMNS.len()] {
    let colour = match edge.state.as_str() {
        "ready" => Color::Green,
        "silent" | "left" | "unreachable" => Color::Red,
        _ => Color::Yellow,
    };
    let right = |text: String| Cell::from(Line::from(text).right_aligned());
    let none = || "-".to_owned();
    [
        Cell::from(edge.id.as_str()),
        Cell::from(Span::styled(status::state(edge), Style::new().fg(colour))),
        right(edge.viewers.map_or_else(none, |viewers| viewers.to_string())),
        right(edge.egress_bits.map_or_else(none, status::mbit)),
        Cell::from(edge.filled().map_or_else(none, bar)),
        right(edge.cpu_cores.map_or_else(none, |cores| format!("{cores:.2}"))),
        right(edge.p99_ms.map_or_else(none, |p99| format!("{} ms", of_three(p99)))),
        right(edge.lag_ms.map_or_else(none, status::late)).style(match edge.state.as_str() {
            "lagging" => Style::new().fg(Color::Yellow),
            _ => Style::new(),
        }),
        right(
            edge.newest_segment_age_ms.map_or_else(none, |age| format!("{} s", of_three(age as f64 / 1e3))),
        ),
    ]
}

/// With a decimal where there is room for it: of what does not fit into a column the first letters are cut.
fn of_three(number: f64) -> String {
    if number < 99.95 { format!("{number:.1}") } else { format!("{number:.0}") }
}

fn bar(part: f64) -> String {
    let full = ((part.clamp(0.0, 1.0) * BAR as f64).round() as usize).min(BAR);
    format!("{}{} {:>3.0}%", "█".repeat(full), "░".repeat(BAR - full), part * 100.0)
}

fn draw_broadcasts(frame: &mut Frame<'_>, area: Rect, sight: &Sight) {
    let mut lines = Vec::new();
    for broadcast in &sight.broadcasts {
        lines.push(Line::from(status::of_broadcast(broadcast)));
        lines.extend(
            broadcast.ingests.iter().map(|it| Line::from(format!("  {}", status::of_intake(it))).dim()),
        );
    }
    if lines.is_empty() {
        lines.push(Line::from("nothing is on the air").dim());
    }
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("broadcasts")), area);
}

fn draw_nodes(frame: &mut Frame<'_>, area: Rect, sight: &Sight) {
    let line = |node: &Node| {
        let cores = node.cpu_cores.map_or_else(String::new, |cores| format!(" {cores:.2} cores"));
        let text = format!("{:<7} {:<12}{cores} {}", node.role, node.id, node.readiness);
        if node.answers { Line::from(text) } else { Line::from(text).red() }
    };
    let lines: Vec<Line<'_>> = sight.nodes.iter().filter(|node| node.role != "edge").map(line).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("nodes")), area);
}

fn draw_events(frame: &mut Frame<'_>, area: Rect, desk: &Desk, sight: &Sight) {
    let line = |event: &Happened| {
        let text = format!("{} {}", event.clock(), event.text);
        match event.level.as_str() {
            "error" => Line::from(text).red(),
            "warn" => Line::from(text).yellow(),
            _ => Line::from(text),
        }
    };
    let rows = usize::from(area.height.saturating_sub(2));
    let wanted = sight.events.iter().rev().filter(|event| desk.has_lines || event.kind != "log");
    let lines: Vec<Line<'_>> = wanted.take(rows).map(line).collect();
    frame.render_widget(Paragraph::new(lines).block(Block::bordered().title("what happened (UTC)")), area);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::top::desk::Key;
    use crate::top::desk::tests::seen;
    use ratatui::Terminal;
    use ratatui::backend::TestBackend;

    fn screen(desk: &Desk, width: u16, height: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        terminal.draw(|frame| draw(frame, desk)).unwrap();
        terminal.backend().to_string()
    }

    #[test]
    fn edges_have_bars_and_a_question_has_the_last_line() {
        let mut desk = Desk::default();
        assert!(screen(&desk, 80, 24).contains("asking"));
        desk.see(Sight::default());
        assert!(screen(&desk, 80, 24).contains("no node answers"));
        let mut sight = seen(&["edge1", "edge2"]);
        sight.edges[0].lag_ms = Some(1240);
        sight.edges[0].p99_ms = Some(3.24);
        sight.events = vec![Happened {
            number: 1,
            unix_ms: 36_192_000,
            level: "warn".into(),
            kind: "edge_lost".into(),
            text: "edge2 is lost".into(),
        }];
        desk.see(sight);
        let shown = screen(&desk, 80, 24);
        for part in [
            "2/2 edges ready",
            "█████░░░░░░░  40%",
            "400.0",
            " 3.2 ms 1240 ms",
            "10:03:12 edge2 is lost",
            "nothing is on the air",
            "q quit",
        ] {
            assert!(shown.contains(part), "{part:?} is not in\n{shown}");
        }
        desk.sight.as_mut().unwrap().edges[0].p99_ms = Some(1250.3);
        assert!(screen(&desk, 80, 24).contains(" 1250 ms 1240 ms"), "no digit is cut");
        assert!(
            !shown.contains("newest") && screen(&desk, 100, 24).contains("newest"),
            "where there is room"
        );
        desk.press(Key::Drain);
        let asked = screen(&desk, 80, 24);
        assert!(asked.contains("drain edge1? 12 viewers go to other edges  y yes"), "{asked}");
    }

    #[test]
    fn any_terminal_is_drawn_on() {
        let mut desk = Desk::default();
        let names: Vec<String> = (0..40).map(|nth| format!("edge{nth}")).collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        desk.see(seen(&names));
        for (width, height) in [(1, 1), (20, 5), (80, 24), (200, 60), (300, 3)] {
            screen(&desk, width, height);
        }
        (0..39).for_each(|_| drop(desk.press(Key::Down)));
        assert!(screen(&desk, 80, 24).contains("edge39"), "the selected one is in view");
    }
}
