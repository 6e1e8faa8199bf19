//! One core's answers: a request head in, the bytes of an answer out. No socket, no clock.
//!
//! Does not live here: a viewer who comes (`arrival`), one who asks where to go on (`steering`).

use crate::discretion::Discretion;
use crate::metrics::Counts;
use crate::pack::Packer;
use crate::pages::Pages;
use crate::pathway::Pathway;
use crate::told::Told;
use crate::{Settings, api};
use bytes::Bytes;
use http::{
    Connection, Cors, Head, HttpDate, Method, Prerendered, Refusal, Request, Stamped, Status, sentence,
};
use media::{BitRate, BroadcastId};
use routing::{Broadcast, Change, Crowd, Router, Saturation};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};
use ticket::{BroadcastHash, EdgeId, Flags, Keys, Ticket, Token};

/// How long a list of broadcasts or edges is shown again before it is written anew: a heartbeat.
const LIST_AGE: Duration = Duration::from_millis(250);

/// When to ask again for a broadcast that has only just begun: its first segment takes a second or two.
const UNMEASURED_RETRY: Duration = Duration::from_secs(1);

/// What one core knows and answers with.
pub(crate) struct Desk {
    pub(crate) router: Router,
    pathways: HashMap<EdgeId, Pathway>,
    keys: Keys,
    lifetime: Duration,
    forced_tls: Option<bool>,
    balancer: String,
    cors: Cors,
    pages: Pages,
    packer: Packer,
    stock: Stock,
    broadcasts: List,
    cluster: List,
    dice: Dice,
    date: HttpDate,
    counts: Arc<Counts>,
    /// When the first thing was heard, or asked.
    began: Option<Instant>,
    /// How full the fleet is, and when that was looked at.
    saturation: Option<(Instant, Saturation)>,
    /// How many watch each broadcast, by everybody's word.
    watched: Arc<HashMap<BroadcastId, u64>>,
    discretion: Discretion,
    /// Reserved since this was last taken, by edge.
    pub(crate) reserved: HashMap<EdgeId, BitRate>,
    /// Who asked for steering since this was last taken; only of those whose token was sealed by us.
    pub(crate) seen: HashMap<BroadcastId, Crowd>,
    /// Who was told to leave an edge since this was last taken.
    pub(crate) moved: HashMap<EdgeId, Box<Crowd>>,
}

/// When, and how the viewer came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) now: Instant,
    pub(crate) unix_secs: u64,
    pub(crate) is_tls: bool,
}

/// A head with a small body, and what follows it from the program's own pages.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) bytes: Bytes,
    pub(crate) page: Bytes,
}

/// Answers that are the same for everybody.
struct Stock {
    options: Stamped,
    no_broadcast: Stamped,
    no_ticket: Stamped,
    not_admitted: Stamped,
    media_elsewhere: Stamped,
    not_steered: Stamped,
    nothing: Stamped,
}

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish<'a> {
    Playlist(&'a str),
    Redirect(&'a str),
    /// By a ticket that the lobby, or a balancer before, has made.
    Again {
        token: &'a str,
        name: &'a str,
        redirects: bool,
    },
    /// What follows `/steer/`.
    Steer(&'a str),
    MediaElsewhere,
    Broadcasts,
    Cluster,
    Page,
}

impl<'a> Wish<'a> {
    fn of(request: &Request<'a>) -> Self {
        let path = request.path;
        if let Some(rest) = path.strip_prefix("/live/") {
            return match rest.strip_suffix("/index.m3u8") {
                Some(name) if !name.contains('/') => match request.query.value("redirect") {
                    Some("1") => Self::Redirect(name),
                    _ => Self::Playlist(name),
                },
                _ => Self::MediaElsewhere,
            };
        }
        if let Some(rest) = path.strip_prefix("/steer/") {
            return Self::Steer(rest);
        }
        if let Some(rest) = path.strip_prefix("/v/") {
            let entry = rest.strip_suffix("/index.m3u8").and_then(|rest| rest.split_once('/'));
            return match entry {
                Some((token, name)) if !name.contains('/') => {
                    Self::Again { token, name, redirects: request.query.value("redirect") == Some("1") }
                }
                _ => Self::MediaElsewhere,
            };
        }
        match path {
            "/api/v1/broadcasts" => Self::Broadcasts,
            "/api/v1/cluster" => Self::Cluster,
            _ => match path.strip_prefix("/go/") {
                Some(name) => Self::Redirect(name.strip_suffix('/').unwrap_or(name)),
                None => Self::Page,
            },
        }
    }
}

impl Desk {
    pub(crate) fn new(settings: &Settings, keys: Keys, counts: Arc<Counts>) -> Self {
        let cors = settings.cors.0.clone();
        Self {
            router: steering::router(settings),
            pathways: HashMap::new(),
            keys,
            lifetime: settings.tickets.lifetime.duration(),
            forced_tls: settings.public_url.as_ref().map(|url| url.0.is_tls()),
            balancer: settings.id.to_string(),
            pages: Pages::new(&cors),
            packer: Packer::new(),
            stock: Stock::new(&cors),
            broadcasts: List::default(),
            cluster: List::default(),
            dice: Dice::default(),
            date: HttpDate::from_unix_secs(0),
            counts,
            began: None,
            saturation: None,
            watched: Arc::default(),
            discretion: settings.discretion(),
            reserved: HashMap::new(),
            seen: HashMap::new(),
            moved: HashMap::new(),
            cors,
        }
    }

    /// From now on chance is what this seed makes of it.
    pub(crate) fn seed(&mut self, seed: u64) {
        self.dice.seed = Some(seed);
    }

    /// What the hub or another core says.
    pub(crate) fn told(&mut self, now: Instant, told: Told) {
        self.began.get_or_insert(now);
        match told {
            Told::Watched(watched) => self.watched = watched,
            Told::Keys(keys) => self.keys = keys,
            Told::Discretion(discretion) => {
                self.discretion = discretion;
                // What it lists may be no stranger's business any more.
                self.broadcasts = List::default();
            }
            Told::Pathway(id, pathway) => {
                self.pathways.insert(id, pathway);
            }
            Told::Heard(heard) => {
                // The hub has heard the same, and has said so where it was refused.
                let _ = self.router.push(now, heard);
                self.forget();
            }
        }
    }

    /// Lets time do what it does.
    pub(crate) fn expire(&mut self, now: Instant) {
        self.router.expire(now);
        self.forget();
    }

    fn forget(&mut self) {
        while let Some(change) = self.router.pull() {
            if let Change::Health { edge, to: None, .. } = change {
                self.pathways.remove(&edge);
            }
        }
    }

    /// What to say to a head that could not be read; the connection is closed after it.
    pub(crate) fn refused(&mut self, unix_secs: u64, refusal: &Refusal) -> Bytes {
        self.counts.bad_requests.one();
        self.turn(unix_secs);
        http::refusal(refusal, &self.date, &self.cors)
    }

    /// The answer.
    pub(crate) fn answer(&mut self, moment: Moment, request: &Request<'_>) -> Answer {
        self.turn(moment.unix_secs);
        self.began.get_or_insert(moment.now);
        let connection = Connection::to(request);
        let head_only = request.method == Method::Head;
        let date = self.date;
        if request.method == Method::Options {
            self.counts.options.one();
            return Answer::of(self.stock.options.at(&date, connection, false));
        }
        let wish = Wish::of(request);
        let list = match wish {
            Wish::Playlist(name) | Wish::Redirect(name) | Wish::Again { name, .. } => {
                let (before, redirects) = match wish {
                    Wish::Again { token, redirects, .. } => match self.known(moment, token, name) {
                        Some(ticket) => (Some(ticket), redirects),
                        None => {
                            self.counts.refused_tickets.one();
                            return Answer::of(self.stock.no_ticket.at(&date, connection, head_only));
                        }
                    },
                    wish => (None, matches!(wish, Wish::Redirect(_))),
                };
                let is_admitted = before.is_some_and(|ticket| ticket.flags.has(Flags::ADMITTED));
                if !is_admitted && self.is_private(name) {
                    self.counts.refused_tickets.one();
                    return Answer::of(self.stock.not_admitted.at(&date, connection, head_only));
                }
                let answer = self.enter(moment, name, before, redirects, request.accepts_gzip);
                return Answer::of(match answer {
                    Some(answer) => answer.dated(&date, connection, head_only),
                    None => self.stock.no_broadcast.at(&date, connection, head_only),
                });
            }
            Wish::Steer(path) => {
                return Answer::of(match self.steer(moment, path, request.query) {
                    Some(answer) => answer.dated(&date, connection, head_only),
                    None => {
                        self.counts.not_found.one();
                        self.stock.not_steered.at(&date, connection, head_only)
                    }
                });
            }
            Wish::MediaElsewhere => {
                self.counts.not_found.one();
                return Answer::of(self.stock.media_elsewhere.at(&date, connection, head_only));
            }
            Wish::Page => return self.page(request, connection, head_only),
            Wish::Broadcasts => {
                let (router, watched, discretion) = (&self.router, &self.watched, &self.discretion);
                let write = || api::broadcasts(router, watched, |broadcast| discretion.lists(broadcast));
                self.broadcasts.at(moment.now, &self.cors, write)
            }
            Wish::Cluster => {
                let (router, pathways, balancer) = (&self.router, &self.pathways, &self.balancer);
                self.cluster
                    .at(moment.now, &self.cors, || api::cluster(balancer, router, pathways, moment.now))
            }
        };
        self.counts.lists.one();
        Answer::of(list.at(&date, connection, head_only))
    }

    fn page(&mut self, request: &Request<'_>, connection: Connection, head_only: bool) -> Answer {
        let Some(found) = self.pages.at(request) else {
            self.counts.not_found.one();
            return Answer::of(self.stock.nothing.at(&self.date, connection, head_only));
        };
        self.counts.pages.one();
        let page = if head_only { Bytes::new() } else { found.body };
        Answer { bytes: found.head.at(&self.date, connection, head_only), page }
    }

    /// What a token says that opens this broadcast now.
    fn known(&self, moment: Moment, token: &str, name: &str) -> Option<Ticket> {
        let (token, broadcast) = (Token::parse(token).ok()?, BroadcastId::parse(name).ok()?);
        self.keys.open(&token, moment.unix_secs, BroadcastHash::of(&broadcast)).ok()
    }

    fn is_private(&self, name: &str) -> bool {
        BroadcastId::parse(name).is_ok_and(|broadcast| self.discretion.is_private(&broadcast))
    }

    /// Whether nobody should take the top rendition; looked at once a heartbeat.
    fn is_top_for_nobody(&mut self, now: Instant) -> bool {
        let known = self.saturation.filter(|(at, _)| now < *at + LIST_AGE);
        let (at, saturation) = known.unwrap_or_else(|| (now, self.router.saturation(now)));
        self.saturation = Some((at, saturation));
        saturation >= Saturation::TopForNobody
    }

    /// 503, for a player or a page; whoever asked to be redirected may be a person, who sees a page that asks again.
    fn wait(&self, retry_after: Duration, text: &str, is_for_people: bool) -> Prerendered {
        let seconds = retry_after.as_secs().to_string();
        if is_for_people {
            let body = format!(
                "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>One moment</title>\
                 <meta http-equiv=\"refresh\" content=\"{seconds}\"><p>{text}</p>\
                 <p>This page asks again by itself in {seconds} s.</p></html>\n"
            );
            return Head::new(Status::UNAVAILABLE)
                .content("text/html; charset=utf-8", body.len() as u64)
                .cache_control("no-store")
                .field("Retry-After", seconds)
                .field("X-Content-Type-Options", "nosniff")
                .cors(&self.cors)
                .with_body(body.as_bytes());
        }
        sentence(Status::UNAVAILABLE, &self.cors, &[("Retry-After", &seconds)], text)
    }

    fn turn(&mut self, unix_secs: u64) {
        if self.date.unix_secs() != unix_secs {
            self.date = HttpDate::from_unix_secs(unix_secs);
        }
    }
}

/// Whether its playlist may be written: every rate of it is known.
fn is_measured(broadcast: &Broadcast) -> bool {
    broadcast.facts().renditions.iter().all(|rendition| rendition.peak.0 > 0)
}

impl Answer {
    fn of(bytes: Bytes) -> Self {
        Self { bytes, page: Bytes::new() }
    }
}

impl Stock {
    fn new(cors: &Cors) -> Self {
        let options = Head::new(Status::NO_CONTENT)
            .field("Allow", "GET, HEAD, OPTIONS")
            .cors(cors)
            .field("Access-Control-Allow-Methods", "GET, HEAD, OPTIONS")
            .field("Access-Control-Allow-Headers", "Range, If-None-Match")
            .field("Access-Control-Max-Age", 86_400);
        let not_found = |text| Stamped::new(sentence(Status::NOT_FOUND, cors, &[], text));
        Self {
            options: Stamped::new(options.alone()),
            no_ticket: Stamped::new(sentence(
                Status::FORBIDDEN,
                cors,
                &[],
                "This ticket opens nothing, or nothing any more; ask for another one where you had it from.",
            )),
            not_admitted: Stamped::new(sentence(
                Status::FORBIDDEN,
                cors,
                &[],
                "This broadcast is private: sign in where it is kept, or use a link that was shared with you.",
            )),
            no_broadcast: not_found("There is no broadcast of that name on the air."),
            media_elsewhere: not_found(
                "Media is served by edges; /live/<broadcast>/index.m3u8 and /go/<broadcast> say by which.",
            ),
            not_steered: not_found("There is nothing to steer: no such token, or no edge is known yet."),
            nothing: not_found("There is nothing here; / lists what can be watched."),
        }
    }
}

/// JSON that is written at most once per [`LIST_AGE`].
#[derive(Default)]
struct List(Option<(Instant, Stamped)>);

impl List {
    fn at(&mut self, now: Instant, cors: &Cors, write: impl FnOnce() -> serde_json::Value) -> &mut Stamped {
        let is_fresh = self.0.as_ref().is_some_and(|(written, _)| now < *written + LIST_AGE);
        if !is_fresh {
            self.0 = None;
        }
        let (_, stamped) = self.0.get_or_insert_with(|| {
            let body = write().to_string();
            let head = Head::new(Status::OK)
                .content("application/json", body.len() as u64)
                .cache_control("no-store")
                .field("X-Content-Type-Options", "nosniff")
                .cors(cors);
            (now, Stamped::new(head.with_body(body.as_bytes())))
        });
        stamped
    }
}

/// Numbers nobody can guess: SipHash, under a key of the system's, of how many there were before.
#[derive(Default)]
struct Dice {
    key: RandomState,
    /// Of a rehearsal: numbers that come again.
    seed: Option<u64>,
    rolled: u64,
}

impl Dice {
    fn roll(&mut self) -> u64 {
        self.rolled += 1;
        match self.seed {
            None => self.key.hash_one(self.rolled),
            Some(seed) => (seed ^ self.rolled).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31),
        }
    }
}

mod arrival;
mod steering;
#[cfg(test)]
mod tests;
