//! `/metrics` read strictly, and held to what viewers really asked.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod stage;

use media::MediaSpan;
use node::settings::{Address, Number};
use percore::Driver;
use stage::{
    Cluster, Edge, FIRST, Viewer, any, body, listed, on_both_drivers, segment_path, settings, until,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

on_both_drivers! {
    every_answer_is_counted_once_by_kind_status_and_core,
    handshakes_are_told_apart,
}

/// A page of OpenMetrics text: each sample's name and labels, as written, and its value.
struct Exposition {
    samples: BTreeMap<String, f64>,
}

/// One line's name, labels in order, and value.
type Sample<'a> = (&'a str, Vec<(&'a str, String)>, f64);

impl Exposition {
    /// Refuses whatever a Prometheus server or `promtool check metrics` would.
    fn read(text: &str) -> Self {
        let mut samples = BTreeMap::new();
        let mut families = BTreeSet::new();
        let (mut family, mut kind, mut has_help) = (String::new(), String::new(), false);
        let body = text.strip_suffix("# EOF\n").expect("an end");
        for line in body.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').expect("a help text");
                assert!(families.insert(name.to_owned()), "{name} twice");
                assert!(!help.is_empty() && is_name(name), "{line}");
                (family, kind, has_help) = (name.to_owned(), String::new(), true);
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, told) = rest.split_once(' ').expect("a type");
                assert!(name == family && has_help && kind.is_empty(), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&told), "{line}");
                kind = told.to_owned();
            } else {
                let (name, labels, value) = sample(line);
                let suffix =
                    name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{line} under {family}"));
                let allowed: &[&str] = match kind.as_str() {
                    "counter" => &["_total"],
                    "gauge" => &[""],
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => panic!("{line} has no type"),
                };
                assert!(allowed.contains(&suffix), "{line} of a {kind}");
                assert_eq!(suffix == "_bucket", labels.iter().any(|(name, _)| *name == "le"), "{line}");
                let names: BTreeSet<_> = labels.iter().map(|(name, _)| name).collect();
                assert!(
                    names.len() == labels.len() && labels.iter().all(|(name, _)| is_name(name)),
                    "{line}"
                );
                assert!(value.is_finite() && (kind == "gauge" || value >= 0.0), "{line}");
                let series = line.rsplit_once(' ').unwrap().0.to_owned();
                assert!(samples.insert(series, value).is_none(), "{line} twice");
            }
        }
        let page = Self { samples };
        page.hold_histograms(&families);
        page
    }

    /// Buckets rise, end in `+Inf`, and that is the count.
    fn hold_histograms(&self, families: &BTreeSet<String>) {
        for family in families {
            let mut rows: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
            for (series, value) in
                self.samples.iter().filter(|(it, _)| name_of(it) == format!("{family}_bucket"))
            {
                let (_, labels, _) = sample(&format!("{series} 0")).into_owned();
                let le = &labels.iter().find(|(name, _)| name == "le").unwrap().1;
                let others: Vec<_> = labels.iter().filter(|(name, _)| name != "le").collect();
                let le = if le == "+Inf" { f64::INFINITY } else { le.parse().unwrap() };
                rows.entry(format!("{others:?}")).or_default().push((le, *value));
            }
            let mut counted = 0.0;
            for row in rows.values_mut() {
                row.sort_by(|a, b| a.0.total_cmp(&b.0));
                assert!(
                    row.windows(2).all(|pair| pair[0].0 < pair[1].0 && pair[0].1 <= pair[1].1),
                    "{family}: {row:?}"
                );
                assert!(row.len() <= 20 && row.last().unwrap().0 == f64::INFINITY, "{family}: {row:?}");
                counted += row.last().unwrap().1;
            }
            if !rows.is_empty() {
                assert_eq!(counted, self.sum(&format!("{family}_count")), "{family}");
            }
        }
    }

    fn value(&self, series: &str) -> f64 {
        let name = format!("mascaret_edge_{series}");
        *self.samples.get(&name).unwrap_or(&0.0)
    }

    /// Over all labels.
    fn sum(&self, name: &str) -> f64 {
        self.samples.iter().filter(|(series, _)| name_of(series) == name).map(|(_, value)| value).sum()
    }

    /// With these labels among others.
    fn sum_with(&self, name: &str, labels: &[&str]) -> f64 {
        let has = |series: &str| labels.iter().all(|label| series.contains(label));
        let name = format!("mascaret_edge_{name}");
        self.samples.iter().filter(|(it, _)| name_of(it) == name && has(it)).map(|(_, value)| value).sum()
    }
}

trait IntoOwnedSample {
    fn into_owned(self) -> (String, Vec<(String, String)>, f64);
}

impl IntoOwnedSample for Sample<'_> {
    fn into_owned(self) -> (String, Vec<(String, String)>, f64) {
        (
            self.0.to_owned(),
            self.1.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
            self.2,
        )
    }
}

fn name_of(series: &str) -> &str {
    series.split('{').next().unwrap()
}

fn is_name(name: &str) -> bool {
    let is_letter = |b: u8| b.is_ascii_alphabetic() || b == b'_';
    name.bytes().enumerate().all(|(at, b)| is_letter(b) || (at > 0 && b.is_ascii_digit())) && !name.is_empty()
}

fn sample(line: &str) -> Sample<'_> {
    let end = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line:?} is no sample"));
    let (name, mut rest) = line.split_at(end);
    assert!(is_name(name), "{line}");
    let mut labels = Vec::new();
    if let Some(mut inside) = rest.strip_prefix('{') {
        loop {
            let (label, after) = inside.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            let (mut value, mut chars) = (String::new(), after.char_indices());
            let end = loop {
                match chars.next().unwrap_or_else(|| panic!("{line}")) {
                    (_, '\\') => match chars.next().unwrap().1 {
                        'n' => value.push('\n'),
                        escaped @ ('\\' | '"') => value.push(escaped),
                        other => panic!("\\{other} in {line}"),
                    },
                    (at, '"') => break at,
                    (_, plain) => value.push(plain),
                }
            };
            labels.push((label, value));
            inside = &after[end + 1..];
            match inside.as_bytes().first() {
                Some(b',') => inside = &inside[1..],
                Some(b'}') => break rest = &inside[1..],
                _ => panic!("{line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    (name, labels, value.parse().unwrap_or_else(|_| panic!("{line}")))
}

fn metrics(edge: &Edge) -> Exposition {
    let (status, text) = edge.operator("/metrics");
    assert_eq!(status, 200);
    Exposition::read(&text)
}

#[test]
fn what_is_no_exposition_is_refused() {
    let good = "# HELP a b.\n# TYPE a counter\na_total{x=\"1\"} 2\n# EOF\n";
    assert_eq!(Exposition::read(good).samples["a_total{x=\"1\"}"], 2.0);
    for bad in [
        good.replace("# EOF\n", ""),
        good.replace("a_total", "a"),
        good.replace("a_total", "b_total"),
        good.replace("# TYPE a counter\n", ""),
        good.replace("x=\"1\"", "x=\"1\",x=\"2\""),
        good.replace("} 2", "} x"),
        good.replace("\"1\"", "\"1"),
        good.replace("# EOF", "a_total{x=\"1\"} 3\n# EOF"),
        "# HELP a b\n# TYPE a histogram\na_sum 1\na_count 1\na_bucket{le=\"1\"} 2\na_bucket{le=\"+Inf\"} 1\n# EOF\n".into(),
        "# HELP a b\n# TYPE a histogram\na_sum 1\na_count 2\na_bucket{le=\"1\"} 1\na_bucket{le=\"+Inf\"} 1\n# EOF\n".into(),
    ] {
        assert!(std::panic::catch_unwind(|| Exposition::read(&bad)).is_err(), "{bad}");
    }
}

fn every_answer_is_counted_once_by_kind_status_and_core(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(MediaSpan::from_secs(2));
    let edge = cluster.edge(edge::Settings { cores: Number::new(2), ..settings(driver, &[&ingest]) });
    ingest.begins();
    (0..3).for_each(|nth| ingest.segment(nth));
    listed(edge.address(), "720p", 2);
    let (playlist, segment) = ("/live/tide/720p/index.m3u8", segment_path("720p", 2));
    let answered = |page: &Exposition| {
        page.sum("mascaret_edge_request_seconds_count") + page.value("reload_seconds_count")
    };
    let before = until("all answers to have left", || {
        let page = metrics(&edge);
        (answered(&page) == page.sum("mascaret_edge_requests_total")).then_some(page)
    });

    // Each on a connection of its own, so that both cores get some.
    let ask = |path: &str, fields: &str, times: usize| {
        (0..times).for_each(|_| drop(Viewer::at(edge.address()).asks("GET", path, fields)));
    };
    ask(playlist, "", 20);
    ask(playlist, "If-None-Match: *\r\n", 3);
    ask("/live/tide/index.m3u8", "", 2);
    ask(&segment, "", 10);
    ask(&segment, "Range: bytes=0-9\r\n", 4);
    ask(&segment, "Range: bytes=9999999-\r\n", 1);
    ask("/live/tide/720p/1.ts", "", 5);
    ask("/nowhere", "", 6);
    ask("/nowhere", "Transfer-Encoding: chunked\r\n", 7);
    let mut waiting = Viewer::at(edge.address());
    waiting.says(format!("GET {playlist}?_HLS_msn={} HTTP/1.1\r\nHost: e\r\n\r\n", FIRST + 3).as_bytes());
    until("it to be held", || (metrics(&edge).value("reloads_waiting") == 1.0).then_some(()));
    // Lets some time pass that must be seen in the figures.
    std::thread::sleep(Duration::from_millis(200));
    ingest.segment(3);
    assert_eq!(waiting.hears(false).status, 200);

    let asked: [(&str, u16, f64); 9] = [
        ("media", 200, 21.0),
        ("media", 304, 3.0),
        ("multivariant", 200, 2.0),
        ("segment", 200, 10.0),
        ("segment", 206, 4.0),
        ("segment", 416, 1.0),
        ("segment", 404, 5.0),
        ("other", 404, 6.0),
        ("other", 400, 7.0),
    ];
    let all: f64 = asked.iter().map(|(_, _, count)| count).sum();
    let page = until("all answers to have left", || {
        let page = metrics(&edge);
        (answered(&page) == answered(&before) + all).then_some(page)
    });
    let more = |series: &str| page.value(series) - before.value(series);
    for (kind, status, count) in asked {
        assert_eq!(
            more(&format!("requests_total{{kind=\"{kind}\",status=\"{status}\"}}")),
            count,
            "{kind} {status}"
        );
        let (kind, status) = (format!("kind=\"{kind}\""), format!("status=\"{status}\""));
        let cores = page.sum_with("core_requests_total", &[&kind, &status]);
        assert_eq!(
            cores,
            page.sum_with("requests_total", &[&kind, &status]),
            "cores and all: {kind} {status}"
        );
    }
    for (kind, count) in [("media", 23.0), ("multivariant", 2.0), ("segment", 20.0), ("other", 13.0)] {
        assert_eq!(more(&format!("request_seconds_count{{kind=\"{kind}\"}}")), count, "{kind}");
    }
    assert_eq!(
        page.sum("mascaret_edge_core_request_seconds_count"),
        page.sum("mascaret_edge_request_seconds_count")
    );
    assert_eq!((more("reload_seconds_count"), more("reloads_held_total")), (1.0, 1.0));
    let held = more("reload_seconds_sum");
    assert!((0.2..30.0).contains(&held), "{held} s");
    assert!((0.0..30.0).contains(&page.value("request_seconds_sum{kind=\"segment\"}")));

    let asked_of = |core: &str| page.sum_with("core_requests_total", &[core]);
    assert_eq!(asked_of("core=\"0\"") + asked_of("core=\"1\""), page.sum("mascaret_edge_requests_total"));
    let connections =
        page.sum("mascaret_edge_core_accepted_total") - before.sum("mascaret_edge_core_accepted_total");
    assert_eq!(connections, all);
    let egress =
        page.sum("mascaret_edge_egress_bytes_total") - before.sum("mascaret_edge_egress_bytes_total");
    let least = 10.0 * body("720p", 2).len() as f64;
    assert!((least..least + 200_000.0).contains(&egress), "{egress}");
    let share = page.value("zero_copy_share");
    assert!((0.9..=1.0).contains(&share), "{share}");
    assert_eq!(page.sum("mascaret_edge_driver"), 1.0);
    edge.ends();
}

fn handshakes_are_told_apart(driver: Driver) {
    let cluster = Cluster::new();
    let ingest = cluster.ingest(MediaSpan::from_secs(2));
    let edge = cluster.edge(edge::Settings { https: Some(Address(any())), ..settings(driver, &[&ingest]) });
    let (trust, https) = (cluster.trust(), edge.running.addresses()[1]);
    for _ in 0..3 {
        assert_eq!(Viewer::by_tls(https, &trust).get("/nowhere").status, 404);
    }
    let mut plain = Viewer::at(https);
    plain.says(b"GET / HTTP/1.1\r\nHost: e\r\n\r\n");
    while plain.more() {}
    let kinds = ["full", "resumed", "failed"];
    let of = |page: &Exposition, kind| page.value(&format!("tls_handshakes_total{{kind=\"{kind}\"}}"));
    until("one full, two resumed and one that failed", || {
        let page = metrics(&edge);
        (kinds.map(|kind| of(&page, kind)) == [1.0, 2.0, 1.0]).then_some(())
    });
    assert!(metrics(&edge).value("egress_bytes_total{path=\"tls\"}") > 0.0);
    edge.ends();
}
