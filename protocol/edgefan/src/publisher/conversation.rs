//! What an edge's frames do: HELLO, HAVE, FETCH, PING.
//!
//! Does not live here: what the line's word does (`spread`).

use super::hub::Hub;
use super::link::{Link, Subscribed, Urgency};
use super::{ConnectionId, Dialled, LinkKey, Place, Publisher, PublisherEvent};
use crate::limits::{LINKS, PROCESSES};
use crate::{Fetch, Have, Hello, Message, ObjectId, Skip, SkipReason, Welcome, WireError};
use bytes::Bytes;
use media::{
    BroadcastId, DiscontinuitySequence, MediaSequence, MediaSpan, MediaTime, ObjectKey, ObjectKind,
    RenditionId,
};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Instant;

impl Publisher {
    pub(super) fn message(
        &mut self,
        id: ConnectionId,
        message: Message,
        now: Instant,
    ) -> Result<(), WireError> {
        let Some(connection) = self.connections.get(&id) else { return Ok(()) };
        match (connection.place.clone(), message) {
            (Place::Greeting, Message::Hello(hello)) => self.hello(id, hello, now),
            (Place::Greeting, _) => Err(WireError::OutOfTurn { what: "a frame", state: "HELLO is awaited" }),
            (Place::Linked { .. }, Message::Hello(_)) => {
                Err(WireError::OutOfTurn { what: "HELLO", state: "the connection has had one" })
            }
            (Place::Linked { link, .. }, Message::Have(have)) => {
                self.have(&link, have);
                Ok(())
            }
            (Place::Linked { link, .. }, Message::Fetch(fetch)) => {
                self.fetch(&link, fetch);
                Ok(())
            }
            (Place::Linked { .. }, Message::Ping { stamp }) => {
                let (clock, steady) = (self.clock.at(now), self.steady.at(now));
                self.say_on(id, Message::Pong { stamp, clock, steady }.encode());
                Ok(())
            }
            // Types of a later version, and types an edge has no reason to send here, change nothing.
            (Place::Linked { .. }, _) => Ok(()),
        }
    }

    pub(super) fn hello(&mut self, id: ConnectionId, hello: Hello, now: Instant) -> Result<(), WireError> {
        let index = usize::from(hello.connection);
        if hello.media_connections == 0 || hello.connection > hello.media_connections {
            return Err(WireError::TooMuch {
                what: "HELLO",
                field: "connection number",
                count: u64::from(hello.connection),
                limit: u64::from(hello.media_connections),
            });
        }
        if let Some(connection) = self.connections.get(&id) {
            connection.names.check("HELLO", &hello.node)?;
        }
        if hello.layer <= self.settings.layer {
            let (found, allowed) =
                (hello.layer.0.to_string(), "a layer above ours: else we could feed each other");
            return Err(WireError::Bad { what: "HELLO", field: "layer", found, allowed });
        }
        let key = (hello.node.clone(), hello.link);
        if !self.links.contains_key(&key) {
            self.end_former(&hello);
            if self.links.len() >= LINKS {
                let (count, limit) = (self.links.len() as u64 + 1, LINKS as u64);
                return Err(WireError::TooMuch { what: "HELLO", field: "links", count, limit });
            }
            let dialled = Dialled {
                process: hello.process,
                link: Link::new(hello.node.clone(), hello.media_connections),
                connections: vec![None; usize::from(hello.media_connections) + 1],
                since: now,
            };
            self.links.insert(key.clone(), dialled);
        }
        let Some(dialled) = self.links.get_mut(&key) else { return Ok(()) };
        match dialled.connections.get_mut(index) {
            Some(place @ None) => *place = Some(id),
            _ => return Err(WireError::OutOfTurn { what: "HELLO", state: "the link has this connection" }),
        }
        let is_up = dialled.is_up();
        if let Some(connection) = self.connections.get_mut(&id) {
            connection.place = Place::Linked { link: key.clone(), index };
        }
        let welcome = Welcome {
            node: self.settings.node.clone(),
            role: self.settings.role,
            version: self.settings.version.clone(),
            ingests: Vec::new(),
            layer: self.settings.layer,
        };
        self.say_on(id, Message::Welcome(welcome).encode());
        if is_up {
            self.events.push_back(PublisherEvent::LinkUp { node: hello.node });
            let streams: Vec<Bytes> =
                self.hub.broadcasts().map(|known| Message::Stream(known.facts.clone()).encode()).collect();
            streams.into_iter().for_each(|frame| self.say(&key, 0, frame));
        }
        Ok(())
    }

    /// A process that dials anew ends the link it had, whether we noticed or not. Another process of the same node is
    /// its successor or its predecessor: both are fed while one hands over to the other. Of three the oldest goes.
    fn end_former(&mut self, hello: &Hello) {
        let mut others: Vec<(Instant, ConnectionId)> = Vec::new();
        let mut over: Vec<ConnectionId> = Vec::new();
        for ((node, _), dialled) in &self.links {
            let Some(first) = dialled.connections.iter().flatten().next().copied() else { continue };
            if *node == hello.node {
                match hello.process == 0 || dialled.process == 0 || dialled.process == hello.process {
                    true => over.push(first),
                    false => others.push((dialled.since, first)),
                }
            }
        }
        over.into_iter().for_each(|id| self.cut(id, "the edge dialled anew"));
        others.sort_unstable_by_key(|(since, _)| *since);
        let surplus = (others.len() + 1).saturating_sub(PROCESSES);
        for (_, id) in others.into_iter().take(surplus) {
            self.cut(id, "two later processes of this edge are there");
        }
    }

    pub(super) fn have(&mut self, key: &LinkKey, have: Have) {
        let Some(dialled) = self.links.get_mut(key) else { return };
        let is_first = have.is_whole && !dialled.link.subscribed.contains_key(&have.broadcast);
        if is_first {
            if self.hub.broadcast(&have.broadcast).is_none() {
                return;
            }
            dialled.link.subscribed.insert(have.broadcast.clone(), Subscribed::default());
        }
        let mut settled = HashSet::new();
        for range in &have.ranges {
            for sequence in range.sequences() {
                settled.insert(ObjectKey {
                    broadcast: have.broadcast.clone(),
                    run: range.run,
                    rendition: range.rendition.clone(),
                    sequence,
                    part: None,
                    kind: range.kind,
                });
            }
            if range.kind == ObjectKind::Segment
                && let Some(newest) = range.sequences().last()
                && let Some(subscribed) = dialled.link.subscribed.get_mut(&have.broadcast)
            {
                let known = subscribed.settled.entry(range.rendition.clone()).or_insert(newest);
                *known = newest.max(*known);
            }
        }
        if is_first {
            for lane in self.lanes.get(&have.broadcast).cloned().unwrap_or_default() {
                self.say_lane(key, lane);
            }
        }
        match is_first {
            true => self.subscribe(key, &have, &settled),
            false => self.acknowledge(key, &have.broadcast, &settled),
        }
    }

    /// What the edge has been given by somebody else need not be sent to it.
    pub(super) fn acknowledge(
        &mut self,
        key: &LinkKey,
        broadcast: &BroadcastId,
        settled: &HashSet<ObjectKey>,
    ) {
        let Some(dialled) = self.links.get_mut(key) else { return };
        let index = dialled.link.lane_of(broadcast);
        let lane = &mut dialled.link.lanes[index];
        for id in settled.iter().filter_map(|key| self.hub.find(key)) {
            self.counters.withheld += u64::from(lane.withhold(&self.hub, id));
        }
        self.wake_lane(key, index);
    }

    /// The first word of an edge on a broadcast: everything of the window it has not is put in its queue.
    pub(super) fn subscribe(&mut self, key: &LinkKey, have: &Have, settled: &HashSet<ObjectKey>) {
        let Some(broadcast) = self.hub.broadcast(&have.broadcast) else { return };
        let ended = broadcast.ended.map(|(run, _)| run);
        let newest_three = newest_segments(&self.hub, broadcast.objects(), 3);
        let held: Vec<ObjectId> = broadcast.objects().collect();
        let renditions: Vec<RenditionId> = broadcast.renditions().cloned().collect();
        let (mut until_ready, mut until_caught_up) = (HashSet::new(), HashSet::new());
        for id in held {
            let Some(object) = self.hub.object(id) else { continue };
            if settled.contains(&object.key) {
                continue;
            }
            let is_live =
                newest_three.contains(&id) || !object.is_settled() || object.key.kind != ObjectKind::Segment;
            // What is still being made is awaited by no one: it takes as long as it takes.
            if object.is_settled() {
                until_caught_up.insert(id);
                if is_live {
                    until_ready.insert(id);
                }
            }
            let partial = have.partials.iter().find(|partial| partial.key == object.key);
            let urgency = if is_live { Urgency::Live } else { Urgency::Backfill };
            self.add(key, id, urgency, partial.map_or(0, |partial| partial.bytes));
        }
        if let Some(dialled) = self.links.get_mut(key) {
            dialled.link.begin_backfill(&have.broadcast, until_ready, until_caught_up);
            if let (Some(run), Some(subscribed)) = (ended, dialled.link.subscribed.get_mut(&have.broadcast)) {
                subscribed.ending.push(run);
            }
        }
        renditions.iter().for_each(|rendition| self.bridge(key, &have.broadcast, rendition));
        self.settle(key, &have.broadcast, None);
    }

    pub(super) fn fetch(&mut self, key: &LinkKey, fetch: Fetch) {
        self.counters.fetches += 1;
        let broadcast = self.hub.broadcast(&fetch.key.broadcast);
        if let Some(id) = self.hub.find(&fetch.key) {
            self.add(key, id, Urgency::Live, fetch.from);
            return;
        }
        let newest = broadcast.and_then(|broadcast| broadcast.newest(&fetch.key.rendition));
        let reason = match newest {
            Some(newest) if fetch.key.sequence <= newest => SkipReason::NotHeld,
            _ if broadcast.is_some() => SkipReason::NotYet,
            _ => SkipReason::NotHeld,
        };
        let Some(dialled) = self.links.get(key) else { return };
        let lane = dialled.link.lane_of(&fetch.key.broadcast);
        let skip = Skip {
            key: fetch.key,
            start: MediaTime::default(),
            duration: MediaSpan::ZERO,
            discontinuity: DiscontinuitySequence(0),
            count: 1,
            reason,
        };
        self.say(key, lane + 1, Message::Skip(skip).encode());
    }
}

/// The newest `count` settled segments of every rendition among these objects.
fn newest_segments(hub: &Hub, objects: impl Iterator<Item = ObjectId>, count: usize) -> HashSet<ObjectId> {
    let mut by_rendition: BTreeMap<&RenditionId, BTreeSet<(MediaSequence, ObjectId)>> = BTreeMap::new();
    for id in objects {
        if let Some(object) = hub.object(id)
            && object.is_settled()
            && object.key.kind == ObjectKind::Segment
        {
            by_rendition.entry(&object.key.rendition).or_default().insert((object.key.sequence, id));
        }
    }
    by_rendition.values().flat_map(|segments| segments.iter().rev().take(count)).map(|&(_, id)| id).collect()
}
