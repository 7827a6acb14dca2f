//! Waits for an HTTP response with `ureq`. The stop callback shuts the agent down.

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
            let agent = ureq::agent(); // one for each run: `shutdown` is final
            let closer = agent.clone();
            let _close = ctx.on_stop(move || closer.shutdown());
            let text = agent.get(&url).call().and_then(|mut answer| answer.body_mut().read_to_string());
            ctx.check()?; // a clean exit if the stop caused the error
            let text = text?;
            // end
            Err(format!("the server answered: {text}").into())
        })
    })
}

/// Sends the first half of each response and nothing more.
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
