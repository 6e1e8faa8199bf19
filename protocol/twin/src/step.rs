//! What the leader has decided, one thing after the other; whoever carries out all of them makes the same bytes.

use ladder::{Begin, Order};
use media::{DiscontinuitySequence, MediaSequence, RunId};

/// One thing the leader has decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A run begins, or is told again to one who was not there: from `begin.from` on everything can be made.
    Begin {
        /// Which run.
        run: RunId,
        /// How many discontinuities came before its segment `begin.from`.
        discontinuity: DiscontinuitySequence,
        /// What the process is told. Rungs are the leader's, less those its process has refused.
        begin: Box<Begin>,
    },
    /// An order to the process: a configuration, a unit, filler, or what is given up. Never `Begin` or `End`.
    Order(Order),
    /// From this segment on there were so many discontinuities.
    Discontinuity {
        /// The first segment after it.
        from: MediaSequence,
        /// How many came before that segment.
        number: DiscontinuitySequence,
    },
    /// The run is over.
    End,
}
