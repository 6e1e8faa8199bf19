//! What to run: how many viewers, for how long, arriving how, behaving how.
//!
//! Lives here: the choices as values that need not be checked again, and how the written ones are read. Does not
//! live here: the command line (`mascaret`).

use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

use viewer::{Options, Player, RungChoice, Url};

use crate::arrival::Arrival;
use crate::client::Trust;

/// The most viewers of a run.
pub const VIEWERS_MAX: u32 = 200_000;
/// The longest run.
pub const LASTS_MAX: Duration = Duration::from_secs(24 * 3600);
/// Viewers for which one thread is enough, where nobody says how many threads there shall be.
const VIEWERS_OF_A_THREAD: u32 = 5_000;
/// Where viewers of a server on this machine come from: each its own address, as from the world outside.
const LOOPBACK_SOURCES: &str = "127.1.0.0/16";

/// A run.
#[derive(Clone, Debug)]
pub struct Plan {
    /// What every viewer opens.
    pub entry: Url,
    /// How many there are at most at a time.
    pub viewers: u32,
    /// When it ends by itself.
    pub lasts: Duration,
    /// How they arrive.
    pub arrival: Arrival,
    /// How long one stays on average before somebody else takes its place; for ever if not given.
    pub churn: Option<Duration>,
    /// Threads; by the number of viewers if not given.
    pub threads: Option<usize>,
    /// What a viewer's line carries, bits a second.
    pub downlink: Option<u64>,
    /// Whose certificates are taken.
    pub trust: Trust,
    /// Hosts besides this machine's loopback that may be asked.
    pub ours: Vec<String>,
    /// The addresses that viewers have.
    pub from: From,
    /// How a viewer behaves.
    pub options: Options,
    /// The bodies of segments with every so many-th number are hashed and compared between origins.
    pub hash_every: Option<u64>,
    /// Whether playlists may come compressed.
    pub gzip: bool,
    /// All the randomness there is.
    pub seed: u64,
}

impl Plan {
    /// A run against `entry` with everything as it is by default: 100 viewers who arrive over 10 s, for a minute.
    pub fn new(entry: Url) -> Self {
        Self {
            entry,
            viewers: 100,
            lasts: Duration::from_secs(60),
            arrival: Arrival::Ramp(Duration::from_secs(10)),
            churn: None,
            threads: None,
            downlink: None,
            trust: Trust::default(),
            ours: Vec::new(),
            from: From::Usual,
            options: Options::default(),
            hash_every: None,
            gzip: false,
            seed: 1,
        }
    }

    /// How many threads it has.
    pub fn threads(&self) -> usize {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let enough = self.viewers.div_ceil(VIEWERS_OF_A_THREAD) as usize;
        self.threads.unwrap_or_else(|| enough.min(cores)).clamp(1, self.viewers.max(1) as usize)
    }
}

/// The addresses that viewers have.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub enum From {
    /// 127.1.0.0/16 where the first address asked is of 127.0.0.0/8, else the machine's own.
    #[default]
    Usual,
    /// The machine's own.
    Own,
    /// Of this block, one after the other.
    Block(Block),
}

impl From {
    /// The block that viewers who ask `target` have addresses of.
    pub(crate) fn block(self, target: IpAddr) -> Option<Block> {
        match self {
            Self::Block(block) => Some(block),
            Self::Usual if target.is_ipv4() && target.is_loopback() => LOOPBACK_SOURCES.parse().ok(),
            _ => None,
        }
    }
}

impl FromStr for From {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "own" { Ok(Self::Own) } else { text.parse().map(Self::Block) }
    }
}

/// A block of addresses.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Block {
    first: u128,
    count: u128,
    is_ipv4: bool,
}

impl Block {
    /// The address of the viewer with that place; the block's first and last are nobody's where it has more.
    pub(crate) fn of(self, place: u32) -> IpAddr {
        let inner = if self.count > 2 { self.count - 2 } else { self.count };
        let address = self.first + u128::from(self.count > 2) + u128::from(place) % inner;
        // An IPv4 block has addresses below 2^32 only.
        if self.is_ipv4 {
            IpAddr::from((address as u32).to_be_bytes())
        } else {
            IpAddr::from(address.to_be_bytes())
        }
    }
}

impl FromStr for Block {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let allowed = || "allowed: a block of addresses such as 127.1.0.0/16, or own".to_owned();
        let (address, bits) =
            text.split_once('/').map_or((text, None), |(address, bits)| (address, Some(bits)));
        let address: IpAddr = address.trim().parse().map_err(|_| allowed())?;
        let (width, number) = match address {
            IpAddr::V4(address) => (32, u128::from(address.to_bits())),
            IpAddr::V6(address) => (128, address.to_bits()),
        };
        let bits: u32 = bits.map_or(Ok(width), |bits| bits.trim().parse()).map_err(|_| allowed())?;
        if bits > width || width - bits > 64 {
            return Err(allowed());
        }
        let count = 1_u128 << (width - bits);
        Ok(Self { first: number / count * count, count, is_ipv4: width == 32 })
    }
}

/// `20M`, `800k`, `1.5 Mbit/s`: bits a second.
pub fn bits_a_second(text: &str) -> Result<u64, String> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let unit = unit.trim().trim_end_matches("bit/s").to_ascii_lowercase();
    let factor = match unit.as_str() {
        "" => 1.0,
        "k" => 1e3,
        "m" => 1e6,
        "g" => 1e9,
        _ => 0.0,
    };
    match number.parse::<f64>() {
        Ok(number) if (8e3..=1e12).contains(&(number * factor)) => Ok((number * factor) as u64),
        _ => Err("allowed: 8k to 1000G, in bits a second, such as 20M".into()),
    }
}

/// `50/s`, `600/min`: arrivals a second.
pub fn rate(text: &str) -> Result<f64, String> {
    let allowed = || "allowed: arrivals over a time, such as 50/s or 600/min".to_owned();
    let (number, unit) = text.split_once('/').unwrap_or((text, "s"));
    let seconds = match unit.trim() {
        "s" => 1.0,
        "m" | "min" => 60.0,
        _ => return Err(allowed()),
    };
    let rate = number.trim().parse::<f64>().map_err(|_| allowed())? / seconds;
    if (0.001..=1e6).contains(&rate) { Ok(rate) } else { Err(allowed()) }
}

/// `page`, `hls.js`, `ffmpeg`.
pub fn player(text: &str) -> Result<Player, String> {
    match text {
        "page" => Ok(Player::Page),
        "hls.js" => Ok(Player::HlsJs),
        "ffmpeg" => Ok(Player::Ffmpeg),
        _ => Err("allowed: page, hls.js, ffmpeg".into()),
    }
}

/// `lowest`, `highest`, `abr`, or a place from 0.
pub fn rung(text: &str) -> Result<RungChoice, String> {
    match text {
        "lowest" => Ok(RungChoice::Lowest),
        "highest" => Ok(RungChoice::Highest),
        "abr" => Ok(RungChoice::Adaptive),
        _ => text
            .parse()
            .map(RungChoice::Index)
            .map_err(|_| "allowed: lowest, highest, abr, or a rung's place in the playlist, from 0".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(block: &str, places: impl IntoIterator<Item = u32>) -> Vec<String> {
        let block: Block = block.parse().unwrap();
        places.into_iter().map(|place| block.of(place).to_string()).collect()
    }

    #[test]
    fn viewers_have_addresses_of_the_block_one_after_the_other() {
        assert_eq!(
            addresses("127.1.0.0/16", [0, 254, 255, 65_533]),
            ["127.1.0.1", "127.1.0.255", "127.1.1.0", "127.1.255.254"]
        );
        assert_eq!(
            addresses("127.1.2.3/30", [0, 1, 2, 3]),
            ["127.1.2.1", "127.1.2.2", "127.1.2.1", "127.1.2.2"]
        );
        assert_eq!(addresses("127.0.0.9", [0, 7]), ["127.0.0.9", "127.0.0.9"]);
        assert_eq!(addresses("127.0.0.8/31", [0, 1, 2]), ["127.0.0.8", "127.0.0.9", "127.0.0.8"]);
        assert_eq!(addresses("2001:db8::/64", [0, 65_535]), ["2001:db8::1", "2001:db8::1:0"]);
        for wrong in ["127.1.0.0/33", "x", "127.1.0.0/x", "::/1", "", "10.0.0.0/8/9"] {
            assert!(wrong.parse::<Block>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn viewers_of_a_server_on_this_machine_are_many_addresses() {
        let of = |from: From, target: &str| {
            from.block(target.parse().unwrap()).map(|block| block.of(0).to_string())
        };
        assert_eq!(of(From::Usual, "127.0.0.31").as_deref(), Some("127.1.0.1"));
        assert_eq!(of(From::Usual, "192.0.2.1"), None);
        assert_eq!(of(From::Usual, "::1"), None);
        assert_eq!(of("own".parse().unwrap(), "127.0.0.31"), None);
        assert_eq!(of("127.9.0.0/24".parse().unwrap(), "127.0.0.31").as_deref(), Some("127.9.0.1"));
    }

    #[test]
    fn what_is_written_is_read() {
        assert_eq!(bits_a_second("20M"), Ok(20_000_000));
        assert_eq!(bits_a_second("1.5 Mbit/s"), Ok(1_500_000));
        assert_eq!(bits_a_second("800kbit/s"), Ok(800_000));
        assert!(
            bits_a_second("20MB").is_err() && bits_a_second("1").is_err() && bits_a_second("fast").is_err()
        );
        assert_eq!((rate("50/s"), rate("600/min"), rate("7")), (Ok(50.0), Ok(10.0), Ok(7.0)));
        assert!(rate("0/s").is_err() && rate("5/day").is_err() && rate("/s").is_err());
        assert_eq!((rung("abr"), rung("2")), (Ok(RungChoice::Adaptive), Ok(RungChoice::Index(2))));
        assert_eq!((rung("lowest"), rung("highest")), (Ok(RungChoice::Lowest), Ok(RungChoice::Highest)));
        assert!(rung("middle").is_err());
    }

    #[test]
    fn threads_follow_the_viewers() {
        let mut plan = Plan::new(Url::parse("http://127.0.0.1/").unwrap());
        assert_eq!(plan.threads(), 1);
        (plan.viewers, plan.threads) = (3, Some(8));
        assert_eq!(plan.threads(), 3);
    }
}
