//! Forced disconnect while peers close their connections or write. No descriptor is left open.
#![cfg(all(feature = "disconnect", target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use crate::support::hanging::{STOP, add, report};
use crate::support::sockets::connected;
use crate::support::{LIMIT, alone};
use hosted::{EventKind, Host, Outcome};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;
use std::{fs, thread};

const RACES: usize = 200;

fn descriptors() -> usize {
    fs::read_dir("/proc/self/fd").unwrap().count()
}

/// A host with services that read from silent connections, and the other ends of these connections.
fn readers() -> (Host, Vec<TcpStream>) {
    let (mut host, mut peers) = (Host::new(), Vec::new());
    for reader in 0..RACES {
        let (mut stream, peer) = connected();
        peers.push(peer);
        add(&mut host, &format!("reader {reader}"), move || {
            while stream.read(&mut [0])? > 0 {}
            Ok(())
        })
        .stop_timeout(Duration::MAX);
    }
    (host, peers)
}

// 86
#[test]
fn disconnecting_races_200_peers_that_hang_up_or_write_and_leaves_nothing_open() {
    alone!();
    let before = descriptors();
    let (mut host, peers) = readers();
    let events = host.events();
    host.start().unwrap();
    let meanwhile = thread::spawn(move || {
        while !matches!(events.recv_timeout(LIMIT).unwrap().kind, EventKind::Disconnected(_)) {}
        // One peer closes its connection, one writes, the third does nothing.
        let mut peers = peers.into_iter().enumerate().collect::<Vec<_>>();
        peers.retain(|(place, _)| place % 3 > 0);
        _ = peers.iter_mut().filter(|(place, _)| place % 3 == 1).try_for_each(|(_, peer)| peer.write_all(b"x"));
        peers
    });
    let stopped = host.stop(STOP);
    let mut silent = report(&stopped).services.iter().skip(2).step_by(3);
    assert!(silent.any(|row| !row.disconnected.is_empty()), "{stopped:?}");
    // On a busy machine a tenth of the time may be too short for all of them: the others end with their peers.
    drop(meanwhile.join().unwrap());
    let stopped = host.stop(LIMIT);
    let freed =
        report(&stopped).services.iter().filter(|row| matches!(row.outcome, Outcome::Stopped | Outcome::Failed(_)));
    assert_eq!(freed.count(), RACES, "{stopped:?}");
    drop(host);
    assert_eq!(descriptors(), before);
}
