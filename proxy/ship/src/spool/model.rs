//! A model of the spool: a map of the batches that it was given, compared with the spool on a disk that fails in every
//! way.
//!
//! After any sequence of operations, a batch whose write returned is there, byte for byte, until it is deleted. No
//! batch is sent that was not written. Batches are sent in their order. The counts match the files. Only flipped bits
//! may cost a batch, and then reading it is an error.

use std::collections::BTreeMap;

use bytes::Bytes;
use proptest::prelude::*;
use tollgate_record::runs::Runs;
use tollgate_storage::simulated::{Dice, Disk};

use super::*;
use crate::batch_file::{ReadError, read};

const LIMITS: SpoolLimits = SpoolLimits { bytes_max: 20 * BLOCK_BYTES, files_max: 16 };

#[derive(Debug, Clone)]
enum Op {
    Write { size: u16, producer: u8 },
    WriteLast { size: u16 },
    KeepReserve,
    Send,
    HandBack,
    FailWrite,
    FailSync,
    FailDirSync,
    FailRead,
    Full { room: u16 },
    Roomy,
    RestartProcess,
    RestartMachine,
    CutPowerAfter { operations: u8, size: u16 },
    FlipBit,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        12 => (1u16..9000, 0u8..3).prop_map(|(size, producer)| Op::Write { size, producer }),
        1 => (1u16..3000).prop_map(|size| Op::WriteLast { size }),
        1 => Just(Op::KeepReserve),
        4 => Just(Op::Send),
        1 => Just(Op::HandBack),
        2 => Just(Op::FailWrite),
        2 => Just(Op::FailSync),
        1 => Just(Op::FailDirSync),
        1 => Just(Op::FailRead),
        1 => (0u16..9000).prop_map(|room| Op::Full { room }),
        2 => Just(Op::Roomy),
        2 => Just(Op::RestartProcess),
        2 => Just(Op::RestartMachine),
        3 => (0u8..10, 1u16..9000).prop_map(|(operations, size)| Op::CutPowerAfter { operations, size }),
    ];
    prop::collection::vec(op, 1..60)
}

fn ops_with_flips() -> impl Strategy<Value = Vec<Op>> {
    (ops(), prop::collection::vec(any::<prop::sample::Index>(), 1..4)).prop_map(|(mut ops, flips)| {
        for flip in flips {
            ops.insert(flip.index(ops.len() + 1), Op::FlipBit);
        }
        ops
    })
}

/// State of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    /// The write returned.
    Stored,
    /// The write failed, or the batch was deleted: it may be there, whole.
    Unsure,
}

struct Model {
    disk: Disk,
    dice: Dice,
    spool: Spool,
    given: BTreeMap<BatchName, (Fate, Bytes)>,
    numbers: [u64; 4],
    flipped: bool,
    has_reserve: bool,
}

fn open(disk: &Disk) -> Spool {
    Spool::open_on(Arc::new(disk.clone()), LIMITS, None).expect("opens")
}

impl Model {
    fn new(seed: u64) -> Self {
        let disk = Disk::default();
        let spool = open(&disk);
        let dice = Dice(seed | 1);
        Self { disk, dice, spool, given: BTreeMap::new(), numbers: [0; 4], flipped: false, has_reserve: false }
    }

    fn batch(&mut self, producer: usize, size: u16) -> SealedBatch {
        self.numbers[producer] += 1;
        let batch_seq = self.numbers[producer];
        let mut bytes = vec![0; usize::from(size)];
        bytes.iter_mut().for_each(|byte| *byte = self.dice.roll(256) as u8);
        let producer = format!("gate-{}/{:x}/{}", producer % 2, 100 + producer, producer);
        SealedBatch { producer: producer.into(), batch_seq, rows: 3, seqs: Runs::between(1, 3), bytes: bytes.into() }
    }

    /// Writes as the shipper does: only a batch that fits, which is counted once it is written.
    fn write(&mut self, producer: usize, size: u16) {
        let batch = self.batch(producer, size);
        if !self.spool.fits(batch.bytes.len() as u64) {
            return;
        }
        let name = BatchName::of(&batch, 3).expect("a name");
        let written = write(&self.disk, &batch, 3);
        let fate = if written.is_ok() { Fate::Stored } else { Fate::Unsure };
        self.given.insert(name, (fate, batch.bytes));
        if let Ok(file) = written {
            self.spool.add(file);
        }
        assert!(self.spool.bytes() <= LIMITS.bytes_max && self.spool.files <= LIMITS.files_max);
    }

    fn write_last(&mut self, size: u16) {
        let batch = self.batch(3, size);
        let name = BatchName::of(&batch, 0).expect("a name");
        let written = write_last(&self.disk, 0, &batch);
        self.given.insert(name, (if written.is_ok() { Fate::Stored } else { Fate::Unsure }, batch.bytes));
        if let Ok(file) = written {
            self.spool.add(file);
        } else {
            assert!(!self.has_reserve, "room was kept: {written:?}");
        }
        self.has_reserve = false;
    }

    /// Reads the oldest batch, checks it, and deletes it.
    fn send(&mut self) {
        let Some(file) = self.spool.take(|_| false) else { return };
        match read(&self.disk, &file.name) {
            Ok(bytes) => {
                let (_, given) = self.given.get(&file.name).expect("sent, but never written");
                assert_eq!(*given, bytes, "what is sent is what was written");
                // The disk may fail here: the file stays, and is sent again by a later process.
                let _ = self.disk.remove(&file.name.to_string());
                self.given.entry(file.name.clone()).and_modify(|(fate, _)| *fate = Fate::Unsure);
                self.spool.forget(&file);
            }
            Err(error) if error.may_pass() => self.spool.put_back(file),
            Err(error) => {
                assert!(self.flipped && matches!(error, ReadError::Checksum), "{} is lost: {error}", file.name);
                set_aside(&self.disk, &file.name.to_string()).expect("moves");
                self.spool.forget(&file);
                self.given.remove(&file.name);
            }
        }
    }

    /// Opens the spool again, and compares everything.
    fn reopen(&mut self) {
        self.spool = open(&self.disk);
        self.has_reserve = false;
        let mut found = Vec::new();
        while let Some(file) = self.spool.take(|_| false) {
            found.push(file);
        }
        assert!(found.is_sorted_by(|a, b| a.name < b.name), "in order");
        for file in &found {
            match read(&self.disk, &file.name) {
                Ok(bytes) => {
                    let (_, given) = self.given.get(&file.name).expect("there, but never written");
                    assert_eq!(*given, bytes, "half a batch has no final name");
                }
                Err(error) => assert!(self.flipped && matches!(error, ReadError::Checksum), "{}: {error}", file.name),
            }
        }
        let names: Vec<&BatchName> = found.iter().map(|file| &file.name).collect();
        for (name, (fate, _)) in &self.given {
            assert!(*fate == Fate::Unsure || names.contains(&name), "{name} was stored and is gone");
        }
        let cost: u64 = found.iter().map(SpoolFile::cost).sum();
        assert_eq!((self.spool.bytes(), self.spool.files), (cost, found.len()));
        found.into_iter().for_each(|file| self.spool.put_back(file));
    }

    fn restart(&mut self, machine: bool) {
        if machine {
            self.disk.restart_machine(&mut self.dice);
        } else {
            self.disk.restart_process();
        }
        self.reopen();
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Write { size, producer } => self.write(usize::from(*producer), *size),
            Op::WriteLast { size } => self.write_last(*size),
            Op::KeepReserve => {
                self.disk.restart_process();
                self.has_reserve = keep_reserve(&self.disk, 0).is_ok();
            }
            Op::Send => self.send(),
            Op::HandBack => {
                if let Some(file) = self.spool.take(|_| false) {
                    self.spool.put_back(file);
                }
            }
            Op::FailWrite | Op::FailSync | Op::FailDirSync | Op::FailRead => {
                // A write that fails twice has found no reserved room either.
                self.has_reserve = false;
                match op {
                    Op::FailWrite => self.disk.fail_next_write(),
                    Op::FailSync => self.disk.fail_next_sync(),
                    Op::FailDirSync => self.disk.fail_next_dir_sync(),
                    _ => self.disk.fail_next_read(),
                }
            }
            Op::Full { room } => self.disk.set_capacity(Some(self.disk.used() + u64::from(*room))),
            Op::Roomy => self.disk.set_capacity(None),
            Op::RestartProcess => self.restart(false),
            Op::RestartMachine => self.restart(true),
            Op::CutPowerAfter { operations, size } => {
                self.disk.cut_power_after(u32::from(*operations));
                self.write(0, *size);
                self.write(1, *size);
                self.restart(true);
            }
            Op::FlipBit => {
                let flips = self.disk.flip_bit(SUFFIX, &mut self.dice);
                self.flipped |= flips;
            }
        }
    }
}

fn run(ops: &[Op], seed: u64) {
    let mut model = Model::new(seed);
    for op in ops {
        model.apply(op);
    }
    model.restart(true);
    model.disk.set_capacity(None);
    while model.spool.bytes() > 0 {
        model.send();
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn what_was_spooled_is_sent(ops in ops(), seed in any::<u64>()) {
        run(&ops, seed);
    }

    #[test]
    fn flipped_bits_are_never_sent(ops in ops_with_flips(), seed in any::<u64>()) {
        run(&ops, seed);
    }
}
