//! The door by which the directory says how edges stand: to the routers of all cores, and to the edge itself.

use crate::hub::Event;
use edgefan::NodeId;
use node::fan::control::server::ControlServer;
use routing::{Ruling, Standing};
use std::sync::mpsc::SyncSender;
use ticket::EdgeId;

/// Says it on; clone it and send it anywhere.
#[derive(Clone, Debug)]
pub(crate) struct Rulings {
    events: SyncSender<Event>,
    control: ControlServer,
}

impl Rulings {
    pub(crate) fn new(events: SyncSender<Event>, control: ControlServer) -> Self {
        Self { events, control }
    }

    /// All that the operator says of one edge now, whether it has joined or not; [`Ruling::default`] takes back
    /// whatever was said. Waits while the hub is behind. A DRAIN goes out on the edge's link, and again whenever
    /// it joins anew.
    pub(crate) fn say(&self, edge: EdgeId, ruling: Ruling) {
        let standing = match ruling.standing {
            Standing::Active => edgefan::Standing::Active,
            Standing::Drain => edgefan::Standing::Drain,
            Standing::Maintenance => edgefan::Standing::Maintenance,
        };
        // The hub is gone only when the program ends.
        let _ = self.events.send(Event::Ruled(edge.clone(), ruling));
        // An edge's name is a node's name too, of fewer characters.
        if let Ok(node) = NodeId::parse(edge.as_str()) {
            self.control.set_standing(node, standing);
        }
    }
}
