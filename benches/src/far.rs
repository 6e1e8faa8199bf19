//! A line to far viewers: what comes to them goes through a queue that lets 20 Mbit/s pass for each, and their receive
//! buffers are such that about 25 ms of it is under way.
//!
//! So the server sees what it sees of real viewers: round trips of 25 ms, a window of 64 KB that opens a packet or two at
//! a time, and a pacing rate of which the kernel makes small packets (`net.ipv4.tcp_min_tso_segs`). The queue is at the
//! viewers' end of the veth pair (an ifb device with a token bucket), so its work is done by the viewers' core.

use crate::error::BenchError;
use crate::ground::{Space, run};

/// What each viewer's share of the line is.
pub(crate) const MBIT_EACH: usize = 20;
/// What is asked of the kernel as receive buffer; it doubles it and offers about this as window (tcp(7)).
pub(crate) const BUFFER: usize = 64 << 10;

const IFB: &str = "mb-far";

/// While it is there, what comes to the viewers comes from afar.
#[derive(Debug)]
pub(crate) struct FarLine(());

impl FarLine {
    /// For so many viewers.
    pub(crate) fn lay(viewers: usize) -> Result<Self, BenchError> {
        let (space, link) = (Space::Viewers.name(), Space::Viewers.link());
        let rate = viewers * MBIT_EACH;
        // Nothing is lost: the queue is longer than all windows together.
        let limit = viewers * 4 * BUFFER;
        let line = Self(());
        run(&["ip", "-n", space, "link", "add", IFB, "type", "ifb"])?;
        let steps = format!(
            "ip link set {IFB} up\n\
             tc qdisc add dev {IFB} root tbf rate {rate}mbit burst 256k limit {limit}\n\
             tc qdisc add dev {link} ingress\n\
             tc filter add dev {link} parent ffff: protocol ip u32 match u32 0 0 action mirred egress redirect dev {IFB}"
        );
        run(&["ip", "netns", "exec", space, "sh", "-ec", &steps])?;
        Ok(line)
    }
}

impl Drop for FarLine {
    fn drop(&mut self) {
        let (space, link) = (Space::Viewers.name(), Space::Viewers.link());
        let _ = run(&["ip", "netns", "exec", space, "tc", "qdisc", "del", "dev", link, "ingress"]);
        let _ = run(&["ip", "-n", space, "link", "del", IFB]);
    }
}
