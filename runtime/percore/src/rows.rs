//! A table by small dense numbers that grows by a row at a time: nothing moves, and no half of it stands empty, as in a
//! vector that doubles.
//!
//! Lives here: the rows. Does not live here: which numbers are in use (`connection`). Rows are kept for good: a number
//! that was used once is used again first.

use std::ops::{Index, IndexMut};

/// Entries of a row; a power of two.
const ROW: usize = 256;

/// Entries by number.
#[derive(Debug)]
pub(crate) struct Rows<T> {
    rows: Vec<Box<[T]>>,
}

impl<T> Default for Rows<T> {
    fn default() -> Self {
        Self { rows: Vec::new() }
    }
}

impl<T: Default> Rows<T> {
    /// The entry of this number, made with all before it if it was not there.
    pub(crate) fn reach(&mut self, index: usize) -> &mut T {
        while self.rows.len() <= index / ROW {
            self.rows.push((0..ROW).map(|_| T::default()).collect());
        }
        &mut self[index]
    }
}

impl<T> Rows<T> {
    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        self.rows.get(index / ROW).map(|row| &row[index % ROW])
    }

    pub(crate) fn get_mut(&mut self, index: usize) -> Option<&mut T> {
        self.rows.get_mut(index / ROW).map(|row| &mut row[index % ROW])
    }

    /// All that were made, by number.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.rows.iter().flatten()
    }
}

impl<T> Index<usize> for Rows<T> {
    type Output = T;
    fn index(&self, index: usize) -> &T {
        &self.rows[index / ROW][index % ROW]
    }
}

impl<T> IndexMut<usize> for Rows<T> {
    fn index_mut(&mut self, index: usize) -> &mut T {
        &mut self.rows[index / ROW][index % ROW]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_reached_is_there_with_all_before_it_and_nothing_after_its_row() {
        let mut rows: Rows<u8> = Rows::default();
        assert_eq!(rows.get(0), None);
        *rows.reach(300) = 7;
        assert_eq!((rows.get(300), rows.get(0), rows[299]), (Some(&7), Some(&0), 0));
        assert_eq!(rows.get(2 * ROW), None);
        rows[0] = 1;
        assert_eq!(rows.iter().filter(|it| **it > 0).count(), 2);
        *rows.reach(300) += 1;
        assert_eq!(rows.get_mut(300), Some(&mut 8), "reaching again changes nothing");
    }
}
