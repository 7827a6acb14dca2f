//! Learns of the commits of other processes: inotify on the write-ahead log.

use super::beside;
use crate::store::Watch;
use rustix::fs::inotify;
use std::path::Path;
use std::time::Duration;

/// If inotify is not available, workers check the store this often.
const POLL: Duration = Duration::from_millis(100);

/// Watches the log of the database. The log exists as long as a connection is open, and the store has one.
pub(super) fn watch(path: &Path) -> Watch {
    let log = beside(path, "-wal");
    let watch = || -> rustix::io::Result<_> {
        let descriptor = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)?;
        inotify::add_watch(&descriptor, &log, inotify::WatchFlags::MODIFY)?;
        Ok(descriptor)
    };
    match watch() {
        Ok(descriptor) => Watch::Descriptor(descriptor),
        Err(error) => {
            let path = log.display();
            log::warn!(
                target: "hosted_jobs::store",
                "cannot watch `{path}`: {error}; checking for jobs of other processes every {} ms", POLL.as_millis()
            );
            Watch::Poll(POLL)
        }
    }
}
