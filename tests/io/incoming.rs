//! `incoming` when connections cannot be accepted: no free descriptor, or a broken listener.

#![cfg(target_os = "linux")]

use crate::support::child::{Child, Program, leave, say};
use crate::support::log::{self, Level};
use crate::support::sockets::{every_descriptor, is_stopped, tcp};
use crate::support::{LIMIT, asleep_in};
use crossbeam_channel::{Receiver, unbounded};
use hosted::{Context, EventKind, Host, Outcome, Result, StopSource, worker};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::{self, Builder};
use std::time::{Duration, Instant};

pub(crate) const PROGRAMS: &[Program] = &[("incoming of a token", of_a_token), ("incoming of a service", of_a_service)];

/// Collects what the library logs about accepting, from now on.
fn lines() -> Receiver<(Level, String)> {
    let (sender, lines) = unbounded();
    log::on_line(move |line| {
        if line.level <= Level::Info && line.text.contains("accept") {
            sender.send((line.level, line.text.clone())).unwrap();
        }
    });
    lines
}

const CANNOT: &str =
    "cannot accept connections for now: Too many open files (os error 24); trying again, at least once a second";

fn warned(lines: &Receiver<(Level, String)>, text: &str) {
    assert_eq!(lines.recv_timeout(LIMIT).unwrap(), (Level::Warn, text.to_owned()));
}

fn informed(lines: &Receiver<(Level, String)>, text: &str) {
    let (level, line) = lines.recv_timeout(LIMIT).unwrap();
    assert!(level == Level::Info && line.starts_with(text), "{line}");
}

// 101
#[test]
fn incoming_waits_for_free_descriptors_with_one_warning_until_the_stop() {
    let program = Child::play("incoming of a token");
    for line in ["begins", "over", "begins again", "stopped"] {
        program.says(line);
    }
    assert_eq!(program.ends(), (0, String::new()));
}

fn of_a_token() {
    say("ready");
    let (lines, listener, source) = (lines(), Arc::new(tcp()), StopSource::new());
    let connect = || TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let _client = connect();
    let _second = connect();
    let (token, of_loop) = (source.token(), listener.clone());
    source.token().fd().unwrap(); // must not be what lacks a descriptor
    let taken = every_descriptor();
    let (sender, accepted) = unbounded();
    let loops =
        thread::spawn(move || token.incoming(&*of_loop).map(|stream| sender.send(stream.unwrap()).unwrap()).count());
    warned(&lines, CANNOT);
    say("begins");
    drop(taken);
    informed(&lines, "accepts connections again, after ");
    let _both = [(); 2].map(|()| accepted.recv_timeout(LIMIT).unwrap());
    say("over");

    let client = connect();
    drop(accepted.recv_timeout(LIMIT).unwrap());
    drop(client);
    let _third = connect();
    let _accepted = accepted.recv_timeout(LIMIT).unwrap();
    // The descriptor of the client exists before. It connects when all others are taken.
    let socket = rustix::net::socket(rustix::net::AddressFamily::INET, rustix::net::SocketType::STREAM, None).unwrap();
    let _taken = every_descriptor();
    rustix::net::connect(&socket, &listener.local_addr().unwrap()).unwrap();
    warned(&lines, CANNOT);
    say("begins again");
    source.request_stop();
    assert_eq!(loops.join().unwrap(), 4);
    assert!(lines.is_empty(), "{lines:?}");
    say("stopped");
    leave(ExitCode::SUCCESS)
}

// 101
#[test]
fn a_service_without_descriptors_counts_one_error_and_serves_again_afterwards() {
    let program = Child::play("incoming of a service");
    for line in ["begins", "served", "stopped"] {
        program.says(line);
    }
    assert_eq!(program.ends(), (0, String::new()));
}

fn of_a_service() {
    say("ready");
    let (lines, listener) = (lines(), tcp());
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let mut host = Host::new();
    let (begin, begun) = unbounded();
    let (go, gone) = unbounded::<()>();
    let run = move |ctx: &Context| {
        ctx.stop_token().fd()?;
        begin.send(())?;
        gone.recv()?;
        serve(&listener, ctx)
    };
    host.add("web", worker(run));
    host.start().unwrap();
    begun.recv_timeout(LIMIT).unwrap();
    let taken = every_descriptor();
    go.send(()).unwrap();
    warned(&lines, &format!("service `web` reported an error: {CANNOT}"));
    say("begins");
    drop(taken);
    informed(&lines, "service `web` accepts connections again, after ");
    client.write_all(b"tea\n").unwrap();
    let mut answer = [0; 4];
    client.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"tea\n");
    say("served");
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    assert_eq!(report.services[0].errors, 1);
    let mut goodbye = String::new();
    client.read_to_string(&mut goodbye).unwrap();
    assert_eq!(goodbye, "bye\n");
    say("stopped");
    leave(ExitCode::SUCCESS)
}

/// The server of the README.
fn serve(listener: &TcpListener, ctx: &Context) -> Result {
    thread::scope(|clients| {
        for client in ctx.incoming(listener) {
            let served = |client| move || talk(client, ctx).unwrap_or_else(|error| ctx.report_error(error));
            let thread = client.and_then(|client| Builder::new().spawn_scoped(clients, served(client)));
            _ = thread.map_err(|error| ctx.report_error(error));
        }
    });
    Ok(())
}

fn talk(client: TcpStream, ctx: &Context) -> Result {
    for line in BufReader::new(ctx.interruptible(&client)).lines() {
        match line {
            Err(_) if ctx.stop_requested() => return Ok(writeln!(&client, "bye")?),
            line => writeln!(&client, "{}", line?)?,
        }
    }
    Ok(())
}

#[test]
fn an_error_of_the_listener_ends_neither_the_readmes_server_nor_its_stop() {
    let listener = tcp();
    let handle = listener.try_clone().unwrap();
    let mut client = BufReader::new(TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let mut host = Host::new();
    let events = host.events();
    host.add("web", worker(move |ctx| serve(&listener, ctx)));
    host.start().unwrap();
    let mut line = String::new();
    client.get_mut().write_all(b"tea\n").unwrap();
    client.read_line(&mut line).unwrap();
    rustix::net::shutdown(&handle, rustix::net::Shutdown::Both).unwrap();
    for _ in 0..3 {
        while !matches!(events.recv_timeout(LIMIT).unwrap().kind, EventKind::Reported { .. }) {}
    }
    client.get_mut().write_all(b"milk\n").unwrap();
    client.read_line(&mut line).unwrap();
    let report = host.stop(LIMIT).unwrap();
    assert!(matches!(report.services[0].outcome, Outcome::Stopped), "{report}");
    client.read_line(&mut line).unwrap();
    assert_eq!(line, "tea\nmilk\nbye\n");
}

#[test]
fn repeated_errors_of_incoming_are_delayed_and_the_stop_ends_the_delay() {
    let (listener, source) = (tcp(), StopSource::new());
    rustix::net::shutdown(&listener, rustix::net::Shutdown::Both).unwrap();
    let token = source.token();
    let (sender, receiver) = unbounded();
    let loops = asleep_in(move || {
        let begin = Instant::now();
        token
            .incoming(&listener)
            .for_each(|item| sender.send((is_stopped(&item.unwrap_err()), begin.elapsed())).unwrap())
    });
    // At least 0, 10, 20, 40 and 80 ms.
    let errors: Vec<_> = (0..5).map(|_| receiver.recv_timeout(LIMIT).unwrap()).collect();
    assert!(errors.iter().all(|(is_stopped, _)| !is_stopped));
    assert!(errors[4].1 >= Duration::from_millis(150), "{errors:?}");
    source.request_stop();
    loops.result();
}
