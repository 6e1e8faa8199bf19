//! How an edge is doing, told to every balancer each heartbeat.

use crate::WireError;
use crate::tlv::{Fields, Writer};
use media::BitRate;

/// Whether an edge can take viewers. The numbers are the wire's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EdgeState {
    /// It has the newest segments of what it serves.
    Ready = 1,
    /// It is there, but nothing fresh reaches it.
    #[default]
    NotFed = 2,
    /// It serves who it has and takes nobody new.
    Draining = 3,
    /// It has everything, but late: who is there is better served elsewhere.
    Lagging = 4,
}

/// One heartbeat of an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    /// What it sends to viewers.
    pub egress: BitRate,
    /// Viewers that asked for something of late.
    pub viewers: u64,
    /// Age of its newest listed segment's end, over all its broadcasts the oldest; `None` with no broadcast.
    pub newest_segment_age_ms: Option<u64>,
    /// How late the worst of the last segments of its live broadcasts was complete; `None` while nothing is known of any.
    pub lag_ms: Option<u64>,
    /// Whether it can take viewers.
    pub state: EdgeState,
}

/// How an edge stands with the operator, told by a balancer. The numbers are the wire's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Standing {
    /// Takes viewers.
    Active = 1,
    /// Lets its viewers go elsewhere.
    Drain = 2,
    /// Serves nobody.
    Maintenance = 3,
}

impl Load {
    pub(crate) fn encode(&self, w: &mut Writer<'_>) {
        w.number(1, self.egress.0);
        w.number(2, self.viewers);
        if let Some(age) = self.newest_segment_age_ms {
            w.number(3, age);
        }
        w.number(4, self.state as u64);
        if let Some(lag) = self.lag_ms {
            w.number(5, lag);
        }
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        let mut load = Self::default();
        let mut fields = Fields::new("LOAD", payload);
        while let Some(field) = fields.next()? {
            match field.tag {
                1 => load.egress = BitRate(field.number()?),
                2 => load.viewers = field.number()?,
                3 => load.newest_segment_age_ms = Some(field.number()?),
                4 => {
                    load.state = match field.number()? {
                        1 => EdgeState::Ready,
                        2 => EdgeState::NotFed,
                        3 => EdgeState::Draining,
                        4 => EdgeState::Lagging,
                        // A later version's state is not one to send viewers to.
                        _ => EdgeState::NotFed,
                    }
                }
                5 => load.lag_ms = Some(field.number()?),
                _ => {}
            }
        }
        Ok(load)
    }
}

impl Standing {
    pub(crate) fn encode(self, w: &mut Writer<'_>) {
        w.number(1, self as u64);
    }

    pub(crate) fn decode(payload: &[u8]) -> Result<Self, WireError> {
        const WHAT: &str = "DRAIN";
        let mut fields = Fields::new(WHAT, payload);
        while let Some(field) = fields.next()? {
            if field.tag == 1 {
                return match field.number()? {
                    1 => Ok(Self::Active),
                    2 => Ok(Self::Drain),
                    3 => Ok(Self::Maintenance),
                    _ => Err(field.bad("standing", "1, 2 or 3")),
                };
            }
        }
        Err(WireError::Missing { what: WHAT, field: "standing" })
    }
}
