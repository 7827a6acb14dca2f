//! Prints `EUR/USD 1.0842 after 3 restarts`: the first three connections are closed by the server, the fourth holds.
//!
//! The host logs each failure with the time until the next attempt. This time doubles with each restart. If the
//! service still fails after ten restarts in a row, it has failed for good, and the host stops.

use hosted::{Context, Host, Restart, Result, worker};
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let server = start_flaky_server()?;

    let mut host = Host::new();
    host.add("rates", worker(move |ctx| follow_rates(server, ctx))).restart(
        Restart::on_failure()
            .backoff(Duration::from_millis(200)..=Duration::from_secs(5))
            .give_up_after(10)
            .stable_after(Duration::from_secs(60)), // a run of this length resets the count
    );
    let report = host.run()?;
    println!("{report}");
    Ok(())
}

fn follow_rates(server: SocketAddr, ctx: &Context) -> Result {
    let connection = TcpStream::connect_timeout(&server, Duration::from_secs(5))?;
    connection.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut line = String::new();
    if BufReader::new(connection).read_line(&mut line)? == 0 {
        return Err("the server closed the connection".into());
    }
    println!("{} after {} restarts", line.trim_end(), ctx.restarts());
    Ok(()) // this example needs only one rate
}

/// Stands for a server outside the program. It closes its first three connections without an answer.
fn start_flaky_server() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        for mut client in listener.incoming().flatten().skip(3) {
            writeln!(client, "EUR/USD 1.0842").ok(); // the client may have disconnected
        }
    });
    Ok(address)
}
