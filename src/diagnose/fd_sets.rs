//! Reads the descriptor sets of `epoll` and `poll`: the descriptors of a thread that waits for several of them.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// One entry of an epoll set.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct EpollEntry {
    /// The number that the descriptor had when it was added.
    pub(super) fd: u32,
    /// The inode of the watched file. `None` if the kernel does not report it (before Linux 4.13).
    pub(super) inode: Option<u64>,
}

/// Returns the entries of the epoll descriptor `epoll`, in the process whose folder in `/proc` is `root`.
pub(super) fn epoll_entries(root: &Path, epoll: u32) -> Vec<EpollEntry> {
    let info = fs::read(root.join(format!("fdinfo/{epoll}"))).unwrap_or_default();
    String::from_utf8_lossy(&info).lines().filter_map(parse_epoll_entry).collect()
}

/// Parses `tfd: 5 events: 19 data: 5  pos:0 ino:1a2b sdev:9`. The field `data` is set by the owner of the epoll set. It is
/// always a number, so it cannot imitate the field `ino`.
fn parse_epoll_entry(line: &str) -> Option<EpollEntry> {
    let fd = line.strip_prefix("tfd:")?.split_ascii_whitespace().next()?.parse().ok()?;
    let inode = line.split_ascii_whitespace().find_map(|word| word.strip_prefix("ino:"));
    Some(EpollEntry { fd, inode: inode.and_then(|digits| u64::from_str_radix(digits, 16).ok()) })
}

/// Returns the first `length` descriptors of the poll set at address `at`, in the memory of the process whose folder in
/// `/proc` is `root`. Some may not be descriptors: a caller of `poll` disables an entry with a negative number.
pub(super) fn poll_fds(root: &Path, at: u64, length: usize) -> Option<Vec<u32>> {
    /// The size of `struct pollfd`: the descriptor and two masks.
    const ENTRY: usize = 8;
    let mut memory = File::open(root.join("mem")).ok()?;
    memory.seek(SeekFrom::Start(at)).ok()?;
    let mut bytes = Vec::new();
    memory.take((length * ENTRY) as u64).read_to_end(&mut bytes).ok()?;
    let entries = bytes.chunks_exact(ENTRY);
    (entries.len() == length)
        .then(|| entries.map(|entry| u32::from_ne_bytes([entry[0], entry[1], entry[2], entry[3]])).collect())
}
