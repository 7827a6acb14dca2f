//! Replaces `procfs` on systems without `/proc`: nothing is read or written, and nothing is known about a thread.

use super::ThreadProbe;

/// An empty snapshot.
pub(crate) struct ProcSnapshot;

impl ProcSnapshot {
    pub(crate) fn new() -> Self {
        ProcSnapshot
    }

    pub(crate) fn refresh(&mut self) {}

    pub(crate) fn read_tables(&self) {}

    pub(crate) fn without_tables(&self) {}
}

impl ThreadProbe {
    pub(crate) fn blocked_in(&self, _: &ProcSnapshot) -> Option<String> {
        None
    }
}

pub(crate) fn tidy_thread_name(_: &str) {}
