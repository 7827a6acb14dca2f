//! The report of a blocked thread if numbers are reused, names are not UTF-8, or the kernel has resumed the wait.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

use crate::support::child::{Child, Program, say};
use crate::support::sockets::silent;
use crate::support::{BlocksInDrop, LIMIT, unresponsive};
use crossbeam_channel::bounded;
use hosted::{Context, EventKind, Host, HostHandle, Outcome, ServiceState, worker};
use std::cell::RefCell;
use std::io::{self, BufRead};
use std::net::TcpStream;
use std::time::{Duration, Instant};
use std::{fs, thread};

/// Longer than any test.
pub(crate) const AN_HOUR: Duration = Duration::from_secs(3_600);

pub(crate) const PROGRAMS: &[Program] = &[("resumed", resumed)];

/// Waits until `found` returns something. The kernel and the registry send no event for what these tests wait for.
pub(crate) fn until<R>(mut found: impl FnMut() -> Option<R>, or: impl Fn() -> String) -> R {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < LIMIT, "{}", or());
        thread::yield_now();
    }
}

/// Returns what the service `name` is blocked in now.
pub(crate) fn blocked(handle: &HostHandle, name: &str) -> String {
    let row = handle.services().into_iter().find(|row| *row.name == *name).expect("a service of that name");
    row.blocked_now().unwrap_or_default()
}

/// Waits until the text for the service `name` fulfils the condition, and returns the text.
pub(crate) fn until_blocked(handle: &HostHandle, name: &str, is_right: impl Fn(&str) -> bool) -> String {
    let find = || Some(blocked(handle, name)).filter(|text| is_right(text));
    until(find, || format!("`{name}` is blocked in something else: {}", blocked(handle, name)))
}

// ---- Numbers do not identify a thread or a descriptor.

#[cfg(feature = "disconnect")]
mod strangers {
    use super::{Context, Host, LIMIT, Outcome, until_blocked, worker};
    use crate::support::sockets::connected;
    use rustix::buffer::spare_capacity;
    use rustix::event::epoll;
    use rustix::io::fcntl_dupfd_cloexec;
    use std::io::{ErrorKind, Read, Write};
    use std::os::fd::{AsRawFd, OwnedFd};
    use std::time::Duration;

    /// A number above all descriptors of the other tests in this program.
    const FREE: i32 = 700;

    // 104
    #[test]
    fn a_socket_that_reuses_the_number_of_an_epoll_entry_is_not_disconnected() {
        let ((ours, mut peer), (stranger, mut its_peer)) = (connected(), connected());
        let added = fcntl_dupfd_cloexec(&ours, FREE).unwrap();
        let (set, number) = (epoll::create(epoll::CreateFlags::CLOEXEC).unwrap(), added.as_raw_fd());
        epoll::add(&set, &added, epoll::EventData::new_u64(7), epoll::EventFlags::IN).unwrap();
        drop(added); // `ours` keeps the entry of the set alive
        let stranger: OwnedFd = fcntl_dupfd_cloexec(&stranger, number).unwrap();
        assert_eq!(stranger.as_raw_fd(), number, "the stranger has the number of the entry");
        let address = its_peer.local_addr().unwrap().to_string();
        let mut set = Some(set);
        let wait = move |_: &Context| -> hosted::Result {
            let set = set.take().expect("the service is not restarted");
            let mut events = Vec::<epoll::Event>::with_capacity(4);
            Ok(epoll::wait(&set, spare_capacity(&mut events), None).map(drop)?)
        };
        let mut host = Host::new();
        host.add("poller", worker(wait)).disconnect_when_hung();
        host.start().unwrap();
        until_blocked(&host.handle(), "poller", |text| text.starts_with("epoll_"));
        let error = host.stop(Duration::from_millis(500)).unwrap_err();
        let row = &error.report().services[0];
        let Outcome::Hung(hung) = &row.outcome else { panic!("not hung: {error}") };
        let text = hung.blocked_in.as_deref().unwrap();
        assert!(text.contains("epoll, watching 1 without a known descriptor)"), "{text}");
        assert!(row.disconnected.is_empty() && !error.to_string().contains(&address), "{error}");
        its_peer.set_nonblocking(true).unwrap();
        let read = its_peer.read(&mut [0]).map_err(|error| error.kind());
        assert_eq!(read, Err(ErrorKind::WouldBlock), "the stranger is still connected");
        peer.write_all(b"x").unwrap();
        host.stop(LIMIT).unwrap();
        drop((ours, stranger));
    }
}

// 94
#[test]
fn a_service_that_ends_after_the_drop_of_its_host_shows_how_it_ended() {
    let (service, release) = unresponsive();
    let mut host = Host::new();
    host.add("stuck", service);
    host.add(
        "failed",
        worker(|ctx| {
            ctx.wait();
            Err("lost its connection".into())
        }),
    );
    host.start().unwrap();
    host.stop(Duration::from_millis(300)).unwrap_err();
    let handle = host.handle();
    drop(host);
    let before = handle.services().remove(0);
    assert_eq!(before.state, ServiceState::Hung);
    assert!(before.blocked_in.is_some() && before.blocked_now().is_some());
    drop(release);
    let state = || handle.services()[0].state;
    until(|| (state() == ServiceState::Stopped).then_some(()), || format!("the state stays {}", state()));
    assert_eq!(handle.services()[0].blocked_in, None);
    assert_eq!(before.blocked_now(), None, "its thread has exited, even if another thread has its number");
    assert_eq!(handle.services()[1].state, ServiceState::Failed);
}

thread_local! {
    static HELD: RefCell<Option<BlocksInDrop>> = const { RefCell::new(None) };
}

// 94
#[test]
fn a_service_is_hung_until_its_thread_local_destructors_have_run_and_no_longer() {
    let (in_run, in_destructor) = (bounded::<()>(0), bounded::<()>(0));
    let mut host = Host::new();
    let run = move |_: &Context| {
        HELD.set(Some(BlocksInDrop(in_destructor.1.clone())));
        Ok(_ = in_run.1.recv())
    };
    host.add("stuck", worker(run));
    host.start().unwrap();
    let events = host.events();
    host.stop(Duration::ZERO).unwrap_err();
    let handle = host.handle();
    drop(in_run.0);
    let stopped = |kind: &EventKind| matches!(kind, EventKind::Stopped);
    while !stopped(&events.recv_timeout(LIMIT).unwrap().kind) {}
    until_blocked(&handle, "stuck", |text| text.starts_with("futex"));
    assert_eq!(handle.services()[0].state, ServiceState::Hung);
    drop(in_destructor.0);
    let state = || handle.services()[0].state;
    until(|| (state() == ServiceState::Stopped).then_some(()), || format!("the state stays {}", state()));
    // The second stop finds nothing left to wait for.
    let report = host.stop(Duration::ZERO).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
}

#[test]
fn many_services_that_end_after_the_stop_all_show_how_they_ended() {
    const SERVICES: usize = 200;
    let (release, held) = bounded::<()>(0);
    let mut host = Host::new();
    for n in 0..SERVICES {
        let held = held.clone();
        host.add(format!("stuck {n}"), worker(move |_| Ok(_ = held.recv()))).after::<&str>([]);
    }
    host.start().unwrap();
    let error = host.stop(Duration::ZERO).unwrap_err();
    assert_eq!(error.failures().len(), SERVICES);
    let handle = host.handle();
    drop((host, release));
    let hung = || handle.services().iter().filter(|row| row.state != ServiceState::Stopped).count();
    until(|| (hung() == 0).then_some(()), || format!("{} never stop", hung()));
}

// ---- Names may be any bytes.

#[test]
fn a_thread_whose_kernel_name_is_not_utf_8_is_timed() {
    let (release, held) = bounded::<()>(0);
    let run = move |_: &Context| {
        fs::write("/proc/thread-self/comm", b"gr\xfc\xdfe")?;
        Ok(_ = held.recv())
    };
    let mut host = Host::new();
    host.add("latin", worker(run));
    host.start().unwrap();
    until_blocked(&host.handle(), "latin", |text| text.contains(" for at least "));
    drop(release);
    host.stop(LIMIT).unwrap();
}

#[cfg(feature = "disconnect")]
#[test]
fn a_thread_whose_kernel_name_is_not_utf_8_is_disconnected() {
    use std::io::Read;
    let (ours, _peer) = crate::support::sockets::connected();
    let run = move |_: &Context| {
        fs::write("/proc/thread-self/comm", b"gr\xfc\xdfe")?;
        Ok(_ = (&ours).read(&mut [0])?)
    };
    let mut host = Host::new();
    host.add("latin", worker(run)).disconnect_when_hung().stop_timeout(Duration::from_millis(300));
    host.start().unwrap();
    until_blocked(&host.handle(), "latin", |text| text.starts_with("recvfrom"));
    let report = host.stop(Duration::from_secs(5)).unwrap();
    assert_eq!(report.services[0].disconnected.len(), 1, "{report}");
}

#[test]
fn the_kernel_name_of_a_callback_thread_is_cut_between_two_letters() {
    let (sender, receiver) = bounded(2);
    let run = move |ctx: &Context| {
        let (once, called) = bounded(2);
        let (repeated, comm) = (once.clone(), || fs::read("/proc/thread-self/comm").unwrap());
        let _once = ctx.on_stop(move || _ = once.send(("once", comm())));
        let _repeated = ctx.on_stop_repeating(AN_HOUR, move || _ = repeated.send(("repeated", comm())));
        // Both are called before their guards are dropped.
        called.iter().take(2).try_for_each(|call| sender.send(call))?;
        Ok(())
    };
    for (name, kernel) in [("ääääääääää", "äääääää\n"), ("x日本語のサービス", "x日本語の\n")]
    {
        let mut host = Host::new();
        host.add(name, worker(run.clone()));
        host.start().unwrap();
        until_blocked(&host.handle(), name, |text| text.starts_with("futex"));
        host.stop(LIMIT).unwrap();
        let kinds = [(); 2].map(|()| {
            let (kind, comm) = receiver.recv_timeout(LIMIT).unwrap();
            assert_eq!(String::from_utf8_lossy(&comm), kernel, "{kind}");
            kind
        });
        assert!(kinds.contains(&"once") && kinds.contains(&"repeated"), "{kinds:?}");
    }
}

// ---- The kernel resumes a wait.

/// Two services wait, in `poll` and in a futex. A shell stops and continues the process. Then it prints what they wait
/// in.
fn resumed() {
    let address = silent();
    let connect = move |_: &Context| Ok(_ = TcpStream::connect_timeout(&address, AN_HOUR)?);
    let mut host = Host::new();
    let _client = host.add("client", worker(connect));
    #[cfg(feature = "disconnect")]
    _client.disconnect_when_hung().stop_timeout(Duration::from_millis(300));
    let (release, held) = bounded::<()>(0);
    host.add("receiver", worker(move |_| Ok(_ = held.recv_timeout(AN_HOUR)))).after::<&str>([]);
    host.add("sleeper", worker(|ctx| Ok(ctx.sleep(AN_HOUR)?))).after::<&str>([]);
    host.start().unwrap();
    let handle = host.handle();
    until_blocked(&handle, "client", |text| text.starts_with("poll(") || text.starts_with("ppoll("));
    until_blocked(&handle, "receiver", |text| text.starts_with("futex "));
    until_blocked(&handle, "sleeper", |text| text.starts_with("sleeping"));
    say("ready");
    io::stdin().lock().read_line(&mut String::new()).unwrap();
    // Now the process has been stopped and continued.
    let restarted =
        |text: &str| text.split(' ').next() == Some(if cfg!(target_arch = "x86_64") { "219" } else { "128" });
    let count = || {
        let tasks = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path().join("syscall"));
        tasks.filter(|file| fs::read_to_string(file).is_ok_and(|line| restarted(&line))).count()
    };
    // The kernel decides whether a `ppoll` or a sleep resumes under its own number. The timed futex does not.
    until(|| (count() > 0).then_some(()), || "no wait was resumed".to_owned());
    say(&until_blocked(&handle, "client", |text| text.contains("poll(")));
    say(&until_blocked(&handle, "receiver", |text| text.starts_with("futex ")));
    say(&until_blocked(&handle, "sleeper", |text| text.starts_with("sleeping")));
    drop(release);
    let stopped = host.stop(Duration::from_secs(5));
    let report = stopped.as_ref().unwrap_or_else(|error| error.report());
    say(if report.services[0].disconnected.is_empty() { "connected" } else { "disconnected" });
    std::process::exit(0);
}

#[test]
fn a_wait_resumed_after_sigstop_and_sigcont_is_named_and_disconnected_as_before() {
    let mut child = Child::play("resumed");
    child.suffers(
        r#"kill -s STOP "$1"
        until grep -q '^State:.T' "/proc/$1/status"; do :; done
        for task in "/proc/$1/task/"*; do until grep -q '^State:.T' "$task/status"; do :; done; done
        kill -s CONT "$1""#,
    );
    child.reads("go on\n");
    let (code, said, complaints) = child.ends_saying();
    let [client, receiver, sleeper, connection] = &said[..] else { panic!("{said:?}: {complaints}") };
    assert!(client.trim_start_matches('p').starts_with("oll(fd ") && client.contains(" = tcp "), "{client}");
    assert!(receiver.starts_with("futex (a lock, condvar or channel)"), "{receiver}");
    assert!(sleeper.starts_with("sleeping") && sleeper.ends_with(" s left"), "{sleeper}");
    assert_eq!(connection, if cfg!(feature = "disconnect") { "disconnected" } else { "connected" });
    assert_eq!(code, 0, "{complaints}");
}
