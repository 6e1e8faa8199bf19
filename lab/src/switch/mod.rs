//! What joins the namespaces: every datagram of every TUN device passes here, and is delayed, lost, doubled, changed or
//! swallowed as the rules of its direction say, under a seed.
//!
//! Lives here: one thread, its queues, its rules. Does not live here: namespaces (`space`), which rule when (`matrix`).

mod datagram;

use crate::random::Random;
use datagram::Head;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io;
use std::net::Ipv4Addr;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What happens to datagrams of one direction. Shares are of a thousand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rule {
    /// Nothing gets through where it is not.
    pub(crate) is_open: bool,
    /// Each comes so much later, ...
    pub(crate) delay: Duration,
    /// ... and up to this later still.
    pub(crate) jitter: Duration,
    /// Lost.
    pub(crate) lost: u32,
    /// Overtaken by those behind it.
    pub(crate) reordered: u32,
    /// Sent twice.
    pub(crate) doubled: u32,
    /// Of segments between nodes, with another byte in them, and a sum that is right.
    pub(crate) changed: u32,
    /// At most so many bytes a second.
    pub(crate) bytes_per_second: Option<u64>,
}

impl Default for Rule {
    fn default() -> Self {
        Self {
            is_open: true,
            delay: Duration::ZERO,
            jitter: Duration::ZERO,
            lost: 0,
            reordered: 0,
            doubled: 0,
            changed: 0,
            bytes_per_second: None,
        }
    }
}

/// Datagrams that wait in all queues; one more is lost, as in any router.
const WAITING_DATAGRAMS: usize = 16_384;

/// How long a datagram may wait for a narrow direction; one that would wait longer is lost.
const WAITS_AT_MOST: Duration = Duration::from_millis(250);

/// Bytes that a narrow direction passes at once: its bucket.
const BURST: u64 = 15_000;

/// Connections whose requests are told from what TCP says again; one more makes all begin anew.
const FLOWS: usize = 65_536;

/// The longest datagram of our devices, and room.
const LONGEST: usize = 2048;

/// Ports that nodes speak to each other at: what is changed there is under TLS, or of a directory.
const NODE_PORTS: [u16; 4] = [7001, 7002, 2379, 2380];

/// What passed in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Passed {
    /// Datagrams.
    pub(crate) datagrams: u64,
    /// Those that did not get through.
    pub(crate) lost: u64,
    /// When something new was said last: not what TCP says again.
    pub(crate) said: Option<Instant>,
}

/// Everything the switch's thread and its owner share.
#[derive(Debug, Default)]
struct Shared {
    rules: HashMap<(usize, usize), Rule>,
    passed: HashMap<(usize, usize), Passed>,
}

/// The switch; its thread ends when it is dropped.
pub(crate) struct Switch {
    addresses: Vec<Ipv4Addr>,
    shared: Arc<Mutex<Shared>>,
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Switch {
    /// Joins these devices, each with its address.
    pub(crate) fn start(devices: Vec<(Ipv4Addr, OwnedFd)>, seed: u64) -> io::Result<Self> {
        let (addresses, devices): (Vec<_>, Vec<_>) = devices.into_iter().unzip();
        let shared = Arc::<Mutex<Shared>>::default();
        let is_over = Arc::<AtomicBool>::default();
        let table = Table {
            places: addresses.iter().enumerate().map(|(place, address)| (*address, place)).collect(),
            devices,
            shared: shared.clone(),
            is_over: is_over.clone(),
            random: Random::of(seed, 77),
            queue: BinaryHeap::new(),
            buckets: HashMap::new(),
            flows: HashMap::new(),
            taken: 0,
        };
        let thread = std::thread::Builder::new().name("switch".into()).spawn(move || table.run())?;
        Ok(Self { addresses, shared, is_over, thread: Some(thread) })
    }

    /// From now on this rule, from one address to another.
    pub(crate) fn rule(&self, from: Ipv4Addr, to: Ipv4Addr, rule: Rule) {
        if let (Some(from), Some(to)) = (self.place(from), self.place(to)) {
            lock(&self.shared).rules.insert((from, to), rule);
        }
    }

    /// All directions are well.
    pub(crate) fn heal(&self) {
        lock(&self.shared).rules.clear();
    }

    /// What has passed since the start.
    pub(crate) fn passed(&self, from: Ipv4Addr, to: Ipv4Addr) -> Passed {
        let places = self.place(from).zip(self.place(to));
        places.and_then(|places| lock(&self.shared).passed.get(&places).copied()).unwrap_or_default()
    }

    /// Everybody's address.
    pub(crate) fn addresses(&self) -> &[Ipv4Addr] {
        &self.addresses
    }

    fn place(&self, address: Ipv4Addr) -> Option<usize> {
        self.addresses.iter().position(|known| *known == address)
    }
}

impl Drop for Switch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// What the thread has.
struct Table {
    places: HashMap<Ipv4Addr, usize>,
    devices: Vec<OwnedFd>,
    shared: Arc<Mutex<Shared>>,
    is_over: Arc<AtomicBool>,
    random: Random,
    queue: BinaryHeap<Reverse<Waiting>>,
    /// Until when a narrow direction is busy.
    buckets: HashMap<(usize, usize), Instant>,
    /// By direction and ports: how far it has said.
    flows: HashMap<(usize, usize, u16, u16), u32>,
    taken: u64,
}

/// One datagram on its way; ordered by when it is due, then by when it came.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Waiting {
    due: Instant,
    nth: u64,
    to: usize,
    bytes: Vec<u8>,
}

/// How long the thread sleeps with nothing to do.
const IDLE: Duration = Duration::from_millis(50);

impl Table {
    fn run(mut self) {
        let mut buffer = [0; LONGEST];
        while !self.is_over.load(Ordering::Acquire) {
            let wait = self
                .queue
                .peek()
                .map_or(IDLE, |Reverse(first)| first.due.saturating_duration_since(Instant::now()));
            let wait = wait.min(IDLE);
            let ready: Vec<usize> = {
                let mut polled: Vec<PollFd<'_>> =
                    self.devices.iter().map(|device| PollFd::new(device, PollFlags::IN)).collect();
                let wait = Timespec { tv_sec: 0, tv_nsec: i64::from(wait.subsec_nanos()) };
                if poll(&mut polled, Some(&wait)).is_err() {
                    continue;
                }
                let is_ready =
                    |(place, polled): (usize, &PollFd<'_>)| (!polled.revents().is_empty()).then_some(place);
                polled.iter().enumerate().filter_map(is_ready).collect()
            };
            for from in ready {
                // Few at a time, so that what is due does not wait for a flood.
                for _ in 0..64 {
                    let Ok(len) = rustix::io::read(&self.devices[from], &mut buffer) else { break };
                    self.take(from, &mut buffer[..len]);
                }
            }
            self.pass();
        }
    }

    fn take(&mut self, from: usize, bytes: &mut [u8]) {
        let Some(head) = Head::of(bytes) else { return };
        let Some(&to) = self.places.get(&head.to) else { return };
        let now = Instant::now();
        let says_new = self.says_new(from, to, &head);
        let shared = self.shared.clone();
        let mut shared = lock(&shared);
        let rule = shared.rules.get(&(from, to)).copied().unwrap_or_default();
        let passed = shared.passed.entry((from, to)).or_default();
        passed.datagrams += 1;
        if says_new {
            passed.said = Some(now);
        }
        let due = self.due((from, to), rule, bytes.len() as u64, now);
        let Some(due) = due.filter(|_| self.queue.len() < WAITING_DATAGRAMS) else {
            passed.lost += 1;
            return;
        };
        drop(shared);
        if let Some(tcp) = head.tcp
            && self.happens(rule.changed)
            && NODE_PORTS.iter().any(|port| tcp.ports.0 == *port || tcp.ports.1 == *port)
        {
            let random = self.random.next();
            tcp.corrupt(bytes, random);
        }
        let times = 1 + u64::from(self.happens(rule.doubled));
        for _ in 0..times {
            self.taken += 1;
            self.queue.push(Reverse(Waiting { due, nth: self.taken, to, bytes: bytes.to_vec() }));
        }
    }

    /// When it arrives; `None` for never.
    fn due(&mut self, direction: (usize, usize), rule: Rule, len: u64, now: Instant) -> Option<Instant> {
        if !rule.is_open || self.happens(rule.lost) {
            return None;
        }
        let mut due = now;
        if let Some(rate) = rule.bytes_per_second {
            let burst = Duration::from_secs_f64(BURST as f64 / rate as f64);
            let busy = self.buckets.entry(direction).or_insert(now);
            let begins = (*busy).max(now.checked_sub(burst).unwrap_or(now));
            let free = begins + Duration::from_secs_f64(len as f64 / rate as f64);
            if free.saturating_duration_since(now) > WAITS_AT_MOST {
                return None;
            }
            *busy = free;
            due = free.max(now);
        }
        let jitter = rule.jitter.as_micros() as u64;
        due += rule.delay + Duration::from_micros(if jitter > 0 { self.random.within(0, jitter) } else { 0 });
        if self.happens(rule.reordered) {
            due += Duration::from_millis(self.random.within(1, 20));
        }
        Some(due)
    }

    /// Whether a segment carries what its connection has not said before.
    fn says_new(&mut self, from: usize, to: usize, head: &Head) -> bool {
        let Some(tcp) = head.tcp else { return false };
        if tcp.is_syn {
            self.flows.remove(&(from, to, tcp.ports.0, tcp.ports.1));
        }
        if tcp.payload.1 == 0 {
            return false;
        }
        if self.flows.len() >= FLOWS {
            self.flows.clear();
        }
        let end = tcp.sequence.wrapping_add(tcp.payload.1 as u32);
        let said = self.flows.entry((from, to, tcp.ports.0, tcp.ports.1)).or_insert(tcp.sequence);
        let is_new = end.wrapping_sub(*said) as i32 > 0;
        if is_new {
            *said = end;
        }
        is_new
    }

    fn pass(&mut self) {
        let now = Instant::now();
        while self.queue.peek().is_some_and(|Reverse(first)| first.due <= now) {
            let Some(Reverse(first)) = self.queue.pop() else { return };
            // A device whose queue is full loses it, as a card would.
            let _ = rustix::io::write(&self.devices[first.to], &first.bytes);
        }
    }

    fn happens(&mut self, share: u32) -> bool {
        share > 0 && self.random.within(0, 1000) < u64::from(share)
    }
}
