//! Accepts connections and gives each a thread, until the stop.

use crate::service::Context;
use crate::stop::{StopSource, StopToken};
use crate::util::panic::catch_panic;
use crate::util::sync::thread::{Builder, JoinHandle};
use crate::util::sync::{Arc, Mutex, now};
use crate::util::time::since;
use crossbeam_channel::{Receiver, Sender, bounded};
use rustix::io::Errno;
use std::collections::{HashMap, VecDeque};
use std::io::{self, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

/// How many connections are served at once.
pub(super) const MOST_CONNECTIONS: usize = 64;

/// How long a stop lets a response that is being written go on.
const STOP_GRACE: Duration = Duration::from_millis(50);

/// How long a connection that was turned away stays open. Closed at once, it could lose the refusal that was sent.
const LINGER: Duration = Duration::from_secs(1);

/// The first and the longest pause after an error of `accept` that passes, such as too many open files.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// The shortest time between two reports of the same kind.
const REPORT_INTERVAL: Duration = Duration::from_secs(60);

/// Serves one connection, until it ends or the token stops.
pub(super) type Talk = dyn Fn(&TcpStream, &StopToken) + Send + Sync;

/// The connections that are served, by number. A connection is on the list for as long as its thread serves it.
type OpenStreams = Mutex<HashMap<u64, Arc<TcpStream>>>;

pub(super) struct Acceptor<'a> {
    ctx: &'a Context,
    talk: Arc<Talk>,
    /// The answer to a connection beyond the limit.
    refusal: &'a dyn Fn() -> Vec<u8>,
    /// Stopped with the service, and when the listener fails.
    stop: StopSource,
    open: Arc<OpenStreams>,
    /// How many connections there were.
    count: u64,
    threads: Vec<JoinHandle<()>>,
    /// Each thread has a sender: without any, the receiver is disconnected.
    alive: (Sender<()>, Receiver<()>),
    turned_away: VecDeque<(Instant, TcpStream)>,
    backoff: Duration,
    /// The errors that were reported, and when last.
    reported: HashMap<&'static str, Instant>,
}

impl<'a> Acceptor<'a> {
    pub(super) fn new(ctx: &'a Context, stop: StopSource, talk: Arc<Talk>, refusal: &'a dyn Fn() -> Vec<u8>) -> Self {
        Acceptor {
            ctx,
            talk,
            refusal,
            stop,
            open: Arc::default(),
            count: 0,
            threads: Vec::new(),
            alive: bounded(0),
            turned_away: VecDeque::new(),
            backoff: BACKOFF.0,
            reported: HashMap::new(),
        }
    }

    /// Serves connections until the stop, and joins the thread of each. Before that it calls `release`, which must
    /// free the connections that wait for something other than their client.
    ///
    /// # Errors
    ///
    /// The error of a listener that can never accept again.
    pub(super) fn run(mut self, listener: &TcpListener, release: impl FnOnce()) -> io::Result<()> {
        let outcome = self.accept_until_stopped(listener);
        release();
        self.close();
        outcome
    }

    fn accept_until_stopped(&mut self, listener: &TcpListener) -> io::Result<()> {
        let token = self.ctx.stop_token();
        while !token.stop_requested() {
            let limit = self.turned_away.front().map(|(since_when, _)| LINGER.saturating_sub(since(*since_when)));
            let accepted = match token.wait_readable(listener, limit) {
                Ok(true) => token.accept(listener).map(Some),
                waited => waited.map(|_| None),
            };
            self.turned_away.retain(|(since_when, _)| since(*since_when) < LINGER);
            match accepted {
                Ok(None) => {}
                Ok(Some((stream, peer))) => self.serve(stream, peer),
                Err(_) if token.stop_requested() => {}
                Err(error) if is_final(&error) => return Err(error),
                Err(error) => {
                    self.turned_away.clear(); // which gives their descriptors back
                    self.back_off("cannot accept a connection", &error);
                }
            }
        }
        Ok(())
    }

    fn serve(&mut self, stream: TcpStream, peer: SocketAddr) {
        self.join_finished();
        _ = stream.set_nodelay(true); // without it a response only takes longer
        if self.open.lock().len() >= MOST_CONNECTIONS {
            self.turn_away(stream);
            self.report("all connections are in use", &format!("refusing more than {MOST_CONNECTIONS} with 503"));
            return;
        }
        let stream = Arc::new(stream);
        self.count += 1;
        let number = self.count;
        self.open.lock().insert(number, stream.clone());
        let (talk, open, token, alive) =
            (self.talk.clone(), self.open.clone(), self.stop.token(), self.alive.0.clone());
        let ctx = self.ctx.clone();
        let serve = move || {
            if let Err(text) = catch_panic(|| talk(&stream, &token)) {
                ctx.report_error(format!("the answer to {peer} panicked: {text}"));
            }
            // The place is free before the client can see the end of the connection.
            let listed = open.lock().remove(&number);
            drop((listed, stream, talk, alive));
        };
        match Builder::new().name(format!("{}:{peer}", self.ctx.name())).spawn(serve) {
            Ok(thread) => {
                self.threads.push(thread);
                self.backoff = BACKOFF.0;
            }
            Err(error) => {
                let stream = self.open.lock().remove(&number);
                stream.and_then(Arc::into_inner).into_iter().for_each(|stream| self.turn_away(stream));
                self.back_off("cannot create a thread for a connection", &error);
            }
        }
    }

    fn join_finished(&mut self) {
        let (finished, running) = self.threads.drain(..).partition(|thread| thread.is_finished());
        self.threads = running;
        let finished: Vec<JoinHandle<()>> = finished;
        for thread in finished {
            _ = thread.join(); // a panic was caught in it
        }
    }

    /// Refuses a connection without waiting for its client.
    fn turn_away(&mut self, stream: TcpStream) {
        let sent = stream.set_nonblocking(true).and_then(|()| (&stream).write_all(&(self.refusal)()));
        if sent.is_err() || stream.shutdown(Shutdown::Write).is_err() {
            return; // the client has gone
        }
        if self.turned_away.len() == MOST_CONNECTIONS {
            self.turned_away.pop_front();
        }
        self.turned_away.push_back((now(), stream));
    }

    /// Waits before the next attempt: the cause of the error is still there, and the connection too.
    fn back_off(&mut self, what: &'static str, error: &io::Error) {
        self.report(what, &format!("{error}; trying again"));
        self.ctx.stop_token().wait_timeout(self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF.1);
    }

    /// Reports an error, at most once a minute: a client can cause as many as it likes.
    fn report(&mut self, what: &'static str, detail: &str) {
        if self.reported.get(what).is_none_or(|at| since(*at) >= REPORT_INTERVAL) {
            self.reported.insert(what, now());
            self.ctx.report_error(format!("{what}: {detail}"));
        }
    }

    /// Ends every connection. One that waits for a request ends at once, one that writes a response after a grace.
    fn close(self) {
        self.stop.request_stop();
        let (sender, ended) = self.alive;
        drop(sender);
        if ended.recv_timeout(STOP_GRACE).is_err_and(|error| error.is_timeout()) {
            for stream in self.open.lock().values() {
                _ = stream.shutdown(Shutdown::Both); // the client has gone
            }
        }
        for thread in self.threads {
            _ = thread.join(); // a panic was caught in it
        }
    }
}

/// Returns `true` if no later `accept` on the listener can succeed.
fn is_final(error: &io::Error) -> bool {
    let finals = [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::OPNOTSUPP, Errno::FAULT];
    Errno::from_io_error(error).is_some_and(|errno| finals.contains(&errno))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_of_the_listener_itself_is_final() {
        for errno in [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM, Errno::PROTO, Errno::PERM] {
            assert!(!is_final(&errno.into()), "{errno}");
        }
        assert!(is_final(&Errno::BADF.into()));
        assert!(!is_final(&io::Error::other("no number")));
    }
}
