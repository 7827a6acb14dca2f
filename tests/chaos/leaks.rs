//! What a process holds: threads, descriptors, bytes.

use std::alloc::{GlobalAlloc, Layout, System};
use std::fs;
use std::sync::atomic::{AtomicIsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

struct Counting;

static LIVE: AtomicIsize = AtomicIsize::new(0);

// SAFETY: it is `System` that allocates and frees; counting in an atomic neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        LIVE.fetch_add(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller keeps the same promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, place: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size() as isize, Ordering::Relaxed);
        // SAFETY: the caller keeps the same promises.
        unsafe { System.dealloc(place, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// What the process holds now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    pub threads: usize,
    pub descriptors: usize,
    pub bytes: isize,
}

impl Held {
    pub fn now() -> Self {
        let entries = |dir| fs::read_dir(dir).map_or(0, Iterator::count);
        let bytes = LIVE.load(Ordering::Relaxed);
        Held { threads: entries("/proc/self/task"), descriptors: entries("/proc/self/fd"), bytes }
    }

    /// Waits until no more threads and descriptors are held than these. The last of a thread comes after whoever
    /// joined it knows.
    pub fn settle(self) -> Self {
        let limit = Instant::now() + Duration::from_secs(60);
        loop {
            let now = Held::now();
            if now.threads <= self.threads && now.descriptors <= self.descriptors {
                return now;
            }
            assert!(Instant::now() < limit, "threads or descriptors are left: {now:?}, and had {self:?}");
            thread::sleep(Duration::from_micros(50));
        }
    }
}
