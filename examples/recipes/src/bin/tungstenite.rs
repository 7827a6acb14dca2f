//! Reads from a WebSocket with `tungstenite` until the stop, then sends the peer a close frame.

use hosted::{Interruptible, Result, worker};
use recipes::{PROMPT, measure};
use std::net::{TcpListener, TcpStream};
use std::thread;
use tungstenite::{Error, Message, WebSocket};

fn main() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut servers = Vec::new();
    measure(PROMPT, || {
        let listener = listener.try_clone().unwrap();
        servers.push(thread::spawn(move || greet(&listener)));
        worker(move |ctx| {
            let tcp = ctx.connect(address, None)?;
            let connected = tungstenite::client("ws://localhost/", ctx.interruptible(tcp));
            ctx.check()?; // the handshake's error hides the stop
            let (mut socket, _) = connected?;
            // recipe
            let outcome = echo(&mut socket); // reads return at the stop
            if ctx.stop_requested() {
                _ = socket.close(None); // writes still work: the peer gets a close frame
            }
            // end
            outcome
        })
    })?;
    for server in servers {
        assert_eq!(server.join().unwrap()?, [Message::from("hello"), Message::Close(None)]);
    }
    Ok(())
}

/// Sends each message back until the peer closes the connection.
fn echo(socket: &mut WebSocket<Interruptible<TcpStream>>) -> Result {
    loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message)?,
            Ok(_) => {} // the library answers pings and the peer's `Close`
            Err(Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// Accepts one client, sends it a message, and returns the two messages that the client sends.
fn greet(listener: &TcpListener) -> Result<[Message; 2]> {
    let mut client = tungstenite::accept(listener.accept()?.0)?;
    client.send(Message::from("hello"))?;
    Ok([client.read()?, client.read()?])
}
