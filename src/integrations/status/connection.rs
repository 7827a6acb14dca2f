//! One connection: requests are read and answered in turn, until the client, a limit or the stop ends it.

use super::hosts::AllowedHosts;
use super::http::{HEAD_LIMIT, Parsed, Request, Response, parse};
use crate::io::Interruptible;
use crate::stop::StopToken;
use crate::util::time::{deadline, remaining};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

/// How long a request may take to arrive, and its response to be read. The time of a request begins with its first
/// byte; that of the first request begins with the connection.
pub(super) const REQUEST_TIME: Duration = Duration::from_secs(5);

/// How long a connection may be idle between two requests. It holds one of the 64 places.
const IDLE_TIME: Duration = Duration::from_secs(5);

/// After a refusal: how long, and how much of what the client still sends is read. Closed before that, the kernel
/// would answer with a reset, and the client could lose the refusal.
const LINGER: (Duration, usize) = (Duration::from_secs(1), 256 * 1_024);

pub(super) struct Connection<'a> {
    stream: &'a TcpStream,
    reader: Interruptible<&'a TcpStream>,
    token: &'a StopToken,
    hosts: &'a AllowedHosts,
    /// Bytes that were read and are not yet answered: pipelined requests stay here.
    buffer: Vec<u8>,
}

/// The next thing on a connection.
enum Next {
    Request(Request),
    /// This response, and then the end.
    Refused(Response),
    /// The client has gone, was idle too long, or the server stops.
    End,
}

impl<'a> Connection<'a> {
    pub(super) fn new(stream: &'a TcpStream, token: &'a StopToken, hosts: &'a AllowedHosts) -> Self {
        Connection { stream, reader: token.interruptible(stream), token, hosts, buffer: Vec::new() }
    }

    /// Answers requests until the connection ends. `answer` gives a response and its content security policy.
    pub(super) fn serve(mut self, answer: &dyn Fn(&Request) -> (Response, &'static str)) {
        let mut is_first = true;
        loop {
            let request = match self.next(is_first) {
                Next::Request(request) => request,
                Next::Refused(response) => {
                    if self.send(&response.to_bytes(false, false, NO_CONTENT)) {
                        self.linger();
                    }
                    return;
                }
                Next::End => return,
            };
            is_first = false;
            let (response, policy) = answer(&request);
            let keep_alive = request.keep_alive && !self.token.stop_requested();
            let sent = self.send(&response.to_bytes(request.head_only, keep_alive, policy));
            if !sent || !keep_alive {
                if sent {
                    self.linger();
                }
                return;
            }
        }
    }

    fn next(&mut self, is_first: bool) -> Next {
        let mut until = deadline(if is_first { REQUEST_TIME } else { IDLE_TIME });
        let mut is_idle = self.buffer.is_empty();
        if !is_idle {
            until = deadline(REQUEST_TIME);
        }
        loop {
            if !self.buffer.is_empty() {
                match parse(&self.buffer, self.hosts) {
                    Parsed::Complete(request, length) => {
                        self.buffer.drain(..length);
                        return Next::Request(request);
                    }
                    Parsed::Refused(response) => return Next::Refused(response),
                    Parsed::Partial => {}
                }
            }
            match self.read(until) {
                Ok(0) if self.buffer.is_empty() => return Next::End,
                Ok(0) => return Next::Refused(Response::error(400, "the request ended before its header")),
                Ok(_) => {}
                Err(ErrorKind::TimedOut) if is_first || !is_idle => {
                    return Next::Refused(Response::error(408, "the request took longer than 5 s"));
                }
                Err(_) => return Next::End,
            }
            if std::mem::take(&mut is_idle) && !is_first {
                until = deadline(REQUEST_TIME);
            }
        }
    }

    /// Reads what is there into the buffer, up to the limit of a head.
    fn read(&mut self, until: Option<Instant>) -> Result<usize, ErrorKind> {
        let time = remaining(until);
        if time.is_zero() {
            return Err(ErrorKind::TimedOut);
        }
        self.reader.set_read_timeout(time);
        let filled = self.buffer.len();
        self.buffer.resize(HEAD_LIMIT, 0); // there is room: a full buffer was refused
        let read = self.reader.read(&mut self.buffer[filled..]);
        self.buffer.truncate(filled + read.as_ref().map_or(0, |read| *read));
        read.map_err(|error| error.kind())
    }

    /// Sends a response. Returns `false` if the client does not take it in time, or has gone.
    fn send(&self, mut bytes: &[u8]) -> bool {
        let until = deadline(REQUEST_TIME);
        while !bytes.is_empty() {
            let time = remaining(until);
            // A client that takes a byte a second must not begin a new time with each byte.
            if time.is_zero() || self.stream.set_write_timeout(Some(time)).is_err() {
                return false;
            }
            match (&*self.stream).write(bytes) {
                Ok(0) => return false,
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return false,
            }
        }
        true
    }

    /// Sends the end of the stream, and reads what the client still sends until it closes its side.
    fn linger(&mut self) {
        if self.stream.shutdown(Shutdown::Write).is_err() {
            return;
        }
        let until = deadline(LINGER.0);
        let mut left = LINGER.1;
        while left > 0 {
            self.buffer.clear();
            match self.read(until) {
                Ok(0) | Err(_) => return,
                Ok(read) => left = left.saturating_sub(read),
            }
        }
    }
}

/// The content security policy of everything that is no page.
pub(super) const NO_CONTENT: &str = "default-src 'none'; frame-ancestors 'none'";
