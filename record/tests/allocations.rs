//! The budget of `append`: no allocation once the builder has seen a batch.

#[path = "../examples/plausible/mod.rs"]
mod plausible;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use plausible::{Facts, header};
use tollgate_record::{BatchBuilder, Record, SealLimits};

/// The system's allocator, counting what each thread asks for.
struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is being torn down has no counter any more, and is of no interest.
    let _ = ALLOCATIONS.try_with(|allocations| allocations.set(allocations.get() + 1));
}

// A global allocator is an unsafe trait; this one hands everything to the system's.
#[allow(unsafe_code)]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn append_allocates_nothing_after_the_first_batch() {
    let facts: Vec<Facts> = (1..=2048).map(Facts::of).collect();
    let records: Vec<Record<'_>> = facts.iter().map(Facts::record).collect();
    let mut builder = BatchBuilder::new(header(), SealLimits::default());
    for batch in 0..4 {
        let before = ALLOCATIONS.get();
        for record in &records {
            builder.append(record);
        }
        let allocations = ALLOCATIONS.get() - before;
        builder.seal(1).unwrap();
        match batch {
            0 => assert!(allocations > 0, "the first batch must grow the buffers, or the count is wrong"),
            _ => assert_eq!(allocations, 0, "append allocated in batch {batch}"),
        }
    }
}
