//! A disk that loses what was not synced, tears writes at sectors, runs full, fails, and drops dirty pages when a sync
//! fails, as Linux does. For tests: it panics where a test makes no sense.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::{Identity, Storage, StorageFile};

const SECTOR: usize = 512;

/// A small seeded generator of numbers, good enough to choose which sectors survive.
#[derive(Debug, Clone)]
pub struct Dice(
    /// The seed; not 0.
    pub u64,
);

impl Dice {
    /// Returns a number below `sides`.
    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides.max(1)
    }
}

#[derive(Debug, Default, Clone)]
struct Content {
    /// What a read sees.
    cache: Vec<u8>,
    /// What a power cut leaves.
    disk: Vec<u8>,
    /// Sectors of the cache that the next sync writes.
    dirty: Vec<usize>,
}

#[derive(Debug, Clone)]
enum DirOp {
    Link(String, usize),
    Unlink(String),
    Rename(String, String),
}

#[derive(Debug, Default)]
struct State {
    files: Vec<Content>,
    dir: BTreeMap<String, usize>,
    durable_dir: BTreeMap<String, usize>,
    unsynced_dir: Vec<DirOp>,
    /// Handles of an earlier life answer errors.
    life: u64,
    fail_writes: u32,
    fail_syncs: u32,
    fail_reads: u32,
    fail_dir_syncs: u32,
    crash_after: Option<u32>,
    dead: bool,
    capacity: Option<u64>,
}

/// The disk; a clone is the same one.
#[derive(Debug, Default, Clone)]
pub struct Disk(Arc<Mutex<State>>);

struct Handle {
    disk: Disk,
    file: usize,
    life: u64,
}

fn dead() -> io::Error {
    io::Error::other("power is off")
}

fn eio() -> io::Error {
    io::Error::other("simulated EIO")
}

impl State {
    /// Counts one operation that changes the disk; the armed power cut happens before it.
    fn step(&mut self) -> io::Result<()> {
        if let Some(left) = &mut self.crash_after {
            if *left == 0 {
                self.dead = true;
            }
            *left = left.saturating_sub(1);
        }
        if self.dead { Err(dead()) } else { Ok(()) }
    }

    fn used(&self) -> u64 {
        self.dir.values().map(|file| self.files[*file].cache.len() as u64).sum()
    }
}

fn apply(dir: &mut BTreeMap<String, usize>, op: &DirOp) {
    match op {
        DirOp::Link(name, file) => drop(dir.insert(name.clone(), *file)),
        DirOp::Unlink(name) => drop(dir.remove(name)),
        DirOp::Rename(from, to) => {
            if let Some(file) = dir.remove(from) {
                dir.insert(to.clone(), file);
            }
        }
    }
}

impl Disk {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().expect("no panic inside")
    }

    /// Makes the next write fail after a part of it was written.
    pub fn fail_next_write(&self) {
        self.state().fail_writes += 1;
    }

    /// Makes the next sync of a file fail; the pages that it was to write are dropped.
    pub fn fail_next_sync(&self) {
        self.state().fail_syncs += 1;
    }

    /// Makes the next read fail.
    pub fn fail_next_read(&self) {
        self.state().fail_reads += 1;
    }

    /// Makes reads succeed again.
    pub fn restore_reads(&self) {
        self.state().fail_reads = 0;
    }

    /// Makes the next sync of a folder fail; its changes stay undecided.
    pub fn fail_next_dir_sync(&self) {
        self.state().fail_dir_syncs += 1;
    }

    /// Makes everything fail from the `operations`-th change on, as if the power were cut there.
    pub fn cut_power_after(&self, operations: u32) {
        self.state().crash_after = Some(operations);
    }

    /// Sets how many bytes of files fit from now on; none = no bound.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.state().capacity = bytes;
    }

    /// Bytes of files.
    pub fn used(&self) -> u64 {
        self.state().used()
    }

    /// Restarts the process: everything written is still readable, synced or not.
    pub fn restart_process(&self) {
        let mut state = self.state();
        state.life += 1;
        (state.dead, state.crash_after) = (false, None);
        (state.fail_writes, state.fail_syncs, state.fail_reads, state.fail_dir_syncs) = (0, 0, 0, 0);
    }

    /// Cuts the power: of everything unsynced, only some sectors and some changes of folders survive.
    pub fn restart_machine(&self, dice: &mut Dice) {
        self.restart_process();
        let mut state = self.state();
        let kept = dice.roll(state.unsynced_dir.len() as u64 + 1) as usize;
        let ops = std::mem::take(&mut state.unsynced_dir);
        let mut dir = std::mem::take(&mut state.durable_dir);
        ops[..kept].iter().for_each(|op| apply(&mut dir, op));
        state.durable_dir = dir.clone();
        state.dir = dir;
        for content in &mut state.files {
            if content.disk.len() != content.cache.len() && dice.roll(2) == 0 {
                content.disk.resize(content.cache.len(), 0);
            }
            for sector in std::mem::take(&mut content.dirty) {
                if dice.roll(2) == 0 {
                    copy_sector(content, sector, dice.roll(4) == 0);
                }
            }
            content.cache.clone_from(&content.disk);
        }
    }

    /// Flips one bit of a file whose name has this ending. Returns whether there is one.
    pub fn flip_bit(&self, suffix: &str, dice: &mut Dice) -> bool {
        let mut state = self.state();
        let files: Vec<usize> =
            state.dir.iter().filter(|(name, _)| name.ends_with(suffix)).map(|(_, file)| *file).collect();
        let Some(file) = files.get(dice.roll(files.len() as u64) as usize) else { return false };
        let content = &mut state.files[*file];
        let used = content.cache.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if used == 0 {
            return false;
        }
        let at = dice.roll(used as u64) as usize;
        let bit = 1 << dice.roll(8);
        content.cache[at] ^= bit;
        if let Some(byte) = content.disk.get_mut(at) {
            *byte ^= bit;
        }
        true
    }

    /// Returns the names of all files.
    pub fn names(&self) -> Vec<String> {
        self.state().dir.keys().cloned().collect()
    }

    /// Returns a file's bytes, as a read sees them.
    pub fn read(&self, name: &str) -> Vec<u8> {
        let state = self.state();
        state.files[state.dir[name]].cache.clone()
    }

    /// Replaces a file's bytes, on the disk too.
    pub fn overwrite(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        let file = state.dir[name];
        state.files[file] = Content { disk: bytes.clone(), cache: bytes, dirty: Vec::new() };
    }

    /// Makes another file of this name, on the disk too.
    pub fn create_with(&self, name: &str, bytes: Vec<u8>) {
        let mut state = self.state();
        state.files.push(Content { disk: bytes.clone(), cache: bytes, dirty: Vec::new() });
        let file = state.files.len() - 1;
        state.dir.insert(name.to_owned(), file);
        state.durable_dir.insert(name.to_owned(), file);
    }

    /// Deletes a file, on the disk too.
    pub fn delete(&self, name: &str) {
        let mut state = self.state();
        state.dir.remove(name);
        state.durable_dir.remove(name);
    }

    fn handle(&self, file: usize, life: u64) -> Box<dyn StorageFile> {
        Box::new(Handle { disk: self.clone(), file, life })
    }
}

fn copy_sector(content: &mut Content, sector: usize, torn: bool) {
    let start = sector * SECTOR;
    let end = (start + if torn { SECTOR / 2 } else { SECTOR }).min(content.cache.len()).min(content.disk.len());
    if start < end {
        content.disk[start..end].copy_from_slice(&content.cache[start..end]);
    }
}

impl Storage for Disk {
    fn list(&self, under: &str) -> io::Result<Vec<(String, u64)>> {
        let state = self.state();
        let files = state.dir.iter().filter_map(|(name, file)| {
            let (folder, base) = name.rsplit_once('/').unwrap_or(("", name));
            (folder == under).then(|| (base.to_owned(), state.files[*file].cache.len() as u64))
        });
        Ok(files.collect())
    }

    fn create(&self, name: &str, bytes: u64) -> io::Result<Box<dyn StorageFile>> {
        let mut state = self.state();
        state.step()?;
        if state.capacity.is_some_and(|capacity| state.used() + bytes > capacity) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let content = Content { cache: vec![0; bytes as usize], ..Content::default() };
        state.files.push(content);
        let file = state.files.len() - 1;
        let op = DirOp::Link(name.to_owned(), file);
        apply(&mut state.dir, &op);
        state.unsynced_dir.push(op);
        Ok(self.handle(file, state.life))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn StorageFile>> {
        let state = self.state();
        let file = state.dir.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(*file, state.life))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        if !state.dir.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let op = DirOp::Rename(from.to_owned(), to.to_owned());
        apply(&mut state.dir, &op);
        state.unsynced_dir.push(op);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        if !state.dir.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let op = DirOp::Unlink(name.to_owned());
        apply(&mut state.dir, &op);
        state.unsynced_dir.push(op);
        Ok(())
    }

    fn sync_dir(&self, _under: &str) -> io::Result<()> {
        let mut state = self.state();
        state.step()?;
        if state.fail_dir_syncs > 0 {
            state.fail_dir_syncs -= 1;
            return Err(eio());
        }
        state.unsynced_dir.clear();
        state.durable_dir = state.dir.clone();
        Ok(())
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let state = self.state();
        Ok(state.capacity.map_or(u64::MAX, |capacity| capacity.saturating_sub(state.used())))
    }

    fn identity(&self, name: &str) -> io::Result<Identity> {
        let file = self.state().dir.get(name).copied();
        Ok(inode(file.ok_or(io::ErrorKind::NotFound)?))
    }
}

fn inode(file: usize) -> Identity {
    Identity { device: 0, inode: file as u64 }
}

impl Handle {
    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        let state = self.disk.state();
        if state.life == self.life { Ok(state) } else { Err(dead()) }
    }
}

impl StorageFile for Handle {
    fn bytes(&self) -> io::Result<u64> {
        Ok(self.state()?.files[self.file].cache.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut state = self.state()?;
        if state.fail_reads > 0 {
            state.fail_reads -= 1;
            return Err(eio());
        }
        let cache = &state.files[self.file].cache;
        let bytes = cache.get(offset as usize..offset as usize + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.state()?;
        let outcome = state.step();
        let fails = outcome.is_err() || state.fail_writes > 0;
        if state.fail_writes > 0 && outcome.is_ok() {
            state.fail_writes -= 1;
        }
        // A write that fails may have written a part.
        let written = if fails { bytes.len() / 2 } else { bytes.len() };
        let start = offset as usize;
        let grows = (start + written).saturating_sub(state.files[self.file].cache.len()) as u64;
        if outcome.is_ok() && state.capacity.is_some_and(|capacity| state.used() + grows > capacity) && grows > 0 {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let content = &mut state.files[self.file];
        if content.cache.len() < start + written {
            content.cache.resize(start + written, 0);
        }
        content.cache[start..start + written].copy_from_slice(&bytes[..written]);
        if written > 0 {
            content.dirty.extend(start / SECTOR..=(start + written - 1) / SECTOR);
        }
        outcome?;
        if fails { Err(eio()) } else { Ok(()) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut state = self.state()?;
        state.step()?;
        if state.fail_syncs > 0 {
            state.fail_syncs -= 1;
            // The kernel calls these pages clean now; they are on no disk.
            state.files[self.file].dirty.clear();
            return Err(eio());
        }
        let content = &mut state.files[self.file];
        content.disk.resize(content.cache.len(), 0);
        for sector in std::mem::take(&mut content.dirty) {
            copy_sector(content, sector, false);
        }
        Ok(())
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        let mut state = self.state()?;
        state.step()?;
        state.files[self.file].cache.truncate(bytes as usize);
        Ok(())
    }

    fn identity(&self) -> io::Result<Identity> {
        Ok(inode(self.file))
    }
}
