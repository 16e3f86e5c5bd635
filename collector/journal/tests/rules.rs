//! One test for each rule of recovery, reading and refusing.

use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tollgate_journal::storage::simulated::{Dice, Disk};
use tollgate_journal::{AppendError, DamageKind, Entry, Journal, JournalError, Options, Recovery, offline};

fn options() -> Options {
    Options {
        segment_bytes: 4096,
        bytes_max: 1 << 20,
        high_water_bytes: 1 << 19,
        disk_free_min_bytes: 0,
        retry_interval: Duration::ZERO,
        ..Options::default()
    }
}

fn entry(batch_seq: u64, bytes: usize) -> Entry {
    Entry {
        producer: Arc::from("gw-1/1/0"),
        batch_seq,
        first_seq: 1,
        last_seq: 10,
        rows: 10,
        received_us: 5,
        payload: Bytes::from(vec![batch_seq as u8; bytes]),
    }
}

fn append(journal: &Journal, batch_seq: u64, bytes: usize) -> Result<u64, AppendError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(journal.append(entry(batch_seq, bytes)))
}

fn open(disk: &Disk) -> Result<(Journal, Recovery), JournalError> {
    Journal::open_on(Arc::new(disk.clone()), &options())
}

/// A closed journal with frames of 1,000 bytes at these positions: three to a segment.
fn filled(positions: Range<u64>) -> Disk {
    let disk = Disk::default();
    let (journal, _) = open(&disk).expect("opens");
    for position in positions {
        assert_eq!(append(&journal, position, 1000), Ok(position));
    }
    drop(journal);
    disk
}

fn positions(journal: &Journal) -> Vec<u64> {
    let mut reader = journal.reader(journal.first_position());
    std::iter::from_fn(|| reader.next().expect("reads").map(|frame| frame.position)).collect()
}

fn segment(first: u64) -> String {
    format!("{first:020}.seg")
}

fn flip(disk: &Disk, name: &str, at: usize) {
    let mut bytes = disk.read(name);
    bytes[at] ^= 1;
    disk.overwrite(name, bytes);
}

#[test]
fn what_was_appended_is_there_after_a_power_cut() {
    let disk = Disk::default();
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!(recovery, Recovery::default());
    for position in 0..10 {
        assert_eq!(append(&journal, position, 1000), Ok(position));
    }
    disk.cut_power_after(0);
    drop(journal);
    disk.restart_machine(&mut Dice(7));
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!((recovery.frames, recovery.next_position, recovery.quarantined), (10, 10, 0));
    assert_eq!(positions(&journal), (0..10).collect::<Vec<_>>());
    assert_eq!(append(&journal, 10, 10), Ok(10));
}

#[test]
fn a_torn_tail_is_kept_aside_and_cut_off() {
    let disk = filled(0..2);
    let name = segment(0);
    let mut bytes = disk.read(&name);
    let end = bytes.len();
    bytes.extend_from_slice(b"half a frame");
    bytes.resize(4096, 0);
    disk.overwrite(&name, bytes);
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!((recovery.frames, recovery.truncated_bytes, recovery.quarantined), (2, 12, 0));
    let damage = &recovery.damage[0];
    assert_eq!((damage.kind, damage.bytes.clone()), (DamageKind::Torn, end..end + 12));
    assert_eq!(disk.read(damage.file.as_deref().expect("kept")), b"half a frame");
    assert_eq!(disk.read(&name).len(), end);
    assert_eq!(append(&journal, 9, 10), Ok(2));
}

#[test]
fn zeros_are_the_end_and_no_damage() {
    let disk = filled(0..2);
    let mut bytes = disk.read(&segment(0));
    bytes.resize(4096, 0);
    disk.overwrite(&segment(0), bytes);
    let (_, recovery) = open(&disk).expect("opens");
    assert_eq!((recovery.frames, recovery.truncated_bytes, recovery.damage), (2, 0, vec![]));
}

#[test]
fn a_bad_frame_before_good_ones_is_quarantined_and_never_given_out_again() {
    let disk = filled(0..3);
    flip(&disk, &segment(0), 64 + 1072 + 500);
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!((recovery.frames, recovery.quarantined, recovery.truncated_bytes), (2, 1, 0));
    let damage = &recovery.damage[0];
    assert_eq!((damage.kind, damage.positions.clone()), (DamageKind::Corrupt, 1..2));
    assert_eq!(disk.read(damage.file.as_deref().expect("kept")).len(), damage.bytes.len());
    assert_eq!(positions(&journal), [0, 2]);
    assert_eq!(append(&journal, 9, 10), Ok(3));
    drop(journal);
    let (_, again) = open(&disk).expect("opens");
    assert_eq!((again.quarantined, again.damage[0].file.clone()), (1, damage.file.clone()), "told again, copied once");
}

#[test]
fn zeros_before_good_frames_are_damage() {
    let disk = filled(0..3);
    let mut bytes = disk.read(&segment(0));
    bytes[64..64 + 1072].fill(0);
    disk.overwrite(&segment(0), bytes);
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!((recovery.quarantined, recovery.damage[0].positions.clone()), (1, 0..1));
    assert_eq!(positions(&journal), [1, 2]);
}

#[test]
fn a_damaged_header_costs_no_frame() {
    let disk = filled(0..5);
    flip(&disk, &segment(3), 20);
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!((recovery.frames, recovery.quarantined), (5, 1));
    assert_eq!(positions(&journal), [0, 1, 2, 3, 4]);
}

#[test]
fn a_bad_last_frame_of_a_finished_segment_is_damage() {
    let disk = filled(0..5);
    flip(&disk, &segment(0), 64 + 1072 * 2 + 100);
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!((recovery.quarantined, recovery.damage[0].positions.clone()), (1, 2..3));
    assert_eq!(positions(&journal), [0, 1, 3, 4]);
}

#[test]
fn a_missing_segment_is_an_error_that_names_it_until_it_is_accepted() {
    let disk = filled(0..9);
    disk.delete(&segment(3));
    let Err(error) = open(&disk) else { panic!("must not open") };
    assert!(matches!(error, JournalError::MissingSegment { from: 3, to: 6, .. }), "{error}");
    assert!(error.to_string().contains("journal.accept_missing"), "{error}");
    let accepting = Options { accept_missing: true, ..options() };
    let (journal, recovery) = Journal::open_on(Arc::new(disk.clone()), &accepting).expect("opens");
    assert_eq!((recovery.missing.len(), recovery.missing[0].clone()), (1, 3..6));
    assert_eq!(positions(&journal), [0, 1, 2, 6, 7, 8]);
}

#[test]
fn positions_skipped_to_the_floor_stay_skipped_and_are_not_missing() {
    let disk = filled(0..2);
    let raised = Options { position_floor: 50, ..options() };
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), &raised).expect("opens");
    drop(journal);
    // Opened again before anything was appended: the empty segment must go on saying where it continues.
    for _ in 0..2 {
        let (_, recovery) = open(&disk).expect("opens");
        assert_eq!(recovery.next_position, 50);
    }
    let (journal, _) = open(&disk).expect("opens");
    assert_eq!(append(&journal, 9, 10), Ok(50));
    assert_eq!(positions(&journal), [0, 1, 50]);
    drop(journal);
    assert_eq!(open(&disk).expect("opens").1.frames, 3);
}

#[test]
fn a_failed_sync_refuses_its_frames_and_the_next_segment_takes_over() {
    let disk = Disk::default();
    let (journal, _) = open(&disk).expect("opens");
    assert_eq!(append(&journal, 0, 100), Ok(0));
    disk.fail_next_sync();
    assert!(matches!(append(&journal, 1, 100), Err(AppendError::Unavailable { .. })));
    assert_eq!(append(&journal, 2, 100), Ok(1));
    assert_eq!(journal.stats().failures, 1);
    assert_eq!(disk.names(), [segment(0), segment(1)]);
    assert_eq!(positions(&journal), [0, 1]);
    drop(journal);
    disk.restart_machine(&mut Dice(3));
    assert_eq!(positions(&open(&disk).expect("opens").0), [0, 1]);
}

#[test]
fn a_new_segment_whose_folder_cannot_be_synced_is_replaced_by_the_next_try() {
    for restarts in [false, true] {
        let disk = Disk::default();
        let (mut journal, _) = open(&disk).expect("opens");
        for position in 0..3 {
            assert_eq!(append(&journal, position, 1000), Ok(position));
        }
        disk.fail_next_dir_sync();
        assert!(matches!(append(&journal, 3, 1000), Err(AppendError::Unavailable { .. })));
        assert_eq!(disk.names(), [segment(0), segment(3)], "an empty segment harms nobody");
        if restarts {
            drop(journal);
            disk.restart_process();
            journal = open(&disk).expect("opens").0;
        }
        assert_eq!(append(&journal, 3, 1000), Ok(3));
        assert_eq!((disk.names(), positions(&journal)), (vec![segment(0), segment(3)], vec![0, 1, 2, 3]));
        drop(journal);
        disk.restart_machine(&mut Dice(3));
        assert_eq!(positions(&open(&disk).expect("opens").0), [0, 1, 2, 3]);
    }
}

#[test]
fn frames_that_only_the_page_cache_holds_are_written_again_before_they_count() {
    let disk = Disk::default();
    let (journal, _) = open(&disk).expect("opens");
    append(&journal, 0, 100).expect("stored");
    // The write succeeds, the sync fails and drops the dirty pages, and the process dies before it cuts the segment:
    // the frame is readable, and would be lost at the next power cut although it was read.
    disk.fail_next_sync();
    disk.cut_power_after(2);
    append(&journal, 1, 100).expect_err("refused");
    drop(journal);
    disk.restart_process();
    let (journal, recovery) = open(&disk).expect("opens");
    assert_eq!((recovery.frames, positions(&journal)), (2, vec![0, 1]));
    disk.cut_power_after(0);
    drop(journal);
    disk.restart_machine(&mut Dice(11));
    assert_eq!(positions(&open(&disk).expect("opens").0), [0, 1]);
}

#[test]
fn a_full_disk_refuses_and_recovers() {
    let disk = Disk::default();
    let (journal, _) = open(&disk).expect("opens");
    disk.set_capacity(Some(disk.used()));
    let mut stored = 0;
    let refused = loop {
        match append(&journal, stored, 1000) {
            Ok(position) => assert_eq!(position, stored),
            Err(error) => break error,
        }
        stored += 1;
    };
    assert!(stored == 3 && matches!(refused, AppendError::Full { .. }), "{stored} {refused}");
    disk.set_capacity(None);
    assert_eq!(append(&journal, 3, 1000), Ok(3));
    assert_eq!(positions(&journal), [0, 1, 2, 3]);
}

#[test]
fn high_water_and_disk_reserve_refuse_before_the_disk_is_full() {
    let disk = Disk::default();
    let low = Options { high_water_bytes: 8192, bytes_max: 12288, ..options() };
    let (journal, _) = Journal::open_on(Arc::new(disk.clone()), &low).expect("opens");
    let mut stored = 0;
    while append(&journal, stored, 1000).is_ok() {
        stored += 1;
        assert!(journal.stats().allocated_bytes <= 12288 && journal.bytes() <= 8192);
    }
    assert!(matches!(append(&journal, stored, 1000), Err(AppendError::Full { .. })));
    assert!(append(&journal, stored, 8).is_ok(), "a smaller one still fits");
    assert_eq!(journal.trim(stored).expect("trims"), 2);
    assert!(append(&journal, stored, 1000).is_ok());
    let reserve = Options { disk_free_min_bytes: u64::MAX, ..options() };
    let disk = Disk::default();
    disk.set_capacity(Some(1 << 20));
    let (journal, _) = Journal::open_on(Arc::new(disk), &reserve).expect("opens");
    let error = append(&journal, 0, 8).expect_err("refused");
    assert!(error.to_string().contains("are kept free"), "{error}");
}

#[test]
fn a_frame_that_never_fits_is_told_so() {
    let disk = Disk::default();
    let (journal, _) = open(&disk).expect("opens");
    assert!(matches!(append(&journal, 0, 4096), Err(AppendError::TooLarge { .. })));
    assert_eq!(append(&journal, 0, 4096 - 64 - 72), Ok(0), "one that just fits does");
    journal.close();
    assert_eq!(append(&journal, 1, 8), Err(AppendError::Closed));
}

#[test]
fn trimming_deletes_whole_segments_and_readers_are_told() {
    let disk = filled(0..8);
    let (journal, _) = open(&disk).expect("opens");
    assert_eq!(journal.trim(5).expect("trims"), 1);
    assert_eq!(journal.first_position(), 3);
    let error = journal.reader(1).next().expect_err("trimmed");
    assert!(matches!(error, JournalError::Trimmed { position: 1, first: 3 }));
    assert_eq!(journal.trim(u64::MAX).expect("trims"), 2, "the last segment stays: its name holds the position");
    assert_eq!(append(&journal, 9, 10), Ok(8));
}

#[test]
fn damage_found_while_reading_is_quarantined_once_for_all_readers() {
    let disk = Disk::default();
    let (journal, _) = open(&disk).expect("opens");
    for position in 0..3 {
        append(&journal, position, 1000).expect("stored");
    }
    flip(&disk, &segment(0), 64 + 1072 + 500);
    for _ in 0..2 {
        let mut reader = journal.reader(0);
        let read: Vec<u64> = std::iter::from_fn(|| reader.next().expect("reads").map(|frame| frame.position)).collect();
        assert_eq!((read, reader.lost()), (vec![0, 2], 1));
    }
    assert_eq!(journal.stats().quarantined, 1);
}

#[test]
fn a_reader_waits_for_what_comes() {
    let disk = Disk::default();
    let (journal, _) = open(&disk).expect("opens");
    let mut reader = journal.reader(0);
    assert_eq!(reader.next().expect("reads"), None);
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("runtime");
    runtime.block_on(async {
        let (ready, stored) = tokio::join!(reader.ready(), journal.append(entry(1, 10)));
        assert!(ready && stored == Ok(0));
    });
    assert_eq!(reader.next().expect("reads").map(|frame| frame.batch_seq), Some(1));
    assert_eq!(reader.next().expect("reads"), None);
}

#[test]
fn two_journals_do_not_share_a_folder() {
    let dir = tempfile::tempdir().expect("folder");
    let (journal, _) = Journal::open(dir.path(), &options()).expect("opens");
    let Err(error) = Journal::open(dir.path(), &options()) else { panic!("must not open") };
    assert!(error.to_string().contains("in use by another collector"), "{error}");
    append(&journal, 1, 100).expect("stored");
    drop(journal);
    assert_eq!(Journal::open(dir.path(), &options()).expect("opens").1.frames, 1);
}

#[test]
fn a_folder_is_looked_at_from_outside() {
    let dir = tempfile::tempdir().expect("folder");
    let (journal, _) = Journal::open(dir.path(), &options()).expect("opens");
    for position in 0..5 {
        append(&journal, position, 1000).expect("stored");
    }
    let live = offline::verify(dir.path()).expect("reads");
    assert_eq!((live.frames, live.rows, live.problems), (5, 50, vec![]));
    drop(journal);
    let segments = offline::ls(dir.path()).expect("reads");
    assert_eq!(segments.iter().map(|segment| segment.positions.clone()).collect::<Vec<_>>(), [0..3, 3..5]);
    let mut seen = Vec::new();
    offline::cat(dir.path(), 2..4, |frame| seen.push((frame.position, frame.payload.len()))).expect("reads");
    assert_eq!(seen, [(2, 1000), (3, 1000)]);
    bend(&dir.path().join(segment(0)), 64 + 1072 + 3);
    let verdict = offline::verify(dir.path()).expect("reads");
    assert_eq!(verdict.frames, 4);
    assert!(verdict.problems[0].contains("positions 1..2 are lost"), "{verdict:?}");
}

#[test]
fn an_unfinished_write_and_a_trimmed_start_are_no_damage() {
    let dir = tempfile::tempdir().expect("folder");
    let (journal, _) = Journal::open(dir.path(), &options()).expect("opens");
    for position in 0..8 {
        append(&journal, position, 1000).expect("stored");
    }
    drop(journal);
    let newest = dir.path().join(segment(6));
    let mut bytes = std::fs::read(&newest).expect("reads");
    let whole = bytes.len();
    bytes.extend_from_within(64..364);
    std::fs::write(&newest, bytes).expect("writes");
    let verdict = offline::verify(dir.path()).expect("reads");
    assert_eq!((verdict.problems, verdict.unfinished), (vec![], Some((segment(6), whole..whole + 300))));
    std::fs::remove_file(dir.path().join(segment(0))).expect("trims");
    let segments = offline::ls(dir.path()).expect("reads");
    assert_eq!(segments.iter().map(|segment| segment.positions.clone()).collect::<Vec<_>>(), [3..6, 6..8]);
    assert!(segments.iter().all(|segment| segment.problems.is_empty() && segment.producers.len() == 1), "{segments:?}");
    std::fs::remove_file(dir.path().join(segment(3))).expect("trims");
    let mut first = None;
    offline::frames(dir.path(), 0..u64::MAX, |frame| {
        first = Some(frame.position);
        std::ops::ControlFlow::Break(())
    })
    .expect("reads");
    assert_eq!(first, Some(6), "it stops when told to");
}

#[test]
fn a_hole_between_segments_is_damage_with_its_place() {
    let dir = tempfile::tempdir().expect("folder");
    let (journal, _) = Journal::open(dir.path(), &options()).expect("opens");
    for position in 0..8 {
        append(&journal, position, 1000).expect("stored");
    }
    drop(journal);
    std::fs::remove_file(dir.path().join(segment(3))).expect("lost");
    let verdict = offline::verify(dir.path()).expect("reads");
    assert_eq!(verdict.problems, [format!("{}: positions 3..6 are missing before it", segment(6))]);
}

fn bend(path: &Path, at: usize) {
    let mut bytes = std::fs::read(path).expect("reads");
    bytes[at] ^= 1;
    std::fs::write(path, bytes).expect("writes");
}

#[test]
fn options_that_contradict_are_named() {
    for (bad, key) in [
        (Options { segment_bytes: 10, ..options() }, "segment_bytes"),
        (Options { high_water_bytes: 1, ..options() }, "high_water_bytes"),
        (Options { bytes_max: 1 << 19, ..options() }, "bytes_max"),
        (Options { queue_frames_max: 0, ..options() }, "queue_frames_max"),
    ] {
        let Err(error) = Journal::open_on(Arc::new(Disk::default()), &bad) else { panic!("{key} must be refused") };
        assert!(error.to_string().contains(&format!("`{key}`")), "{error}");
    }
}

#[test]
fn a_frame_whose_segment_has_gone_is_refused() {
    let disk = Disk::default();
    let (journal, _) = open(&disk).expect("opens");
    assert_eq!(append(&journal, 0, 1000), Ok(0));
    let bytes = disk.read(&segment(0));
    disk.delete(&segment(0));
    for batch_seq in 1..3 {
        let refused = append(&journal, batch_seq, 10);
        assert!(matches!(refused, Err(AppendError::Displaced { .. })), "{refused:?}");
    }
    assert!(journal.displaced().is_some_and(|reason| reason.contains("is not there")));
    // Another file of that name is not the one that was synced.
    disk.create_with(&segment(0), bytes);
    assert!(matches!(append(&journal, 3, 10), Err(AppendError::Displaced { .. })));
    assert!(journal.displaced().is_some_and(|reason| reason.contains("was replaced")));
}
