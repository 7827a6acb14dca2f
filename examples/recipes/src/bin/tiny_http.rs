//! Serves HTTP with `tiny_http`. The stop callback unblocks the thread that waits for requests.

use hosted::{Result, worker};
use recipes::{PROMPT, measure};
use std::io::{Write, read_to_string};
use std::net::TcpStream;
use std::sync::Arc;
use tiny_http::{Response, Server};

fn main() -> Result {
    let mut clients = Vec::new();
    measure(PROMPT, || {
        let server = Arc::new(Server::http("127.0.0.1:0").unwrap());
        let mut client = TcpStream::connect(server.server_addr().to_ip().unwrap()).unwrap();
        client.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        clients.push(client);
        worker(move |ctx| {
            // recipe
            let waker = server.clone();
            let _wake = ctx.on_stop(move || waker.unblock()); // one call for each receiving thread
            for request in server.incoming_requests() {
                request.respond(Response::from_string("hello"))?;
            }
            // end
            Ok(())
        })
    })?;
    for client in clients {
        assert!(read_to_string(client)?.ends_with("hello"));
    }
    Ok(())
}
