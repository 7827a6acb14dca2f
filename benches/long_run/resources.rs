//! What the process holds and has used, from `/proc`.

use crate::heap;
use crate::load::CATALOGUE;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

pub const BYTES: usize = 0;
pub const BLOCKS: usize = 1;
pub const RESIDENT: usize = 2;
pub const THREADS: usize = 3;
pub const DESCRIPTORS: usize = 4;

/// Bytes and blocks on the heap, KiB resident, threads, descriptors.
#[derive(Clone, Copy)]
pub struct Usage(pub [i64; 5]);

impl Usage {
    pub fn now() -> Self {
        // Read the heap first: reading the rest allocates.
        let heap = [heap::bytes(), heap::blocks()];
        let status = fs::read_to_string("/proc/self/status").unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let resident = resident.trim().trim_end_matches(" kB").parse().unwrap();
        let threads = fs::read_dir("/proc/self/task").unwrap().count() as i64;
        Usage([heap[0], heap[1], resident, threads, descriptors()])
    }

    /// Keeps the least of each value. It excludes what comes and goes, and includes what is left behind.
    pub fn least(self, other: Usage) -> Usage {
        let mut least = self.0;
        least.iter_mut().zip(other.0).for_each(|(least, other)| *least = other.min(*least));
        Usage(least)
    }
}

/// Excludes the descriptors of the catalogue's file: SQLite keeps those of closed connections until no connection of
/// the process holds a lock. So there can be as many as there once were connections.
fn descriptors() -> i64 {
    let is_ours = |target: &PathBuf| !target.ends_with(CATALOGUE);
    let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| fs::read_link(entry.unwrap().path()).ok());
    links.filter(is_ours).count() as i64 - 1 // one of them belongs to this listing
}

/// The processor time of all threads.
pub fn cpu() -> Duration {
    // These are fields 12 and 13 after the name, which may contain spaces, in hundredths of a second.
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
    let hundredths: u64 = fields.skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum();
    Duration::from_millis(hundredths * 10)
}
