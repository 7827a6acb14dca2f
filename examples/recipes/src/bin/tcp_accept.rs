//! Accepts connections until the stop, with a thread for each. The listener survives the stop and serves the next run.

use hosted::{Context, Result, Service, serve};
use recipes::{PROMPT, measure};
use std::io::{BufRead, BufReader, Write, read_to_string};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0")?);
    let address = listener.local_addr()?;
    let mut clients = Vec::new();
    measure(PROMPT, || {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"hello\n").unwrap();
        clients.push(client);
        server(listener.clone())
    })?;
    for client in clients {
        assert_eq!(read_to_string(client)?, "you said hello\nbye\n");
    }
    Ok(())
}

fn server(listener: Arc<TcpListener>) -> impl Service {
    // recipe
    serve(listener, talk)
    // end
}

/// Answers each line until the client closes the connection or the stop comes, then says goodbye.
fn talk(client: TcpStream, ctx: &Context) -> Result {
    client.set_write_timeout(Some(Duration::from_secs(5)))?; // a client that does not read would delay the stop
    for line in BufReader::new(ctx.interruptible(&client)).lines() {
        match line {
            Ok(line) => writeln!(&client, "you said {line}")?,
            Err(_) if ctx.stop_requested() => break, // not an error
            Err(error) => return Err(error.into()),
        }
    }
    Ok(writeln!(&client, "bye")?) // writes still work after the stop
}
