//! Where every thread's reports meet on their way to standard output.

use crossbeam_channel::{Receiver, Sender, bounded};
use ladder::Message;
use std::io::Write;
use std::thread::JoinHandle;

/// The most messages waiting for the pipe; each is at most some 32 KiB of a segment or one coded unit, so some 2 MB.
/// At the bound the rungs wait, and with them the decoder and standard input: a parent that does not read is not
/// written to.
const MAX_WAITING: usize = 64;

/// A door to standard output; clones share it.
#[derive(Clone)]
pub(crate) struct Outbox(Sender<Vec<u8>>);

/// The other end: one thread that writes.
pub(crate) struct Writing(JoinHandle<()>);

impl Outbox {
    /// Starts the thread that writes.
    pub(crate) fn start(pipe: impl Write + Send + 'static) -> std::io::Result<(Self, Writing)> {
        let (sender, receiver) = bounded(MAX_WAITING);
        let writing =
            std::thread::Builder::new().name("outbox".to_owned()).spawn(move || write(pipe, &receiver))?;
        Ok((Self(sender), Writing(writing)))
    }

    /// Sends one message.
    pub(crate) fn send(&self, message: &impl Message) {
        let mut bytes = Vec::new();
        match message.encode(&mut bytes) {
            // The writing thread ends the process when the pipe does, so nobody is left to hear of a failure here.
            Ok(()) => drop(self.0.send(bytes)),
            Err(fault) => eprintln!("mascaret-transcode: {fault}"),
        }
    }
}

impl Writing {
    /// Waits until everything is written. Every [`Outbox`] must be gone.
    pub(crate) fn finish(self) {
        drop(self.0.join());
    }
}

fn write(mut pipe: impl Write, receiver: &Receiver<Vec<u8>>) {
    for bytes in receiver {
        if pipe.write_all(&bytes).and_then(|()| pipe.flush()).is_err() {
            // The parent is gone, and with it whoever wanted this broadcast.
            std::process::exit(0);
        }
    }
}
