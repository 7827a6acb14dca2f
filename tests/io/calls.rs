//! Every call of the feature `io` returns at the stop request, whenever it comes, with an error that says so.

#![cfg(feature = "io")]

use crate::support::sockets::{connected, is_stopped, pipe, silent, tcp, unix};
use crate::support::{Sleeper, asleep_in, in_time};
use hosted::{Context, StopSource, StopToken};
use std::fs::File;
use std::io::{self, BufRead, BufReader, IoSliceMut, Read};
use std::net::UdpSocket;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Barrier;
use std::time::Duration;
use std::{hint, thread};

/// A name, and a call that only the stop ends.
type Call = (&'static str, fn(&StopToken) -> io::Error);

const CALLS: &[Call] = &[
    ("accept", |token| token.accept(&tcp()).unwrap_err()),
    ("accept, of a service", |token| Context::new("acceptor", token.clone()).accept(&tcp()).unwrap_err()),
    ("accept, Unix", |token| token.accept(&unix()).unwrap_err()),
    ("connect", |token| token.connect(silent(), None).unwrap_err()),
    ("connect, in time", |token| token.connect(silent(), Duration::from_secs(3600)).unwrap_err()),
    ("wait for a datagram", |token| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        token.wait_readable(&socket, None).unwrap_err()
    }),
    ("wait for a datagram, Duration::MAX", |token| {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        token.wait_readable(&socket, Duration::MAX).unwrap_err()
    }),
    ("read", |token| {
        let (here, _there) = connected();
        token.interruptible(here).read(&mut [0]).unwrap_err()
    }),
    ("read, in time", |token| {
        let (here, _there) = connected();
        let mut stream = token.interruptible(here);
        stream.set_read_timeout(Duration::from_secs(3600));
        stream.read(&mut [0]).unwrap_err()
    }),
    ("read by reference", |token| {
        let (here, _there) = connected();
        (&token.interruptible(here)).read(&mut [0]).unwrap_err()
    }),
    ("read into several", |token| {
        let (here, _there) = connected();
        token.interruptible(here).read_vectored(&mut [IoSliceMut::new(&mut [0])]).unwrap_err()
    }),
    ("read into several by reference", |token| {
        let (here, _there) = connected();
        (&token.interruptible(here)).read_vectored(&mut [IoSliceMut::new(&mut [0])]).unwrap_err()
    }),
    ("read_exact, Unix", |token| {
        let (here, _there) = UnixStream::pair().unwrap();
        token.interruptible(here).read_exact(&mut [0; 8]).unwrap_err()
    }),
    ("read_line", |token| {
        let (here, _there) = connected();
        BufReader::new(token.interruptible(here)).read_line(&mut String::new()).unwrap_err()
    }),
    ("read_to_end of a pipe", |token| {
        let (here, _there) = pipe();
        token.interruptible(here).read_to_end(&mut Vec::new()).unwrap_err()
    }),
    ("read from a terminal", |token| {
        let terminal = File::options().read(true).write(true).open("/dev/ptmx").unwrap();
        token.interruptible(terminal).read(&mut [0]).unwrap_err()
    }),
];

// 79
#[test]
fn every_call_returns_at_once_after_the_stop() {
    let source = StopSource::new();
    source.request_stop();
    let heard = StopSource::new();
    heard.token().fd().unwrap(); // the descriptor exists before the stop
    heard.request_stop();
    let born_stopped = StopSource::linked([&source.token()]);
    for token in [source.token(), heard.token(), born_stopped.token()] {
        for &(name, call) in CALLS {
            let token = token.clone();
            assert!(in_time(move || is_stopped(&call(&token))), "{name}");
        }
    }
}

// 79
#[test]
fn every_call_returns_at_a_stop_while_it_waits() {
    let source = StopSource::new();
    let linked = StopSource::linked([&StopSource::new().token(), &source.token()]);
    silent(); // created here, because creating it waits too
    let wait = |token: StopToken| CALLS.iter().map(move |&(_, call)| (call, token.clone()));
    let waits = wait(source.token()).chain(wait(linked.token()));
    let sleepers: Vec<_> = waits.map(|(call, token)| asleep_in(move || is_stopped(&call(&token)))).collect();
    assert!(sleepers.iter().all(|sleeper| sleeper.result_so_far().is_none()), "no call returns without a stop");

    source.request_stop();
    let said: Vec<_> = sleepers.iter().map(Sleeper::result).collect();
    assert_eq!(said, vec![true; 2 * CALLS.len()], "each call, with the token of the source and of its child");
}

// 79
#[test]
fn every_call_returns_in_200_races_with_the_stop() {
    for &(name, call) in CALLS {
        in_time(move || (0..200).for_each(|round| race(round, name, call)));
    }
}

fn race(round: usize, name: &str, call: fn(&StopToken) -> io::Error) {
    let (source, start) = (StopSource::new(), Barrier::new(2));
    thread::scope(|scope| {
        scope.spawn(|| {
            start.wait();
            (0..50 * round).for_each(|_| hint::spin_loop()); // each round stops a little later
            source.request_stop();
        });
        start.wait();
        assert!(is_stopped(&call(&source.token())), "{name}, round {round}");
    });
}

#[test]
fn a_read_of_the_output_of_a_child_returns_at_the_stop() {
    let mut child = Command::new("sleep").arg("3600").stdout(Stdio::piped()).spawn().unwrap();
    let (source, stdout) = (StopSource::new(), child.stdout.take().unwrap());
    let mut stdout = source.token().interruptible(stdout);
    let reader = asleep_in(move || is_stopped(&stdout.read(&mut [0]).unwrap_err()));
    source.request_stop();
    assert!(reader.result());
    assert_eq!(child.try_wait().unwrap(), None);
    child.kill().unwrap();
    child.wait().unwrap();
}
