//! How late the last stop request comes, and how late `stop` returns, when hardly anybody hears.
//!
//! A `database` that all others depend on receives its request last. It hears it; what is printed is how long before the
//! deadline that was, and how far beyond the timeout `stop` returned. The others are released afterwards.

mod harness;

use crossbeam_channel::{Receiver, bounded};
use harness::Bench;
use harness::table::{duration, thousands, verdict};
use hosted::{Context, Host, Outcome, Result, worker};
use std::net::UdpSocket;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The promise: `stop` returns within its timeout and this.
const OVERRUN: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(600);
const SIZES: [usize; 3] = [100, 1_000, 10_000];

fn main() {
    let bench = Bench::from_args();
    raise_descriptors();
    let columns = "services | timeout | last request, before the deadline | returns after the timeout | hung | verdict";
    let table = bench.table("A stop in which nobody hears", columns);
    for (what, timeout, add) in SCENARIOS {
        for services in SIZES {
            let name = format!("{} that {what}", thousands(services));
            if bench.wants(&name) {
                table.row(&measured(name, services, timeout, add));
            }
        }
    }
}

/// Adds so many services that end when the sender of the receiver is dropped.
type Add = fn(&mut Host, usize, &Receiver<()>);

const SECOND: Duration = Duration::from_secs(1);
const SCENARIOS: [(&str, Duration, Add); 6] = [
    ("do not hear", SECOND, unresponsive),
    ("do not hear, each after the one before", SECOND, chain),
    ("do not hear, with an `on_stop` guard each", SECOND, guarded),
    ("do not hear, with an `on_stop` callback each that blocks", SECOND, blocking),
    ("are blocked on sockets, with `disconnect_when_hung`", Duration::from_secs(5), sockets),
    ("are blocked on sockets, in a short stop", Duration::from_millis(400), sockets),
];

fn measured(name: String, services: usize, timeout: Duration, add: Add) -> [String; 6] {
    let (release, held) = bounded::<()>(0);
    let (tell, heard) = mpsc::channel();
    let mut host = Host::new();
    let database = move |ctx: &Context| {
        ctx.wait();
        Ok(tell.send(Instant::now())?)
    };
    host.add("database", worker(database)).after::<&str>([]);
    add(&mut host, services, &held);
    host.start().unwrap();
    let began = Instant::now();
    let stopped = host.stop(timeout);
    let took = began.elapsed();
    let report = stopped.as_ref().unwrap_or_else(|error| error.report());
    let hung = report.services.iter().filter(|service| matches!(service.outcome, Outcome::Hung(_))).count();
    let asked = heard.recv_timeout(LIMIT).unwrap() - began;
    let (early, late) = (timeout.saturating_sub(asked), took.saturating_sub(timeout));
    drop((stopped, release));
    // Who is blocked on a socket is disconnected near the end of a stop, and there may be many.
    while host.stop(10 * SECOND).is_err() {}
    let met = !early.is_zero() && late <= OVERRUN;
    let [early, late, timeout] = [early, late, timeout].map(|time| duration(time.as_nanos() as f64));
    [name, timeout, early, late, thousands(hung), verdict(Some(met))]
}

fn waits(held: &Receiver<()>) -> impl FnMut(&Context) -> Result + Send + 'static {
    let held = held.clone();
    move |_| {
        _ = held.recv();
        Ok(())
    }
}

fn unresponsive(host: &mut Host, services: usize, held: &Receiver<()>) {
    for number in 0..services {
        host.add(format!("service {number}"), worker(waits(held))).after(["database"]);
    }
}

fn chain(host: &mut Host, services: usize, held: &Receiver<()>) {
    for number in 0..services {
        host.add(format!("service {number}"), worker(waits(held)));
    }
}

fn guarded(host: &mut Host, services: usize, held: &Receiver<()>) {
    with_callback(host, services, held, |_| ());
}

fn blocking(host: &mut Host, services: usize, held: &Receiver<()>) {
    with_callback(host, services, held, |held| _ = held.recv());
}

fn with_callback(host: &mut Host, services: usize, held: &Receiver<()>, callback: fn(&Receiver<()>)) {
    for number in 0..services {
        let held = held.clone();
        let run = move |ctx: &Context| {
            let theirs = held.clone();
            let _guard = ctx.on_stop(move || callback(&theirs));
            _ = held.recv();
            Ok(())
        };
        host.add(format!("service {number}"), worker(run)).after(["database"]);
    }
}

/// UDP, as that takes one descriptor each and not two.
fn sockets(host: &mut Host, services: usize, _: &Receiver<()>) {
    for number in 0..services {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("as many descriptors as services");
        socket.connect("127.0.0.1:9").unwrap();
        let run = move |_: &Context| {
            _ = socket.recv(&mut [0]);
            Ok(())
        };
        host.add(format!("service {number}"), worker(run)).after(["database"]).disconnect_when_hung();
    }
}

/// As many descriptors as the hard limit has.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
