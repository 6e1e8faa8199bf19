//! A balancer without its shell: hub and one core's desk, and no thread, socket or clock. For whoever brings those
//! (`lab`).
//!
//! Lives here: a door to what `hub` and `core` drive in a running balancer. Does not live here: any decision.

use crate::Settings;
use crate::desk::{Desk, Moment};
use crate::hub::{self, Event, Fleet};
use crate::metrics::Counts;
use crate::told::Told;
use bytes::Bytes;
use http::Parsed;
use media::BitRate;
use node::fan::control::server::ControlEvent;
use routing::{Change, Heard, Router};
use std::sync::Arc;
use std::time::Instant;
use ticket::{EdgeId, Keys};

/// The rooms of one balancer with one core.
pub struct Bare {
    fleet: Fleet,
    desk: Desk,
}

impl Bare {
    /// One that knows nobody, seals with these keys, and leaves to this seed what others leave to chance.
    pub fn new(settings: &Settings, keys: Keys, seed: u64) -> Self {
        let mut desk = Desk::new(settings, keys, Arc::<Counts>::default());
        desk.seed(seed);
        Self { fleet: Fleet::default(), desk }
    }

    /// A control link said something.
    pub fn heard(&mut self, now: Instant, event: ControlEvent) {
        self.hear(now, Event::Control(event));
    }

    /// An edge's public URL answered, or did not.
    pub fn probed(&mut self, now: Instant, edge: EdgeId, answered: bool) {
        self.hear(now, Event::Probed(edge, answered));
    }

    /// Time went by. What changed is told in order.
    pub fn expire(&mut self, now: Instant, mut changed: impl FnMut(Change)) {
        self.fleet.router.expire(now);
        self.desk.expire(now);
        while let Some(change) = self.fleet.router.pull() {
            changed(change);
        }
    }

    /// What is answered to the head of this request; empty where it is not whole.
    pub fn answer(&mut self, now: Instant, unix_secs: u64, head: &[u8]) -> Bytes {
        let answer = match http::parse(head) {
            Parsed::Incomplete => Bytes::new(),
            Parsed::Refused(refusal) => self.desk.refused(unix_secs, &refusal),
            Parsed::Whole { request, .. } => {
                self.desk.answer(Moment { now, unix_secs, is_tls: false }, &request).bytes
            }
        };
        // What the other cores would be told.
        let mut reserved: Vec<(EdgeId, BitRate)> = self.desk.reserved.drain().collect();
        reserved.sort();
        for (edge, rate) in reserved {
            let _ = self.fleet.router.push(now, Heard::Reserved(edge, rate, routing::By::Core));
        }
        answer
    }

    /// The fleet as the desk sees it.
    pub fn router(&self) -> &Router {
        &self.desk.router
    }

    fn hear(&mut self, now: Instant, event: Event) {
        for told in hub::heard(event, &self.fleet) {
            match &told {
                Told::Heard(heard) => {
                    if self.fleet.router.push(now, heard.clone()).is_err() {
                        continue;
                    }
                }
                Told::Pathway(id, pathway) => {
                    self.fleet.pathways.insert(id.clone(), pathway.clone());
                }
                Told::Keys(_) | Told::Discretion(_) | Told::Watched(_) => {}
            }
            self.desk.told(now, told);
        }
    }
}
