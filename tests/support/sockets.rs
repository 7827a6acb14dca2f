//! Sockets, pipes and descriptors for the tests of I/O.

use hosted::Stopped;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixListener;
use std::sync::OnceLock;
use std::time::Duration;

/// Returns `true` if the error means that a stop was requested: the right kind, with `Stopped` inside.
pub(crate) fn is_stopped(error: &io::Error) -> bool {
    error.kind() == ErrorKind::ConnectionAborted && error.get_ref().is_some_and(|inner| inner.is::<Stopped>())
}

pub(crate) fn tcp() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").unwrap()
}

/// A listener whose path was removed, so that nothing can connect.
pub(crate) fn unix() -> UnixListener {
    let folder = tempfile::tempdir().unwrap();
    UnixListener::bind(folder.path().join("listener")).unwrap()
}

/// Both ends of a connection.
pub(crate) fn connected() -> (TcpStream, TcpStream) {
    let listener = tcp();
    let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (here, listener.accept().unwrap().0)
}

/// The reading and the writing end of a pipe.
pub(crate) fn pipe() -> (File, File) {
    let (from, into) = rustix::pipe::pipe().unwrap();
    (from.into(), into.into())
}

/// An address where connections get no answer: a listener with a full backlog.
pub(crate) fn silent() -> SocketAddr {
    static FULL: OnceLock<(TcpListener, Vec<TcpStream>)> = OnceLock::new();
    let full = || {
        let listener = tcp();
        rustix::net::listen(&listener, 0).unwrap();
        let address = listener.local_addr().unwrap();
        let connect = || TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok();
        (listener, std::iter::from_fn(connect).collect())
    };
    FULL.get_or_init(full).0.local_addr().unwrap()
}

/// In a child: takes every descriptor that this process can still open. They are free again when this is dropped.
pub(crate) fn every_descriptor() -> Vec<File> {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();
    let mut taken = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        taken.push(file);
    }
    assert_eq!(File::open("/dev/null").unwrap_err().raw_os_error(), Some(24), "EMFILE");
    taken
}
