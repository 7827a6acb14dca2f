//! Looking at a thread: what it is blocked in, and for how long.

use super::procfs::ProcSnapshot;
use super::stat::{Observation, ThreadUsage};
use super::thread::ThreadProbe;
use super::{RUNNING, wait_kind};
use crate::util::sync::now;
use crate::util::text::HumanDuration;
use std::time::{Duration, Instant};

/// Samples closer together than this say nothing of a time, and too little of the use of a processor.
const APART: Duration = Duration::from_millis(250);

impl ThreadProbe {
    /// What the thread is blocked in, for a person: `recvfrom(fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415)`,
    /// `futex (a lock, condvar or channel) for at least 8.99 s`, `running, 100 % CPU for at least 8.99 s`, and for
    /// waits of this library `sleeping, 3.10 s left`.
    ///
    /// Reads files: not under a lock.
    pub(crate) fn blocked_in(&self, view: &ProcSnapshot) -> Option<String> {
        if self.is_this() {
            return Some(RUNNING.to_owned()); // in this very call
        }
        let (from, before) = (now(), self.work(view)?);
        let call = view.call(self.0.number)?;
        let (waits, after) = (self.0.waits.read().filter(|_| call.may_be_ours), self.work(view)?);
        if self.is_over() {
            return None;
        }
        // With a sleep between the two, nobody knows whether the call was before or after it.
        let same = before.as_ref().zip(after.as_ref()).is_some_and(|(before, after)| before.sleeps == after.sleeps);
        let waits = waits.filter(|_| same || after.is_none());
        let what = waits.map_or(call.text, |(waits, _)| waits.text().to_owned());
        let lasting = after.filter(|_| same).map(|work| {
            let running = what == RUNNING;
            self.lasting(from, Observation { at: now(), running, sleeps: work.sleeps, cpu: work.cpu })
        });
        let left = wait_kind::remaining(waits.and_then(|(_, left)| left));
        Some(what + &lasting.unwrap_or_default() + &left)
    }

    /// What the thread has done until now. The outer `None`: the thread is gone, whoever has its number. The inner: that
    /// cannot be read.
    fn work(&self, view: &ProcSnapshot) -> Option<Option<ThreadUsage>> {
        let stat = view.stat(self.0.number).filter(|stat| stat.born == self.0.born && !self.is_over())?;
        Some(view.sleeps(self.0.number).map(|sleeps| ThreadUsage { sleeps, cpu: stat.cpu }))
    }

    /// ` for at least 8.99 s`, if an earlier sample was like this one, which was begun at `from`.
    fn lasting(&self, from: Instant, look: Observation) -> String {
        let first = self.first_like(look);
        let time = from.saturating_duration_since(first.at);
        if time < APART {
            return String::new();
        }
        let used = u128::from(look.cpu.saturating_sub(first.cpu)) * 100 / time.as_millis();
        let cpu = if look.running { format!(", {} % CPU", used.min(100)) } else { String::new() };
        format!("{cpu} for at least {}", HumanDuration(time))
    }

    /// The first sample that is like this one: of the same sleep, or of the same run.
    fn first_like(&self, look: Observation) -> Observation {
        let mut memory = self.0.memory.lock();
        let known = memory.first.filter(|known| (known.running, known.sleeps) == (look.running, look.sleeps));
        *memory.first.insert(known.unwrap_or(look))
    }
}

/// The kernel keeps 15 bytes of a thread's name, and may cut a letter in two.
const KERNEL_NAME: usize = 15;

/// Gives the calling thread's kernel name a clean end, if 15 bytes of `name` end inside a letter.
pub(crate) fn tidy_thread_name(name: &str) {
    if name.is_char_boundary(KERNEL_NAME.min(name.len())) {
        return;
    }
    let end = (0..KERNEL_NAME).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    // A nicety for whoever looks at `top -H`: where it cannot be written, the cut letter stays.
    _ = std::fs::write("/proc/thread-self/comm", &name[..end]);
}
