//! The journal against a map of what it acknowledged, on a disk that does its worst.
//!
//! What must hold after anything: every frame that was acknowledged or ever read is there again, at its position, byte
//! for byte, until it is trimmed; nothing is there that was not appended, and nothing twice. Only flipped bits may cost
//! frames, and then the recovery or the reader says so.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use tollgate_journal::storage::simulated::{Dice, Disk};
use tollgate_journal::{AppendError, Entry, Journal, Options};

#[derive(Debug, Clone)]
enum Op {
    Append { sizes: Vec<u16> },
    FailSync,
    FailWrite,
    FailDirSync,
    FailRead,
    Full { room: u16 },
    Roomy,
    Trim { share: u8 },
    RestartProcess,
    RestartMachine,
    CutPowerAfter { operations: u8 },
    FlipBit,
    Close,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        12 => prop::collection::vec(0u16..1500, 1..6).prop_map(|sizes| Op::Append { sizes }),
        2 => Just(Op::FailSync),
        2 => Just(Op::FailWrite),
        1 => Just(Op::FailDirSync),
        1 => Just(Op::FailRead),
        1 => (0u16..9000).prop_map(|room| Op::Full { room }),
        2 => Just(Op::Roomy),
        2 => any::<u8>().prop_map(|share| Op::Trim { share }),
        2 => Just(Op::RestartProcess),
        2 => Just(Op::RestartMachine),
        3 => (0u8..14).prop_map(|operations| Op::CutPowerAfter { operations }),
        1 => Just(Op::Close),
    ];
    prop::collection::vec(op, 1..40)
}

fn ops_with_flips() -> impl Strategy<Value = Vec<Op>> {
    (ops(), prop::collection::vec(any::<prop::sample::Index>(), 1..4)).prop_map(|(mut ops, flips)| {
        for flip in flips {
            let at = flip.index(ops.len() + 1);
            ops.insert(at, Op::RestartProcess);
            ops.insert(at, Op::FlipBit);
        }
        ops
    })
}

type Identity = (u64, Bytes);

struct Model {
    disk: Disk,
    dice: Dice,
    journal: Option<Journal>,
    /// Acknowledged or read: must stay.
    stored: BTreeMap<u64, Identity>,
    /// Appended and refused or not answered: may be there.
    unsure: BTreeMap<u64, Bytes>,
    batch_seq: u64,
    trimmed_before: u64,
    flipped: bool,
    excused: BTreeSet<u64>,
}

fn options(floor: u64) -> Options {
    Options {
        segment_bytes: 4096,
        bytes_max: 1 << 20,
        high_water_bytes: 1 << 19,
        disk_free_min_bytes: 0,
        group_bytes_max: 3000,
        group_frames_max: 4,
        queue_frames_max: 4,
        retry_interval: Duration::ZERO,
        position_floor: floor,
        ..Options::default()
    }
}

impl Model {
    fn new(seed: u64) -> Self {
        let mut model = Self {
            disk: Disk::default(),
            dice: Dice(seed | 1),
            journal: None,
            stored: BTreeMap::new(),
            unsure: BTreeMap::new(),
            batch_seq: 0,
            trimmed_before: 0,
            flipped: false,
            excused: BTreeSet::new(),
        };
        model.reopen();
        model
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread().build().expect("runtime")
    }

    fn reopen(&mut self) {
        // As the collector does: its cursors and the table know how far positions were given out.
        let floor = if self.flipped { self.stored.keys().next_back().map_or(0, |last| last + 1) } else { 0 };
        let (journal, recovery) = Journal::open_on(Arc::new(self.disk.clone()), &options(floor)).expect("opens");
        for damage in &recovery.damage {
            self.excused.extend(damage.positions.clone());
        }
        if !recovery.damage.is_empty() && self.flipped {
            // A torn tail does not know which positions it held.
            self.excused.extend(recovery.next_position.saturating_sub(64)..recovery.next_position);
        }
        if !self.flipped {
            assert_eq!(recovery.quarantined, 0, "nothing was damaged: {recovery:?}");
        }
        self.journal = Some(journal);
        self.check();
    }

    /// Reads everything and compares.
    fn check(&mut self) {
        let journal = self.journal.as_ref().expect("open");
        let mut reader = journal.reader(journal.first_position());
        let mut found = BTreeMap::new();
        let mut identities = BTreeSet::new();
        while let Some(frame) = reader.next().expect("reads") {
            let known = self.stored.get(&frame.position);
            match known {
                Some(identity) => assert_eq!(identity, &(frame.batch_seq, frame.payload.clone())),
                None => {
                    let appended = self.unsure.get(&frame.batch_seq);
                    assert_eq!(appended, Some(&frame.payload), "frame {} was never appended", frame.position);
                }
            }
            assert!(identities.insert(frame.batch_seq), "batch {} is there twice", frame.batch_seq);
            found.insert(frame.position, (frame.batch_seq, frame.payload));
        }
        assert!(journal.first_position() <= self.trimmed_before.max(found.keys().next().copied().unwrap_or(u64::MAX)));
        for position in self.stored.keys().filter(|position| **position >= self.trimmed_before) {
            let excused = self.flipped && (reader.lost() > 0 || self.excused.contains(position));
            assert!(found.contains_key(position) || excused, "position {position} is lost");
        }
        self.stored.extend(found);
    }

    /// A disk that fails to read costs an error, and nothing else: the next try finds everything.
    fn read_badly(&mut self) {
        let journal = self.journal.as_ref().expect("open");
        let holds_frames = journal.first_position() < journal.next_position();
        self.disk.fail_next_read();
        let first = journal.reader(journal.first_position()).next();
        assert!(first.is_err() || !holds_frames || self.flipped, "the error is told: {first:?}");
        self.disk.restore_reads();
        self.check();
    }

    fn append(&mut self, sizes: &[u16]) {
        let journal = self.journal.as_ref().expect("open");
        let first = self.batch_seq + 1;
        self.batch_seq += sizes.len() as u64;
        let payloads: Vec<Bytes> =
            (first..).zip(sizes).map(|(n, size)| Bytes::from(vec![n as u8; usize::from(*size)])).collect();
        let answers = Self::runtime().block_on(async {
            let mut tickets = Vec::new();
            for (batch_seq, payload) in (first..).zip(&payloads) {
                tickets.push(journal.enqueue(entry(batch_seq, payload.clone())).await.expect("open"));
            }
            let mut answers = Vec::new();
            for ticket in tickets {
                answers.push(ticket.stored().await);
            }
            answers
        });
        for ((batch_seq, payload), answer) in (first..).zip(payloads).zip(answers) {
            match answer {
                Ok(position) => {
                    let before = self.stored.insert(position, (batch_seq, payload));
                    assert_eq!(before, None, "position {position} was given out twice");
                }
                Err(AppendError::Full { .. } | AppendError::Unavailable { .. }) => {
                    self.unsure.insert(batch_seq, payload);
                }
                Err(other) => panic!("{other}"),
            }
        }
    }

    fn restart(&mut self, machine: bool) {
        // Dropping the journal joins its writer; what it does then finds the power off.
        self.disk.cut_power_after(0);
        self.journal = None;
        if machine {
            self.disk.restart_machine(&mut self.dice)
        } else {
            self.disk.restart_process()
        }
        self.reopen();
    }

    fn apply(&mut self, op: &Op) {
        match op {
            Op::Append { sizes } => self.append(sizes),
            Op::FailSync => self.disk.fail_next_sync(),
            Op::FailWrite => self.disk.fail_next_write(),
            Op::FailDirSync => self.disk.fail_next_dir_sync(),
            Op::FailRead => self.read_badly(),
            Op::Full { room } => self.disk.set_capacity(Some(self.disk.used() + u64::from(*room))),
            Op::Roomy => self.disk.set_capacity(None),
            Op::Trim { share } => {
                let journal = self.journal.as_ref().expect("open");
                let (first, next) = (journal.first_position(), journal.next_position());
                let before = first + (next - first) * u64::from(*share) / 255;
                // The disk may fail here; what is trimmed then is tried again.
                let _ = journal.trim(before);
                self.trimmed_before = self.trimmed_before.max(before);
            }
            Op::RestartProcess => self.restart(false),
            Op::RestartMachine => self.restart(true),
            Op::CutPowerAfter { operations } => {
                self.disk.cut_power_after(u32::from(*operations));
                self.append(&[100, 700, 900]);
                self.append(&[1200, 1300]);
                self.restart(true);
            }
            Op::FlipBit => {
                self.disk.set_capacity(None);
                self.flipped |= self.disk.flip_bit(".seg", &mut self.dice);
            }
            Op::Close => {
                self.journal = None;
                self.disk.restart_process();
                self.reopen();
            }
        }
    }
}

fn entry(batch_seq: u64, payload: Bytes) -> Entry {
    Entry { producer: Arc::from("gw-1/1/0"), batch_seq, first_seq: 1, last_seq: 2, rows: 2, received_us: 3, payload }
}

fn run(ops: &[Op], seed: u64) {
    let mut model = Model::new(seed);
    for op in ops {
        model.apply(op);
    }
    model.check();
    model.disk.set_capacity(None);
    model.restart(true);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn nothing_acknowledged_is_lost(ops in ops(), seed in any::<u64>()) {
        run(&ops, seed);
    }

    #[test]
    fn flipped_bits_are_told(ops in ops_with_flips(), seed in any::<u64>()) {
        run(&ops, seed);
    }
}
