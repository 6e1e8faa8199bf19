//! How long it takes to tell a core something and to have its answer, by each driver: what a wake-up costs.
//!
//! ```text
//! cargo run --release -p percore --example wake [ROUNDS]
//! ```

use std::error::Error;
use std::time::Instant;

use crossbeam_channel::Sender;
use percore::{Config, ConnectionId, Driver, Service, Turn};

struct Echo;

impl Service for Echo {
    type Message = Sender<()>;
    type State = ();

    fn received(&mut self, _: &mut Turn<'_>, _: ConnectionId, (): &mut (), input: &[u8]) -> usize {
        input.len()
    }

    fn message(&mut self, _: &mut Turn<'_>, back: Sender<()>) {
        let _ = back.send(());
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let rounds: u32 = std::env::args().nth(1).map_or(Ok(100_000), |it| it.parse())?;
    for driver in [Driver::IoUring, Driver::Epoll] {
        let running = percore::start(Config { driver, cores: 1, ..Config::default() }, |_| Echo)?;
        let handle = running.handle();
        let (tell, told) = crossbeam_channel::bounded(1);
        let mut medians: Vec<_> = (0..5)
            .map(|_| {
                let start = Instant::now();
                for _ in 0..rounds / 5 {
                    let sent = handle.tell(percore::CoreIndex(0), tell.clone());
                    if sent.is_err() || told.recv().is_err() {
                        return None;
                    }
                }
                Some(start.elapsed() / (rounds / 5))
            })
            .collect::<Option<_>>()
            .ok_or("the core does not answer")?;
        medians.sort_unstable();
        println!("{driver}: {:?} there and back (from {:?} to {:?})", medians[2], medians[0], medians[4]);
    }
    Ok(())
}
