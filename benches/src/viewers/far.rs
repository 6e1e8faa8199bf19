//! Viewers on a line of 20 Mbit/s each: every millisecond each takes what its line would have brought, no more, and its
//! receive buffer is small, so the window it offers is what paces the server: a few packets at a time, as over a real
//! line, and never a megabyte at once.

use super::{Aim, Cut, Load, Sample};
use crate::error::BenchError;
use crate::viewers::counted::{PIECE, throw_away};
use node::Stop;
use std::io::Write;
use std::time::{Duration, Instant};

/// What each takes.
pub(crate) const BITS_PER_SECOND: f64 = 20e6;
/// What a viewer may catch up with at once, in time.
const BEHIND: f64 = 0.020;
/// Receive buffer: 20 Mbit/s over 25 ms.
const BUFFER: usize = 64 << 10;

struct Viewer {
    socket: std::net::TcpStream,
    left: usize,
    /// Bytes its line has brought since the start, taken or lost.
    due: f64,
    taken: f64,
}

/// Takes answers of `aim` at that rate for one window.
pub(crate) fn window(aim: &Aim, load: Load, stop: &Stop) -> Result<Sample, BenchError> {
    let whole = aim.ask(&mut aim.connect(0)?)?.len;
    let fail = || BenchError::when(format!("{}: a far viewer", aim.server));
    let request = aim.request();
    let mut viewers = Vec::with_capacity(load.connections);
    for nth in 0..load.connections {
        let mut socket = aim.connect_with_buffer(nth, Some(BUFFER))?;
        socket.write_all(&request).map_err(fail())?;
        socket.set_nonblocking(true).map_err(fail())?;
        viewers.push(Viewer { socket, left: whole, due: 0.0, taken: 0.0 });
    }
    let mut cut = Cut::of(load);
    let (mut answers, mut bytes) = (0u64, 0u64);
    let mut piece = vec![0u8; PIECE];
    let (start, mut last) = (Instant::now(), Instant::now());
    for tick in 1.. {
        let at = start + Duration::from_millis(tick);
        std::thread::sleep(at.saturating_duration_since(Instant::now()));
        let brought = last.elapsed().as_secs_f64() * BITS_PER_SECOND / 8.0;
        last = Instant::now();
        for viewer in &mut viewers {
            viewer.due += brought;
            viewer.taken = viewer.taken.max(viewer.due - BEHIND * BITS_PER_SECOND / 8.0);
            let want = ((viewer.due - viewer.taken) as usize).min(viewer.left);
            if want == 0 {
                continue;
            }
            let n = throw_away(aim, &viewer.socket, &mut piece[..want])?;
            viewer.taken += n as f64;
            viewer.left -= n;
            bytes += n as u64;
            if viewer.left == 0 {
                answers += 1;
                viewer.left = whole;
                viewer.socket.write_all(&request).map_err(fail())?;
            }
        }
        if let Some(sample) = cut.see(answers, bytes)? {
            return Ok(sample);
        }
        if stop.is_stopping() {
            break;
        }
    }
    Err(BenchError::Interrupted)
}
