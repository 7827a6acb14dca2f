//! Prints `chat at 127.0.0.1:` with a port, and passes each line of a client to all clients, until ctrl-c. Feature: io.
//!
//! Try it with `nc 127.0.0.1 <port>` in two terminals. Each client has two threads: its connection reads, and its writer writes.
//! Both are members of dynamic groups. A client that does not read fills its own queue, and is disconnected. It delays nobody.

use crossbeam_channel::{Receiver, Sender, bounded};
use hosted::{Context, DynamicGroup, Host, Result, once, serve, task};
use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};

/// How many lines may wait for a client.
const WAITING_LINES: usize = 100;

/// The clients, and what each needs to receive lines.
#[derive(Clone, Default)]
struct Room(Arc<Mutex<BTreeMap<SocketAddr, Listener>>>);

struct Listener {
    lines: Sender<Arc<str>>,
    stream: Arc<TcpStream>,
}

impl Room {
    fn clients(&self) -> std::sync::MutexGuard<'_, BTreeMap<SocketAddr, Listener>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner) // a map of channels is never half changed
    }

    fn say(&self, line: &str) {
        let line: Arc<str> = line.into();
        for (address, client) in self.clients().iter() {
            if client.lines.try_send(line.clone()).is_err() {
                log::warn!("{address} does not read; closing its connection");
                _ = client.stream.shutdown(Shutdown::Both); // ends its two threads
            }
        }
    }
}

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (room, writers) = (Room::default(), DynamicGroup::new());

    let mut host = Host::new();
    host.add("writers", writers.service());
    host.add("chat", serve(listener, move |client, ctx| talk(client, &room, &writers, ctx)).stack_size(256 << 10));
    let announce = task(move |_| {
        println!("chat at {address}"); // the server has started
        Ok(())
    });
    host.add("announcement", announce);
    println!("{}", host.run()?);
    Ok(())
}

/// Reads the lines of one client, until it disconnects or a stop is requested.
fn talk(client: TcpStream, room: &Room, writers: &DynamicGroup, ctx: &Context) -> Result {
    let (address, stream) = (client.peer_addr()?, Arc::new(client));
    let (lines, waiting) = bounded(WAITING_LINES);
    let writing = stream.clone();
    writers.add(address.to_string(), once(move |ctx| write_lines(&writing, &waiting, ctx)))?;
    room.clients().insert(address, Listener { lines, stream: stream.clone() });
    let _leaves = OnDrop(|| _ = room.clients().remove(&address)); // which ends the writer
    for line in BufReader::new(ctx.interruptible(&*stream)).lines() {
        let Ok(line) = line else { break }; // the client is gone, or a stop was requested
        room.say(&format!("{address}: {line}\n"));
    }
    Ok(())
}

/// Writes lines to one client, until the client leaves or a stop is requested.
fn write_lines(stream: &Arc<TcpStream>, lines: &Receiver<Arc<str>>, ctx: &Context) -> Result {
    let waking = stream.clone();
    let _wake = ctx.on_stop(move || _ = waking.shutdown(Shutdown::Both)); // a client that does not read blocks the write
    while let Ok(line) = ctx.recv(lines) {
        if { &**stream }.write_all(line.as_bytes()).is_err() {
            break; // the client is gone, and its reader ends too
        }
    }
    Ok(())
}

/// Calls a function when it is dropped.
struct OnDrop<F: FnMut()>(F);

impl<F: FnMut()> Drop for OnDrop<F> {
    fn drop(&mut self) {
        (self.0)();
    }
}
