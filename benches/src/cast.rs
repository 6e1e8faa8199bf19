//! Who is on stage: starts what a row needs, ends what it does not, knows where each is reached.

use crate::error::BenchError;
use crate::feed::{Ingest, RENDITIONS};
use crate::ground::{Ground, Network, Space};
use crate::ours::{EdgePlan, Ours, Store, until};
use crate::parlour::Parlour;
use crate::rows::{Kind, Row, Who};
use crate::servers::Server;
use crate::theirs::{self, Files};
use crate::viewers::Aim;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

const fn plan(name: &'static str, nth: u16, store: Store, cores: usize) -> EdgePlan {
    EdgePlan {
        name,
        http: 8080 + nth,
        https: 8440 + nth,
        operator: 8400 + nth,
        store,
        cores,
        is_linked: false,
        gives_back: false,
    }
}

const EDGE: EdgePlan = plan("edge", 0, Store::Own, 1);
const EDGE_PAGES: EdgePlan = plan("edge-pages", 1, Store::Pages, 1);
const EDGE_WIDE: EdgePlan = plan("edge-wide", 3, Store::Own, 2);
const BALANCER: u16 = 8180;
/// Connections nginx is given room for.
const NGINX_CONNECTIONS: usize = 16_384;
/// The same where its memory is to be seen without them.
const SMALL: usize = 256;

/// All that runs. Servers end before what they stand on.
#[derive(Debug)]
pub(crate) struct Cast {
    running: BTreeMap<Who, Server>,
    /// Whether the edge was started with a balancer to tell.
    is_linked: bool,
    pub(crate) ingest: Ingest,
    pub(crate) parlour: Parlour,
    pub(crate) files: Files,
    pub(crate) ours: Ours,
    /// Last, so that it is taken away last.
    _ground: Ground,
}

impl Cast {
    /// Lays the ground, starts the feed and one edge, and gives nginx and HAProxy what that edge answers.
    pub(crate) fn assemble(program: Option<&Path>) -> Result<Self, BenchError> {
        let ground = Ground::lay()?;
        let ours = Ours::prepare(&ground, program)?;
        let ingest = Space::Server.within(|| Ingest::start(&ours.certificates()))?;
        let parlour = Space::Server.within(|| Parlour::start(&ours.certificates()))?;
        let edge = ours.edge(EDGE)?;
        let target = ours.playlist();
        let get = |target: &str| {
            let aim = ours.aim(EDGE, Network::Loopback, target);
            until(target, || Space::Server.within(|| aim.ask(&mut aim.connect(0)?)))
        };
        let playlist = get(&target)?;
        let mut segments = Vec::new();
        for (rendition, len) in RENDITIONS {
            let target = ours.newest(EDGE, rendition)?;
            let answer = get(&target)?;
            if answer.body.len() != len {
                return Err(BenchError::answer(
                    "mascaret",
                    format!("{target}: {} bytes, not {len}", answer.body.len()),
                ));
            }
            segments.push((rendition, target, answer));
        }
        let files = Files::write(&ground, &ours.certificates(), (&target, &playlist), &segments)?;
        let running = BTreeMap::from([(Who::Edge, edge)]);
        Ok(Self { running, is_linked: false, ingest, parlour, files, ours, _ground: ground })
    }

    /// Has exactly the servers that these need running.
    pub(crate) fn call(&mut self, who: &[Who]) -> Result<(), BenchError> {
        let mut wanted: BTreeSet<Who> = who.iter().map(|who| process(*who)).collect();
        let is_linked = wanted.contains(&Who::Balancer);
        if is_linked {
            wanted.insert(Who::Edge);
        }
        if self.is_linked != is_linked {
            self.running.remove(&Who::Edge);
        }
        self.running.retain(|who, _| wanted.contains(who));
        self.is_linked = is_linked;
        for who in wanted {
            if self.running.contains_key(&who) {
                continue;
            }
            let server = match who {
                Who::Edge => self.ours.edge(EdgePlan { is_linked, ..EDGE })?,
                Who::EdgePages => self.ours.edge(EDGE_PAGES)?,
                Who::EdgeWide => self.ours.edge(EDGE_WIDE)?,
                Who::Balancer => self.ours.balancer(BALANCER, BALANCER + 1)?,
                Who::NginxWide => self.files.nginx("nginx-wide", "0,1", NGINX_CONNECTIONS, theirs::WIDE)?,
                Who::HaProxy => self.files.haproxy()?,
                _ => self.files.nginx("nginx", "0", NGINX_CONNECTIONS, 0)?,
            };
            self.running.insert(who, server);
        }
        Ok(())
    }

    /// Ends one, so that the next call starts it fresh.
    pub(crate) fn dismiss(&mut self, who: Who) {
        self.running.remove(&process(who));
    }

    /// Every process of every server.
    pub(crate) fn pids(&self) -> Vec<u32> {
        self.running.values().flat_map(Server::pids).collect()
    }

    /// The processes of one.
    pub(crate) fn pids_of(&self, who: Who) -> Vec<u32> {
        self.running.get(&process(who)).map(Server::pids).unwrap_or_default()
    }

    /// Where one is asked for what a row is about; waits until it has it.
    pub(crate) fn aim(&self, who: Who, row: &Row) -> Result<Aim, BenchError> {
        let plan = edge_plan(who);
        let is_redirect = row.kind == Kind::Redirect;
        let rendition = match row.kind {
            Kind::Segment { rendition, .. } => Some(rendition),
            Kind::TlsBulk | Kind::Far { .. } => Some("1m"),
            _ => None,
        };
        let target = match (rendition, plan) {
            _ if is_redirect => "/go/bench".to_owned(),
            (Some(rendition), Some(plan)) => self.ours.newest(plan, rendition)?,
            (Some(rendition), None) => self.files.segments[rendition].clone(),
            (None, Some(_)) => self.ours.playlist(),
            (None, None) => self.files.playlist.clone(),
        };
        let is_tls = matches!(row.kind, Kind::TlsBulk | Kind::Handshakes | Kind::Idle { is_tls: true });
        let port = match (plan, who) {
            (Some(plan), _) if is_tls => plan.https,
            (Some(plan), _) => plan.http,
            (_, Who::Balancer) => BALANCER,
            (_, Who::HaProxy) => theirs::HAPROXY,
            (_, Who::NginxHuge) => theirs::NGINX_HUGE,
            (_, Who::NginxCache) => theirs::NGINX_CACHE,
            (_, Who::NginxText) => theirs::NGINX_TEXT,
            (_, Who::NginxWide) => theirs::NGINX + theirs::WIDE,
            _ if is_tls => theirs::NGINX_TLS,
            _ => theirs::NGINX,
        };
        let status = match who {
            _ if !is_redirect => 200,
            Who::Balancer => 307,
            _ => 302,
        };
        let aim =
            Aim { server: who.name().to_owned(), network: row.network, port, target, status, buffer: None };
        if !is_tls {
            until(who.name(), || aim.network.viewers().within(|| aim.ask(&mut aim.connect(0)?)))?;
        }
        Ok(aim)
    }

    /// Where one is asked for chat; waits until it has the room.
    pub(crate) fn chat(&self, who: Who, row: &Row) -> Result<Aim, BenchError> {
        let aim = self.aim(who, row)?;
        let chat = aim.at(&self.ours.chat());
        let history = chat.at(&format!("{}/history", chat.target));
        until("the room", || aim.network.viewers().within(|| history.ask(&mut history.connect(0)?)))?;
        Ok(chat)
    }

    /// The small thing that a TLS connection begins with.
    pub(crate) fn small(&self, aim: &Aim) -> Aim {
        aim.at(&self.files.playlist)
    }

    /// Our edge, with an allocator that gives memory back.
    pub(crate) fn frugal_edge(&mut self) -> Result<(), BenchError> {
        self.running.remove(&Who::Edge);
        self.is_linked = false;
        self.running.insert(Who::Edge, self.ours.edge(EdgePlan { gives_back: true, ..EDGE })?);
        Ok(())
    }

    /// nginx with room for few connections: what it takes beside what it sets aside for each.
    pub(crate) fn small_nginx(&mut self) -> Result<(), BenchError> {
        self.running.remove(&Who::Nginx);
        self.running.insert(Who::Nginx, self.files.nginx("nginx", "0", SMALL, 0)?);
        Ok(())
    }

    /// What the operator of one of our edges is told, by name; labels are summed over.
    pub(crate) fn metrics(&self, who: Who) -> Result<Vec<(String, f64)>, BenchError> {
        let Some(port) = edge_plan(who).map(|plan| plan.operator) else { return Ok(Vec::new()) };
        let server = format!("{}'s operator", who.name());
        let aim = Aim {
            server,
            network: Network::Loopback,
            port,
            target: "/metrics".into(),
            status: 200,
            buffer: None,
        };
        let answer = Space::Server.within(|| aim.ask(&mut aim.connect(0)?))?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let sample = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            Some((name.to_owned(), value.parse().ok()?))
        };
        Ok(text.lines().filter(|line| !line.starts_with('#')).filter_map(sample).collect())
    }
}

fn edge_plan(who: Who) -> Option<EdgePlan> {
    match who {
        Who::Edge => Some(EDGE),
        Who::EdgePages => Some(EDGE_PAGES),
        Who::EdgeWide => Some(EDGE_WIDE),
        _ => None,
    }
}

/// Several faces of nginx are one process.
fn process(who: Who) -> Who {
    match who {
        Who::NginxHuge | Who::NginxCache | Who::NginxText => Who::Nginx,
        other => other,
    }
}
