//! A WebSocket with `tungstenite`: the read ends at the stop, and the peer is told.

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
            ctx.check()?; // an error of the handshake hides the stop
            let (mut socket, _) = connected?;
            // recipe
            let outcome = echo(&mut socket); // its reads end at the stop
            if ctx.stop_requested() {
                _ = socket.close(None); // writes go on: who is still there hears that we leave
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

/// Gives back what the peer says, until it leaves.
fn echo(socket: &mut WebSocket<Interruptible<TcpStream>>) -> Result {
    loop {
        match socket.read() {
            Ok(message @ (Message::Text(_) | Message::Binary(_))) => socket.send(message)?,
            Ok(_) => {} // pings and the peer's `Close` are answered by the library
            Err(Error::ConnectionClosed) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}

/// A server that says one thing, and gives back what the client had to say.
fn greet(listener: &TcpListener) -> Result<[Message; 2]> {
    let mut client = tungstenite::accept(listener.accept()?.0)?;
    client.send(Message::from("hello"))?;
    Ok([client.read()?, client.read()?])
}
