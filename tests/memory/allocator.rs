//! An allocator that counts what each thread allocates and frees.

#![allow(unsafe_code)] // an allocator needs it; the crate itself forbids it

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

// SAFETY: `System` allocates and frees. Counting in a thread-local without initialisation and destructor neither
// allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        LIVE_BYTES.set(LIVE_BYTES.get() + layout.size() as isize);
        // SAFETY: the caller keeps the same promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE_BYTES.set(LIVE_BYTES.get() - layout.size() as isize);
        // SAFETY: the caller keeps the same promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// The bytes that this thread has allocated, minus those that it has freed.
pub(crate) fn live_bytes() -> isize {
    LIVE_BYTES.get()
}

/// Returns the result of `f`, the number of its allocations on this thread, and the bytes that it left allocated.
pub(crate) fn counted<R>(f: impl FnOnce() -> R) -> (R, usize, isize) {
    let (allocations, bytes) = (ALLOCATIONS.get(), live_bytes());
    let result = f();
    (result, ALLOCATIONS.get() - allocations, live_bytes() - bytes)
}
