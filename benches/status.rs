//! The status server: what requests cost, what an idle server and the monitor of stalls cost, and a year of `cron`.
//!
//! Costs are those of the whole process, so the client is counted too. `taskset -c 0` runs both on one core.

mod harness;

use harness::Bench;
use harness::table::{duration, verdict};
use hosted::testing::ManualClock;
use hosted::{Context, Host, StatusServer, StopSource, cron, worker};
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// How long each row is measured.
const TIME: Duration = Duration::from_secs(2);
/// How long an idle host is observed.
const IDLE: Duration = Duration::from_secs(10);
const LIMIT: Duration = Duration::from_secs(10);

fn main() {
    let bench = Bench::from_args();
    requests(&bench);
    idle(&bench);
    stop(&bench);
    cron_year(&bench);
}

fn started(services: usize) -> (Host, SocketAddr) {
    let server = StatusServer::bind("127.0.0.1:0");
    let address = server.local_addr();
    let mut host = Host::new();
    host.add("status", server);
    for n in 1..services {
        host.add(format!("service-{n}"), worker(|ctx| Ok(ctx.sleep(Duration::MAX)?))).independent();
    }
    host.start().expect("the host starts");
    (host, address.get().expect("the server has started"))
}

fn requests(bench: &Bench) {
    let columns = "request | services | processor time | for a second of it | bytes | target | verdict";
    let table = bench.table("Requests to the status server", columns);
    let row = |name: &str, services: usize, target: Option<f64>, request: &mut dyn FnMut() -> usize| {
        if bench.wants(name) {
            let (each, bytes) = measure(request);
            let (text, met) = match target {
                Some(target) if target < 1.0 => (format!("≤ {}", duration(target * 1e9)), Some(each <= target)),
                Some(target) => (format!("≥ {target} for a second"), Some(1.0 / each >= target)),
                None => ("–".to_owned(), None),
            };
            let cells = [name.to_owned(), services.to_string(), duration(each * 1e9), format!("{:.0}", 1.0 / each)];
            table.row(&[cells.as_slice(), &[bytes.to_string(), text, verdict(met)]].concat());
        }
    };
    for services in [2, 300] {
        let (mut host, address) = started(services);
        for (path, target) in [("/", Some(0.005)), ("/status.json", None), ("/metrics", None), ("/livez", None)] {
            let mut stream = TcpStream::connect(address).expect("a connection");
            row(path, services, target, &mut || get(&mut stream, path, "keep-alive"));
        }
        let target = (services == 2).then_some(5_000.0);
        row("/livez, each on a new connection", services, target, &mut || {
            get(&mut TcpStream::connect(address).expect("a connection"), "/livez", "close")
        });
        host.stop(LIMIT).expect("a stop");
    }
}

/// What costs something while nothing happens.
fn idle(bench: &Bench) {
    let table = bench.table("Doing nothing", "situation | figure | target | verdict");
    if bench.wants("page") {
        let (mut host, address) = started(300);
        let mut stream = TcpStream::connect(address).expect("a connection");
        get(&mut stream, "/", "keep-alive");
        let (begin, cpu) = (Instant::now(), cpu_time());
        while begin.elapsed() < IDLE {
            get(&mut stream, "/", "keep-alive");
            thread::sleep(Duration::from_secs(2)); // as the script of the page does
        }
        let share = (cpu_time() - cpu).as_secs_f64() / begin.elapsed().as_secs_f64() * 100.0;
        let cells =
            ["a page of 300 services is open", &format!("{share:.3} % of a core"), "≤ 0.5 %"].map(str::to_owned);
        table.row(&[cells.as_slice(), &[verdict(Some(share <= 0.5))]].concat());
        host.stop(LIMIT).expect("a stop");
    }
    if bench.wants("idle") {
        let server = StatusServer::bind("127.0.0.1:0");
        let mut host = Host::new();
        host.add("status", server);
        host.add("watched", worker(|ctx| Ok(ctx.sleep(Duration::MAX)?))).stalls_after(Duration::from_secs(2));
        host.start().expect("the host starts");
        thread::sleep(TIME); // so that every thread has come to rest
        let before = sleeps();
        thread::sleep(IDLE);
        let woke: Vec<String> = sleeps()
            .into_iter()
            .filter(|(thread, after)| thread.0 != std::process::id() && before.get(thread) != Some(after))
            .map(|(thread, after)| format!("`{}` {} times", thread.1, after - before.get(&thread).unwrap_or(&0)))
            .collect();
        let met = woke.len() == 1 && woke[0].contains("hosted-monitor");
        let name = "idle for 10 s with a service that is watched for stalls of 2 s: threads that woke up".to_owned();
        table.row(&[name, woke.join(", "), "the monitor alone".to_owned(), verdict(Some(met))]);
        host.stop(LIMIT).expect("a stop");
    }
}

fn stop(bench: &Bench) {
    let table = bench.table("Stopping with 64 clients connected", "situation | time");
    if bench.wants("stop") {
        let (mut host, address) = started(2);
        let clients: Vec<TcpStream> = (0..64).map(|_| TcpStream::connect(address).expect("a connection")).collect();
        thread::sleep(Duration::from_millis(100)); // so that each has its thread
        let begin = Instant::now();
        host.stop(LIMIT).expect("a stop");
        table.row(&["stop of the host".to_owned(), duration(begin.elapsed().as_secs_f64() * 1e9)]);
        drop(clients);
    }
}

fn cron_year(bench: &Bench) {
    let table = bench.table("A year of `cron` on a manual clock", "schedule | runs | time | target | verdict");
    if bench.wants("cron") {
        const DAY: Duration = Duration::from_secs(24 * 3_600);
        let mut best = Duration::MAX;
        let mut runs = 0;
        for _ in 0..10 {
            let (time, stop) = (ManualClock::at(SystemTime::UNIX_EPOCH + 20_000 * DAY), StopSource::new());
            let ctx = Context::new("nightly", stop.token()).with_clock(time.clock());
            let (ran, done) = std::sync::mpsc::channel();
            let mut nightly = cron("0 3 * * *", move |_| Ok(ran.send(())?)).time_zone("Europe/Zurich");
            let begin = Instant::now();
            let thread = thread::spawn(move || hosted::Service::run(&mut nightly, &ctx).is_err());
            for _ in 0..365 {
                time.wait_for_sleepers(1);
                time.advance(DAY);
            }
            time.wait_for_sleepers(1);
            best = best.min(begin.elapsed());
            stop.request_stop();
            assert!(thread.join().expect("the service does not panic"), "it ends with the stop");
            runs = done.iter().count();
        }
        let met = verdict(Some(best <= Duration::from_millis(50)));
        let time = duration(best.as_secs_f64() * 1e9);
        table.row(&["0 3 * * *".to_owned(), runs.to_string(), time, "≤ 50 ms".to_owned(), met]);
    }
}

/// Returns the processor time of a request in seconds, and the length of its answer.
fn measure(request: &mut dyn FnMut() -> usize) -> (f64, usize) {
    request();
    let (begin, cpu, mut count, mut bytes) = (Instant::now(), cpu_time(), 0_u32, 0);
    while begin.elapsed() < TIME {
        bytes = request();
        count += 1;
    }
    ((cpu_time() - cpu).as_secs_f64() / f64::from(count), bytes)
}

/// Reads a whole answer. Returns how long its body is.
fn get(stream: &mut TcpStream, path: &str, connection: &str) -> usize {
    let request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: {connection}\r\n\r\n");
    stream.write_all(request.as_bytes()).expect("a request");
    let mut buffer = vec![0; 256 * 1_024];
    let mut filled = 0;
    loop {
        let read = stream.read(&mut buffer[filled..]).expect("an answer");
        assert!(read > 0, "the server closed the connection");
        filled += read;
        let Some(end) = buffer[..filled].windows(4).position(|bytes| bytes == b"\r\n\r\n") else { continue };
        let head = std::str::from_utf8(&buffer[..end]).expect("a head in ASCII");
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: ")).expect("a length");
        let length: usize = length.parse().expect("a number");
        buffer.resize(buffer.len().max(end + 4 + length), 0);
        if filled >= end + 4 + length {
            return length;
        }
    }
}

/// User and system time of the process.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(u64::try_from(time.tv_sec).expect("a time"), u32::try_from(time.tv_nsec).expect("a fraction"))
}

/// How often each thread of the process has gone to sleep, by its number and name.
fn sleeps() -> BTreeMap<(u32, String), u64> {
    let tasks = fs::read_dir("/proc/self/task").expect("/proc").flatten();
    let found = tasks.filter_map(|task| {
        let name = fs::read_to_string(task.path().join("comm")).ok()?;
        let status = fs::read_to_string(task.path().join("status")).ok()?;
        let count = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"))?;
        Some(((task.file_name().to_str()?.parse().ok()?, name.trim_end().to_owned()), count.trim().parse().ok()?))
    });
    found.collect()
}
