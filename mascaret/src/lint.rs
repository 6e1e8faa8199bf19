//! `mascaret lint URL`: fetches what the checker asks for, and shows what it finds.
//!
//! Lives here: HTTP, the clock, and reading transport streams. Does not live here: any rule (`hls::lint`).

use std::collections::VecDeque;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use hls::lint::{Content, ContentFault, ContentTrack, Fetched, Finding, Kind, Lint, Outcome, Want, Watch};
use indicatif::{ProgressBar, ProgressStyle};

use crate::fetch::Fetcher;
use crate::{DONE, cli, failed};

/// Requests under way at once: a playlist must not wait for a segment.
const WORKERS: usize = 6;
/// How long one answer may take. Longer is said as no answer.
const ANSWER_MAX: Duration = Duration::from_secs(15);

pub(crate) fn run(args: &cli::Lint) -> ExitCode {
    if !(args.url.starts_with("http://") || args.url.starts_with("https://")) {
        return crate::wrong_usage(format_args!("{}: allowed: a URL with http:// or https://", args.url));
    }
    let fetcher = match Fetcher::for_checking(ANSWER_MAX, args.ca.as_deref()) {
        Ok(fetcher) => fetcher,
        Err(error) => return failed(error),
    };
    let watch_ms = u64::try_from(args.lasts.as_millis()).unwrap_or(u64::MAX);
    let mut lint = Lint::new(args.url.as_str(), Watch { watch_ms });
    let begin = Instant::now();
    let progress = (!args.json && std::io::stderr().is_terminal()).then(|| bar(watch_ms));
    let mut show = |finding: &Finding| {
        if args.json {
            let line = serde_json::json!({
                "finding": { "rule": finding.rule.0, "level": finding.level.to_string(), "place": finding.place,
                             "text": finding.text, "at_ms": finding.at_ms },
            });
            let _ = writeln!(std::io::stdout(), "{line}");
        } else if let Some(bar) = &progress {
            bar.println(finding.to_string());
        }
    };
    watch(&mut lint, &Crew::start(&fetcher, begin), begin, &mut show, |now_ms| {
        if let Some(bar) = &progress {
            bar.set_position(now_ms.min(watch_ms));
        }
    });
    if let Some(bar) = progress {
        bar.finish_and_clear();
    }
    let report = lint.finish(milliseconds(begin));
    crate::sys::end_with_our_reader();
    if args.json {
        println!("{}", report.render_json());
    } else {
        print!("{}", report.render());
    }
    if report.has_failures() { ExitCode::from(1) } else { DONE }
}

fn bar(watch_ms: u64) -> ProgressBar {
    let bar = ProgressBar::new(watch_ms);
    if let Ok(style) = ProgressStyle::with_template("watching {wide_bar} {eta} left") {
        bar.set_style(style);
    }
    bar
}

fn milliseconds(begin: Instant) -> u64 {
    u64::try_from(begin.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// Until the checker wants nothing more.
fn watch(
    lint: &mut Lint,
    crew: &Crew,
    begin: Instant,
    show: &mut impl FnMut(&Finding),
    progress: impl Fn(u64),
) {
    let mut wanted: VecDeque<Want> = VecDeque::new();
    let mut under_way = 0_usize;
    loop {
        while let Some(want) = lint.next() {
            let at = wanted.partition_point(|other| other.not_before_ms <= want.not_before_ms);
            wanted.insert(at, want);
        }
        let now = milliseconds(begin);
        progress(now);
        while under_way < WORKERS
            && wanted.front().is_some_and(|want| want.not_before_ms <= now)
            && let Some(want) = wanted.pop_front()
        {
            if crew.wants.send(want).is_err() {
                return;
            }
            under_way += 1;
        }
        if under_way == 0 && wanted.is_empty() {
            return;
        }
        let next_ms =
            wanted.front().filter(|_| under_way < WORKERS).map_or(200, |want| want.not_before_ms - now);
        if let Ok(fetched) = crew.results.recv_timeout(Duration::from_millis(next_ms.clamp(1, 200))) {
            under_way -= 1;
            lint.push(fetched);
        }
        while let Some(finding) = lint.pull() {
            show(&finding);
        }
    }
}

/// Threads that fetch.
struct Crew {
    wants: Sender<Want>,
    results: Receiver<Fetched>,
}

impl Crew {
    fn start(fetcher: &Fetcher, begin: Instant) -> Self {
        let (wants, asked) = channel::<Want>();
        let (sender, results) = channel();
        let asked = std::sync::Arc::new(std::sync::Mutex::new(asked));
        for _ in 0..WORKERS {
            let (asked, sender, fetcher) = (asked.clone(), sender.clone(), fetcher.clone());
            let work = move || {
                loop {
                    // Only taking is under the lock; who holds it waits for all.
                    let want = asked.lock().ok().and_then(|asked| asked.recv().ok());
                    let Some(want) = want else { return };
                    let sent_ms = milliseconds(begin);
                    let outcome = fetch(&fetcher, &want);
                    let fetched = Fetched { want: want.id, sent_ms, at_ms: milliseconds(begin), outcome };
                    if sender.send(fetched).is_err() {
                        return;
                    }
                }
            };
            // With fewer threads it is slower, without any it says that nothing was reached.
            let _ = std::thread::Builder::new().name("fetch".into()).spawn(work);
        }
        Self { wants, results }
    }
}

fn fetch(fetcher: &Fetcher, want: &Want) -> Outcome {
    let answer = match want.kind {
        Kind::Playlist => fetcher.get_offering_gzip(&want.url),
        Kind::Text | Kind::Segment => fetcher.get(&want.url),
    };
    match answer {
        Err(why) => Outcome::Failed { why },
        Ok(answer) => match want.kind {
            Kind::Playlist | Kind::Text => Outcome::Answered {
                status: answer.status,
                headers: answer.headers,
                text: answer.body,
                media: None,
            },
            Kind::Segment => {
                let media = Some((answer.body.len() as u64, content(&answer.body)));
                Outcome::Answered { status: answer.status, headers: answer.headers, text: Vec::new(), media }
            }
        },
    }
}

/// `None` where it is no transport stream (CMAF is not read yet).
fn content(bytes: &[u8]) -> Option<Content> {
    if bytes.first() != Some(&0x47) {
        return None;
    }
    let summary = mpegts::Reader::read(bytes);
    let mut faults: Vec<ContentFault> = summary
        .faults
        .iter()
        .map(|fault| ContentFault {
            is_codec_change: matches!(fault.kind, mpegts::FaultKind::CodecChanged { .. }),
            text: fault.to_string(),
        })
        .collect();
    if summary.faults_more > 0 {
        faults.push(ContentFault {
            is_codec_change: false,
            text: format!("and {} faults more", summary.faults_more),
        });
    }
    let tracks = summary.tracks.iter().map(|track| ContentTrack {
        pid: track.pid,
        stream_type: track.stream_type,
        is_video: track.codec.is_video(),
        is_audio: track.codec.is_audio(),
        word: track.codec.word().to_owned(),
        codecs_word: track.codecs_word.clone(),
        first_dts: track.first_dts,
        last_dts: track.last_dts,
        earliest_pts: track.earliest_pts,
        unit_ticks: track.unit_ticks(),
        starts_with_sync: track.starts_with_sync,
        first_counter: track.first_counter,
        last_counter: track.last_counter,
        begins_discontinuous: track.begins_discontinuous,
    });
    Some(Content {
        programs: summary.programs,
        has_tables_first: summary.has_tables_first,
        tracks: tracks.collect(),
        faults,
    })
}
