//! How late the last stop request arrives, and how late `stop` returns, if most services are unresponsive.
//!
//! All services depend on a `database`, which receives its request last and reacts to it. The table shows how long
//! before the deadline that was, and how far `stop` exceeded its timeout. The other services are released afterwards.

mod harness;

use crossbeam_channel::{Receiver, bounded};
use harness::Bench;
use harness::table::{duration, thousands, verdict};
use hosted::{Context, Host, Outcome, Result, worker};
use std::net::UdpSocket;
use std::sync::mpsc;
use std::time::{Duration, Instant};

/// The promise: `stop` returns within its timeout and this margin.
const OVERRUN: Duration = Duration::from_millis(100);
const LIMIT: Duration = Duration::from_secs(600);
const SIZES: [usize; 3] = [100, 1_000, 10_000];

fn main() {
    let bench = Bench::from_args();
    raise_descriptors();
    let columns = "services | timeout | last request, before the deadline | returns after the timeout | hung | verdict";
    let table = bench.table("Stopping unresponsive services", columns);
    for (what, timeout, add) in SCENARIOS {
        for services in SIZES {
            let name = format!("{} that {what}", thousands(services));
            if bench.wants(&name) {
                table.row(&measured(name, services, timeout, add));
            }
        }
    }
}

/// Adds services that exit when the sender of the receiver is dropped.
type Add = fn(&mut Host, usize, &Receiver<()>);

const SECOND: Duration = Duration::from_secs(1);
const SCENARIOS: [(&str, Duration, Add); 6] = [
    ("are unresponsive", SECOND, unresponsive),
    ("are unresponsive, each after the one before", SECOND, chain),
    ("are unresponsive, with an `on_stop` guard each", SECOND, guarded),
    ("are unresponsive, with an `on_stop` callback each that blocks", SECOND, blocking),
    ("are blocked on sockets, with `disconnect_when_hung`", Duration::from_secs(5), sockets),
    ("are blocked on sockets, in a short stop", Duration::from_millis(400), sockets),
];

fn measured(name: String, services: usize, timeout: Duration, add: Add) -> [String; 6] {
    let (release, held) = bounded::<()>(0);
    let (sender, received) = mpsc::channel();
    let mut host = Host::new();
    let database = move |ctx: &Context| {
        ctx.wait();
        Ok(sender.send(Instant::now())?)
    };
    host.add("database", worker(database)).after::<&str>([]);
    add(&mut host, services, &held);
    host.start().unwrap();
    let began = Instant::now();
    let stopped = host.stop(timeout);
    let took = began.elapsed();
    let report = stopped.as_ref().unwrap_or_else(|error| error.report());
    let hung = report.services.iter().filter(|service| matches!(service.outcome, Outcome::Hung(_))).count();
    let requested = received.recv_timeout(LIMIT).unwrap() - began;
    let (early, late) = (timeout.saturating_sub(requested), took.saturating_sub(timeout));
    drop((stopped, release));
    // Services that are blocked on sockets are disconnected near the end of a stop, and there may be many.
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

/// Uses UDP, which needs one descriptor for each service instead of two.
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

/// Raises the limit of descriptors to the hard limit.
fn raise_descriptors() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let maximum = getrlimit(Resource::Nofile).maximum;
    _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
