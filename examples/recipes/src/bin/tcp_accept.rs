//! `accept` of a listener: a thread for each connection, until the stop. The listener outlives it, and serves the next run.

use hosted::{Context, Result, worker};
use recipes::{PROMPT, measure};
use std::io::{BufRead, BufReader, Write, read_to_string};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::{self, Builder};
use std::time::Duration;

fn main() -> Result {
    let listener = Arc::new(TcpListener::bind("127.0.0.1:0")?);
    let address = listener.local_addr()?;
    let mut clients = Vec::new();
    measure(PROMPT, || {
        let mut client = TcpStream::connect(address).unwrap();
        client.write_all(b"hello\n").unwrap();
        clients.push(client);
        let listener = listener.clone();
        worker(move |ctx| {
            thread::scope(|scope| {
                // recipe
                for client in ctx.incoming(&*listener) {
                    let served = |client| move || talk(client, ctx).unwrap_or_else(|error| ctx.report(error));
                    let thread = client.and_then(|client| Builder::new().spawn_scoped(scope, served(client)));
                    _ = thread.map_err(|error| ctx.report(error)); // no `?`: it would wait for the clients, without a stop
                }
                // end
                Ok(())
            })
        })
    })?;
    for client in clients {
        assert_eq!(read_to_string(client)?, "you said hello\nbye\n");
    }
    Ok(())
}

/// Answers each line, until there are no more or the stop comes, and says goodbye.
fn talk(client: TcpStream, ctx: &Context) -> Result {
    client.set_write_timeout(Some(Duration::from_secs(5)))?; // one that does not read would hold up the stop
    for line in BufReader::new(ctx.interruptible(&client)).lines() {
        match line {
            Ok(line) => writeln!(&client, "you said {line}")?,
            Err(_) if ctx.stop_requested() => break, // no error to report
            Err(error) => return Err(error.into()),
        }
    }
    Ok(writeln!(&client, "bye")?) // writes go on
}
