//! A client that can misbehave, and a host with a status server.

use crate::support::LIMIT;
use hosted::{Host, StatusServer};
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};

/// A started host with a status server and the services that `fill` adds.
pub(crate) fn started(fill: impl FnOnce(&mut Host)) -> (Host, SocketAddr) {
    started_with(StatusServer::bind("127.0.0.1:0"), fill)
}

pub(crate) fn started_with(server: StatusServer, fill: impl FnOnce(&mut Host)) -> (Host, SocketAddr) {
    let address = server.local_addr();
    let mut host = Host::new();
    host.add("status", server);
    fill(&mut host);
    host.start().unwrap();
    (host, address.get().unwrap())
}

pub(crate) fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    stream.set_write_timeout(Some(LIMIT)).unwrap();
    stream
}

/// The text of a GET request for `path`, with a header more if there is one.
pub(crate) fn request(path: &str, header: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{header}\r\n")
}

/// Sends bytes on a new connection and reads until the server closes it. A reset after the answer is an end too.
pub(crate) fn exchange(address: SocketAddr, bytes: impl AsRef<[u8]>) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes.as_ref()).unwrap();
    read_to_end(&mut stream)
}

pub(crate) fn read_to_end(stream: &mut TcpStream) -> String {
    let mut text = Vec::new();
    _ = stream.read_to_end(&mut text);
    String::from_utf8(text).unwrap()
}

/// The same, and tells the server at once that nothing more will come.
pub(crate) fn exchange_half_closed(address: SocketAddr, bytes: &str) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes.as_bytes()).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    read_to_end(&mut stream)
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.head.lines().skip(1).filter_map(|line| line.split_once(": "));
        lines.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    }
}

/// Splits what a server sent into answers, by their lengths.
pub(crate) fn answers(mut text: &str) -> Vec<Answer> {
    let mut found = Vec::new();
    while !text.is_empty() {
        let (head, rest) = text.split_once("\r\n\r\n").expect("a head");
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let mut answer = Answer { status, head: head.to_owned(), body: String::new() };
        let length: usize = answer.header("content-length").unwrap().parse().unwrap();
        answer.body = rest[..length].to_owned();
        found.push(answer);
        text = &rest[length..];
    }
    found
}

/// The one answer in what a server sent.
pub(crate) fn answer(text: &str) -> Answer {
    let mut all = answers(text);
    assert_eq!(all.len(), 1, "{text}");
    all.remove(0)
}

pub(crate) fn get(address: SocketAddr, path: &str) -> Answer {
    answer(&exchange(address, request(path, "Connection: close\r\n")))
}

pub(crate) fn json(address: SocketAddr, path: &str) -> serde_json::Value {
    serde_json::from_str(&get(address, path).body).unwrap()
}
