//! Prints `listening on 127.0.0.1:` with a port, and tells the time to whoever connects, until ctrl-c.
//!
//! A `TcpListener` that blocks in `accept` knows nothing of the stop. With the feature `io` the `Context` accepts, and that
//! ends at the stop; without it (so also on Windows) `on_stop` connects to the listener, and so wakes it.

use hosted::{Context, Host, Result, worker};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let listener = TcpListener::bind("127.0.0.1:0")?; // a port that is taken is said before anything starts
    let mut host = Host::new();
    host.add("clock", worker(move |ctx| serve(&listener, ctx)));
    let report = host.run()?;
    println!("{report}");
    Ok(())
}

#[cfg(feature = "io")]
fn serve(listener: &TcpListener, ctx: &Context) -> Result {
    println!("listening on {}", listener.local_addr()?);
    for client in ctx.incoming(listener) {
        // Neither a client that has gone nor an error of the listener is a reason to end: the next one may be served.
        if let Err(error) = client.map_err(Into::into).and_then(tell_time) {
            ctx.report(error);
        }
    }
    Ok(())
}

#[cfg(not(feature = "io"))]
fn serve(listener: &TcpListener, ctx: &Context) -> Result {
    let address = listener.local_addr()?; // of one bound to 0.0.0.0, connect to 127.0.0.1 and its port
    let _wake = ctx.on_stop(move || drop(TcpStream::connect_timeout(&address, Duration::from_secs(1))));
    println!("listening on {address}");
    for client in listener.incoming() {
        ctx.check()?; // asked to stop: the client is we ourselves
        match client {
            Ok(client) => _ = tell_time(client).map_err(|error| ctx.report(error)),
            Err(error) => {
                ctx.report(error); // no descriptor is left, say: it fails at once, until there is one
                ctx.sleep(Duration::from_millis(100))?;
            }
        }
    }
    Ok(())
}

fn tell_time(mut client: TcpStream) -> Result {
    client.set_write_timeout(Some(Duration::from_secs(1)))?;
    writeln!(client, "{} seconds since 1970", SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    Ok(())
}
