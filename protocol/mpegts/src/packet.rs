//! One transport packet (2.4.3).

use crate::FaultKind;
use crate::{PACKET_BYTES, SYNC_BYTE};

/// What a packet says about itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Packet<'a> {
    pub(crate) pid: u16,
    pub(crate) is_unit_start: bool,
    pub(crate) is_damaged: bool,
    pub(crate) counter: u8,
    pub(crate) has_payload: bool,
    pub(crate) is_discontinuous: bool,
    pub(crate) payload: &'a [u8],
}

impl<'a> Packet<'a> {
    pub(crate) fn parse(bytes: &'a [u8; PACKET_BYTES]) -> Result<Self, FaultKind> {
        debug_assert_eq!(bytes[0], SYNC_BYTE);
        let pid = u16::from_be_bytes([bytes[1], bytes[2]]) & 0x1fff;
        let control = bytes[3] >> 4 & 3;
        let (has_adaptation, has_payload) = (control & 2 != 0, control & 1 != 0);
        let (mut payload_from, mut is_discontinuous) = (4, false);
        if has_adaptation {
            // One byte of payload must stay where there is one at all.
            let limit = if has_payload { 182 } else { 183 };
            if bytes[4] > limit {
                return Err(FaultKind::Adaptation { pid, bytes: bytes[4], limit });
            }
            is_discontinuous = bytes[4] > 0 && bytes[5] & 0x80 != 0;
            payload_from = 5 + usize::from(bytes[4]);
        }
        Ok(Self {
            pid,
            is_unit_start: bytes[1] & 0x40 != 0,
            is_damaged: bytes[1] & 0x80 != 0,
            counter: bytes[3] & 0x0f,
            has_payload,
            is_discontinuous,
            payload: if has_payload { &bytes[payload_from..] } else { &[] },
        })
    }
}
