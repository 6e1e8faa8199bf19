//! The page without scripts: whatever the role says at `/status`, as tables; made here, looked at anew every five seconds.
//!
//! It knows no role: an object is a table of two columns, a list of objects one with a column for each key. Buttons are
//! forms that POST.

use std::fmt::Write;
use std::sync::Arc;

use serde_json::{Map, Value};

use crate::events::Event;

/// Its style, at `/plain.css`: the policy lets none stand in the page.
pub(super) const STYLE: &str = "\
:root { color-scheme: dark light; font: 1rem/1.5 system-ui, sans-serif; }
body { margin: 0 auto; max-width: 80rem; padding: 0 1rem 2rem; }
h1 { font-size: 1.35rem; } h2 { font-size: 1.05rem; margin: 1.25rem 0 .25rem; }
div { overflow-x: auto; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .2rem .75rem .2rem 0; border-bottom: 1px solid color-mix(in srgb, currentColor 20%, transparent); overflow-wrap: anywhere; }
form { display: inline; } button { font: inherit; min-height: 2.25rem; }
:focus-visible { outline: 3px solid Highlight; outline-offset: 2px; }
";

/// Events that are shown.
const EVENTS_SHOWN: usize = 40;

/// How deep an object may be inside others before it is shown as JSON.
const DEPTH_MAX: usize = 2;

pub(super) fn page(status: &Value, events: &[Arc<Event>], has_rich: bool) -> String {
    let mut page = String::with_capacity(16 << 10);
    // Writing to memory does not fail.
    let _ = write_page(&mut page, status, events, has_rich);
    page
}

fn write_page(page: &mut String, status: &Value, events: &[Arc<Event>], has_rich: bool) -> std::fmt::Result {
    let role = status["role"].as_str().unwrap_or("node");
    let name = ["id", "balancer"].iter().find_map(|key| status[*key].as_str()).unwrap_or_default();
    let title = format!("{} {}", escaped(role), escaped(name));
    write!(
        page,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"dark light\"><meta http-equiv=\"refresh\" content=\"5\">\
         <title>{title}</title><link rel=\"icon\" href=\"data:,\"><link rel=\"stylesheet\" href=\"/plain.css\">\
         </head><body><h1>{title}</h1>"
    )?;
    page.push_str(match has_rich {
        true => "<p>The plain page; <a href=\"/\">the other one</a> moves.</p>",
        false => "<p>The plain page, of a build without node; <code>make web</code> and a new build give another.</p>",
    });
    if role == "edge" {
        write!(page, "<p>{} {}</p>", form("/admin/drain", "Drain"), form("/admin/ready", "Take viewers"))?;
    }
    if let Some(status) = status.as_object() {
        facts(page, status, 0)?;
    }
    page.push_str("<h2>What happened (UTC)</h2>");
    if events.is_empty() {
        page.push_str("<p>Nothing yet.</p>");
    }
    page.push_str("<div><table><tbody>");
    for event in events.iter().rev().take(EVENTS_SHOWN) {
        let seconds = event.unix_ms / 1000;
        write!(
            page,
            "<tr><td>{:02}:{:02}:{:02}</td><td>{}</td></tr>",
            seconds / 3600 % 24,
            seconds / 60 % 60,
            seconds % 60,
            escaped(&event.what.text)
        )?;
    }
    page.push_str("</tbody></table></div></body></html>");
    Ok(())
}

/// What is one value each first, then what has a table of its own.
fn facts(page: &mut String, object: &Map<String, Value>, depth: usize) -> std::fmt::Result {
    let is_table = |value: &Value| is_rows(value) || value.is_object();
    let single: Vec<_> = object.iter().filter(|(_, value)| !is_table(value)).collect();
    if !single.is_empty() {
        page.push_str("<div><table><tbody>");
        for (key, value) in single {
            write!(page, "<tr><th scope=\"row\">{}</th><td>{}</td></tr>", words(key), shown(key, value))?;
        }
        page.push_str("</tbody></table></div>");
    }
    for (key, value) in object.iter().filter(|(_, value)| is_table(value)) {
        write!(page, "<h2>{}</h2>", words(key))?;
        match value {
            Value::Array(rows) => table(page, key, rows)?,
            Value::Object(inner) if depth < DEPTH_MAX => facts(page, inner, depth + 1)?,
            other => write!(page, "<code>{}</code>", escaped(&other.to_string()))?,
        }
    }
    Ok(())
}

fn is_rows(value: &Value) -> bool {
    value.as_array().is_some_and(|rows| !rows.is_empty() && rows.iter().all(Value::is_object))
}

fn table(page: &mut String, name: &str, rows: &[Value]) -> std::fmt::Result {
    let mut columns: Vec<&str> = Vec::new();
    for key in rows.iter().filter_map(Value::as_object).flat_map(Map::keys) {
        if !columns.contains(&key.as_str()) {
            columns.push(key);
        }
    }
    page.push_str("<div><table><thead><tr>");
    for column in &columns {
        write!(page, "<th scope=\"col\">{}</th>", words(column))?;
    }
    page.push_str("</tr></thead><tbody>");
    for row in rows {
        page.push_str("<tr>");
        for column in &columns {
            write!(page, "<td>{}</td>", shown(column, &row[*column]))?;
        }
        // A balancer's edges have switches.
        if let Some(id) = row["id"].as_str().filter(|id| name == "edges" && is_plain_name(id)) {
            let path = |switch| format!("/admin/edges/{id}/{switch}");
            write!(
                page,
                "<td>{} {}</td>",
                form(&path("drain"), "Drain"),
                form(&path("ready"), "Take viewers")
            )?;
        }
        page.push_str("</tr>");
    }
    page.push_str("</tbody></table></div>");
    Ok(())
}

fn form(action: &str, says: &str) -> String {
    format!("<form method=\"post\" action=\"{}\"><button>{says}</button></form>", escaped(action))
}

fn is_plain_name(id: &str) -> bool {
    id.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
}

/// Names carry their unit as the last word (style): a number is shown in that unit's usual size.
fn shown(key: &str, value: &Value) -> String {
    match value {
        Value::Null => "–".into(),
        Value::Bool(true) => "yes".into(),
        Value::Bool(false) => "no".into(),
        Value::String(text) => escaped(text),
        Value::Number(number) => {
            let value = number.as_f64().unwrap_or(0.0);
            match key.rsplit('_').next() {
                Some("bits") => format!("{:.1} Mbit/s", value / 1e6),
                Some("bytes") => format!("{:.1} MB", value / 1e6),
                Some("ms") if !key.contains("unix") => format!("{:.1} s", value / 1e3),
                _ => number.to_string(),
            }
        }
        other => {
            let list: Option<Vec<&str>> =
                other.as_array().map(|all| all.iter().filter_map(Value::as_str).collect());
            match list.filter(|list| !list.is_empty()) {
                Some(list) => escaped(&list.join(", ")),
                None if other.as_array().is_some_and(Vec::is_empty) => "none".into(),
                None => format!(
                    "<details><summary>more</summary><code>{}</code></details>",
                    escaped(&other.to_string())
                ),
            }
        }
    }
}

fn words(key: &str) -> String {
    escaped(&key.replace('_', " "))
}

fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            c => safe.push(c),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Events, Happening, Kind};
    use crate::logs::Level;
    use serde_json::json;

    #[test]
    fn every_value_is_in_a_table_and_none_is_markup() {
        let events = Events::default();
        events.tell(Happening::new(Level::Warn, Kind::EdgeLost, "edge2 is lost: <no heartbeat>"));
        let status = json!({
            "role": "lb", "balancer": "lb1", "egress_bits": 3_500_000, "is_ready": true, "ingests": ["a", "b"],
            "process": { "resident_bytes": 9_000_000 },
            "edges": [{ "id": "edge1", "newest_segment_age_ms": 900 }, { "id": "<script>", "weight": null }],
        });
        let page = page(&status, &events.after(0), false);
        for part in [
            "<title>lb lb1</title>",
            "<td>3.5 Mbit/s</td>",
            "<td>9.0 MB</td>",
            "<td>a, b</td>",
            "<td>0.9 s</td>",
            "action=\"/admin/edges/edge1/drain\"",
            "<td>&lt;script&gt;</td>",
            "edge2 is lost: &lt;no heartbeat&gt;",
        ] {
            assert!(page.contains(part), "{part} is not in\n{page}");
        }
        assert!(!page.contains("<script") && !page.contains("edges/&lt;"), "{page}");
    }
}
