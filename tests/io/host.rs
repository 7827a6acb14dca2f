//! The feature `io` in a host: how its calls end a service, and the state that a restarted service finds.

#![cfg(feature = "io")]

use crate::support::sockets::{connected, silent, tcp};
use crate::support::{LIMIT, in_time};
use hosted::{Context, Host, Outcome, Restart, Result, StopSource, StopToken, worker};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::process::Command;
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What a service does until its stop request, with a name.
type Way = (&'static str, fn(&Context) -> Result);

const WAYS: &[Way] = &[
    ("accept", |ctx| Ok(ctx.accept(&tcp()).map(drop)?)),
    ("incoming", |ctx| ctx.incoming(&tcp()).try_for_each(|stream| Ok(stream.map(drop)?))),
    ("connect", |ctx| Ok(ctx.connect(silent(), None).map(drop)?)),
    ("read", |ctx| {
        let (here, _there) = connected();
        Ok(ctx.interruptible(here).read_exact(&mut [0])?)
    }),
    ("lines", |ctx| {
        let (here, _there) = connected();
        BufReader::new(ctx.interruptible(here)).lines().try_for_each(|line| Ok(line.map(drop)?))
    }),
    ("wait for a datagram", |ctx| {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        ctx.wait_readable(&socket, None)?;
        Ok(())
    }),
    #[cfg(target_os = "linux")]
    ("wait for a child", |ctx| {
        let mut child = Command::new("sleep").arg("3600").spawn()?;
        ctx.wait_child(&mut child, Duration::ZERO)?;
        // Here the stop is no error, because the child has exited.
        Ok(())
    }),
];

#[test]
fn a_call_ended_by_the_stop_is_a_clean_end_with_the_question_mark() {
    in_time(|| {
        let mut host = Host::new();
        let (sender, begun) = channel();
        for &(name, way) in WAYS {
            let sender = sender.clone();
            let run = move |ctx: &Context| {
                sender.send(())?;
                way(ctx)
            };
            host.add(name, worker(run));
        }
        host.start().unwrap();
        WAYS.iter().for_each(|_| begun.recv().unwrap());
        let report = host.stop(LIMIT).unwrap();
        for service in &report.services {
            assert!(matches!(service.outcome, Outcome::Stopped), "{report}");
        }
    });
}

#[test]
fn a_stop_of_a_foreign_token_is_a_failure() {
    let source = StopSource::new();
    source.request_stop();
    let ways: &[fn(&StopToken) -> Result] = &[
        |token| Ok(token.accept(&tcp()).map(drop)?),
        |token| Ok(token.connect(silent(), None).map(drop)?),
        |token| Ok(token.interruptible(connected().0).read_exact(&mut [0])?),
        |token| Ok(token.wait_readable(&tcp(), None).map(drop)?),
    ];
    for way in ways {
        let (mut host, token) = (Host::new(), source.token());
        host.add("service", worker(move |_| way(&token)));
        let error = in_time(move || host.run_until(&StopToken::never())).unwrap_err();
        let failure = error.failures()[0].to_string();
        assert_eq!(failure, "service `service` failed while running: stop requested");
    }
}

// 80
#[test]
fn a_restarted_service_serves_clients_that_wait_in_the_listener() {
    let listener = tcp();
    let address = listener.local_addr().unwrap();
    let clients = [1, 2, 3].map(|_| TcpStream::connect(address).unwrap());
    let mut host = Host::new();
    let serve = move |ctx: &Context| {
        let (mut client, _) = ctx.accept(&listener)?;
        write!(client, "{}", ctx.restarts())?;
        drop(client);
        if ctx.restarts() < 2 {
            return Err("enough".into());
        }
        ctx.wait();
        Ok(())
    };
    host.add("server", worker(serve)).restart(Restart::on_failure().backoff(Duration::ZERO..=Duration::ZERO));
    let served = in_time(move || {
        host.start().unwrap();
        let served = clients.map(|client| text_of(client).unwrap()); // the last client waits, or is about to
        host.stop(LIMIT).unwrap();
        served
    });
    assert_eq!(served, ["0", "1", "2"]);
}

#[test]
fn the_next_host_serves_clients_that_wait_in_the_listener() {
    let listener = Arc::new(tcp());
    let address = listener.local_addr().unwrap();
    let (sender, served) = channel();
    for _ in 0..3 {
        let mut host = Host::new();
        let (listener, sender) = (listener.clone(), sender.clone());
        host.add("server", worker(move |ctx| serve(ctx, &listener, &sender)));
        let client = TcpStream::connect(address).unwrap(); // before any service accepts
        host.start().unwrap();
        assert_eq!(served.recv_timeout(LIMIT).unwrap(), client.local_addr().unwrap().to_string());
        host.stop(LIMIT).unwrap();
    }
}

fn serve(ctx: &Context, listener: &TcpListener, served: &Sender<String>) -> Result {
    for client in ctx.incoming(listener) {
        served.send(client?.peer_addr()?.to_string())?;
    }
    Ok(())
}

#[test]
fn a_service_says_goodbye_to_its_peer_before_it_ends() {
    let (here, there) = connected();
    let here = Mutex::new(Some(here));
    let mut host = Host::new();
    let run = move |ctx: &Context| {
        let mut stream = ctx.interruptible(here.lock().unwrap().take().ok_or("once")?);
        let read = stream.read_exact(&mut [0]);
        stream.write_all(b"goodbye")?;
        Ok(read?)
    };
    host.add("client", worker(run));
    host.start().unwrap();
    host.stop(LIMIT).unwrap();
    assert_eq!(text_of(there).unwrap(), "goodbye");
}

#[test]
fn calls_of_a_context_work_without_a_stop() {
    let ctx = Context::new("client", StopSource::new().token());
    let listener = tcp();
    let client = ctx.connect(listener.local_addr().unwrap(), LIMIT).unwrap();
    let (mut there, from) = ctx.accept(&listener).unwrap();
    assert_eq!(from, client.local_addr().unwrap());
    there.write_all(b"tea").unwrap();
    assert!(ctx.wait_readable(&client, None).unwrap());
    drop(there);
    let mut text = String::new();
    ctx.interruptible(client).read_to_string(&mut text).unwrap();
    assert_eq!(text, "tea");
}

fn text_of(mut stream: TcpStream) -> Result<String> {
    stream.set_read_timeout(Some(LIMIT))?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    Ok(text)
}
