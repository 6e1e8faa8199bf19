//! What a change in the hub does to every link.
//!
//! Does not live here: the order within a link (`link`).

use super::hub::Begun;
use super::link::Urgency;
use super::{LinkKey, Publisher};
use crate::{Message, ObjectId};
use media::{BroadcastId, ObjectKey, RenditionId};

impl Publisher {
    pub(super) fn begun(&mut self, key: &ObjectKey, begun: Begun) {
        for &id in &begun.added {
            self.offer(id);
        }
        // Only now do they know that something newer is there.
        for id in begun.formerly_newest {
            self.rank(id);
        }
        if begun.is_first {
            for link in self.up_links() {
                self.bridge(&link, &key.broadcast, &key.rendition);
            }
        }
        for id in begun.late {
            self.late(id);
            if self.hub.is_beyond_hold(id) {
                self.hub.remove(id);
            }
        }
    }

    /// Queues a new object on every link that subscribed to its broadcast.
    pub(super) fn offer(&mut self, id: ObjectId) {
        for key in self.up_links() {
            self.add(&key, id, Urgency::Live, 0);
        }
    }

    pub(super) fn add(&mut self, key: &LinkKey, id: ObjectId, urgency: Urgency, from: u32) {
        let Some(dialled) = self.links.get_mut(key) else { return };
        let displaced = dialled.link.add(&self.hub, id, urgency, from);
        let Some(object) = self.hub.object(id) else { return };
        let lane = dialled.link.lane_of(&object.key.broadcast);
        if let Some((displaced, dropped)) = displaced
            && let Some(object) = self.hub.object(displaced)
        {
            self.counters.late += 1;
            let broadcast = object.key.broadcast.clone();
            for message in dropped.say(displaced, &object.key.clone(), object) {
                self.say(key, lane + 1, message.encode());
            }
            self.settle(key, &broadcast, Some(displaced));
        }
        self.wake_lane(key, lane);
    }

    /// Tells an edge of the numbers between its newest and the first we have, which nobody here will send.
    pub(super) fn bridge(&mut self, key: &LinkKey, broadcast: &BroadcastId, rendition: &RenditionId) {
        let Some(dialled) = self.links.get(key) else { return };
        let Some(subscribed) = dialled.link.subscribed.get(broadcast) else { return };
        let Some(&settled) = subscribed.settled.get(rendition) else { return };
        let lane = dialled.link.lane_of(broadcast);
        if let Some(skip) = self.hub.gaps_after(rendition, broadcast, settled) {
            self.say(key, lane + 1, Message::Skip(skip).encode());
        }
    }

    /// Finds the object's place again in every queue.
    pub(super) fn rank(&mut self, id: ObjectId) {
        let Some(object) = self.hub.object(id) else { return };
        for dialled in self.links.values_mut() {
            let index = dialled.link.lane_of(&object.key.broadcast);
            let Some(lane) = dialled.link.lanes.get_mut(index).filter(|lane| lane.holds(id)) else {
                continue;
            };
            lane.rank(&self.hub, id);
            if lane.has_something()
                && let Some(&Some(connection)) = dialled.connections.get(index + 1)
            {
                self.wake.insert(connection);
            }
        }
    }

    /// Takes an object off every queue it is still on: SKIP, there only.
    pub(super) fn late(&mut self, id: ObjectId) {
        let Some(object) = self.hub.object(id) else { return };
        let key = object.key.clone();
        let keys: Vec<LinkKey> = self.links.keys().cloned().collect();
        for link in keys {
            let (Some(dialled), Some(object)) = (self.links.get_mut(&link), self.hub.object(id)) else {
                continue;
            };
            let lane = dialled.link.lane_of(&key.broadcast);
            let Some(dropped) = dialled.link.lanes[lane].drop(id) else { continue };
            self.counters.late += 1;
            for message in dropped.say(id, &key, object) {
                self.say(&link, lane + 1, message.encode());
            }
            self.settle(&link, &key.broadcast, Some(id));
        }
    }

    pub(super) fn abort(&mut self, link: &LinkKey, key: &ObjectKey, id: ObjectId) {
        let Some(dialled) = self.links.get_mut(link) else { return };
        let lane = dialled.link.lane_of(&key.broadcast);
        if dialled.link.lanes[lane].drop(id).is_some_and(|dropped| dropped.was_opened) {
            self.say(link, lane + 1, Message::Abort { object: id }.encode());
        }
    }

    pub(super) fn let_go(&mut self, id: ObjectId) {
        self.late(id);
        self.hub.remove(id);
    }

    pub(super) fn fit(&mut self) {
        while let Some(id) = self.hub.surplus() {
            self.let_go(id);
        }
    }

    pub(super) fn settle(&mut self, key: &LinkKey, broadcast: &BroadcastId, id: Option<ObjectId>) {
        let Some(dialled) = self.links.get_mut(key) else { return };
        let lane = dialled.link.lane_of(broadcast);
        for message in dialled.link.settle(&self.hub, broadcast, id) {
            self.say(key, lane + 1, message.encode());
        }
    }
}
