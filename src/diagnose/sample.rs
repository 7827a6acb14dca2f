//! Samples a thread: what it is blocked in, and for how long.

use super::procfs::ProcSnapshot;
use super::stat::{Observation, ThreadUsage};
use super::thread::ThreadProbe;
use super::{RUNNING, wait_kind};
use crate::util::sync::now;
use crate::util::text::HumanDuration;
use std::time::{Duration, Instant};

/// The shortest time between two observations for which a duration and a CPU usage are shown. Over a shorter time, a CPU
/// usage in ticks of 10 ms would be too coarse.
const MIN_OBSERVATION: Duration = Duration::from_millis(250);

impl ThreadProbe {
    /// Returns what the thread is blocked in, as text for a person. Examples:
    ///
    /// - `recvfrom(fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415)`
    /// - `futex (a lock, condvar or channel) for at least 8.99 s`
    /// - `running, 100 % CPU for at least 8.99 s`
    /// - `sleeping, 3.10 s left`, for a wait of this library
    ///
    /// Reads files, so the caller must not hold a lock.
    pub(crate) fn blocked_in(&self, snapshot: &ProcSnapshot) -> Option<String> {
        if self.is_current() {
            return Some(RUNNING.to_owned()); // the thread is running this function
        }
        let (begun, before) = (now(), self.usage(snapshot)?);
        let call = snapshot.call(self.0.tid)?;
        let (wait, after) = (self.0.wait.read().filter(|_| call.may_be_ours), self.usage(snapshot)?);
        if self.has_ended() {
            return None;
        }
        // If the thread went to sleep between the two reads, the call and the wait may belong to different sleeps.
        let same = before.as_ref().zip(after.as_ref()).is_some_and(|(before, after)| before.sleeps == after.sleeps);
        let wait = wait.filter(|_| same || after.is_none());
        let what = wait.map_or(call.text, |(kind, _)| kind.text().to_owned());
        let duration = after.filter(|_| same).map(|usage| {
            let running = what == RUNNING;
            self.describe_duration(begun, Observation { at: now(), running, sleeps: usage.sleeps, cpu: usage.cpu })
        });
        let remaining = wait_kind::describe_remaining(wait.and_then(|(_, remaining)| remaining));
        Some(what + &duration.unwrap_or_default() + &remaining)
    }

    /// Returns what the thread has used until now. The outer `Option` is `None` if the thread has ended, even if another
    /// thread has its ID by now. The inner `Option` is `None` if the count of sleeps cannot be read.
    fn usage(&self, snapshot: &ProcSnapshot) -> Option<Option<ThreadUsage>> {
        let stat = snapshot.stat(self.0.tid).filter(|stat| self.is_still(stat.start_time))?;
        Some(snapshot.sleeps(self.0.tid).map(|sleeps| ThreadUsage { sleeps, cpu: stat.cpu }))
    }

    /// Returns ` for at least 8.99 s` if an earlier observation was of the same sleep or run. The current observation was
    /// begun at `begun`.
    fn describe_duration(&self, begun: Instant, current: Observation) -> String {
        let first = self.first_observation(current);
        let time = begun.saturating_duration_since(first.at);
        if time < MIN_OBSERVATION {
            return String::new();
        }
        let used = u128::from(current.cpu.saturating_sub(first.cpu)) * 100 / time.as_millis();
        let cpu = if current.running { format!(", {} % CPU", used.min(100)) } else { String::new() };
        format!("{cpu} for at least {}", HumanDuration(time))
    }

    /// Returns the first observation of the same sleep, or of the same run, as `current`.
    fn first_observation(&self, current: Observation) -> Observation {
        let mut last = self.0.last.lock();
        let known = last.first.filter(|known| (known.running, known.sleeps) == (current.running, current.sleeps));
        *last.first.insert(known.unwrap_or(current))
    }
}

/// The kernel keeps 15 bytes of a thread's name, and may cut a character in two.
const KERNEL_NAME_LEN: usize = 15;

/// Shortens the calling thread's kernel name to whole characters, if 15 bytes of `name` end inside a character.
pub(crate) fn tidy_thread_name(name: &str) {
    if name.is_char_boundary(KERNEL_NAME_LEN.min(name.len())) {
        return;
    }
    let end = (0..KERNEL_NAME_LEN).rev().find(|&end| name.is_char_boundary(end)).unwrap_or(0);
    // Only tools such as `top -H` show this name. If the file cannot be written, the cut character stays.
    _ = std::fs::write("/proc/thread-self/comm", &name[..end]);
}
