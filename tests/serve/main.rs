//! `serve`: a server whose connections are members of a dynamic group. Feature `io`.

#![cfg(feature = "io")]

#[path = "../support/mod.rs"]
mod support;

mod connections;
mod ends;
mod gateway;
mod room;

use hosted::{Context, Host, Result};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpStream};

#[cfg(target_os = "linux")]
#[test]
#[ignore = "the child processes of other tests"]
fn programs() {
    support::child::play(&[gateway::PROGRAMS]);
}

/// Answers each line with the same line, until the client disconnects or a stop is requested.
fn echo(client: TcpStream, ctx: &Context) -> Result {
    for line in BufReader::new(ctx.interruptible(&client)).lines() {
        writeln!(&client, "{}", line?)?;
    }
    Ok(())
}

/// Connects, and checks that the server echoes.
fn echoing(address: SocketAddr) -> TcpStream {
    let client = TcpStream::connect(address).unwrap();
    assert_eq!(answer(&client, "hello"), "hello");
    client
}

/// Sends a line, and returns the next line.
fn answer(client: &TcpStream, line: &str) -> String {
    { client }.write_all(format!("{line}\n").as_bytes()).unwrap();
    read_line(client)
}

fn read_line(client: &TcpStream) -> String {
    client.set_read_timeout(Some(support::LIMIT)).unwrap();
    let mut text = String::new();
    // One byte at a time: what follows the line is for the next call.
    BufReader::with_capacity(1, client).read_line(&mut text).unwrap();
    text.trim_end().to_owned()
}

/// The names of the rows of the host.
fn names(host: &Host) -> Vec<String> {
    host.handle().services().iter().map(|row| row.name.to_string()).collect()
}
