//! A file beside a data file, on its way to the disk: its length and checksum are taken while it is written.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use crate::TableError;
use crate::durable::Disk;
use crate::tags::SidecarPart;

/// Bytes that are read at once to check a part.
const READ_BYTES: usize = 64 << 10;

/// A part that is being written.
pub(crate) struct PartFile {
    path: PathBuf,
    file: BufWriter<File>,
    part: SidecarPart,
}

impl PartFile {
    /// Creates the file, which must not exist.
    pub(crate) fn create(path: PathBuf) -> Result<Self, TableError> {
        let file = File::create_new(&path).map_err(|source| TableError::io(&path, source))?;
        Ok(Self { path, file: BufWriter::new(file), part: SidecarPart { bytes: 0, crc32c: 0 } })
    }

    /// Syncs the file; answers what the log says of it.
    pub(crate) fn finish(self, disk: &Disk) -> Result<SidecarPart, TableError> {
        let failed = |source| TableError::io(&self.path, source);
        let file = self.file.into_inner().map_err(|error| failed(error.into_error()))?;
        disk.sync_file(&file).map_err(failed)?;
        Ok(self.part)
    }
}

impl Write for PartFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.part = extended(self.part, &bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// What is said of a part when these bytes follow.
pub(crate) fn extended(part: SidecarPart, bytes: &[u8]) -> SidecarPart {
    SidecarPart { bytes: part.bytes + bytes.len() as u64, crc32c: crc32c::crc32c_append(part.crc32c, bytes) }
}

/// Length and checksum of a file.
pub(crate) fn measured(path: &Path) -> io::Result<SidecarPart> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; READ_BYTES];
    let mut part = SidecarPart { bytes: 0, crc32c: 0 };
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(part),
            read => part = extended(part, &buffer[..read]),
        }
    }
}
