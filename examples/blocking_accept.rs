//! Prints `listening on 127.0.0.1:` with a port, and sends the time to each client, until ctrl-c.
//!
//! `TcpListener::accept` does not notice a stop request. With the feature `io`, the `Context` accepts the
//! connections and returns when a stop is requested. Without the feature, for example on Windows, a stop callback
//! connects to the listener and so wakes it.

use hosted::{Context, Host, Result, worker};
use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let listener = TcpListener::bind("127.0.0.1:0")?; // fails here, before any service starts, if the port is in use
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
        // A client that has disconnected must not stop the service, nor must an error of the listener.
        if let Err(error) = client.map_err(Into::into).and_then(tell_time) {
            ctx.report_error(error);
        }
    }
    Ok(())
}

#[cfg(not(feature = "io"))]
fn serve(listener: &TcpListener, ctx: &Context) -> Result {
    let address = listener.local_addr()?; // if it is 0.0.0.0, connect to 127.0.0.1 instead
    let _wake = ctx.on_stop(move || drop(TcpStream::connect_timeout(&address, Duration::from_secs(1))));
    println!("listening on {address}");
    for client in listener.incoming() {
        ctx.check()?; // if a stop is requested, the client is our own callback
        match client {
            Ok(client) => _ = tell_time(client).map_err(|error| ctx.report_error(error)),
            Err(error) => {
                ctx.report_error(error); // without free descriptors, `accept` fails at once
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
