//! A WebSocket with `tungstenite`: the read ends at the stop, and the peer is told.

use hosted::{Result, worker};
use recipes::{PROMPT, measure};
use std::net::TcpListener;
use std::thread;
use tungstenite::Message;

fn main() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let mut servers = Vec::new();
    measure(PROMPT, || {
        let listener = listener.try_clone().unwrap();
        servers.push(thread::spawn(move || greet(&listener)));
        worker(move |ctx| {
            let tcp = ctx.connect(address, None)?;
            // recipe
            let connected = tungstenite::client("ws://localhost/", ctx.interruptible(tcp));
            let (mut socket, _) = ctx.check().and(Ok(connected))??; // an error of the handshake hides the stop
            while let Ok(message) = socket.read() {
                socket.send(message)?;
            }
            socket.send(Message::Close(None))?; // writes go on: the peer hears that we leave
            // end
            Ok(())
        })
    })?;
    for server in servers {
        assert_eq!(server.join().unwrap()?, [Message::from("hello"), Message::Close(None)]);
    }
    Ok(())
}

/// A server that says one thing, and gives back what the client had to say.
fn greet(listener: &TcpListener) -> Result<[Message; 2]> {
    let mut client = tungstenite::accept(listener.accept()?.0)?;
    client.send(Message::from("hello"))?;
    Ok([client.read()?, client.read()?])
}
