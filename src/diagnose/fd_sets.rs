//! Which descriptors a thread waits on that waits on several.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// An entry of an epoll set.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct HostedService {
    /// The number that the descriptor had when it was added.
    pub(super) fd: u32,
    /// The inode of what is watched. `None`: the kernel does not say it (before Linux 4.13).
    pub(super) inode: Option<u64>,
}

/// What an epoll descriptor of the process at `root` watches.
pub(super) fn watched(root: &Path, epoll: u32) -> Vec<HostedService> {
    let info = fs::read(root.join(format!("fdinfo/{epoll}"))).unwrap_or_default();
    String::from_utf8_lossy(&info).lines().filter_map(entry).collect()
}

/// Reads `tfd: 5 events: 19 data: 5  pos:0 ino:1a2b sdev:9`. What the owner of the set keeps with an entry is a number, so
/// that it cannot look like an inode.
fn entry(line: &str) -> Option<HostedService> {
    let fd = line.strip_prefix("tfd:")?.split_ascii_whitespace().next()?.parse().ok()?;
    let inode = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("ino:"));
    Some(HostedService { fd, inode: inode.and_then(|digits| u64::from_str_radix(digits, 16).ok()) })
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
