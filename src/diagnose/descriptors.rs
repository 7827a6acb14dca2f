//! Describes the descriptors of this process, from `/proc/self`.

use super::fd_sets::{EpollEntry, epoll_entries, poll_fds};
use super::sockets::Sockets;
use crate::util::text::Escaped;
use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// How many descriptors of a set are listed. A longer list would not be read; the rest is counted.
const MAX_LISTED: usize = 8;

/// The open descriptors, for one series of observations. The tables of sockets are long, so they are read at most once per
/// series; [`refresh`](Self::refresh) begins the next series.
pub(super) struct Descriptors {
    /// `/proc/self`, or a folder of a test.
    root: PathBuf,
    /// The descriptions of sockets, by inode, that need no lookup in the tables.
    pub(super) known: RefCell<HashMap<u64, String>>,
    sockets: OnceCell<Sockets>,
}

impl Descriptors {
    pub(super) fn of(root: PathBuf) -> Self {
        Descriptors { root, known: RefCell::default(), sockets: OnceCell::new() }
    }

    /// Begins a new series: the tables are read again when a socket is not yet known by name.
    pub(super) fn refresh(&mut self) {
        self.sockets = OnceCell::new();
    }

    /// Reads the tables of sockets now, for the whole series, unless this series avoids them.
    pub(super) fn read_tables(&self) -> &Sockets {
        self.sockets.get_or_init(|| Sockets::read(&self.root.join("net")))
    }

    /// Avoids reading the tables in this series. A socket that is not yet known by name is described as `socket`.
    pub(super) fn without_tables(&self) {
        _ = self.sockets.set(Sockets::none()); // fails if the tables were read already, and then they are kept
    }

    /// Describes a descriptor: `fd 4 = tcp 127.0.0.1:44432 -> 127.0.0.1:42415`, or `fd 4` if nothing is known about it.
    pub(super) fn describe_fd(&self, fd: u32) -> String {
        self.describe_open_fd(fd).unwrap_or_else(|| format!("fd {fd}"))
    }

    /// Describes a descriptor. Returns `None` if `fd` is not open.
    fn describe_open_fd(&self, fd: u32) -> Option<String> {
        let link = self.link(fd)?;
        Some(format!("fd {fd} = {}", Escaped(&self.describe_link(&link))))
    }

    /// Returns the target of the link `/proc/self/fd/…`: the kernel's name of the open file.
    pub(super) fn link(&self, fd: u32) -> Option<String> {
        let link = fs::read_link(self.root.join(format!("fd/{fd}"))).ok()?;
        Some(link.to_string_lossy().into_owned())
    }

    /// Returns `true` if the descriptor number of `entry` still names the file that was added to the epoll set.
    fn is_current(&self, entry: EpollEntry) -> bool {
        // The link of a socket or a pipe contains the inode. For other files, the link must be followed.
        let inode = || {
            let link = self.link(entry.fd)?;
            let number = link.split_once(":[").and_then(|(_, number)| number.strip_suffix(']')?.parse().ok());
            number.or_else(|| inode(&self.root.join(format!("fd/{}", entry.fd))))
        };
        entry.inode.is_some() && entry.inode == inode()
    }

    /// Describes an open file by the text of its link: `/a/file`, `socket:[1234]`, `anon_inode:[eventpoll]`.
    fn describe_link(&self, link: &str) -> String {
        let Some((kind, target)) = link.split_once(':').filter(|_| !link.starts_with('/')) else {
            return link.to_owned();
        };
        let target = target.trim_start_matches('[').trim_end_matches(']');
        match (kind, target) {
            ("anon_inode", "eventpoll") => "epoll".to_owned(),
            ("anon_inode", target) => target.to_owned(),
            ("socket", inode) => {
                inode.parse().ok().and_then(|inode| self.describe_socket(inode)).unwrap_or_else(|| kind.to_owned())
            }
            _ => kind.to_owned(),
        }
    }

    fn describe_socket(&self, inode: u64) -> Option<String> {
        if let Some(name) = self.known.borrow().get(&inode) {
            return Some(name.clone());
        }
        let name = self.read_tables().get(inode)?;
        self.known.borrow_mut().insert(inode, name.to_owned());
        Some(name.to_owned())
    }

    /// Describes what an epoll descriptor watches: `, watching fd 5 = pipe`.
    ///
    /// If the descriptor number of an entry names another file now, the entry is counted but not described.
    pub(super) fn describe_epoll_set(&self, epoll: u32) -> String {
        let entries = epoll_entries(&self.root, epoll);
        let current = entries.iter().filter(|&&entry| self.is_current(entry));
        let listed: Vec<String> = current.take(MAX_LISTED).map(|entry| self.describe_fd(entry.fd)).collect();
        match (listed.len(), entries.len()) {
            (0, 0) => String::new(),
            (0, all) => format!(", watching {all} without a known descriptor"),
            (listed_count, all) if all > listed_count => {
                format!(", watching {} and {} more", listed.join(", "), all - listed_count)
            }
            _ => format!(", watching {}", listed.join(", ")),
        }
    }

    /// Describes the descriptors of a poll set. A number that is not an open descriptor is not shown, because it was read
    /// from memory that the thread may have overwritten.
    pub(super) fn describe_poll_set(&self, at: u64, length: u64) -> Option<String> {
        let length = usize::try_from(length).ok()?;
        let fds = poll_fds(&self.root, at, length.min(MAX_LISTED))?;
        join_listed(fds.into_iter().filter_map(|fd| self.describe_open_fd(fd)).collect(), length)
    }
}

/// Joins the listed descriptors of a set with `all` descriptors, and adds how many were left out.
fn join_listed(listed: Vec<String>, all: usize) -> Option<String> {
    let more = if all > MAX_LISTED { format!(" and {} more", all - MAX_LISTED) } else { String::new() };
    if listed.is_empty() { None } else { Some(listed.join(", ") + &more) }
}

/// Returns the inode of the file at `path`, following links.
fn inode(path: &Path) -> Option<u64> {
    Some(fs::metadata(path).ok()?.ino())
}
