//! The status server when the process has no descriptors left.

use crate::support::{LIMIT, alone};
use hosted::{Host, ServiceState, StatusServer};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

// 187
#[test]
fn without_descriptors_the_server_waits_reports_it_and_goes_on() {
    alone!(); // the limit is that of the process
    let server = StatusServer::bind("127.0.0.1:0");
    let address = server.local_addr();
    let mut host = Host::new();
    host.add("status", server);
    let events = host.events();
    host.start().unwrap();
    let address = address.get().unwrap();
    // The server has made what it waits with once it has answered.
    assert!(answer(TcpStream::connect(address).unwrap()).ends_with("\r\n\r\nlive\n"));

    while connections() > 0 {
        thread::sleep(Duration::from_millis(1)); // its descriptor would serve the next
    }

    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: Some(64), ..limit }).unwrap();
    let mut files = Vec::new();
    while let Ok(file) = File::open("/dev/null") {
        files.push(file);
    }
    files.pop(); // one for the client, none for the server
    let client = TcpStream::connect(address).unwrap();
    loop {
        let event = events.recv_timeout(LIMIT).expect("the server reports it").to_string();
        if event.contains("cannot accept a connection") {
            assert!(event.ends_with("; trying again"), "{event}");
            break;
        }
    }
    drop(files);
    assert!(answer(client).ends_with("\r\n\r\nlive\n"));
    assert_eq!(host.handle().services()[0].state, ServiceState::Running);
    host.stop(LIMIT).unwrap();
}

/// How many threads serve a connection.
fn connections() -> usize {
    let tasks = std::fs::read_dir("/proc/self/task").unwrap().flatten();
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.path().join("comm")).ok());
    names.filter(|name| name.starts_with("status:127")).count()
}

fn answer(mut client: TcpStream) -> String {
    client.set_read_timeout(Some(LIMIT)).unwrap();
    client.write_all(b"GET /livez HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    client.read_to_string(&mut text).unwrap();
    text
}
