//! The cost of the feature `io`, compared with a bare `poll` of the descriptor and an eventfd that is written at the
//! stop.

mod harness;

use harness::crew::Crew;
use harness::fleet::{started, wait};
use harness::signal::Signal;
use harness::table::{duration, quartiles, verdict};
use harness::{Bench, Contender, each, race, sampled};
use hosted::{Context, Result, StopSource, StopToken};
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::process::{Pid, PidfdFlags, Signal as Sig, kill_process, pidfd_open};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

fn main() {
    let bench = Bench::from_args();
    wake(&bench);
    go_on(&bench);
    stop(&bench);
}

fn wake(bench: &Bench) {
    let table = bench.comparison("From the stop until a blocked call has returned");
    let target = Some(1.3);
    table.compare("wake 1 in `accept`", target, woken::<Accept>);
    table.compare("wake 1 in a read of TCP", target, woken::<TcpRead>);
    table.compare("wake 1 in a wait for a datagram", target, woken::<Datagram>);
    table.compare("wake 1 in a read of a pipe", target, woken::<PipeRead>);
    table.compare("end and reap a child", target, woken::<Process>);
}

/// A call that a thread can be blocked in.
trait Blocked: Send + Sync + 'static {
    fn new() -> Self;
    /// The call of this library, which returns at the stop.
    fn block(&self, token: &StopToken);
    fn fd(&self) -> BorrowedFd<'_>;
    /// What the benchmark must do at the stop if the library does not do it.
    fn finish(&self) {}
}

struct Accept(TcpListener);

impl Blocked for Accept {
    fn new() -> Self {
        Accept(TcpListener::bind("127.0.0.1:0").unwrap())
    }

    fn block(&self, token: &StopToken) {
        token.accept(&self.0).unwrap_err();
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

struct TcpRead(TcpStream, #[expect(dead_code, reason = "the other end")] TcpStream);

impl Blocked for TcpRead {
    fn new() -> Self {
        let (here, there) = connected();
        TcpRead(here, there)
    }

    fn block(&self, token: &StopToken) {
        token.interruptible(&self.0).read(&mut [0]).unwrap_err();
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

struct Datagram(UdpSocket);

impl Blocked for Datagram {
    fn new() -> Self {
        Datagram(UdpSocket::bind("127.0.0.1:0").unwrap())
    }

    fn block(&self, token: &StopToken) {
        token.wait_readable(&self.0, None).unwrap_err();
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

struct PipeRead(std::fs::File, #[expect(dead_code, reason = "the other end")] OwnedFd);

impl Blocked for PipeRead {
    fn new() -> Self {
        let (out, into) = rustix::pipe::pipe().unwrap();
        PipeRead(out.into(), into)
    }

    fn block(&self, token: &StopToken) {
        token.interruptible(&self.0).read(&mut [0]).unwrap_err();
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

struct Process(Mutex<Child>, OwnedFd);

impl Blocked for Process {
    fn new() -> Self {
        let child = Command::new("sleep").arg("3600").spawn().unwrap();
        let process = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        Process(Mutex::new(child), process)
    }

    fn block(&self, token: &StopToken) {
        token.wait_child(&mut self.0.lock(), Duration::MAX).unwrap();
    }

    fn fd(&self) -> BorrowedFd<'_> {
        self.1.as_fd()
    }

    fn finish(&self) {
        let mut child = self.0.lock();
        kill_process(Pid::from_child(&child), Sig::TERM).unwrap();
        child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // A child that nobody has waited for still exists. For the others this fails.
        let child = self.0.get_mut();
        _ = child.kill().and_then(|()| child.wait());
    }
}

/// The token, and the calls that it ends.
struct Ours<B>(StopSource, Arc<B>);

impl<B> Clone for Ours<B> {
    fn clone(&self) -> Self {
        Ours(self.0.clone(), self.1.clone())
    }
}

impl<B: Blocked> Signal for Ours<B> {
    fn fresh() -> Self {
        Ours(StopSource::new(), Arc::new(B::new()))
    }

    fn wait(&self) {
        self.1.block(&self.0.token());
    }

    fn raise(&self) {
        self.0.request_stop();
    }
}

/// An eventfd, and the descriptor that is polled beside it.
struct Bare<B>(Arc<(OwnedFd, B)>);

impl<B> Clone for Bare<B> {
    fn clone(&self) -> Self {
        Bare(self.0.clone())
    }
}

impl<B: Blocked> Signal for Bare<B> {
    fn fresh() -> Self {
        Bare(Arc::new((eventfd(0, EventfdFlags::CLOEXEC).unwrap(), B::new())))
    }

    fn wait(&self) {
        let (bell, blocked) = &*self.0;
        let fds = [bell.as_fd(), blocked.fd()];
        poll(&mut fds.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)), None).unwrap();
        blocked.finish();
    }

    fn raise(&self) {
        rustix::io::write(&self.0.0, &1_u64.to_ne_bytes()).unwrap();
    }
}

fn woken<B: Blocked>() -> Vec<Contender<'static>> {
    vec![waking::<Ours<B>>(""), waking::<Bare<B>>("`poll` with an eventfd")]
}

fn waking<S: Signal>(what: &str) -> Contender<'static> {
    let crew = Crew::<S>::new(1);
    sampled(what, move |n| (0..n).map(|_| crew.wake()).sum())
}

fn go_on(bench: &Bench) {
    let token = StopSource::new().token();
    let name = "send and receive a byte, there and back";
    if bench.wants(name) {
        let table = bench.table(
            "The cost of a stream whose reads return at the stop: both ends on one core",
            "operation | `hosted` | the bare stream | more | quartiles | target | verdict",
        );
        let times = on_one_core(|| {
            race(&mut [ping_pong("", |stream| token.interruptible(stream)), ping_pong("", |stream| stream)])
        });
        let more: Vec<f64> = times[0].iter().zip(&times[1]).map(|(ours, bare)| ours - bare).collect();
        let [ours, bare] = [0, 1].map(|i| duration(quartiles(times[i].clone())[1]));
        let [low, middle, high] = quartiles(more);
        let (spread, judged) = (format!("{} – {}", duration(low), duration(high)), verdict(Some(middle <= 3_000.0)));
        table.row(&[name.to_owned(), ours, bare, duration(middle), spread, "≤ 3.0 µs".to_owned(), judged]);
    }
    let table = bench.comparison("Reading in bulk");
    // The same amount in 1/0.97 of the time.
    let read = |name| {
        table.compare(name, Some(1.0 / 0.97), || {
            vec![bulk("", |stream| token.interruptible(stream)), bulk("the bare stream", |stream| stream)]
        });
    };
    read("read 16 MiB by 64 KiB");
    on_one_core(|| read("read 16 MiB by 64 KiB, both ends on one core"));
}

/// Runs `f` and its threads on one core. A thread that is woken on another core continues after 15 µs or after 100 µs,
/// which would hide the difference.
fn on_one_core<R>(f: impl FnOnce() -> R) -> R {
    let everywhere = sched_getaffinity(None).unwrap();
    let mut here = CpuSet::new();
    here.set((0..CpuSet::MAX_CPU).find(|&core| everywhere.is_set(core)).unwrap());
    sched_setaffinity(None, &here).unwrap();
    let result = f();
    sched_setaffinity(None, &everywhere).unwrap();
    result
}

fn connected() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let here = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    (here, listener.accept().unwrap().0)
}

fn ping_pong<S: Read + Write + 'static>(what: &str, wrap: impl Fn(TcpStream) -> S) -> Contender<'static> {
    let (here, mut there) = connected();
    here.set_nodelay(true).and_then(|()| there.set_nodelay(true)).unwrap();
    // Until the benchmark closes the connection.
    thread::spawn(move || {
        let mut byte = [0];
        while there.read_exact(&mut byte).and_then(|()| there.write_all(&byte)).is_ok() {}
    });
    let mut stream = wrap(here);
    each(what, move || {
        stream.write_all(&[1]).unwrap();
        stream.read_exact(&mut [0]).unwrap();
    })
}

fn bulk<S: Read + 'static>(what: &str, wrap: impl Fn(TcpStream) -> S) -> Contender<'static> {
    let (here, mut there) = connected();
    // Until the benchmark closes the connection. Between, it waits for room.
    thread::spawn(move || while there.write_all(&[0; 64 << 10]).is_ok() {});
    let (mut stream, mut buffer) = (wrap(here), vec![0; 64 << 10]);
    each(what, move || (0..256).for_each(|_| stream.read_exact(&mut buffer).unwrap()))
}

fn stop(bench: &Bench) {
    const SERVICES: usize = 1_000;
    let table = bench.comparison("Stopping services that are blocked");
    table.compare("stop 1,000 blocked in reads", Some(1.5), || {
        let stream = Arc::new(UnixStream::pair().unwrap());
        let read = move |ctx: &Context| Ok(ctx.interruptible(&stream.0).read_exact(&mut [0])?);
        vec![stopping("", SERVICES, read), stopping("1,000 that wait for the token", SERVICES, wait)]
    });
}

/// The time from `stop` until it has returned.
fn stopping(
    what: &str,
    services: usize,
    run: impl FnMut(&Context) -> Result + Clone + Send + 'static,
) -> Contender<'static> {
    let once = move || {
        let mut host = started(services, false, run.clone());
        thread::sleep(Duration::from_micros(500 + 50 * services as u64)); // the last of them needs time to fall asleep
        let begin = Instant::now();
        host.stop(Duration::from_secs(60)).unwrap();
        begin.elapsed()
    };
    sampled(what, move |n| (0..n).map(|_| once()).sum())
}
