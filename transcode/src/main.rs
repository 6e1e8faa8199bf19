//! `mascaret-transcode`: the one program that links FFmpeg. One process for one broadcast, a pipe in and a pipe out.
//!
//! Lives here: the words on the command line and the loop that reads orders. Does not live here: what an order does
//! (`line`, `pattern`), what the process may do to the machine (`sandbox`).

mod av;
mod bitstream;
mod copier;
mod cutter;
mod line;
mod outbox;
mod pattern;
mod rung;
mod sandbox;
mod segment;

use ladder::{Message, Order, PatternOrder, Reader};
use outbox::Outbox;
use std::io::Read;
use std::process::ExitCode;

const HELP: &str = "\
mascaret-transcode: turns one broadcast into the segments of its ladder

Started by `mascaret ingest` and `mascaret source`, and of little use to anybody else: it reads length-prefixed orders
on standard input and writes reports on standard output (the crate `ladder` says how they look).

Usage: mascaret-transcode [OPTIONS] [ladder | pattern]

Modes:
  ladder     access units in, MPEG-TS segments of every rung out (the default)
  pattern    raw pictures and samples in, H.264 and AAC units out, for a test source

Options:
  --memory-limit MIB   address space the process may have (default 4096; 0 for no limit)
  --no-seccomp         allow every system call, for a debugger's sake
  --version            this program's, FFmpeg's and x264's version
  --help               this text
";

/// What the command line asks for.
struct Words {
    mode: Mode,
    memory_limit_mib: u64,
    has_seccomp: bool,
}

enum Mode {
    Ladder,
    Pattern,
    Version,
    Help,
}

impl Words {
    fn parse(mut words: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self { mode: Mode::Ladder, memory_limit_mib: 4096, has_seccomp: true };
        while let Some(word) = words.next() {
            match word.as_str() {
                "ladder" => parsed.mode = Mode::Ladder,
                "pattern" => parsed.mode = Mode::Pattern,
                "--version" | "-V" => parsed.mode = Mode::Version,
                "--help" | "-h" => parsed.mode = Mode::Help,
                "--no-seccomp" => parsed.has_seccomp = false,
                "--memory-limit" => {
                    let value = words.next().ok_or("--memory-limit needs a number of MiB")?;
                    let limit = value
                        .parse()
                        .map_err(|_| format!("--memory-limit {value:?} is not a number of MiB"))?;
                    parsed.memory_limit_mib = limit;
                }
                other => return Err(format!("{other:?} is neither a mode nor an option; see --help")),
            }
        }
        Ok(parsed)
    }
}

fn main() -> ExitCode {
    let words = match Words::parse(std::env::args().skip(1)) {
        Ok(words) => words,
        Err(fault) => {
            eprintln!("mascaret-transcode: {fault}");
            return ExitCode::from(2);
        }
    };
    match run(&words) {
        Ok(()) => ExitCode::SUCCESS,
        Err(fault) => {
            eprintln!("mascaret-transcode: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &Words) -> Result<(), Box<dyn std::error::Error>> {
    match words.mode {
        Mode::Help => {
            print!("{HELP}");
            return Ok(());
        }
        Mode::Version => {
            av::init()?;
            let x264 = av::VideoEncoder::version()?;
            println!("mascaret-transcode {} ({} {x264})", env!("CARGO_PKG_VERSION"), av::versions());
            return Ok(());
        }
        Mode::Ladder | Mode::Pattern => {}
    }
    end_process_on_panic();
    // Loading and probing come first: they are the last that open files.
    av::init()?;
    sandbox::enter(words.memory_limit_mib, words.has_seccomp)?;
    let (out, writing) = Outbox::start(std::io::stdout())?;
    match words.mode {
        Mode::Pattern => run_pattern(out)?,
        Mode::Ladder | Mode::Version | Mode::Help => run_ladder(out)?,
    }
    writing.finish();
    Ok(())
}

fn run_ladder(out: Outbox) -> Result<(), Box<dyn std::error::Error>> {
    let mut orders = Orders::new();
    let begin = match orders.next()? {
        Some(Order::Begin(begin)) => begin,
        Some(_) => return Err("the first order must be Begin".into()),
        None => return Ok(()),
    };
    let mut line = line::Line::begin(begin, out)?;
    while let Some(order) = orders.next()?.filter(|order| *order != Order::End) {
        line.push(order)?;
    }
    line.finish()?;
    Ok(())
}

fn run_pattern(out: Outbox) -> Result<(), Box<dyn std::error::Error>> {
    let mut orders = Orders::new();
    let begin = match orders.next()? {
        Some(PatternOrder::Begin(begin)) => begin,
        Some(_) => return Err("the first order must be Begin".into()),
        None => return Ok(()),
    };
    let mut pattern = pattern::Pattern::begin(begin, out)?;
    while let Some(order) = orders.next()?.filter(|order| *order != PatternOrder::End) {
        pattern.push(order)?;
    }
    pattern.finish()?;
    Ok(())
}

/// Standard input as orders.
struct Orders<M> {
    reader: Reader<M>,
    buffer: Vec<u8>,
}

impl<M: Message> Orders<M> {
    fn new() -> Self {
        Self { reader: Reader::new(), buffer: vec![0; 64 << 10] }
    }

    /// The next order; `None` when the parent has closed the pipe.
    fn next(&mut self) -> Result<Option<M>, Box<dyn std::error::Error>> {
        loop {
            if let Some(order) = self.reader.pull()? {
                return Ok(Some(order));
            }
            match std::io::stdin().read(&mut self.buffer)? {
                0 if self.reader.is_between_messages() => return Ok(None),
                0 => return Err("the parent's pipe ends inside an order".into()),
                read => self.reader.push(&self.buffer[..read]),
            }
        }
    }
}

/// A rung that panics would leave the others waiting for it; the parent starts a new process sooner if this one ends.
fn end_process_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("mascaret-transcode: {panic}");
        std::process::exit(101);
    }));
}
