//! `accept` of a listener: connections until the stop. The listener outlives it, and serves the next run.

use hosted::{Result, worker};
use recipes::{PROMPT, measure};
use std::io::{Write, read_to_string};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

fn main() -> Result {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0")?);
    let address = listener.local_addr()?;
    let mut clients = Vec::new();
    measure(PROMPT, || {
        clients.push(TcpStream::connect(address).unwrap());
        let listener = listener.clone();
        worker(move |ctx| {
            // recipe
            for client in ctx.incoming(&*listener) {
                client?.write_all(b"hello\n")?;
            }
            // end
            Ok(())
        })
    })?;
    for client in clients {
        assert_eq!(read_to_string(client)?, "hello\n");
    }
    Ok(())
}
