//! What the tests of the last resort share: services that hang on a socket, and whether they lost it.

use hosted::{Context, Host, HostError, Report, Result, ServiceOptions, worker};
use std::io::{self, ErrorKind, Read};
use std::net::TcpStream;
use std::time::Duration;

/// The time of each service: then it is disconnected, and again as often as it has passed.
pub(crate) const TIME: Duration = Duration::from_millis(300);

/// Of this the last tenth is for what is freed to end.
pub(crate) const STOP: Duration = Duration::from_secs(5);

/// Adds a service that blocks in `blocks` and does not hear; it is disconnected. It comes after none.
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

/// What a stop says, whether what is freed had the time to end or not: that is the machine's business.
pub(crate) fn report(stopped: &Result<Report, HostError>) -> &Report {
    stopped.as_ref().unwrap_or_else(|error| error.report())
}

/// A read to whose stream nobody writes has been ended by the other side of it being told so.
pub(crate) fn hung_up(mut peer: &TcpStream) -> bool {
    peer.set_nonblocking(true).unwrap();
    match peer.read(&mut [0]) {
        Ok(0) => true,
        Err(error) if error.kind() == ErrorKind::WouldBlock => false,
        other => panic!("{other:?}"),
    }
}
