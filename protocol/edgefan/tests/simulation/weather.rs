//! What can go wrong on a day, and how often.

use crate::network::Millis;
use crate::random::Random;

/// What can go wrong; numbers in ten thousand per step and link unless said otherwise.
#[derive(Clone, Debug)]
pub(crate) struct Weather {
    /// No reason for anybody to miss anything, or to wait for it.
    pub(crate) is_good: bool,
    pub(crate) segments: u64,
    pub(crate) edges: usize,
    pub(crate) broadcasts: usize,
    pub(crate) latency: (Millis, Millis),
    /// Bytes per millisecond.
    pub(crate) rate: (u64, u64),
    pub(crate) cut: u64,
    pub(crate) stall: u64,
    pub(crate) corrupt: u64,
    /// An ingest loses its memory.
    pub(crate) restart: u64,
    /// An edge loses its memory.
    pub(crate) rejoin: u64,
    /// Objects an ingest fails to make, in ten thousand objects.
    pub(crate) hole: u64,
    /// Objects the second ingest makes otherwise than the first, in ten thousand objects.
    pub(crate) differ: u64,
    /// How far the second ingest is behind the first.
    pub(crate) behind: Millis,
    pub(crate) assembly_bytes: usize,
    pub(crate) hub_bytes: usize,
}

impl Weather {
    pub(crate) fn good(seed: u64) -> Self {
        let mut random = Random(seed ^ 0x600d);
        Self {
            is_good: true,
            segments: 8,
            edges: random.within(1, 4) as usize,
            broadcasts: random.within(1, 3) as usize,
            latency: (1, 40),
            rate: (2000, 8000),
            cut: 0,
            stall: 0,
            corrupt: 0,
            restart: 0,
            rejoin: if random.happens(5000) { 20 } else { 0 },
            hole: 0,
            differ: 0,
            behind: random.within(0, 200),
            assembly_bytes: 1 << 20,
            hub_bytes: 4 << 20,
        }
    }

    pub(crate) fn bad(seed: u64) -> Self {
        let mut random = Random(seed ^ 0xbad);
        let mut sometimes = |most: u64| if random.happens(5000) { random.within(0, most) } else { 0 };
        let (cut, stall, corrupt) = (sometimes(60), sometimes(200), sometimes(30));
        let (restart, rejoin, hole, differ) = (sometimes(30), sometimes(30), sometimes(800), sometimes(800));
        let behind = sometimes(900);
        Self {
            is_good: false,
            segments: random.within(6, 14),
            edges: random.within(1, 4) as usize,
            broadcasts: random.within(1, 3) as usize,
            latency: (1, random.within(2, 150)),
            rate: (random.within(30, 200), 4000),
            cut,
            stall,
            corrupt,
            restart,
            rejoin,
            hole,
            differ,
            behind,
            assembly_bytes: if random.happens(2000) { 20_000 } else { 1 << 20 },
            hub_bytes: if random.happens(2000) { 60_000 } else { 4 << 20 },
        }
    }
}
