//! Which descriptors a thread waits on that waits on several.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// What an epoll descriptor of the process at `root` watches.
pub(super) fn watched(root: &Path, epoll: u32) -> Vec<u32> {
    let info = fs::read_to_string(root.join(format!("fdinfo/{epoll}"))).unwrap_or_default();
    let numbers = info.lines().filter_map(|line| line.strip_prefix("tfd:")?.split_ascii_whitespace().next());
    numbers.filter_map(|number| number.parse().ok()).collect()
}

/// The first `length` of a poll set in the memory of the process at `root`. Not all need be descriptors: a caller of
/// `poll` leaves an entry out by a negative number.
pub(super) fn polled(root: &Path, at: u64, length: usize) -> Option<Vec<u32>> {
    /// `struct pollfd`: the number, and two masks.
    const ENTRY: usize = 8;
    let mut memory = File::open(root.join("mem")).ok()?;
    memory.seek(SeekFrom::Start(at)).ok()?;
    let mut bytes = Vec::new();
    memory.take((length * ENTRY) as u64).read_to_end(&mut bytes).ok()?;
    let entries = bytes.chunks_exact(ENTRY);
    (entries.len() == length)
        .then(|| entries.map(|entry| u32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]])).collect())
}
