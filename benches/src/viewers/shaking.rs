//! Full TLS handshakes, one after the other in many places at once: connect, shake hands, hear the session ticket, reset.
//!
//! The ticket is waited for because a TLS 1.3 server sends it once it has checked the client's last word: before it the
//! server is not done. No connection resumes another.

use super::counted::{each_ready, ring};
use super::{Aim, Cut, Load, Sample, sealed};
use crate::error::BenchError;
use node::Stop;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustls::{ClientConfig, ClientConnection};
use std::io;
use std::net::TcpStream;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// One handshake on its way.
struct Shaking {
    socket: TcpStream,
    tls: ClientConnection,
    is_connected: bool,
}

/// Shakes hands for one window.
pub(crate) fn window(aim: &Aim, load: Load, stop: &Stop) -> Result<Sample, BenchError> {
    let config = sealed::config()?;
    let ring = ring()?;
    let mut places = Vec::new();
    for place in 0..load.connections {
        places.push(Shaking::begin(aim, &config, &ring, place, place)?);
    }
    let mut cut = Cut::of(load);
    let mut shaken = 0u64;
    each_ready(&ring, stop, |place| {
        let Some(place) = place else { return cut.see(shaken, 0) };
        if places[place].goes_on(aim, &ring, place)? {
            shaken += 1;
            places[place] = Shaking::begin(aim, &config, &ring, place, place + shaken as usize)?;
        }
        Ok(None)
    })
}

impl Shaking {
    fn begin(
        aim: &Aim,
        config: &Arc<ClientConfig>,
        ring: &OwnedFd,
        place: usize,
        nth: usize,
    ) -> Result<Self, BenchError> {
        let socket = aim.connecting(nth)?;
        epoll::add(ring, &socket, EventData::new_u64(place as u64), EventFlags::OUT)
            .map_err(|error| BenchError::when("epoll")(error.into()))?;
        Ok(Self { socket, tls: sealed::session(config)?, is_connected: false })
    }

    /// Does what can be done; says whether the handshake is over and the ticket there.
    fn goes_on(&mut self, aim: &Aim, ring: &OwnedFd, place: usize) -> Result<bool, BenchError> {
        let fail = || BenchError::when(format!("{}: a handshake", aim.server));
        if self.is_connected {
            let was_shaking = self.tls.is_handshaking();
            match self.tls.read_tls(&mut self.socket) {
                Ok(0) => return Err(BenchError::answer(&aim.server, "closed in a handshake")),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(fail()(error)),
            }
            if !was_shaking {
                return Ok(true);
            }
            self.tls
                .process_new_packets()
                .map_err(|error| BenchError::answer(&aim.server, format!("a handshake: {error}")))?;
        } else {
            self.is_connected = true;
            epoll::modify(ring, &self.socket, EventData::new_u64(place as u64), EventFlags::IN)
                .map_err(|error| BenchError::when("epoll")(error.into()))?;
        }
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket).map_err(fail())?;
        }
        Ok(false)
    }
}
