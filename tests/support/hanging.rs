//! Services that hang on a socket, for the tests of the feature `disconnect`.

use hosted::{Context, Host, HostError, Report, Result, ServiceOptions, worker};
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

/// The stop timeout of each service, after which the host closes its connection.
pub(crate) const TIME: Duration = Duration::from_millis(300);

/// The timeout of a stop. Its last tenth is for disconnected services to end.
pub(crate) const STOP: Duration = Duration::from_secs(5);

/// Adds an independent service that blocks in `blocks`, ignores its stop request, and may be disconnected.
pub(crate) fn add<'h, T>(
    host: &'h mut Host,
    name: &str,
    blocks: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> &'h mut ServiceOptions {
    let mut blocks = Some(blocks);
    let run = move |_: &Context| -> Result {
        blocks.take().expect("it is not restarted")()?;
        Ok(())
    };
    host.add(name, worker(run)).after::<&str>([]).disconnect_when_hung().stop_timeout(TIME)
}

/// Returns the report of a stop, no matter if the disconnected services had time to exit.
pub(crate) fn report(stopped: &Result<Report, HostError>) -> &Report {
    stopped.as_ref().unwrap_or_else(|error| error.report())
}

/// Returns `true` if the other side of this connection was shut down.
pub(crate) fn hung_up(mut peer: &TcpStream) -> bool {
    peer.set_nonblocking(true).unwrap();
    match peer.read(&mut [0]) {
        Ok(0) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        other => panic!("{other:?}"),
    }
}
