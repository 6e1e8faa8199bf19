//! What the operator says of an edge.

use media::BitRate;

/// Whether the operator wants viewers on an edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Standing {
    /// Viewers may go there.
    #[default]
    Active,
    /// Nobody new, and those it has go elsewhere, spread over a window.
    Drain,
    /// Nobody at all, and at once.
    Maintenance,
}

impl Standing {
    /// For people and for labels.
    pub fn word(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Drain => "drain",
            Self::Maintenance => "maintenance",
        }
    }
}

/// All that the operator says of one edge; the default says nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ruling {
    /// Whether viewers are wanted there.
    pub standing: Standing,
    /// In place of the weight it declares; 0 keeps new viewers away.
    pub weight: Option<u32>,
    /// In place of the capacity it declares.
    pub capacity: Option<BitRate>,
}
