//! The counts of one group while its rows come.

use std::collections::BTreeMap;

use tollgate_sketch::Sketch;

/// The window grows by whole octaves.
const OCTAVE: i32 = 64;
/// Bins of the window, at most: all positive integers of 64 bits are within it. What is further apart goes to the rest.
const WINDOW_BINS_MAX: i32 = 64 * OCTAVE;
/// A counter of the window starts again there, and the rest keeps what it had.
const CARRY: u64 = 256;
/// Bytes that an entry of the rest takes, about: key, count, and its share of a node.
const REST_ENTRY_BYTES: usize = 24;

/// How often each bin occurs: the lowest eight bits in a window of adjacent bins, so that a group with few rows is small and
/// one with many stays in the cache; and everything else in a map.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Values of bin 0, which is far from all others.
    zero: u64,
    /// The first bin of the window, at the begin of an octave.
    low: i32,
    window: Vec<u8>,
    rest: BTreeMap<i32, u64>,
}

impl Counts {
    /// Adds a value. Answers by how many bytes the heap has grown.
    #[inline]
    pub fn add(&mut self, bin: i32) -> usize {
        // A bin below the window makes an index past all windows.
        match self.window.get_mut((bin - self.low) as usize) {
            Some(count) if *count < u8::MAX => {
                *count += 1;
                0
            }
            _ => self.add_many(bin, 1),
        }
    }

    /// Adds `count` values of one bin. Answers by how many bytes the heap has grown.
    pub fn add_many(&mut self, bin: i32, count: u64) -> usize {
        if bin == 0 {
            self.zero = self.zero.saturating_add(count);
            return 0;
        }
        let grown = self.widen(bin);
        let Some(low_bits) = self.window.get_mut((bin - self.low) as usize) else {
            return grown + self.keep(bin, count);
        };
        let sum = count.saturating_add(u64::from(*low_bits));
        *low_bits = (sum % CARRY) as u8;
        if sum < CARRY { grown } else { grown + self.keep(bin, sum - sum % CARRY) }
    }

    fn keep(&mut self, bin: i32, count: u64) -> usize {
        let entries = self.rest.len();
        let kept = self.rest.entry(bin).or_default();
        *kept = kept.saturating_add(count);
        (self.rest.len() - entries) * REST_ENTRY_BYTES
    }

    /// Lets the window reach to a bin, unless it would be too wide.
    fn widen(&mut self, bin: i32) -> usize {
        let octave = bin.div_euclid(OCTAVE) * OCTAVE;
        let (low, end) = match self.window.len() as i32 {
            0 => (octave, octave + OCTAVE),
            bins => (self.low.min(octave), (self.low + bins).max(octave + OCTAVE)),
        };
        let bins = end - low;
        if bins == self.window.len() as i32 || bins > WINDOW_BINS_MAX {
            return 0;
        }
        let mut wider = vec![0; bins as usize];
        let before = (self.low - low) as usize;
        if !self.window.is_empty() {
            wider[before..before + self.window.len()].copy_from_slice(&self.window);
        }
        let grown = wider.len() - self.window.len();
        (self.low, self.window) = (low, wider);
        grown
    }

    /// Adds all values of a sketch's bytes. Answers by how many bytes the heap has grown.
    pub fn merge(&mut self, bytes: &[u8]) -> Result<usize, tollgate_sketch::SketchError> {
        let mut grown = 0;
        Sketch::for_each_bin(bytes, |bin, count| grown += self.add_many(bin, count))?;
        Ok(grown)
    }

    /// The sketch's bytes; `None` without values.
    pub fn to_bytes(&self) -> Option<Vec<u8>> {
        let window = self.window.iter().enumerate().filter(|(_, count)| **count > 0);
        let window = window.map(|(at, count)| (self.low + at as i32, u64::from(*count)));
        let rest = self.rest.iter().map(|(bin, count)| (*bin, *count));
        let sketch: Sketch = std::iter::once((0, self.zero)).chain(window).chain(rest).collect();
        (!sketch.is_empty()).then(|| sketch.to_bytes())
    }

    /// Bytes of the heap.
    pub fn heap_bytes(&self) -> usize {
        self.window.len() + self.rest.len() * REST_ENTRY_BYTES
    }
}

#[cfg(test)]
mod tests {
    use tollgate_sketch::bin_of;

    use super::*;

    /// Values of all sizes, many of them equal, in an order that goes up and down.
    fn values() -> Vec<f64> {
        let steady = (0..5_000).map(|n| f64::from(n * 7919 % 1_000) * 37.0);
        let equal = std::iter::repeat_n(1_250.0, 1_000);
        let far = (-40_i32..40).map(|power| f64::from(power.signum() * 3) * 10_f64.powi(power * 3));
        steady.chain(equal).chain(far).collect()
    }

    fn counts_of(values: &[f64]) -> (Counts, usize) {
        let mut counts = Counts::default();
        let mut bytes = 0;
        for value in values {
            bytes += counts.add(bin_of(*value).expect("a number"));
        }
        (counts, bytes)
    }

    #[test]
    fn counts_are_those_of_a_sketch() {
        let values = values();
        let mut sketch = Sketch::new();
        values.iter().for_each(|value| sketch.add(*value));
        let (counts, bytes) = counts_of(&values);
        assert_eq!(counts.to_bytes(), Some(sketch.to_bytes()));
        assert_eq!(counts.heap_bytes(), bytes);
        assert!(counts.window.len() <= WINDOW_BINS_MAX as usize && !counts.rest.is_empty());
    }

    #[test]
    fn halves_merged_are_the_whole() {
        let values = values();
        let (left, right) = values.split_at(values.len() / 3);
        let mut merged = Counts::default();
        let mut bytes = 0;
        for half in [right, left, &[]] {
            if let Some(half) = counts_of(half).0.to_bytes() {
                bytes += merged.merge(&half).expect("a sketch");
            }
        }
        assert_eq!(merged.to_bytes(), counts_of(&values).0.to_bytes());
        assert_eq!(merged.heap_bytes(), bytes);
    }

    #[test]
    fn huge_counts_do_not_overflow() {
        let mut counts = Counts::default();
        for _ in 0..3 {
            counts.add_many(500, u64::MAX);
            counts.add_many(0, u64::MAX);
        }
        assert!(counts.to_bytes().is_some());
    }

    #[test]
    fn a_few_rows_take_little() {
        let (counts, bytes) = counts_of(&[1_000.0, 1_100.0, 1_900.0]);
        assert_eq!((counts.window.len(), bytes), (128, 128));
        assert!(size_of::<Counts>() <= 64);
    }
}
