//! The figures as tables.

use super::super::Report;
use super::super::plain::{Markup, number, percent, size, span};

/// `<section>` with a heading and a table's head.
fn begin(page: &mut Markup, id: &'static str, title: &str, heads: &[&str]) {
    page.open("section", &[("aria-labelledby", &id)]).element("h2", &[("id", &id)], title);
    page.raw("<div class=\"scroll\"><table><thead><tr>");
    heads.iter().for_each(|head| {
        page.element("th", &[("scope", &"col")], head);
    });
    page.raw("</tr></thead>\n<tbody>\n");
}

fn end(page: &mut Markup) {
    page.raw("</tbody></table></div></section>\n");
}

fn row(page: &mut Markup, name: &str, cells: &[String]) {
    page.raw("<tr>").element("th", &[("scope", &"row")], name);
    cells.iter().for_each(|cell| {
        page.element("td", &[], cell);
    });
    page.raw("</tr>\n");
}

/// All of them.
pub(super) fn all(report: &Report, page: &mut Markup) {
    spans(report, page);
    requests(report, page);
    notices(report, page);
    differing(report, page);
    cores(report, page);
}

fn spans(report: &Report, page: &mut Markup) {
    begin(page, "spans", "Times", &["", "count", "p50", "p90", "p99", "p99.9", "max"]);
    for (name, figures) in report.spans() {
        let values = [figures.p50_us, figures.p90_us, figures.p99_us, figures.p999_us, figures.max_us];
        let cells: Vec<_> = [number(figures.count)].into_iter().chain(values.map(span)).collect();
        // Phases are set in below their sum.
        let name = name.strip_prefix("  ").map_or_else(|| name.clone(), |phase| format!("startup: {phase}"));
        row(page, &name, &cells);
    }
    end(page);
}

fn requests(report: &Report, page: &mut Markup) {
    begin(page, "requests", "Requests", &["", "asked", "answered", "received", "statuses", "errors"]);
    for (kind, requests) in &report.requests {
        let statuses =
            requests.statuses.iter().map(|(status, times)| format!("{status}: {}", number(*times)));
        let errors = report.errors.by_kind.get(kind).into_iter().flatten();
        let errors = errors.map(|(class, times)| format!("{}: {}", class.title(), number(*times)));
        row(
            page,
            kind.title(),
            &[
                number(requests.asked),
                number(requests.answered),
                size(requests.bytes),
                statuses.collect::<Vec<_>>().join(", "),
                errors.collect::<Vec<_>>().join(", "),
            ],
        );
    }
    end(page);
}

fn notices(report: &Report, page: &mut Markup) {
    if report.notices.is_empty() {
        return;
    }
    begin(page, "notices", "What players did", &["", "times"]);
    report.notices.iter().for_each(|(kind, times)| row(page, kind.title(), &[number(*times)]));
    end(page);
}

fn differing(report: &Report, page: &mut Markup) {
    if report.bytes.told.is_empty() {
        return;
    }
    begin(page, "differing", "Segments that differ between edges", &["rendition", "number", "who sent what"]);
    for differing in &report.bytes.told {
        page.raw("<tr>").element("th", &[("scope", &"row")], &differing.rendition);
        page.element("td", &[], differing.sequence);
        let sent: Vec<_> =
            differing.sent.iter().map(|(origin, digest)| format!("{origin}: {digest}")).collect();
        page.element("td", &[("class", &"words")], sent.join(", ")).raw("</tr>\n");
    }
    end(page);
}

fn cores(report: &Report, page: &mut Markup) {
    begin(page, "cores", "The load tester's threads", &["", "computed", "made to wait for a CPU", "full"]);
    for (place, core) in report.own.cores.iter().enumerate() {
        let waited = core.waited_share().map_or_else(|| "–".into(), percent);
        let cells =
            [percent(core.cpu_share()), waited, format!("{:.0} of {:.0} s", core.full_seconds, core.seconds)];
        row(page, &format!("core {place}"), &cells);
    }
    end(page);
}
