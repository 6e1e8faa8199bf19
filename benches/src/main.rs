//! What the edge costs beside nginx and HAProxy: the same files, the same viewers, in turn, on this machine.
//!
//! Lives here: the words of the command line, and what is written where. Does not live here: what is measured (`rows`)
//! or how (`run`, `viewers`). `benches/README.md` explains the method.

mod agree;
mod cast;
mod error;
mod far;
mod feed;
mod ground;
mod machine;
mod meter;
mod ours;
mod parlour;
mod plot;
mod report;
mod rows;
mod run;
mod servers;
mod spread;
mod take;
mod theirs;
mod viewers;
mod wrk;

use cast::Cast;
use clap::Parser;
use error::BenchError;
use node::Stop;
use report::Report;
use rows::{ROWS, Row};
use run::{Bench, Manner};
use rustix::process::{Resource, Rlimit};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// Measures our edge and balancer beside nginx and HAProxy.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    /// Only these rows, by their keys (`--list` tells them).
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// The most telling rows, in fewer and shorter windows.
    #[arg(long)]
    quick: bool,
    /// Windows of each contender, 1 to 99 [default: 5; quick: 3].
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..100))]
    windows: Option<u8>,
    /// Length of a window in ms [default: 4000; quick: 1200].
    #[arg(long, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    window_ms: Option<u64>,
    /// The `mascaret` to measure [default: the one beside this program].
    #[arg(long)]
    mascaret: Option<PathBuf>,
    /// Where edge.txt, edge.json and edge.svg are written; nothing is written without it.
    #[arg(long)]
    out: Option<PathBuf>,
    /// The date to write into them [default: that of the last commit].
    #[arg(long)]
    date: Option<String>,
    /// Compares what wrk, our viewers and the edge's counters say of 10 s, and measures nothing.
    #[arg(long)]
    agree: bool,
    /// Goes on while other programs use the machine; such figures are for nobody but you.
    #[arg(long)]
    noisy: bool,
    /// Tells the rows there are.
    #[arg(long)]
    list: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if cli.list {
        for row in ROWS {
            println!("{:<14} {} ({})", row.key, row.title, row.network.word());
        }
        return ExitCode::SUCCESS;
    }
    match measure(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(BenchError::Interrupted) => {
            eprintln!("\nbenches: ended by a signal; everything is taken away again");
            ExitCode::from(130)
        }
        Err(error) => {
            eprintln!("\nbenches: {error}");
            ExitCode::FAILURE
        }
    }
}

fn measure(cli: &Cli) -> Result<(), BenchError> {
    let rows = chosen(cli)?;
    let stop = Stop::new();
    stop.on_signals(None).map_err(BenchError::when("signals"))?;
    raise_descriptors()?;
    ground::pin(ground::VIEWER_CORE)?;
    node::certs::install_provider();
    let mut cast = Cast::assemble(cli.mascaret.as_deref())?;
    let machine = machine::facts(cast.ours.program(), cli.date.as_deref());
    for (name, value) in &machine {
        println!("{name:<12} {value}");
    }
    if cli.agree {
        return agree::run(&mut cast, &stop);
    }
    let manner = Manner {
        windows: usize::from(cli.windows.unwrap_or(if cli.quick { 3 } else { 5 })),
        window: Duration::from_millis(cli.window_ms.unwrap_or(if cli.quick { 1_200 } else { 4_000 })),
        is_quick: cli.quick && cli.only.is_empty(),
        is_noisy: cli.noisy,
    };
    let mut report = Report { machine, rows: Vec::new() };
    for row in rows {
        report.rows.push(Bench { cast: &mut cast, manner, stop: &stop }.row(row)?);
        if let Some(out) = &cli.out {
            write(out, &report)?;
        }
    }
    let (met, goals) = report.met();
    println!("\n{met} of {goals} goals met");
    Ok(())
}

fn chosen(cli: &Cli) -> Result<Vec<&'static Row>, BenchError> {
    if cli.only.is_empty() {
        return Ok(ROWS.iter().filter(|row| !cli.quick || !row.quick.is_empty()).collect());
    }
    let find = |key: &String| {
        ROWS.iter().find(|row| row.key == key).ok_or_else(|| {
            let known: Vec<&str> = ROWS.iter().map(|row| row.key).collect();
            BenchError::Refused(format!("{key} is no row; there are {}", known.join(", ")))
        })
    };
    cli.only.iter().map(find).collect()
}

fn write(out: &Path, report: &Report) -> Result<(), BenchError> {
    fs::create_dir_all(out).map_err(BenchError::when(out.display().to_string()))?;
    let json =
        serde_json::to_string_pretty(report).map_err(|error| BenchError::Refused(error.to_string()))?;
    for (name, text) in
        [("edge.txt", report.text()), ("edge.json", json + "\n"), ("edge.svg", plot::svg(report))]
    {
        let path = out.join(name);
        fs::write(&path, text).map_err(BenchError::when(path.display().to_string()))?;
    }
    Ok(())
}

/// As many open files as may be, here and in the servers, which inherit it: ten thousand connections are wanted.
fn raise_descriptors() -> Result<(), BenchError> {
    let most = rustix::process::getrlimit(Resource::Nofile).maximum;
    if most.is_some_and(|most| most < DESCRIPTORS) {
        let why =
            format!("at most {} open files are allowed, {DESCRIPTORS} are needed", most.unwrap_or_default());
        return Err(BenchError::Refused(why));
    }
    rustix::process::setrlimit(Resource::Nofile, Rlimit { current: most, maximum: most })
        .map_err(|error| BenchError::when("raising the number of open files")(error.into()))
}

/// What a row with ten thousand connections takes on each side.
const DESCRIPTORS: u64 = 12_000;
