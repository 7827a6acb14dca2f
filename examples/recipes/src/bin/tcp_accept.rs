//! Accepts connections until the stop, with a thread for each. The listener survives the stop and serves the next run.

use hosted::{Context, Result, worker};
use recipes::{PROMPT, measure};
use std::io::{self, BufRead, BufReader, Write, read_to_string};
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
        worker(move |ctx| accept_all(&listener, ctx))
    })?;
    for client in clients {
        assert_eq!(read_to_string(client)?, "you said hello\nbye\n");
    }
    Ok(())
}

fn accept_all(listener: &TcpListener, ctx: &Context) -> Result {
    thread::scope(|scope| {
        // recipe
        for client in ctx.incoming(listener) {
            let spawned = client.and_then(|client| Builder::new().spawn_scoped(scope, move || serve(client, ctx)));
            if let Err(error) = spawned {
                report_and_pause(error, ctx); // no `?`: the scope would wait for clients that wait for the stop
            }
        }
        // end
        Ok(())
    })
}

/// Reports an error of `accept`, or of the creation of a thread, and waits for a second or the stop.
///
/// The pause keeps a listener that fails at every call from using a whole processor.
fn report_and_pause(error: io::Error, ctx: &Context) {
    ctx.report_error(error);
    _ = ctx.sleep(Duration::from_secs(1));
}

fn serve(client: TcpStream, ctx: &Context) {
    talk(client, ctx).unwrap_or_else(|error| ctx.report_error(error));
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
