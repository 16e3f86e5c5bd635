//! Validity bitmaps.

use arrow_buffer::{BooleanBuffer, Buffer, NullBuffer};

/// One bit a row.
#[derive(Default)]
pub(super) struct Bits {
    bytes: Vec<u8>,
    len: usize,
}

impl Bits {
    #[inline]
    pub(super) fn push(&mut self, bit: bool) {
        let place = self.len % 8;
        if place == 0 {
            self.bytes.push(0);
        }
        if let Some(last) = self.bytes.last_mut() {
            *last |= u8::from(bit) << place;
        }
        self.len += 1;
    }

    pub(super) fn push_unset(&mut self, rows: usize) {
        self.len += rows;
        self.bytes.resize(self.len.div_ceil(8), 0);
    }

    fn push_set(&mut self, rows: usize) {
        let end = self.len + rows;
        while self.len < end && !self.len.is_multiple_of(8) {
            self.push(true);
        }
        if self.len < end {
            self.bytes.resize(end / 8, 0xff);
            self.len = self.bytes.len() * 8;
        }
        while self.len < end {
            self.push(true);
        }
    }

    pub(super) fn finish(&mut self) -> BooleanBuffer {
        let bits = BooleanBuffer::new(Buffer::from_slice_ref(&self.bytes), 0, self.len);
        self.bytes.clear();
        self.len = 0;
        bits
    }
}

/// Which rows are valid.
///
/// Most columns of a batch are all valid or all null, so a row mostly costs one addition: no bit is written before the first null,
/// and a run of nulls is written when it ends.
#[derive(Default)]
pub(super) struct Validity {
    bits: Bits,
    /// Valid rows before the first null.
    valid: usize,
    /// Nulls at the end that are written neither to the bits nor to the column's values yet.
    nulls: usize,
    some_null: bool,
}

impl Validity {
    #[inline]
    pub(super) fn push_null(&mut self) {
        self.nulls += 1;
    }

    /// Pushes a valid row. Returns how many nulls preceded it whose values the column must write first.
    #[inline]
    pub(super) fn push_valid(&mut self) -> usize {
        let nulls = self.nulls;
        if nulls > 0 {
            self.settle();
        }
        match self.some_null {
            true => self.bits.push(true),
            false => self.valid += 1,
        }
        nulls
    }

    /// Writes the bits of the nulls at the end. Returns how many values the column must write for them.
    #[cold]
    pub(super) fn settle(&mut self) -> usize {
        let nulls = std::mem::take(&mut self.nulls);
        if nulls > 0 {
            self.bits.push_set(std::mem::take(&mut self.valid));
            self.bits.push_unset(nulls);
            self.some_null = true;
        }
        nulls
    }

    /// Returns the bitmap, `None` when all rows are valid, and empties it. The nulls at the end must be settled.
    pub(super) fn finish(&mut self) -> Option<NullBuffer> {
        self.valid = 0;
        let some_null = std::mem::take(&mut self.some_null);
        some_null.then(|| NullBuffer::new(self.bits.finish()))
    }
}
