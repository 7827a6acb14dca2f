//! Forced disconnect: a service that opted in and hangs on a socket loses the connection when its time is up.
#![cfg(all(feature = "disconnect", target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use crate::support::LIMIT;
use crate::support::hanging::{STOP, TIME, add, hung_up, report};
use crate::support::sockets::{connected, silent, tcp};
use crossbeam_channel::bounded;
use hosted::{Context, EventKind, Host, Outcome, Report, group, worker};
use rustix::buffer::spare_capacity;
use rustix::event::{PollFd, PollFlags, epoll, poll};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::sync::mpsc;
use std::time::{Duration, Instant};
use std::{io, thread};

/// The connections that the host has closed, from the services of a report.
fn disconnected(report: &Report) -> Vec<&str> {
    let rows = report.services.iter().flat_map(|service| &service.disconnected);
    rows.map(|hung| hung.blocked_in.as_deref().unwrap()).collect()
}

// 86
#[test]
fn a_blocked_read_line_ends_and_log_and_report_name_the_connection() {
    let (ours, peer) = connected();
    let (from, to) = (ours.local_addr().unwrap(), ours.peer_addr().unwrap());
    let mut host = Host::new();
    let events = host.events();
    add(&mut host, "reader", move || BufReader::new(ours).read_line(&mut String::new()));
    host.start().unwrap();
    let report = host.stop(LIMIT).unwrap();
    let call = format!("recvfrom(fd {{}} = tcp {from} -> {to})");
    let (before, after) = call.split_once("{}").unwrap();
    let [said] = disconnected(&report)[..] else { panic!("{report}") };
    assert!(said.starts_with(before) && said.contains(after), "{said}");
    assert!(report.to_string().contains(&format!("disconnected from: {said}")), "{report}");
    let event = events.try_iter().find(|event| matches!(event.kind, EventKind::Disconnected(_))).unwrap();
    let line = event.to_string();
    assert!(
        line.starts_with("service `reader`: closed the connection it was blocked on: thread reader (tid "),
        "{line}"
    );
    assert!(line.ends_with(&format!("blocked in {said}")), "{line}");
    assert!(hung_up(&peer));
}

// 86
#[test]
fn a_blocking_call_on_any_kind_of_socket_is_ended() {
    let mut host = Host::new();
    let (tcp, _tcp_peer) = connected();
    add(&mut host, "read_exact", move || (&tcp).read_exact(&mut [0; 4]));
    let (mut full, _full_peer) = connected();
    add(&mut host, "write_all", move || full.write_all(&vec![0; 64 << 20]));
    let (mut unix, _unix_peer) = UnixStream::pair().unwrap();
    add(&mut host, "unix", move || unix.read(&mut [0]));
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    add(&mut host, "udp", move || udp.recv_from(&mut [0]));
    let address = silent();
    add(&mut host, "connect", move || TcpStream::connect(address));
    let ((polled, _polled_peer), (pipe, _writer)) = (connected(), io::pipe().unwrap());
    add(&mut host, "poll", move || {
        let set = &mut [PollFd::new(&pipe, PollFlags::IN), PollFd::new(&polled, PollFlags::IN)];
        Ok(poll(set, None)?)
    });
    let (watched, _watched_peer) = connected();
    add(&mut host, "epoll", move || {
        let set = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        epoll::add(&set, &watched, epoll::EventData::new_u64(7), epoll::EventFlags::IN)?;
        Ok(epoll::wait(&set, spare_capacity(&mut Vec::<epoll::Event>::with_capacity(4)), None).map(drop)?)
    });
    host.start().unwrap();
    let stopped = host.stop(LIMIT);
    for service in &report(&stopped).services {
        assert!(matches!(service.outcome, Outcome::Stopped | Outcome::Failed(_)), "{stopped:?}");
        assert!(!service.disconnected.is_empty(), "{stopped:?}");
    }
}

// 87
#[test]
fn a_listening_socket_is_never_shut_down() {
    let listener = tcp();
    let (address, (stream, peer)) = (listener.local_addr().unwrap(), connected());
    let (accepting, polling) = (listener.try_clone().unwrap(), listener.try_clone().unwrap());
    let mut host = Host::new();
    add(&mut host, "accept", move || accepting.accept());
    add(&mut host, "poll", move || {
        // The service waits for both, and the stream is disconnected.
        let set = &mut [PollFd::new(&polling, PollFlags::IN), PollFd::new(&stream, PollFlags::IN)];
        Ok(poll(set, None)?)
    });
    host.start().unwrap();
    let error = host.stop(STOP).unwrap_err();
    let [accept, poll] = &error.report().services[..] else { panic!("{error}") };
    assert!(matches!(accept.outcome, Outcome::Hung(_)) && accept.disconnected.is_empty(), "{error}");
    assert!(matches!(poll.outcome, Outcome::Stopped) && hung_up(&peer), "{error}");
    TcpStream::connect(address).unwrap(); // wakes the service that accepts
    host.stop(LIMIT).unwrap();
    let _client = TcpStream::connect(address).unwrap();
    listener.accept().unwrap();
}

// 87
#[test]
fn services_that_did_not_opt_in_or_stop_in_time_keep_their_connections() {
    let ((unresponsive, mut unresponsive_peer), (prompt, prompt_peer)) = (connected(), connected());
    let held = prompt.try_clone().unwrap();
    let mut host = Host::new();
    let events = host.events();
    let read = move |_: &Context| Ok((&unresponsive).read_exact(&mut [0])?);
    host.add("stuck", worker(read)).after::<&str>([]);
    let wait = move |ctx: &Context| {
        ctx.wait();
        prompt.set_nodelay(true)?;
        Ok(())
    };
    host.add("prompt", worker(wait)).after::<&str>([]).disconnect_when_hung();
    host.start().unwrap();
    let error = host.stop(Duration::from_millis(500)).unwrap_err();
    let [unresponsive, prompt] = &error.report().services[..] else { panic!("{error}") };
    assert!(matches!(unresponsive.outcome, Outcome::Hung(_)) && matches!(prompt.outcome, Outcome::Stopped), "{error}");
    assert!(!hung_up(&unresponsive_peer) && !hung_up(&prompt_peer));
    unresponsive_peer.write_all(b"x").unwrap();
    host.stop(LIMIT).unwrap();
    assert!(!events.try_iter().any(|event| matches!(event.kind, EventKind::Disconnected(_))));
    drop(held);
}

// 86
#[test]
fn a_service_of_a_group_is_disconnected_before_the_group_is_hung() {
    let (ours, peer) = connected();
    let mut stream = Some(ours);
    let mut host = Host::new();
    host.add(
        "feeds",
        group(move |host| {
            let stream = stream.take().expect("the group is not restarted");
            add(host, "reader", move || (&stream).read(&mut [0]));
            Ok(())
        }),
    );
    host.start().unwrap();
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(report.services[1].disconnected.len(), 1, "{report}");
    assert!(hung_up(&peer));
}

// 86
#[test]
fn a_stop_callback_that_hangs_on_a_socket_is_disconnected_too() {
    let ((ours, peer), (ready, registered)) = (connected(), mpsc::channel());
    let run = move |ctx: &Context| {
        let (stream, (sender, receiver)) = (ours.try_clone()?, mpsc::channel());
        let _cancel = ctx.on_stop(move || {
            _ = sender.send(());
            _ = (&stream).read(&mut [0]); // an answer that never comes
        });
        ready.send(())?;
        Ok(receiver.recv()?) // the drop of the guard then waits for the callback
    };
    let mut host = Host::new();
    host.add("client", worker(run)).disconnect_when_hung().stop_timeout(TIME);
    host.start().unwrap();
    registered.recv_timeout(LIMIT).unwrap();
    let report = host.stop(LIMIT).unwrap();
    let [hung] = &report.services[0].disconnected[..] else { panic!("{report}") };
    assert!(hung.thread.starts_with("client:on_stop (tid "), "{}", hung.thread);
    assert!(hung_up(&peer));
}

#[test]
fn with_disconnect_the_stop_deadline_of_a_service_is_nine_tenths_of_the_time() {
    let (sender, deadline) = mpsc::channel();
    let run = move |ctx: &Context| {
        ctx.wait();
        Ok(sender.send(ctx.stop_deadline())?)
    };
    let mut host = Host::new();
    host.add("client", worker(run)).disconnect_when_hung();
    host.start().unwrap();
    let before = Instant::now();
    host.stop(Duration::from_secs(1_000)).unwrap();
    let deadline = deadline.recv_timeout(LIMIT).unwrap().unwrap();
    let tenth = Duration::from_secs(900);
    assert!((before + tenth..=Instant::now() + tenth).contains(&deadline), "{:?}", deadline - before);
}

#[test]
fn a_service_that_reconnects_is_disconnected_again() {
    let (listener, mut connected) = (tcp(), 0);
    let address = listener.local_addr().unwrap();
    let accept = thread::spawn(move || listener.incoming().take(2).collect::<io::Result<Vec<_>>>());
    let mut host = Host::new();
    add(&mut host, "stubborn", move || {
        while connected < 2 {
            (connected, _) = (connected + 1, TcpStream::connect(address)?.read(&mut [0])?);
        }
        Ok(())
    });
    host.start().unwrap();
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(disconnected(&report).len(), 2, "{report}");
    drop(accept.join().unwrap());
}

#[test]
fn a_service_that_waits_for_no_socket_stays_hung() {
    let (release, held) = bounded::<()>(0);
    let mut host = Host::new();
    add(&mut host, "stuck", move || Ok(held.recv()));
    host.start().unwrap();
    let error = host.stop(Duration::from_millis(500)).unwrap_err();
    let row = &error.report().services[0];
    assert!(matches!(row.outcome, Outcome::Hung(_)) && row.disconnected.is_empty(), "{error}");
    drop(release);
    host.stop(LIMIT).unwrap();
}
