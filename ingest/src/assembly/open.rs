//! One segment that is being made: what was fed of it, and what of a restarted process' bytes is news.

use bytes::Bytes;
use media::MediaTime;

/// A segment that is being made.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) start: MediaTime,
    /// Everything fed of it.
    fed: Vec<Bytes>,
    fed_len: u64,
    /// How far the process has got that makes it now; less than `fed_len` after a restart.
    made_len: u64,
}

/// What of the bytes that a process made is news.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// All of it has been fed before.
    Again,
    /// This much is new.
    New(Bytes),
    /// It is not what has been fed: what there is of it now is to be fed from its beginning.
    Differs { at: u64 },
}

impl Open {
    /// Nothing is fed of it yet.
    pub(super) fn new(start: MediaTime) -> Self {
        Self { start, fed: Vec::new(), fed_len: 0, made_len: 0 }
    }

    /// Another process makes it again, from its beginning.
    pub(super) fn is_made_again(&mut self) {
        self.made_len = 0;
    }

    /// Everything fed of it.
    pub(super) fn fed(&self) -> &[Bytes] {
        &self.fed
    }

    /// How many bytes that is.
    pub(super) fn fed_len(&self) -> u64 {
        self.fed_len
    }

    /// More of it, from the process that makes it now.
    pub(super) fn take(&mut self, bytes: Bytes) -> Taken {
        let from = self.made_len;
        self.made_len += bytes.len() as u64;
        let known = usize::try_from(self.fed_len.saturating_sub(from)).unwrap_or(usize::MAX).min(bytes.len());
        if known > 0 && !self.has_at(from, &bytes[..known]) {
            self.fed = self.up_to(from).chain([bytes]).collect();
            self.fed_len = self.made_len;
            return Taken::Differs { at: from };
        }
        let new = bytes.slice(known..);
        if new.is_empty() {
            return Taken::Again;
        }
        self.fed_len += new.len() as u64;
        self.fed.push(new.clone());
        Taken::New(new)
    }

    /// What was fed, so far.
    fn up_to(&self, end: u64) -> impl Iterator<Item = Bytes> {
        let mut left = usize::try_from(end).unwrap_or(usize::MAX);
        self.fed.iter().map_while(move |bytes| {
            let len = left.min(bytes.len());
            left -= len;
            (len > 0).then(|| bytes.slice(..len))
        })
    }

    fn has_at(&self, from: u64, expected: &[u8]) -> bool {
        let fed = self.fed.iter().flat_map(|bytes| bytes.iter());
        let mut there = fed.skip(usize::try_from(from).unwrap_or(usize::MAX));
        expected.iter().all(|byte| there.next() == Some(byte))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(words: &[&'static str]) -> Open {
        let mut open = Open::new(MediaTime::default());
        for word in words {
            assert_eq!(open.take((*word).into()), Taken::New((*word).into()));
        }
        open.is_made_again();
        open
    }

    #[test]
    fn the_same_bytes_cut_elsewhere_are_no_news_until_they_go_on() {
        let mut open = open(&["ab", "cd"]);
        assert_eq!(open.take("abc".into()), Taken::Again);
        assert_eq!(open.take("def".into()), Taken::New("ef".into()));
        assert_eq!((open.fed().concat(), open.fed_len()), (b"abcdef".to_vec(), 6));
    }

    #[test]
    fn other_bytes_take_the_place_of_what_was_fed_from_there_on() {
        let mut open = open(&["ab", "cd"]);
        assert_eq!(open.take("ab".into()), Taken::Again);
        assert_eq!(open.take("cX".into()), Taken::Differs { at: 2 });
        assert_eq!((open.fed().concat(), open.fed_len()), (b"abcX".to_vec(), 4));
    }
}
