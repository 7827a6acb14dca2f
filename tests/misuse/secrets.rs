//! What must not leak: memory contents in the report of a hung service, and a network port in an example.

use crate::support::{LIMIT, in_time};
use crossbeam_channel::unbounded;
use hosted::{Context, Host, Outcome, worker};
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

const SECRET: &str = "correct horse battery staple";

#[cfg(target_os = "linux")]
#[test]
fn reports_of_a_hung_service_contain_no_memory_and_no_addresses() {
    in_time(|| {
        let (mut near, mut far) = std::os::unix::net::UnixStream::pair().unwrap();
        let ((sender, receiver), mut host) = (unbounded(), Host::new());
        let events = host.events();
        let run = move |_: &Context| {
            let mut buffer = SECRET.as_bytes().to_vec();
            sender.send(format!("{:x}", buffer.as_ptr().addr()))?;
            Ok(_ = near.read(&mut buffer)?)
        };
        host.add("reader", worker(run));
        host.start().unwrap();
        let address = receiver.recv().unwrap();
        host.stop(Duration::ZERO).unwrap_err(); // now its status shows what it is blocked in
        while !host.handle().services()[0].blocked_in.as_ref().is_some_and(|call| call.starts_with("re")) {
            std::thread::yield_now();
        }
        let error = host.stop(Duration::ZERO).unwrap_err();
        let Outcome::Hung(hung) = &error.report().services[0].outcome else { panic!("hung: {error}") };
        let call = hung.blocked_in.as_ref().unwrap();
        let (name, number) = call.split_once("(fd ").unwrap();
        assert!(["read", "recvfrom"].contains(&name), "{call}");
        let (number, what) = number.split_once(" = unix socket)").unwrap();
        assert!(number.parse::<u32>().is_ok(), "a call and a descriptor: {call}");
        assert!(what.is_empty() || what.starts_with(" for at least "), "only the elapsed time may follow: {call}");
        let mut texts = vec![error.to_string(), format!("{hung:?} {:?}", host.handle().services())];
        texts.extend(events.try_iter().map(|event| format!("{event} {event:?}")));
        for text in texts {
            assert!(!text.contains(SECRET) && !text.contains(&address) && !text.contains("0x"), "{text}");
        }
        far.write_all(b"x").unwrap();
        host.stop(LIMIT).unwrap();
    });
}

/// Every Rust file of the examples, and every document with a program.
fn programs() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = ["README.md", "examples/README.md", "src/lib.rs"].map(|file| root.join(file)).to_vec();
    let mut folders = vec![root.join("examples")];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn examples_listen_only_on_the_loopback_interface() {
    let mut listeners = 0;
    for path in programs() {
        let text = fs::read_to_string(&path).unwrap();
        for line in text.lines().filter_map(|line| line.split(" //").next()) {
            for everywhere in ["0.0.0.0", "[::]", "UNSPECIFIED", "\":0\""] {
                assert!(!line.contains(everywhere), "{}: {line}", path.display());
            }
            // The calls that open a port, in the standard library and in the server that the examples use.
            let opens = ["Listener::bind(", "UdpSocket::bind(", "Server::http(", "Server::https(", "Server::new("];
            if opens.into_iter().any(|call| line.contains(call)) {
                assert!(line.contains("127.0.0.1") || line.contains("LOCALHOST"), "{}: {line}", path.display());
                listeners += 1;
            }
        }
    }
    assert!(listeners >= 4, "only {listeners} listeners found");
}
