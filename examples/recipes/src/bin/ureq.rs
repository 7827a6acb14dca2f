//! An HTTP request with `ureq` whose answer does not come: the stop shuts the agent down.

use hosted::{Result, worker};
use recipes::{PROMPT, measure};
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::thread;

fn main() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let url = format!("http://{}/", listener.local_addr()?);
    thread::spawn(move || answer_in_part(&listener));
    measure(PROMPT, || {
        let url = url.clone();
        worker(move |ctx| {
            // recipe
            let agent = ureq::agent(); // of this run: once shut down, it stays so
            let closer = agent.clone();
            let _close = ctx.on_stop(move || closer.shutdown());
            let text = agent.get(&url).call().and_then(|mut answer| answer.body_mut().read_to_string());
            ctx.check()?; // the error of a stop is a clean end
            let text = text?;
            // end
            Err(format!("it was answered: {text}").into())
        })
    })
}

/// A server that sends the half of its answer and then no more.
fn answer_in_part(listener: &TcpListener) -> Result {
    let mut clients = Vec::new();
    for client in listener.incoming() {
        let mut client = BufReader::new(client?);
        client.read_line(&mut String::new())?;
        client.get_mut().write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello")?;
        clients.push(client);
    }
    Ok(())
}
