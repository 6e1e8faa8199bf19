//! Runs a target over many cases on all cores, and says how fast, and which seed failed.
//!
//! ```text
//! cargo run --profile fuzz -p fuzz -- rtmp_door --cases 10000000 --seed 1
//! ```

use clap::Parser;
use fuzz::{TARGETS, Target};
use std::panic;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Feeds a reader of strangers' bytes with spoilt ones.
#[derive(Parser)]
struct Arguments {
    /// Which reader; `all` for each in turn, `list` for their names.
    target: String,
    /// How many cases.
    #[arg(long, default_value_t = 1_000_000)]
    cases: u64,
    /// The first case's seed; the others follow it.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// How many threads; all cores if left out.
    #[arg(long)]
    threads: Option<usize>,
    /// Runs the one case with this seed, and shows its bytes.
    #[arg(long)]
    replay: Option<u64>,
    /// Says each seed before it is run: for what cannot be caught (a stack overflow, an abort). One thread.
    #[arg(long)]
    trace: bool,
}

/// Seeds that a thread takes at a time.
const BATCH: u64 = 256;

/// A case that takes longer than this is reported, as a failure is: readers take microseconds.
const SLOW: Duration = Duration::from_secs(2);

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if arguments.target == "list" {
        TARGETS.iter().for_each(|target| println!("{}", target.name));
        return ExitCode::SUCCESS;
    }
    let chosen: Vec<&Target> = TARGETS
        .iter()
        .filter(|target| arguments.target == "all" || arguments.target == target.name)
        .collect();
    if chosen.is_empty() {
        eprintln!("no target is called {:?}; `list` tells them", arguments.target);
        return ExitCode::from(2);
    }
    let all_held = chosen.iter().all(|target| match arguments.replay {
        Some(seed) => replay(target, seed),
        None => run(target, &arguments),
    });
    if all_held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn replay(target: &Target, seed: u64) -> bool {
    let bytes = target.case(seed);
    println!("{} seed {seed}: {} bytes", target.name, bytes.len());
    for (row, bytes) in bytes.chunks(32).enumerate() {
        let hex: String = bytes.iter().map(|byte| format!("{byte:02x} ")).collect();
        println!("{:6} {hex}", row * 32);
    }
    // Not caught, so that a debugger and a backtrace see it.
    (target.run)(&bytes);
    println!("held");
    true
}

fn run(target: &Target, arguments: &Arguments) -> bool {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = if arguments.trace { 1 } else { arguments.threads.unwrap_or(cores) };
    let (next, bytes, slowest) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
    let failed = AtomicBool::new(false);
    let began = Instant::now();
    panic::set_hook(Box::new(|_| {}));
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                while !failed.load(Ordering::Relaxed) {
                    let first = next.fetch_add(BATCH, Ordering::Relaxed);
                    for case in first..arguments.cases.min(first.saturating_add(BATCH)) {
                        let seed = arguments.seed.wrapping_add(case);
                        if arguments.trace {
                            println!("{seed}");
                        }
                        let began = Instant::now();
                        let input = target.case(seed);
                        bytes.fetch_add(input.len() as u64, Ordering::Relaxed);
                        let told = panic::catch_unwind(|| (target.run)(&input));
                        let took = began.elapsed();
                        slowest.fetch_max(took.as_micros() as u64, Ordering::Relaxed);
                        if told.is_err() || took > SLOW {
                            failed.store(true, Ordering::Relaxed);
                            report(target, seed, took, told.err());
                            return;
                        }
                    }
                    if first >= arguments.cases {
                        return;
                    }
                }
            });
        }
    });
    let _ = panic::take_hook();
    let took = began.elapsed().as_secs_f64();
    let cases = next.load(Ordering::Relaxed).min(arguments.cases);
    let held = !failed.load(Ordering::Relaxed);
    println!(
        "{}: {cases} cases from seed {} in {took:.1} s on {threads} threads: {:.0} cases/s, {:.0} bytes each, slowest {:.1} ms: {}",
        target.name,
        arguments.seed,
        cases as f64 / took,
        bytes.load(Ordering::Relaxed) as f64 / cases.max(1) as f64,
        slowest.load(Ordering::Relaxed) as f64 / 1000.0,
        if held { "all held" } else { "FAILED" },
    );
    held
}

fn report(target: &Target, seed: u64, took: Duration, told: Option<Box<dyn std::any::Any + Send>>) {
    let why = told.map_or_else(
        || format!("it took {took:?}"),
        |payload| {
            let text = payload.downcast_ref::<String>().map(String::as_str);
            text.or_else(|| payload.downcast_ref::<&str>().copied()).unwrap_or("a panic").to_owned()
        },
    );
    eprintln!("{} FAILED at seed {seed}: {why}", target.name);
    eprintln!("again: cargo run --profile fuzz -p fuzz -- {} --replay {seed}", target.name);
}
