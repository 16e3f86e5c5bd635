//! The file of a cursor: how far one sink has durably got.
//!
//! ```text
//!   cursors/kafka.cursor   0       8         12       16          24
//!                          ├ magic ┼ version ┼ CRC32C ┼ position ─┤   position: the next one to deliver
//! ```

use std::io;
use std::path::{Path, PathBuf};

use tollgate_failpoint::Point;

use crate::store::durable_file;

/// Folder of cursors, inside the data folder.
pub const CURSOR_DIR: &str = "cursors";

const MAGIC: &[u8; 8] = b"TGCURSOR";
const VERSION: u32 = 1;
const BYTES: usize = 24;

/// The bytes of a cursor file.
pub fn encode_cursor(position: u64) -> [u8; BYTES] {
    let mut out = [0; BYTES];
    out[..8].copy_from_slice(MAGIC);
    out[8..12].copy_from_slice(&VERSION.to_le_bytes());
    out[16..].copy_from_slice(&position.to_le_bytes());
    let crc = checksum(&out);
    out[12..16].copy_from_slice(&crc.to_le_bytes());
    out
}

/// The position in a cursor file, or `None` if its bytes are not a whole cursor of a version that is known.
pub fn decode_cursor(bytes: &[u8]) -> Option<u64> {
    let bytes: &[u8; BYTES] = bytes.try_into().ok()?;
    let field = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    let known = bytes[..8] == *MAGIC && field(8) == VERSION && field(12) == checksum(bytes);
    known.then(|| u64::from(field(16)) | u64::from(field(20)) << 32)
}

fn checksum(bytes: &[u8; BYTES]) -> u32 {
    crc32c::crc32c_append(crc32c::crc32c(&bytes[..12]), &bytes[16..])
}

/// What a cursor file said when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// A position.
    At(u64),
    /// A new sink: there is no file.
    Absent,
    /// Bytes that are no cursor; they were moved aside.
    Damaged,
}

/// Where a sink's cursor is kept.
#[derive(Debug, Clone)]
pub(crate) struct CursorFile(PathBuf);

impl CursorFile {
    pub(crate) fn of(data: &Path, sink: &str) -> Self {
        Self(data.join(CURSOR_DIR).join(format!("{sink}.cursor")))
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn read(&self) -> io::Result<Found> {
        let Some(bytes) = durable_file::read_if_there(&self.0)? else { return Ok(Found::Absent) };
        if let Some(position) = decode_cursor(&bytes) {
            return Ok(Found::At(position));
        }
        std::fs::rename(&self.0, self.0.with_extension("damaged"))?;
        Ok(Found::Damaged)
    }

    pub(crate) fn write(&self, position: u64) -> io::Result<()> {
        // Somebody deleted the folder: without it no cursor would move any more, and the journal would fill.
        if let Some(folder) = self.0.parent().filter(|folder| !folder.is_dir()) {
            std::fs::create_dir(folder)?;
            durable_file::sync_parent(folder)?;
        }
        let points = [Point::CursorStaged, Point::CursorRenamed];
        durable_file::replace_past(&self.0, &encode_cursor(position), points)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_every_flipped_bit() {
        let bytes = encode_cursor(0x0123_4567_89ab_cdef);
        assert_eq!(decode_cursor(&bytes), Some(0x0123_4567_89ab_cdef));
        for bit in 0..bytes.len() * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_cursor(&bad), None, "bit {bit}");
        }
        assert_eq!(decode_cursor(&bytes[..23]), None);
        assert_eq!(decode_cursor(&[]), None);
    }

    #[test]
    fn damage_is_moved_aside() {
        let dir = tempfile::tempdir().expect("folder");
        std::fs::create_dir(dir.path().join(CURSOR_DIR)).expect("cursors");
        let cursor = CursorFile::of(dir.path(), "kafka");
        assert_eq!(cursor.read().expect("reads"), Found::Absent);
        cursor.write(7).expect("writes");
        assert_eq!(cursor.read().expect("reads"), Found::At(7));
        std::fs::write(cursor.path(), b"junk").expect("overwrites");
        assert_eq!(cursor.read().expect("reads"), Found::Damaged);
        assert_eq!(cursor.read().expect("reads"), Found::Absent);
    }

    #[test]
    fn a_folder_that_was_deleted_is_made_again() {
        let dir = tempfile::tempdir().expect("folder");
        let cursor = CursorFile::of(dir.path(), "kafka");
        cursor.write(7).expect("writes");
        assert_eq!(cursor.read().expect("reads"), Found::At(7));
        let gone = CursorFile::of(&dir.path().join("gone"), "kafka");
        assert!(gone.write(7).is_err(), "the data folder is not made again: it would pass for the journal's");
    }
}
