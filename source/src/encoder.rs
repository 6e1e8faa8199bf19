//! The child process that codes: raw pictures and sound on its stdin, coded units on its stdout.
//!
//! Does not live here: what is drawn or when (`run`), nor what is done with the units (`tags`).

use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use ladder::{Message, PatternBegin, PatternOrder, PatternReport, PatternReportReader};
use node::program::dies_with_us;

/// How much is read from the pipe at a time: a pipe holds 64 KiB.
const READ_BYTES: usize = 64 << 10;

/// A pattern encoder that runs. Dropped, it is killed.
#[derive(Debug)]
pub(crate) struct Encoder {
    child: Child,
    orders: ChildStdin,
    bytes: Vec<u8>,
}

impl Encoder {
    /// Starts it; it ends when this thread ends. Its reports are read from the second.
    pub(crate) fn start(program: &Path, begin: PatternBegin) -> io::Result<(Self, Reports)> {
        let mut command = Command::new(program);
        command.arg("pattern").stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = dies_with_us(&mut command).spawn()?;
        let (Some(orders), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(io::Error::other("a child without pipes"));
        };
        let mut encoder = Self { child, orders, bytes: Vec::new() };
        encoder.order(&PatternOrder::Begin(begin))?;
        Ok((encoder, Reports { stdout, reader: PatternReportReader::new() }))
    }

    /// Blocks while the pipe is full, which is how a slow encoder says that it is slow.
    pub(crate) fn order(&mut self, order: &PatternOrder) -> io::Result<()> {
        self.bytes.clear();
        order.encode(&mut self.bytes).map_err(io::Error::other)?;
        self.orders.write_all(&self.bytes)
    }
}

impl Drop for Encoder {
    fn drop(&mut self) {
        // It ends by itself when its pipes close; killed, it does so now. It holds nothing worth keeping.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the encoder reports.
#[derive(Debug)]
pub(crate) struct Reports {
    stdout: ChildStdout,
    reader: PatternReportReader,
}

impl Reports {
    /// Blocks for the next; `None` when the encoder has ended.
    pub(crate) fn next(&mut self) -> io::Result<Option<PatternReport>> {
        let mut piece = [0; READ_BYTES];
        loop {
            if let Some(report) = self.reader.pull().map_err(io::Error::other)? {
                return Ok(Some(report));
            }
            match self.stdout.read(&mut piece)? {
                0 => return Ok(None),
                read => self.reader.push(&piece[..read]),
            }
        }
    }
}
