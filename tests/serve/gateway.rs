//! Guarantee 139: a gateway with more clients than descriptors.

#![cfg(target_os = "linux")]

use crate::support::child::{Child, Program, leave, say};
use crate::support::log;
use crate::support::sockets::tcp;
use crate::support::{LIMIT, SECOND};
use crate::{answer, echo};
use crossbeam_channel::bounded;
use hosted::{Context, Host, Outcome, Result, serve};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::process::ExitCode;
use std::thread;

pub(crate) const PROGRAMS: &[Program] = &[("gateway", gateway)];

const CLIENTS: usize = 200;
/// The first line of a client that hangs.
const HANGS: &str = "hang";

// 139
#[test]
fn a_gateway_with_too_few_descriptors_serves_all_clients_and_names_the_hung_ones() {
    let mut program = Child::play("gateway");
    let address: SocketAddr = program.next().parse().unwrap();
    let (open, opened) = bounded::<()>(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            let opened = opened.clone();
            scope.spawn(move || {
                let client = TcpStream::connect(address).unwrap();
                assert_eq!(answer(&client, "hello"), "hello");
                _ = opened.recv(); // keeps its connection until the gateway has no descriptor left
            });
        }
        program.says("no descriptor is left");
        drop(open);
    });
    let hung = [(); 3].map(|()| TcpStream::connect(address).unwrap());
    hung.iter().for_each(|client| assert_eq!(answer(client, HANGS), HANGS));
    program.reads("stop\n");
    let mut expected = hung.map(|client| format!("hung: gateway/{}", client.local_addr().unwrap())).to_vec();
    expected.sort();
    let mut named = [(); 3].map(|()| program.next()).to_vec();
    named.sort();
    assert_eq!(named, expected);
    program.says("stopped in time");
    assert_eq!(program.ends(), (0, String::new()));
}

/// Echoes; but hangs, without a look at the token, if a client wants that.
fn talk(client: TcpStream, ctx: &Context) -> Result {
    let first = crate::read_line(&client);
    writeln!(&client, "{first}")?;
    if first == HANGS {
        loop {
            thread::park();
        }
    }
    echo(client, ctx)
}

fn gateway() {
    say("ready");
    let listener = tcp();
    say(&listener.local_addr().unwrap().to_string());
    let said = std::sync::Once::new();
    log::on_line(move |line| {
        if line.text.contains("for now: Too many open files") {
            said.call_once(|| say("no descriptor is left"));
        }
    });
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(100), ..limit }).unwrap();
    let mut host = Host::new();
    host.add("gateway", serve(listener, talk));
    host.start().unwrap();
    std::io::stdin().read_line(&mut String::new()).unwrap();
    let began = std::time::Instant::now();
    let error = host.stop(SECOND).unwrap_err();
    for row in error.report().services.iter().filter(|row| row.name.contains('/')) {
        if matches!(row.outcome, Outcome::Hung(_)) {
            say(&format!("hung: {}", row.name));
        }
    }
    assert!(began.elapsed() < LIMIT);
    say("stopped in time");
    leave(ExitCode::SUCCESS)
}
