//! The descriptor of a token, and `wait_readable`.

#![cfg(feature = "io")]

use crate::support::sockets::{is_stopped, pipe};
use crate::support::{asleep_in, in_time};
use hosted::{StopSource, StopToken};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

/// Whether the token's descriptor is readable.
fn readable(token: &StopToken) -> bool {
    let (fd, now) = (token.fd().unwrap(), Timespec { tv_sec: 0, tv_nsec: 0 });
    poll(&mut [PollFd::from_borrowed_fd(fd, PollFlags::IN)], Some(&now)).unwrap() == 1
}

/// Returns when the token's descriptor is readable, as an event loop of another library would.
fn wait(token: &StopToken) -> bool {
    let mut fds = [PollFd::from_borrowed_fd(token.fd().unwrap(), PollFlags::IN)];
    poll(&mut fds, None).unwrap();
    fds[0].revents().contains(PollFlags::IN) // an event loop may ignore hang-ups
}

#[test]
fn the_descriptor_stays_readable_after_the_stop() {
    let source = StopSource::new();
    let linked = StopSource::linked([&StopSource::new().token(), &source.token()]);
    let tokens = [source.token(), source.token(), linked.token()];
    assert!(!tokens.iter().any(readable));
    let waiting = tokens.clone().map(|token| asleep_in(move || wait(&token)));
    source.request_stop();
    assert_eq!(waiting.map(|thread| thread.result()), [true; 3]);
    for _ in 0..3 {
        assert!(tokens.iter().all(readable));
    }
    drop((source, linked));
    assert!(tokens.iter().all(readable), "even after the sources were dropped");
}

#[test]
fn a_descriptor_made_after_the_stop_is_readable_at_once() {
    let source = StopSource::new();
    source.request_stop();
    let born_stopped = StopSource::linked([&source.token()]);
    for token in [source.token(), born_stopped.token()] {
        assert!(readable(&token) && readable(&token));
        assert!(in_time(move || wait(&token)));
    }
}

#[test]
fn the_descriptor_of_never_is_never_readable() {
    let dropped = StopSource::new().token();
    for token in [StopToken::never(), dropped] {
        assert!(!readable(&token));
        let waits = token.clone();
        let forever = asleep_in(move || wait(&waits)); // the thread sleeps until the process exits
        assert!(!readable(&token));
        assert!(forever.result_so_far().is_none());
    }
}

#[test]
fn concurrent_calls_of_fd_return_the_same_descriptor_in_200_races() {
    in_time(|| {
        for _ in 0..200 {
            let (source, start) = (StopSource::new(), Barrier::new(3));
            let ask = || {
                start.wait();
                let token = source.token();
                let fd = token.fd().unwrap().as_raw_fd();
                (fd, wait(&token))
            };
            let (one, other) = thread::scope(|scope| {
                let (one, other) = (scope.spawn(ask), scope.spawn(ask));
                start.wait();
                source.request_stop();
                (one.join().unwrap(), other.join().unwrap())
            });
            assert_eq!(one, other);
            assert!(one.1);
        }
    });
}

#[test]
fn wait_readable_returns_when_a_datagram_arrives() {
    let (socket, source) = (UdpSocket::bind("127.0.0.1:0").unwrap(), StopSource::new());
    let (there, address) = (socket.try_clone().unwrap(), socket.local_addr().unwrap());
    let receiver = asleep_in(move || {
        let mut byte = [0];
        assert!(source.token().wait_readable(&socket, None).unwrap());
        socket.recv(&mut byte).map(|_| byte)
    });
    there.send_to(&[5], address).unwrap();
    assert_eq!(receiver.result().unwrap(), [5]);
}

#[test]
fn wait_readable_returns_false_after_its_timeout() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for token in [StopSource::new().token(), StopToken::never()] {
        let (begin, time) = (Instant::now(), Duration::from_millis(20));
        assert!(!token.wait_readable(&socket, time).unwrap());
        assert!(begin.elapsed() >= time);
        assert!(!token.wait_readable(&socket, Duration::ZERO).unwrap());
        socket.send_to(&[5], socket.local_addr().unwrap()).unwrap();
        assert!(token.wait_readable(&socket, Duration::MAX).unwrap());
        assert!(token.wait_readable(&socket, Duration::ZERO).unwrap());
        socket.recv(&mut [0]).unwrap();
    }
}

#[test]
fn wait_readable_returns_if_the_peer_closes_the_connection() {
    let (here, there) = UnixStream::pair().unwrap();
    let (out, into) = pipe();
    let source = StopSource::new();
    let (one, other) = (source.token(), source.token());
    let waiting = [
        asleep_in(move || one.wait_readable(&here, None).unwrap()),
        asleep_in(move || other.wait_readable(&out, None).unwrap()),
    ];
    drop((there, into));
    assert_eq!(waiting.map(|thread| thread.result()), [true, true]);
}

#[test]
fn the_stop_takes_precedence_over_data_and_over_the_timeout() {
    let (mut here, there) = (StopSource::new(), UdpSocket::bind("127.0.0.1:0").unwrap());
    there.send_to(&[5], there.local_addr().unwrap()).unwrap();
    for made_before in [false, true] {
        if made_before {
            here.token().fd().unwrap();
        }
        here.request_stop();
        for time in [None, Some(Duration::ZERO)] {
            assert!(is_stopped(&here.token().wait_readable(&there, time).unwrap_err()));
        }
        here = StopSource::new();
    }
}

#[test]
fn the_descriptor_of_a_stop_can_itself_be_waited_for() {
    let (service, other) = (StopSource::new(), StopSource::new());
    let (token, of_other) = (service.token(), other.token());
    let waiting = asleep_in(move || token.wait_readable(&of_other.fd().unwrap().as_fd(), None));
    other.request_stop();
    assert!(waiting.result().unwrap());
}
