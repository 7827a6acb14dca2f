//! How many descriptors the feature `io` opens.

#![cfg(all(feature = "io", target_os = "linux"))] // only /proc shows descriptors

use crate::support::sockets::{is_stopped, silent, tcp};
use crate::support::{alone, stopped};
use hosted::{Context, Host, StopSource, StopToken, worker};
use std::fs;
use std::io::Read;
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::time::Duration;

const ROUNDS: usize = 1_000;

fn open() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

// 84
#[test]
fn a_token_without_io_opens_no_descriptor_and_one_with_io_closes_its_own() {
    alone!();
    let address = silent(); // creates all its descriptors
    let before = open();
    let mut held = Vec::new();
    for _ in 0..ROUNDS {
        held.push(without_io());
    }
    assert_eq!(open(), before, "tokens that are waited for, have callbacks and are linked, without I/O");
    drop(held);

    let (source, token) = (StopSource::new(), StopToken::never());
    source.token().fd().unwrap();
    assert_eq!((source.token().clone().fd().is_ok(), open()), (true, before + 1), "one descriptor for all clones");
    drop(source);
    assert_eq!(open(), before);

    token.fd().unwrap();
    let with_never = before + 1; // one for the whole process
    for _ in 0..ROUNDS {
        with_io();
        assert!(is_stopped(&stopped().connect(address, None).unwrap_err()));
        StopToken::never().connect(address, Duration::ZERO).unwrap_err();
        assert_eq!(open(), with_never, "each round closes its descriptors");
    }
    for _ in 0..20 {
        with_child();
        with_host();
        assert_eq!(open(), with_never);
    }
}

fn without_io() -> (StopSource, StopToken) {
    let source = StopSource::new();
    let token = StopSource::linked([&source.token()]).token();
    drop(token.on_stop(|| ()));
    assert!(!token.wait_timeout(Duration::ZERO));
    assert!(token.done().try_recv().is_err());
    source.request_stop();
    (source, token)
}

fn with_io() {
    let (source, listener) = (StopSource::new(), tcp());
    let token = source.token();
    let client = token.connect(listener.local_addr().unwrap(), None).unwrap();
    let (there, _) = token.accept(&listener).unwrap();
    drop(there);
    assert_eq!(token.interruptible(client).read(&mut [0]).unwrap(), 0);
    TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (here, _there) = UnixStream::pair().unwrap();
    assert!(!token.wait_readable(&here, Duration::ZERO).unwrap());
    source.request_stop();
    assert!(is_stopped(&token.accept(&listener).unwrap_err()));
    assert!(is_stopped(&token.interruptible(here).read(&mut [0]).unwrap_err()));
}

fn with_child() {
    let mut child = Command::new("sleep").arg("3600").process_group(0).spawn().unwrap();
    stopped().wait_child(&mut child, Duration::ZERO).unwrap();
}

fn with_host() {
    let (listener, mut host) = (tcp(), Host::new());
    let serve = move |ctx: &Context| ctx.incoming(&listener).try_for_each(|stream| Ok(stream.map(drop)?));
    host.add("acceptor", worker(serve));
    host.start().unwrap();
    host.stop(Duration::from_secs(60)).unwrap();
}
