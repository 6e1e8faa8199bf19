//! What a viewer says, as counts.

use super::{ErrorClass, FaultKind, Kind, Notice, Phase, Tally, ViewerState};
use std::time::Instant;
use viewer::{AskKind, Event, Failure, Fault, SwitchReason};

impl Tally {
    /// A viewer in `state` noticed something; `state` is what it is in from here on. All errors of its requests come
    /// this way, each once.
    pub fn noticed(&mut self, state: &mut ViewerState, at: Instant, event: &Event) {
        match event {
            Event::Started(startup) => {
                for (phase, took) in [
                    (Phase::Multivariant, startup.multivariant),
                    (Phase::Media, startup.media),
                    (Phase::FirstSegment, startup.segment),
                    (Phase::Buffering, startup.buffering),
                    (Phase::Total, startup.total()),
                ] {
                    self.phase(phase, took);
                }
                self.go(state, at, ViewerState::Fine);
            }
            Event::Stalled => self.go(state, at, ViewerState::Stalled),
            Event::Resumed { after } => {
                self.stall_over(*after);
                self.go(state, at, ViewerState::Fine);
            }
            Event::Ended => self.go(state, at, ViewerState::Ended),
            Event::GaveUp { .. } => self.go(state, at, ViewerState::GaveUp),
            Event::Switched { why, .. } => {
                self.notice(Notice::Switched, 1);
                self.notice(Notice::Steered, u64::from(*why == SwitchReason::Steered));
            }
            Event::GotAway { after } => self.got_away(*after),
            Event::RungChanged { .. } => self.notice(Notice::RungChanged, 1),
            Event::Stale { .. } => self.fault(FaultKind::Stale),
            Event::Advanced { after } => self.staleness(*after),
            Event::Fault(fault) => self.fault(FaultKind::from(fault)),
            Event::Latency(behind) => self.live_latency(*behind),
            Event::Gap { .. } => self.notice(Notice::Gap, 1),
            Event::Unnamed { .. } => self.fault(FaultKind::Unnamed),
            Event::Leapt { segments } => self.notice(Notice::Leapt, *segments),
            Event::Failed { kind, why, .. } => self.failed(Kind::of(*kind, false), ErrorClass::from(*why)),
            Event::Hedged => self.notice(Notice::Hedged, 1),
            Event::Reentered { .. } => self.notice(Notice::Reentered, 1),
        }
    }

    fn go(&mut self, state: &mut ViewerState, at: Instant, to: ViewerState) {
        self.moved(at, Some(*state), Some(to));
        *state = to;
    }
}

impl Kind {
    /// What a viewer asks for, and whether the answer may be held back.
    pub fn of(kind: AskKind, is_blocking: bool) -> Self {
        match kind {
            AskKind::Multivariant => Self::Multivariant,
            AskKind::Media { .. } if is_blocking => Self::Blocking,
            AskKind::Media { .. } => Self::Media,
            AskKind::Segment { .. } => Self::Segment,
            AskKind::Steering => Self::Steering,
            AskKind::Init { .. } => Self::Other,
        }
    }
}

impl From<Failure> for ErrorClass {
    fn from(why: Failure) -> Self {
        match why {
            Failure::Name => Self::Resolve,
            Failure::Refused => Self::Refused,
            Failure::Closed => Self::Closed,
            Failure::Reset => Self::Reset,
            Failure::Tls => Self::Tls,
            Failure::Truncated => Self::Truncated,
            Failure::Malformed => Self::Malformed,
            Failure::Other => Self::Own,
            Failure::Status(400..500) => Self::Status4xx,
            Failure::Status(500..600) => Self::Status5xx,
            Failure::Status(_) => Self::StatusOther,
            Failure::FirstByte => Self::FirstByte,
            Failure::Idle => Self::Idle,
            Failure::Whole => Self::Whole,
            Failure::Redirect | Failure::Redirects => Self::Redirect,
            Failure::Unreadable => Self::Playlist,
        }
    }
}

impl From<&Fault> for FaultKind {
    fn from(fault: &Fault) -> Self {
        match fault {
            Fault::SequenceWentBack { .. } => Self::SequenceBack,
            Fault::NumbersSkipped { .. } => Self::SequenceSkipped,
            Fault::SegmentChanged { elsewhere: false, .. } => Self::SegmentChanged,
            Fault::SegmentChanged { elsewhere: true, .. } => Self::SegmentElsewhere,
            Fault::DiscontinuityWentBack { .. } => Self::DiscontinuityBack,
            Fault::DiscontinuityChanged { elsewhere: false, .. } => Self::DiscontinuityChanged,
            Fault::DiscontinuityChanged { elsewhere: true, .. } => Self::DiscontinuityElsewhere,
            Fault::TargetChanged { .. } => Self::TargetChanged,
        }
    }
}
