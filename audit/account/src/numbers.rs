//! Numbers in the order in which they come: a bitmap of those seen, and one of those seen twice.

use std::io;

use roaring::RoaringTreemap;
use tollgate_record::runs::{Run, Runs};

/// A set of numbers that come in any order, and those among them that came more than once.
#[derive(Debug, Default)]
pub struct Numbers {
    seen: RoaringTreemap,
    doubled: RoaringTreemap,
    added: u64,
}

impl Numbers {
    /// Adds a number.
    pub fn add(&mut self, number: i64) {
        let key = key(number);
        self.added += 1;
        if !self.seen.insert(key) {
            self.doubled.insert(key);
        }
    }

    /// Adds what another one has seen.
    pub fn merge(&mut self, other: Self) {
        self.added += other.added;
        self.doubled |= other.doubled;
        self.doubled |= &self.seen & &other.seen;
        self.seen |= other.seen;
    }

    /// How many were added, copies included.
    pub fn added(&self) -> u64 {
        self.added
    }

    /// The numbers.
    pub fn runs(&self) -> Runs {
        runs(&self.seen)
    }

    /// Those that were added more than once.
    pub fn doubled(&self) -> Runs {
        runs(&self.doubled)
    }

    /// About the bytes that it takes, in memory and written.
    pub fn bytes(&self) -> usize {
        self.seen.serialized_size() + self.doubled.serialized_size()
    }

    /// Appends both bitmaps and the count to `out`.
    ///
    /// # Errors
    /// None, as long as memory can be had.
    pub fn write(&self, out: &mut Vec<u8>) -> io::Result<()> {
        out.extend_from_slice(&self.added.to_le_bytes());
        self.seen.serialize_into(&mut *out)?;
        self.doubled.serialize_into(out)
    }

    /// Takes what [`Self::write`] wrote off the front of `from`.
    ///
    /// # Errors
    /// The bytes end early, or are no bitmaps.
    pub fn read(from: &mut &[u8]) -> io::Result<Self> {
        let (head, rest) = from.split_first_chunk::<8>().ok_or(io::ErrorKind::UnexpectedEof)?;
        let added = u64::from_le_bytes(*head);
        *from = rest;
        let seen = RoaringTreemap::deserialize_from(&mut *from)?;
        let doubled = RoaringTreemap::deserialize_from(from)?;
        Ok(Self { seen, doubled, added })
    }
}

/// Unsigned numbers in the order of the signed ones.
fn key(number: i64) -> u64 {
    number as u64 ^ (1 << 63)
}

fn number(key: u64) -> i64 {
    (key ^ (1 << 63)) as i64
}

fn runs(numbers: &RoaringTreemap) -> Runs {
    let mut runs = Vec::new();
    for (high, bitmap) in numbers.bitmaps() {
        let at = |low: u32| number(u64::from(high) << 32 | u64::from(low));
        let mut ranges = bitmap.iter();
        while let Some(range) = ranges.next_range() {
            runs.push(Run { first: at(*range.start()), last: at(*range.end()) });
        }
    }
    Runs::of(runs)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_being_written_and_bytes_that_end_early_are_an_error() {
        let mut numbers = Numbers::default();
        for number in [5, -3, 5, i64::MAX, i64::MIN, 6] {
            numbers.add(number);
        }
        let mut bytes = Vec::new();
        numbers.write(&mut bytes).expect("written");
        let read = Numbers::read(&mut bytes.as_slice()).expect("read");
        assert_eq!((read.added(), read.runs(), read.doubled()), (6, numbers.runs(), Runs::between(5, 5)));
        assert_eq!((read.runs().first(), read.runs().last()), (Some(i64::MIN), Some(i64::MAX)));
        for end in 0..bytes.len() {
            assert!(Numbers::read(&mut &bytes[..end]).is_err(), "{end}");
        }
    }

    #[test]
    fn what_two_sets_have_both_seen_is_doubled() {
        let (mut one, mut other) = (Numbers::default(), Numbers::default());
        (1..=10).for_each(|number| one.add(number));
        (9..=12).for_each(|number| other.add(number));
        one.merge(other);
        assert_eq!((one.added(), one.runs(), one.doubled()), (14, Runs::between(1, 12), Runs::between(9, 10)));
    }
}
