//! The whole cluster under faults, from the command line.
//!
//! ```text
//! cargo run --release -p lab -- seeds --from 0 --count 100000 --jobs 2
//! cargo run -p lab -- replay --seed 17 --trace --until 4000
//! sudo target/release/lab matrix --only 'edge/*'
//! sudo target/release/lab matrix --long --missing
//! ```

use clap::{Parser, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use lab::day::{Day, Manner};
use lab::{matrix, seeds};
use node::Stop;
use std::path::PathBuf;
use std::process::ExitCode;

/// The whole cluster under faults.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Lives many days in one process, each under its seed.
    Seeds {
        /// The first seed.
        #[arg(long, default_value_t = 0)]
        from: u64,
        /// How many.
        #[arg(long, default_value_t = 1000)]
        count: u64,
        /// Threads.
        #[arg(long, default_value_t = 2)]
        jobs: usize,
        /// Goes on after the first failure, to the tenth.
        #[arg(long)]
        keep_going: bool,
    },
    /// Lives one day again.
    Replay {
        /// Its seed.
        #[arg(long)]
        seed: u64,
        /// No further than this step.
        #[arg(long)]
        until: Option<u64>,
        /// Says every step.
        #[arg(long)]
        trace: bool,
        /// Leaves out these faults, by number.
        #[arg(long, value_delimiter = ',')]
        without: Vec<usize>,
        /// Looks for faults that can be left out.
        #[arg(long)]
        shrink: bool,
    },
    /// Strikes real processes in network namespaces, fault by fault. Needs root.
    Matrix {
        /// These cells alone, such as `edge/*`; may be given again.
        #[arg(long)]
        only: Vec<String>,
        /// The cells that take minutes too.
        #[arg(long)]
        long: bool,
        /// As short as a cell can be and still say something.
        #[arg(long)]
        brisk: bool,
        /// Goes on where another run ended: cells alone of which the results have no row.
        #[arg(long)]
        missing: bool,
        /// Says the cells' names and does nothing.
        #[arg(long)]
        list: bool,
        /// All the randomness there is.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Simulated viewers.
        #[arg(long, default_value_t = 60)]
        viewers: u32,
        /// Where the results go.
        #[arg(long, default_value = "lab/results")]
        results: PathBuf,
        /// The program under test [default: beside this one].
        #[arg(long)]
        program: Option<PathBuf>,
        /// Debian's libfaketime.
        #[arg(long, default_value = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1")]
        faketime: PathBuf,
    },
}

fn main() -> ExitCode {
    match Arguments::parse().verb {
        Verb::Seeds { from, count, jobs, keep_going } => many(from, count, jobs, keep_going),
        Verb::Replay { seed, until, trace, without, shrink } => {
            replay(seed, Manner { is_told: trace, until, without, planted: None }, shrink)
        }
        Verb::Matrix { list: true, .. } => {
            matrix::names().iter().for_each(|name| println!("{name}"));
            ExitCode::SUCCESS
        }
        Verb::Matrix { only, seed, viewers, results, program, faketime, long, brisk, missing, .. } => {
            let beside = || std::env::current_exe().ok().and_then(|us| Some(us.parent()?.join("mascaret")));
            let program = program.or_else(beside).unwrap_or_else(|| "mascaret".into());
            strike(&matrix::Plan { only, seed, viewers, results, program, faketime, long, brisk, missing })
        }
    }
}

fn strike(plan: &matrix::Plan) -> ExitCode {
    let stop = Stop::new();
    if let Err(error) = stop.on_signals(None) {
        eprintln!("{error}");
        return ExitCode::FAILURE;
    }
    match matrix::run(plan, &stop) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::from(2)
        }
    }
}

fn many(from: u64, count: u64, jobs: usize, keep_going: bool) -> ExitCode {
    let bar = ProgressBar::new(count);
    let style = "{bar:30} {pos}/{len} days, {per_sec}, {eta} left";
    bar.set_style(ProgressStyle::with_template(style).unwrap_or_else(|_| ProgressStyle::default_bar()));
    let sum = seeds::run(from, count, jobs, keep_going, |done| bar.set_position(done));
    bar.finish_and_clear();
    println!(
        "{} days, {} steps, {} segments shown, {} stalls of {:.1} s in all where the law allows them, in {:.1} s",
        sum.days,
        sum.steps,
        sum.segments,
        sum.stalls,
        sum.stalled.as_secs_f64(),
        bar.elapsed().as_secs_f64()
    );
    for broken in &sum.broken {
        println!("{broken}\n  cargo run -p lab -- replay --seed {} --trace", broken.seed);
    }
    if sum.broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(seed: u64, manner: Manner, shrinks: bool) -> ExitCode {
    if manner.is_told {
        // What the rooms themselves say, between the steps.
        let log = tracing_subscriber::fmt().with_max_level(tracing_subscriber::filter::LevelFilter::DEBUG);
        log.with_writer(std::io::stdout).without_time().with_ansi(false).compact().init();
    }
    match seeds::live(seed, manner.clone()) {
        Ok(lived) => {
            println!("seed {seed} holds: {lived:?}");
            ExitCode::SUCCESS
        }
        Err(broken) => {
            println!("{broken}");
            if shrinks {
                let without = seeds::shrink(&broken);
                let left = Day::new(seed, Manner { without: without.clone(), ..manner });
                println!("enough is: {:?}\n  --without {without:?}", left.faults());
            }
            ExitCode::FAILURE
        }
    }
}
