//! Program specific information (2.4.4): sections put together from packets, PAT and PMT.

use crate::FaultKind;
use crate::limits::SECTION_BYTES;

/// Puts the sections of one PID together.
#[derive(Debug, Default)]
pub(crate) struct Sections {
    partial: Vec<u8>,
}

impl Sections {
    /// Takes a packet's payload; calls `whole` with each section that is complete and whose checksum agrees.
    pub(crate) fn push(
        &mut self,
        pid: u16,
        payload: &[u8],
        is_unit_start: bool,
        mut whole: impl FnMut(&[u8]),
    ) -> Result<(), FaultKind> {
        let table = |why| FaultKind::Table { pid, why };
        let mut rest = payload;
        if is_unit_start {
            let (&pointer, after) =
                payload.split_first().ok_or_else(|| table("an empty packet starts one"))?;
            if after.len() < usize::from(pointer) {
                self.partial.clear();
                return Err(table("its pointer leads out of the packet"));
            }
            let (tail, begin) = after.split_at(usize::from(pointer));
            if !self.partial.is_empty() {
                self.partial.extend_from_slice(tail);
                self.take(pid, &mut whole)?;
            }
            self.partial.clear();
            rest = begin;
        } else if self.partial.is_empty() {
            // The middle of a table whose start was not seen.
            return Ok(());
        }
        self.partial.extend_from_slice(rest);
        self.take(pid, &mut whole)
    }

    fn take(&mut self, pid: u16, whole: &mut impl FnMut(&[u8])) -> Result<(), FaultKind> {
        let table = |why| FaultKind::Table { pid, why };
        loop {
            // Stuffing fills what is left of a packet.
            if self.partial.first().is_none_or(|first| *first == 0xff) {
                self.partial.clear();
                return Ok(());
            }
            let [_, high, low, ..] = self.partial[..] else { return Ok(()) };
            let len = 3 + (usize::from(high & 0x0f) << 8 | usize::from(low));
            if len > SECTION_BYTES {
                self.partial.clear();
                return Err(table("it is longer than 1024 bytes"));
            }
            if self.partial.len() < len {
                return Ok(());
            }
            let section: Vec<u8> = self.partial.drain(..len).collect();
            if crc32(&section) != 0 {
                self.partial.clear();
                return Err(table("its checksum does not agree"));
            }
            whole(&section);
        }
    }
}

/// The PIDs of the program map tables a PAT names (2.4.4.3).
pub(crate) fn program_map_pids(section: &[u8]) -> Option<Vec<u16>> {
    if *section.first()? != 0 || section.len() < 12 {
        return None;
    }
    let programs = section[8..section.len() - 4].chunks_exact(4);
    let maps = programs.filter(|entry| entry[..2] != [0, 0]);
    Some(maps.map(|entry| u16::from_be_bytes([entry[2], entry[3]]) & 0x1fff).collect())
}

/// PID and stream type of each elementary stream a PMT names (2.4.4.8).
pub(crate) fn elementary_streams(section: &[u8]) -> Option<Vec<(u16, u8)>> {
    if *section.first()? != 2 || section.len() < 16 {
        return None;
    }
    let body = &section[..section.len() - 4];
    let program_info = usize::from(section[10] & 0x0f) << 8 | usize::from(section[11]);
    let mut rest = body.get(12 + program_info..)?;
    let mut streams = Vec::new();
    while let [stream_type, pid_high, pid_low, info_high, info_low, after @ ..] = rest {
        let info = usize::from(info_high & 0x0f) << 8 | usize::from(*info_low);
        streams.push((u16::from_be_bytes([*pid_high, *pid_low]) & 0x1fff, *stream_type));
        rest = after.get(info..)?;
    }
    rest.is_empty().then_some(streams)
}

/// The CRC of 2.4.4.x (polynomial 0x04C11DB7, not reflected): zero over a section with its checksum.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte) << 24, |crc, _| {
            if crc & 1 << 31 != 0 { crc << 1 ^ 0x04c1_1db7 } else { crc << 1 }
        })
    })
}
