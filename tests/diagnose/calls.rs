//! Guarantee 49, on Linux: the report of a hung service names the system call, the descriptor, and what the descriptor
//! is.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use crate::support::LIMIT;
use crossbeam_channel::bounded;
use hosted::{Context, Host, Outcome, Result, worker};
use rustix::event::{PollFd, PollFlags, epoll, poll};
use std::fs::File;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{hint, thread};

/// Removes the time that the call has lasted.
fn call(text: &str) -> &str {
    text.split_once(" for at least ").map_or(text, |(call, _)| call)
}

/// Returns a host whose one service blocks in `blocks`, and checks that it is reported as hung in `said`.
fn hung_in(said: impl Fn(&str) -> bool, blocks: impl FnOnce() -> Result + Send + 'static) -> Host {
    let (mut host, mut blocks) = (Host::new(), Some(blocks));
    host.add("stuck", worker(move |_: &Context| blocks.take().expect("it is not restarted")()));
    host.start().unwrap();
    host.stop(Duration::ZERO).unwrap_err(); // now its status shows what it is blocked in
    let began = Instant::now();
    loop {
        // There is no event for "the thread has reached the call", so this polls the kernel.
        let text = host.handle().services().remove(0).blocked_in;
        if text.as_deref().is_some_and(|text| said(call(text))) {
            break;
        }
        assert!(began.elapsed() < LIMIT, "expected another text than {text:?}");
        thread::yield_now();
    }
    let error = host.stop(Duration::ZERO).unwrap_err();
    let Outcome::Hung(hung) = &error.report().services[0].outcome else { panic!("not hung: {error}") };
    let text = hung.blocked_in.as_ref().unwrap();
    assert!(said(call(text)), "{text}");
    let sentence = if text.starts_with("running") { format!(", {text}") } else { format!(", blocked in {text}") };
    assert!(error.to_string().contains(&sentence), "{error}");
    host
}

/// Checks that a service that blocks in `blocks` is reported as hung in `said`, and exits after `release`.
fn hangs_in(said: impl Fn(&str) -> bool, blocks: impl FnOnce() -> Result + Send + 'static, release: impl FnOnce()) {
    let mut host = hung_in(said, blocks);
    release();
    host.stop(LIMIT).unwrap();
}

/// The same, with the exact text.
fn hangs_in_just(text: &str, blocks: impl FnOnce() -> Result + Send + 'static, release: impl FnOnce()) {
    hangs_in(|said| said == text, blocks, release);
}

// 49
#[test]
fn a_futex_wait_is_shown_as_a_lock_condvar_or_channel() {
    let (release, held) = bounded::<()>(0);
    let blocks = move || {
        _ = held.recv();
        Ok(())
    };
    hangs_in_just("futex (a lock, condvar or channel)", blocks, || drop(release));
}

// 49
#[test]
fn a_tcp_connection_is_named_with_both_its_addresses() {
    for any in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(any) else { continue }; // without IPv6
        let mut near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (far, from) = listener.accept().unwrap();
        let said = format!("recvfrom(fd {} = tcp {from} -> {})", near.as_raw_fd(), listener.local_addr().unwrap());
        hangs_in_just(&said, move || Ok(_ = near.read(&mut [0])?), || drop(far));
    }
}

// 49
#[test]
fn a_listener_is_named_with_its_address() {
    for any in ["127.0.0.1:0", "[::1]:0"] {
        let Ok(listener) = TcpListener::bind(any) else { continue };
        let address = listener.local_addr().unwrap();
        let said = format!("accept4(fd {} = listening tcp {address})", listener.as_raw_fd());
        hangs_in_just(&said, move || Ok(_ = listener.accept()?), || drop(TcpStream::connect(address)));
    }
}

// 49
#[test]
fn a_udp_socket_is_named_with_its_address_and_once_connected_with_both() {
    let [near, far] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
    let [here, there] = [&near, &far].map(|socket| socket.local_addr().unwrap());
    let also_near = near.try_clone().unwrap();
    let said = format!("recvfrom(fd {} = udp {here})", near.as_raw_fd());
    hangs_in_just(&said, move || Ok(_ = near.recv_from(&mut [0])?), || _ = far.send_to(b"x", here).unwrap());
    also_near.connect(there).unwrap();
    let said = format!("recvfrom(fd {} = udp {here} -> {there})", also_near.as_raw_fd());
    hangs_in_just(&said, move || Ok(_ = also_near.recv(&mut [0])?), || _ = far.send_to(b"x", here).unwrap());
}

// 49
#[test]
fn a_unix_socket_is_named_with_its_escaped_path() {
    let (mut near, far) = UnixStream::pair().unwrap();
    let said = format!("recvfrom(fd {} = unix socket)", near.as_raw_fd());
    hangs_in_just(&said, move || Ok(_ = near.read(&mut [0])?), || drop(far));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a \u{1b}[2J b");
    let listener = UnixListener::bind(&path).unwrap();
    let shown = format!("{}/a \\u{{1b}}[2J b", folder.path().display());
    let said = format!("accept4(fd {} = listening unix socket {shown})", listener.as_raw_fd());
    hangs_in_just(&said, move || Ok(_ = listener.accept()?), || drop(UnixStream::connect(&path)));
}

// 49
#[test]
fn a_pipe_is_shown_as_a_pipe() {
    let (near, far) = rustix::pipe::pipe().unwrap();
    let (said, mut near) = (format!("read(fd {} = pipe)", near.as_raw_fd()), File::from(near));
    hangs_in_just(&said, move || Ok(_ = near.read(&mut [0])?), || drop(far));
}

/// Descriptors to poll, their description, and a writer that ends the poll.
fn something_to_poll() -> ([OwnedFd; 3], String, File) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (near, far) = rustix::pipe::pipe().unwrap();
    let datagrams = UdpSocket::bind("127.0.0.1:0").unwrap();
    let udp = datagrams.local_addr().unwrap();
    let fds: [OwnedFd; 3] = [listener.into(), near, datagrams.into()];
    let [a, b, c] = [0, 1, 2].map(|which: usize| fds[which].as_raw_fd());
    (fds, format!("fd {a} = listening tcp {address}, fd {b} = pipe, fd {c} = udp {udp}"), far.into())
}

// 49
#[test]
fn a_poll_is_named_with_all_that_it_waits_for() {
    let (fds, set, mut far) = something_to_poll();
    let blocks = move || {
        let mut set = fds.each_ref().map(|fd| PollFd::new(fd, PollFlags::IN));
        Ok(_ = poll(&mut set, None)?)
    };
    let said = [format!("poll({set})"), format!("ppoll({set})")];
    hangs_in(|text| said.iter().any(|said| said == text), blocks, move || far.write_all(b"x").unwrap());
}

// 49
#[test]
fn eight_descriptors_of_a_large_poll_are_named_and_the_rest_counted() {
    let (near, mut far) = rustix::pipe::pipe().map(|(near, far)| (near, File::from(far))).unwrap();
    let set = vec![format!("fd {} = pipe", near.as_raw_fd()); 8].join(", ");
    let blocks = move || {
        let mut set: Vec<_> = (0..1_000).map(|_| PollFd::new(&near, PollFlags::IN)).collect();
        Ok(_ = poll(&mut set, None)?)
    };
    let said = format!("poll({set} and 992 more)");
    hangs_in(|text| text.trim_start_matches('p') == &said[1..], blocks, move || far.write_all(b"x").unwrap());
}

// 49
#[test]
fn an_epoll_is_named_with_all_that_it_watches() {
    let (fds, _, mut far) = something_to_poll();
    let watching = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    for fd in &fds {
        epoll::add(&watching, fd.as_fd(), epoll::EventData::new_u64(0x5ec2e7), epoll::EventFlags::IN).unwrap();
    }
    let (number, [a, b, c]) = (watching.as_raw_fd(), fds.each_ref().map(|fd| format!("fd {} = ", fd.as_raw_fd())));
    let blocks = move || {
        let mut events = [epoll::Event { flags: epoll::EventFlags::empty(), data: epoll::EventData::new_u64(0) }];
        _ = epoll::wait(&watching, &mut events[..], None)?;
        drop(fds);
        Ok(())
    };
    let begins =
        [format!("epoll_wait(fd {number} = epoll, watching "), format!("epoll_pwait(fd {number} = epoll, watching ")];
    let said = |text: &str| {
        // The kernel chooses the order of this list.
        begins.iter().any(|begin| text.starts_with(begin)) && [&a, &b, &c].iter().all(|fd| text.contains(*fd))
    };
    hangs_in(said, blocks, move || far.write_all(b"x").unwrap());
}

// 49
#[test]
fn a_lock_of_a_file_is_named_with_the_file() {
    use rustix::fs::{FlockOperation, flock};
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("catalogue.lock");
    let (held, wanted) = (File::create(&path).unwrap(), File::create(&path).unwrap());
    flock(&held, FlockOperation::LockExclusive).unwrap();
    let said = format!("flock(fd {} = {})", wanted.as_raw_fd(), path.display());
    hangs_in_just(&said, move || Ok(flock(&wanted, FlockOperation::LockExclusive)?), || drop(held));
}

/// A child process that exits when its input ends.
fn child() -> Child {
    Command::new("cat").stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap()
}

// 49
#[test]
fn a_wait_for_a_child_process_is_named() {
    let mut child = child();
    let input = child.stdin.take();
    let said = |text: &str| ["wait4 (a child process)", "waitid (a child process)"].contains(&text);
    hangs_in(said, move || Ok(_ = child.wait()?), || drop(input));
}

// 49
#[test]
fn a_sleep_is_shown_as_a_sleep() {
    let blocks = || {
        thread::sleep(Duration::from_secs(3_600));
        Ok(())
    };
    let said = |text: &str| ["clock_nanosleep (a sleep)", "nanosleep (a sleep)"].contains(&text);
    std::mem::forget(hung_in(said, blocks)); // only the exit of the process ends this sleep
}

// 49
#[test]
fn a_service_that_computes_is_shown_as_running() {
    let over = Arc::new(AtomicBool::new(false));
    let until = over.clone();
    let blocks = move || {
        while !until.load(Ordering::Relaxed) {
            hint::spin_loop();
        }
        Ok(())
    };
    hangs_in(|text| text.starts_with("running"), blocks, || over.store(true, Ordering::Relaxed));
}
