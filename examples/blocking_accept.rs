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
        if let Err(error) = tell_time(client?) {
            ctx.report(error); // a client who has gone is no reason to end
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
        if let Err(error) = tell_time(client?) {
            ctx.report(error);
        }
    }
    Ok(())
}

fn tell_time(mut client: TcpStream) -> Result {
    client.set_write_timeout(Some(Duration::from_secs(1)))?;
    writeln!(client, "{} seconds since 1970", SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs())?;
    Ok(())
}
