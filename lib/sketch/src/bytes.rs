//! The state as bytes: see the picture in the crate's documentation.

use crate::{BINS_MAX, Sketch};

const VERSION: u8 = 1;

/// Why bytes are no sketch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SketchError {
    /// Another version's bytes, or no sketch at all.
    #[error("the bytes of a sketch begin with 1, and these do not")]
    Version,
    /// The bytes end inside a sketch, or go on after it.
    #[error("the bytes of a sketch are cut short or too long")]
    Length,
    /// A bin out of order or out of range, or a count of 0.
    #[error("a sketch has a bin that cannot be")]
    Bin,
}

impl Sketch {
    /// The state as bytes: some two bytes a bin.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(2 + 3 * self.bins.len());
        bytes.push(VERSION);
        push(&mut bytes, self.bins.len() as u64);
        let mut before = None;
        for (bin, count) in self.bins() {
            match before {
                None => push(&mut bytes, zigzag(bin)),
                Some(before) => push(&mut bytes, u64::from(bin.abs_diff(before))),
            }
            push(&mut bytes, count);
            before = Some(bin);
        }
        bytes
    }

    /// Reads a state.
    ///
    /// # Errors
    /// If the bytes are no sketch.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, SketchError> {
        let mut bins = Vec::new();
        Self::for_each_bin(bytes, |bin, count| bins.push((bin, count)))?;
        Ok(Self { bins })
    }

    /// Calls `each` with every (bin, count) of a state, by ascending bin, without keeping them.
    ///
    /// # Errors
    /// If the bytes are no sketch; some bins were shown by then.
    pub fn for_each_bin(mut bytes: &[u8], mut each: impl FnMut(i32, u64)) -> Result<(), SketchError> {
        let Some((&VERSION, rest)) = bytes.split_first() else { return Err(SketchError::Version) };
        bytes = rest;
        let bins = pull(&mut bytes)?;
        if bins > BINS_MAX as u64 {
            return Err(SketchError::Bin);
        }
        let mut before: Option<i64> = None;
        for _ in 0..bins {
            let number = pull(&mut bytes)?;
            let bin = match before {
                None => i64::from(unzigzag(number).ok_or(SketchError::Bin)?),
                Some(before) if number > 0 => {
                    i64::try_from(number).ok().and_then(|step| before.checked_add(step)).ok_or(SketchError::Bin)?
                }
                Some(_) => return Err(SketchError::Bin),
            };
            let count = pull(&mut bytes)?;
            let in_range = bin.unsigned_abs() <= BINS_MAX as u64 / 2;
            match i32::try_from(bin) {
                Ok(bin) if in_range && count > 0 => each(bin, count),
                _ => return Err(SketchError::Bin),
            }
            before = Some(bin);
        }
        if bytes.is_empty() { Ok(()) } else { Err(SketchError::Length) }
    }
}

fn zigzag(number: i32) -> u64 {
    let number = i64::from(number);
    ((number << 1) ^ (number >> 63)) as u64
}

fn unzigzag(number: u64) -> Option<i32> {
    let half = i64::try_from(number >> 1).ok()?;
    i32::try_from(half ^ -((number & 1) as i64)).ok()
}

/// LEB128: seven bits a byte, the lowest first.
fn push(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn pull(bytes: &mut &[u8]) -> Result<u64, SketchError> {
    let mut number = 0;
    for shift in (0..64).step_by(7) {
        let Some((&byte, rest)) = bytes.split_first() else { return Err(SketchError::Length) };
        *bytes = rest;
        let bits = u64::from(byte & 0x7f);
        if shift == 63 && bits > 1 {
            return Err(SketchError::Bin);
        }
        number |= bits << shift;
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(SketchError::Bin)
}
