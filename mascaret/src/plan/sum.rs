//! The arithmetic of a fleet: from viewers and lines to edges, memory and cores. Numbers in, numbers out.
//!
//! Lives here: every sum, and the constants it stands on, each with its source. Does not live here: what was measured
//! (`costs`), or how the outcome is said (`plan`).

use serde::Serialize;

use super::costs::Costs;

/// Ethernet with its preamble and gap, IPv4 and TCP with timestamps carry 1448 bytes of ours in 1538 on the wire.
const WIRE: f64 = 1538.0 / 1448.0;
/// Balancers fill an edge to nine tenths of its declared capacity (`routing::Edge::usable`).
const USABLE: f64 = 0.9;
/// From 85 % of that on, new viewers get no top rendition (`routing::Saturation`): a plan stays below, with edges lost.
const PLENTY: f64 = 0.85;
/// A star of direct links from ingests to edges is good up to this part of an ingest's line; beyond it one relay layer.
const STAR: f64 = 0.7;
/// Segments of a rendition that an edge holds: those listed, as many fetchable after they were, and what arrives.
const ARRIVING: u64 = 3;
/// What the kernel may keep for a connection in flight at 3.5 Mbit/s and 100 ms, doubled, and its own structures.
const SOCKET_BYTES: f64 = 128.0 * 1024.0;
/// A core is planned to be busy for this part, so that a burst has room.
const CORE: f64 = 0.7;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Wanted {
    pub(crate) viewers: u64,
    /// What one viewer takes on average, bits a second of media.
    pub(crate) bitrate: u64,
    /// What the line of an edge carries.
    pub(crate) link: u64,
    /// Edges that may be lost at a time.
    pub(crate) redundancy: u64,
    pub(crate) broadcasts: u64,
    /// Bits a second of every rung of a broadcast.
    pub(crate) ladder: Vec<u64>,
    /// Seconds of a segment.
    pub(crate) segment: f64,
    /// Segments in a playlist.
    pub(crate) window: u64,
    /// What the line of an ingest carries.
    pub(crate) ingest_link: u64,
    /// Whether viewers come by TLS.
    pub(crate) tls: bool,
}

/// What it comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Fleet {
    pub(crate) edges: u64,
    /// Bits a second of media that an edge's line carries: the setting `capacity`.
    pub(crate) capacity: u64,
    /// What one edge is planned to send at most.
    pub(crate) planned_max: u64,
    pub(crate) usual: Share,
    /// With as many edges lost as may be.
    pub(crate) lost: Share,
    /// Viewers that move when one edge is lost.
    pub(crate) moving: u64,
    pub(crate) memory: Memory,
    pub(crate) feed: Feed,
    pub(crate) cpu: Cpu,
}

/// One edge's share.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Share {
    pub(crate) edges: u64,
    pub(crate) viewers: u64,
    /// Media, bits a second.
    pub(crate) egress: u64,
    /// Of its capacity.
    pub(crate) filled: f64,
    /// Of its line, headers counted.
    pub(crate) of_link: f64,
}

/// Bytes of memory of one edge, with as many edges lost as may be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Memory {
    pub(crate) windows: u64,
    pub(crate) connections: u64,
    pub(crate) sockets: u64,
}

/// How edges are fed.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Feed {
    /// All rungs of all broadcasts, bits a second.
    pub(crate) media: u64,
    /// Edges that one ingest can feed by itself.
    pub(crate) direct_max: u64,
    pub(crate) layers: Layers,
    /// What leaves an ingest, headers counted.
    pub(crate) ingest_egress: u64,
    /// Of its line.
    pub(crate) of_ingest_link: f64,
}

/// Who feeds edges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Layers {
    /// Ingests, all of them.
    Star,
    /// Ingests feed so many relays, and those feed the edges.
    Relays(u64),
    /// Not even one relay layer is enough.
    TooMany,
}

/// Cores of one edge, with as many edges lost as may be.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Cpu {
    /// Busy.
    pub(crate) busy: f64,
    /// To have.
    pub(crate) cores: u64,
}

impl Wanted {
    /// The smallest fleet that does it.
    pub(crate) fn fleet(&self, costs: &Costs) -> Fleet {
        let capacity = self.link as f64 / WIRE;
        let planned_max = capacity * USABLE * PLENTY;
        let demand = self.viewers as f64 * self.bitrate as f64;
        // What remains has room for all; and a fleet that may lose edges has one left.
        let needed = whole_up(demand / planned_max).max(1);
        let edges = needed + self.redundancy;
        let lost = self.share(edges - self.redundancy, capacity);
        Fleet {
            edges,
            capacity: capacity as u64,
            planned_max: planned_max as u64,
            usual: self.share(edges, capacity),
            moving: self.viewers.div_ceil(edges),
            memory: self.memory(lost.viewers, costs),
            feed: self.feed(edges),
            cpu: self.cpu(&lost, costs),
            lost,
        }
    }

    fn share(&self, edges: u64, capacity: f64) -> Share {
        let viewers = self.viewers.div_ceil(edges);
        let egress = viewers as f64 * self.bitrate as f64;
        Share {
            edges,
            viewers,
            egress: egress as u64,
            filled: egress / capacity,
            of_link: egress * WIRE / self.link as f64,
        }
    }

    fn ladder_bits(&self) -> u64 {
        self.ladder.iter().sum::<u64>() * self.broadcasts
    }

    fn memory(&self, viewers: u64, costs: &Costs) -> Memory {
        let segments = 2 * self.window + ARRIVING;
        let windows = self.ladder_bits() as f64 / 8.0 * self.segment * segments as f64;
        let connection = if self.tls { costs.idle_tls_bytes } else { costs.idle_bytes };
        Memory {
            windows: windows as u64,
            connections: (viewers as f64 * connection) as u64,
            sockets: (viewers as f64 * SOCKET_BYTES) as u64,
        }
    }

    fn feed(&self, edges: u64) -> Feed {
        let media = self.ladder_bits();
        let wire = media as f64 * WIRE;
        let direct = |line: u64| (line as f64 * STAR / wire) as u64;
        let (direct_max, by_relay) = (direct(self.ingest_link), direct(self.link));
        let layers = if edges <= direct_max {
            Layers::Star
        } else {
            // Each relay is fed too, and keeps its line for feeding.
            let relays = edges.div_ceil(by_relay.max(1));
            if by_relay > 0 && relays <= direct_max { Layers::Relays(relays) } else { Layers::TooMany }
        };
        let fed = match layers {
            Layers::Star | Layers::TooMany => edges,
            Layers::Relays(relays) => relays,
        };
        let ingest_egress = fed as f64 * wire;
        Feed {
            media,
            direct_max,
            layers,
            ingest_egress: ingest_egress as u64,
            of_ingest_link: ingest_egress / self.ingest_link as f64,
        }
    }

    fn cpu(&self, share: &Share, costs: &Costs) -> Cpu {
        let gigabytes = share.egress as f64 / 8.0 / 1e9;
        // Viewers at the end of a long line cost more than those of the bench beside us; by TLS as much more again as
        // the bench shows between the two.
        let tls = if self.tls { costs.tls_seconds_per_gb / costs.seconds_per_gb } else { 1.0 };
        let sending = gigabytes * costs.far_seconds_per_gb * tls;
        // A playlist reload for every segment of every viewer.
        let reloads = share.viewers as f64 / self.segment * costs.playlist_micros / 1e6;
        let busy = sending + reloads;
        Cpu { busy, cores: whole_up(busy / CORE).max(1) }
    }
}

/// Up to a whole number, where a rounding error in the 12th place is none.
fn whole_up(number: f64) -> u64 {
    (number - 1e-9).ceil().max(0.0) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const COSTS: Costs = Costs {
        seconds_per_gb: 0.2,
        tls_seconds_per_gb: 0.25,
        far_seconds_per_gb: 0.4,
        playlist_micros: 10.0,
        idle_bytes: 240.0,
        idle_tls_bytes: 4000.0,
        source: String::new(),
    };

    fn wanted() -> Wanted {
        Wanted {
            viewers: 5000,
            bitrate: 3_500_000,
            link: 10_000_000_000,
            redundancy: 1,
            broadcasts: 1,
            ladder: vec![3_500_000],
            segment: 2.0,
            window: 15,
            ingest_link: 10_000_000_000,
            tls: false,
        }
    }

    #[test]
    fn five_thousand_viewers_at_ten_gigabit_need_three_edges_and_one_that_may_be_lost() {
        // 17.5 Gbit/s; an edge carries 10 G / 1.062 × 0.9 × 0.85 = 7.2 Gbit/s: 2.43 edges, so three.
        let fleet = wanted().fleet(&COSTS);
        assert_eq!(fleet.edges, 4);
        assert_eq!((fleet.usual.viewers, fleet.lost.edges, fleet.lost.viewers), (1250, 3, 1667));
        assert_eq!(fleet.usual.egress, 4_375_000_000);
        assert_eq!(fleet.moving, 1250);
        assert!(fleet.lost.egress <= fleet.planned_max, "{fleet:?}");
        assert!((fleet.capacity as f64 / 1e9 - 9.415).abs() < 0.001, "{}", fleet.capacity);
        assert!((fleet.lost.of_link - 0.6197).abs() < 0.001, "{}", fleet.lost.of_link);
    }

    #[test]
    fn the_smallest_fleet_is_one_edge_and_those_that_may_be_lost() {
        let few = Wanted { viewers: 1, redundancy: 0, ..wanted() };
        assert_eq!(few.fleet(&COSTS).edges, 1);
        assert_eq!(Wanted { redundancy: 2, ..few }.fleet(&COSTS).edges, 3);
    }

    #[test]
    fn one_edge_fewer_would_be_over_what_is_planned() {
        for viewers in [1, 500, 4999, 5000, 60_000, 1_000_000] {
            let wanted = Wanted { viewers, ..wanted() };
            let fleet = wanted.fleet(&COSTS);
            let demand = viewers as f64 * wanted.bitrate as f64;
            let without = (fleet.edges - 2) as f64 * fleet.planned_max as f64;
            assert!(fleet.edges == 2 || demand > without, "{viewers}: {fleet:?}");
            // Rounded up to whole viewers, a share may be one viewer more.
            assert!(fleet.lost.egress <= fleet.planned_max + wanted.bitrate, "{viewers}: {fleet:?}");
        }
    }

    #[test]
    fn a_window_is_held_twice_and_once_for_every_rung_of_every_broadcast() {
        let wanted = Wanted { broadcasts: 10, ladder: vec![5_000_000, 3_000_000], ..wanted() };
        // 80 Mbit/s are 10 MB a second; 2 s × (15 listed, 15 after, 3 arriving).
        assert_eq!(wanted.fleet(&COSTS).memory.windows, 10_000_000 * 2 * 33);
        let by_tls = Wanted { tls: true, ..wanted.clone() }.fleet(&COSTS).memory.connections;
        assert_eq!(by_tls, 1667 * 4000);
        assert_eq!(wanted.fleet(&COSTS).memory.connections, 1667 * 240);
    }

    #[test]
    fn a_star_holds_up_to_seven_tenths_of_the_line_and_then_relays_feed() {
        // Design's own row: 10 broadcasts of 10 Mbit/s, 70 edges on 10 GbE and 7 on 1 GbE, headers not counted.
        let many = Wanted { viewers: 100_000, broadcasts: 10, ladder: vec![10_000_000], ..wanted() };
        let fleet = many.fleet(&COSTS);
        assert_eq!((fleet.edges, fleet.feed.direct_max, fleet.feed.layers), (50, 65, Layers::Star));
        let thin = Wanted { ingest_link: 1_000_000_000, ..many };
        let feed = thin.fleet(&COSTS).feed;
        assert_eq!((feed.direct_max, feed.layers), (6, Layers::Relays(1)));
        assert!(feed.of_ingest_link < 0.2, "{feed:?}");
        let hopeless = Wanted { ingest_link: 100_000_000, ..thin };
        assert_eq!(hopeless.fleet(&COSTS).feed.layers, Layers::TooMany);
    }

    #[test]
    fn cores_follow_bytes_reloads_and_tls() {
        let cpu = wanted().fleet(&COSTS).cpu;
        // 1667 × 3.5 Mbit/s are 0.729 GB/s at 0.4 s each, and 833 reloads a second at 10 µs.
        assert!((cpu.busy - (0.7293 * 0.4 + 0.00834)).abs() < 0.001, "{cpu:?}");
        assert_eq!(cpu.cores, 1);
        let by_tls = Wanted { tls: true, ..wanted() }.fleet(&COSTS).cpu;
        assert!((by_tls.busy / cpu.busy - 1.25).abs() < 0.02, "{by_tls:?}");
    }
}
