//! NAL units of one access unit (ISO/IEC 14496-10, 7.3.1; lengths as in ISO/IEC 14496-15, 5.3.4.2).

/// What the NAL units of a payload are, all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nals {
    /// They do not add up: a length of nothing, past the end, or a forbidden bit.
    Broken,
    /// They add up, and there is no slice among them: parameter sets, SEI, a delimiter.
    NoPicture,
    /// A picture; a decoder can start at it if a slice of it is of an IDR picture.
    Picture { is_sync: bool },
}

const SLICE: u8 = 1;
const PARTITIONS: std::ops::RangeInclusive<u8> = 2..=4;
const SYNC_SLICE: u8 = 5;

/// Walks the lengths; looks at one byte of each NAL unit.
pub(crate) fn walk(mut payload: &[u8], length_bytes: usize) -> Nals {
    let (mut has_picture, mut is_sync) = (false, false);
    while !payload.is_empty() {
        let Some((length, rest)) = payload.split_at_checked(length_bytes) else { return Nals::Broken };
        let length = length.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte));
        let Some((nal, after)) = rest.split_at_checked(length) else { return Nals::Broken };
        // forbidden_zero_bit, and the type.
        match nal.first() {
            None | Some(0x80..) => return Nals::Broken,
            Some(header) => match header & 0x1f {
                SYNC_SLICE => (has_picture, is_sync) = (true, true),
                kind if kind == SLICE || PARTITIONS.contains(&kind) => has_picture = true,
                _ => {}
            },
        }
        payload = after;
    }
    if has_picture { Nals::Picture { is_sync } } else { Nals::NoPicture }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sync_unit_has_a_slice_of_type_5_whatever_stands_before_it() {
        let sei = [0, 0, 0, 2, 6, 5];
        let sync_slice = [0, 0, 0, 1, 0x65];
        let slice = [0, 0, 0, 1, 0x41];
        assert_eq!(walk(&[sei, [0, 0, 0, 2, 0x65, 1]].concat(), 4), Nals::Picture { is_sync: true });
        assert_eq!(walk(&sync_slice, 4), Nals::Picture { is_sync: true });
        assert_eq!(walk(&slice, 4), Nals::Picture { is_sync: false });
        assert_eq!(walk(&sei, 4), Nals::NoPicture);
        assert_eq!(walk(&[2, 0x65, 1], 1), Nals::Picture { is_sync: true });
        assert_eq!(walk(&[0, 2, 0x65, 1], 2), Nals::Picture { is_sync: true });
    }

    #[test]
    fn lengths_that_do_not_add_up_are_broken() {
        for bad in [
            &[0, 0, 0][..],
            &[0, 0, 0, 0],
            &[0, 0, 0, 3, 0x65, 1],
            &[255, 255, 255, 255, 0x65],
            &[0, 0, 0, 1, 0xe5],
        ] {
            assert_eq!(walk(bad, 4), Nals::Broken, "{bad:?}");
        }
        assert_eq!(walk(&[], 4), Nals::NoPicture);
    }
}
