//! `mascaret loadtest`: thousands of simulated viewers.
//!
//! Lives here: from what a person typed to a plan, and from what was measured to files and the exit status. Does
//! not live here: viewers, measuring, reports (`loadtest`).

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use ::loadtest::measure::Ledger;
use ::loadtest::report::{About, Manner, Report, Screen};
use ::loadtest::viewer::{Options, Player, Reload};
use ::loadtest::{Arrival, Plan, Run, RunError, Trust};
use node::Stop;

use crate::{DONE, cli, failed, wrong_usage};

pub(crate) fn run(args: &cli::Loadtest) -> ExitCode {
    let plan = plan(args);
    let about = About {
        target: args.url.to_string(),
        begun: SystemTime::now(),
        planned: Some(args.lasts),
        settings: settings(args, &plan),
    };
    let stop = Stop::new();
    if let Err(error) = stop.on_signals(None) {
        return failed(error);
    }
    let run = match Run::start(plan) {
        Ok(run) => run,
        Err(error @ RunError::Core { .. }) => return failed(error),
        Err(error) => return wrong_usage(error),
    };
    let stopper = run.stopper();
    // Ends with the process.
    let wait = move || {
        stop.wait_blocking();
        stopper.stop();
    };
    if let Err(error) = std::thread::Builder::new().name("stop".into()).spawn(wait) {
        return failed(error);
    }
    let mut ledger = Ledger::new(run.threads());
    let manner = if args.quiet { Manner::Quiet } else { Manner::of_stderr() };
    Screen::new(&about, manner).follow(run.told(), &mut ledger);
    let (lasted, refused) = match run.end() {
        Ok(ended) => ended,
        Err(error) => return failed(error),
    };
    let report = Report::of(&ledger, &about, lasted, &args.fail_if);
    if let Err(error) = tell(args, &report) {
        return failed(error);
    }
    for refusal in &refused {
        let _ = failed(format_args!("viewers were led astray: {refusal}"));
    }
    if report.passed && refused.is_empty() { DONE } else { ExitCode::from(1) }
}

fn plan(args: &cli::Loadtest) -> Plan {
    let host = |named: &String| if named.is_empty() { args.url.host().to_owned() } else { named.clone() };
    let behaviour = if args.hedge { Options::page() } else { Options::of(args.player) };
    let reload = match (args.blocking, args.polling) {
        (true, _) => Reload::Block,
        (_, true) => Reload::Poll,
        _ => behaviour.reload,
    };
    let rung = args.rung.unwrap_or(behaviour.rung);
    let steering = behaviour.steering.filter(|_| !args.no_steering);
    let usual = Plan::new(args.url.clone());
    Plan {
        viewers: args.viewers,
        lasts: args.lasts,
        arrival: match (args.flash, args.rate, args.ramp) {
            (true, ..) => Arrival::Flash,
            (_, Some(rate), _) => Arrival::Rate(rate),
            (_, _, Some(over)) => Arrival::Ramp(over),
            _ => usual.arrival,
        },
        churn: args.churn,
        threads: args.threads.map(usize::from),
        downlink: args.downlink,
        trust: match &args.ca {
            Some(file) => Trust::AndFile(file.clone()),
            None if args.tls_insecure => Trust::Everybody,
            None => Trust::Machine,
        },
        ours: args.ours.iter().map(host).collect(),
        from: args.from.unwrap_or_default(),
        options: Options { reload, rung, steering, ..behaviour },
        hash_every: args.hash,
        gzip: args.gzip,
        seed: args.seed,
        ..usual
    }
}

/// What was asked for, for the head of the report.
fn settings(args: &cli::Loadtest, plan: &Plan) -> Vec<(String, String)> {
    let seconds = |time: std::time::Duration| format!("{} s", time.as_secs_f64());
    let mut settings = vec![
        ("viewers".to_owned(), plan.viewers.to_string()),
        (
            "arrival".into(),
            match plan.arrival {
                Arrival::Flash => "all at once".into(),
                Arrival::Ramp(over) => format!("evenly over {}", seconds(over)),
                Arrival::Rate(rate) => format!("{rate}/s"),
            },
        ),
        ("threads".into(), plan.threads().to_string()),
        (
            "player".into(),
            match args.player {
                Player::Page => "page".into(),
                Player::HlsJs => "hls.js".into(),
                Player::Ffmpeg => "ffmpeg".into(),
            },
        ),
        ("rung".into(), format!("{:?}", plan.options.rung).to_lowercase()),
        (
            "reload".into(),
            match plan.options.reload {
                Reload::AsOffered => "as offered".into(),
                Reload::Poll => "polling".into(),
                Reload::Block => "blocking".into(),
            },
        ),
    ];
    let mut add =
        |name: &str, value: Option<String>| settings.extend(value.map(|value| (name.into(), value)));
    add("churn", plan.churn.map(|mean| format!("{} each on average", seconds(mean))));
    add("downlink", plan.downlink.map(|bits| format!("{} Mbit/s each", bits as f64 / 1e6)));
    add("hash", plan.hash_every.map(|every| format!("1 of {every}")));
    add("hedge", args.hedge.then(|| "yes".into()));
    add("steering", args.no_steering.then(|| "not followed".into()));
    add("gzip", args.gzip.then(|| "yes".into()));
    add("seed", Some(plan.seed.to_string()));
    settings
}

/// The report in every form that is wanted.
fn tell(args: &cli::Loadtest, report: &Report) -> Result<(), String> {
    let mut is_stdout_taken = false;
    let mut tell = |file: &Option<PathBuf>, form: fn(&Report) -> String| {
        let Some(file) = file else { return Ok(()) };
        is_stdout_taken |= file == Path::new("-");
        write(file, &form(report)).map_err(|error| format!("{}: {error}", file.display()))
    };
    tell(&args.json, Report::json)?;
    tell(&args.junit, Report::junit)?;
    tell(&args.html, Report::html)?;
    if args.quiet || is_stdout_taken {
        return Ok(());
    }
    write(Path::new("-"), &report.text()).map_err(|error| format!("stdout: {error}"))
}

fn write(file: &Path, text: &str) -> std::io::Result<()> {
    if file == Path::new("-") {
        return std::io::stdout().lock().write_all(text.as_bytes());
    }
    std::fs::write(file, text)
}
