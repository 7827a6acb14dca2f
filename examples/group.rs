//! Prints `session 1: 21.5 degrees`, meets a garbled line, and goes on with `session 2: 22.5 degrees` on a new channel.
//!
//! Services that stand and fall together: when the decoder fails, the reader is stopped too, and the restart makes
//! both anew, with all that they share.

use crossbeam_channel::{Receiver, Sender, bounded};
use hosted::{Context, Host, RecvError, Restart, Result, group, worker};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Somebody else's device, which knows nothing of sessions.
type SerialPort = Arc<Mutex<std::vec::IntoIter<&'static str>>>;

fn main() -> Result {
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or("info")).init();
    let port: SerialPort = Arc::new(Mutex::new(vec!["21.5", "22.0", "2#.?", "22.5", "23.0"].into_iter()));
    let mut session = 0;

    let mut host = Host::new();
    host.add(
        "thermometer",
        group(move |thermometer| {
            session += 1;
            let (number, port) = (session, port.clone());
            let (sender, lines) = bounded(16);
            thermometer.add("decoder", worker(move |ctx| decode(number, &lines, ctx)));
            thermometer.add("reader", worker(move |ctx| read(&port, &sender, ctx)));
            Ok(())
        }),
    )
    .restart(Restart::on_failure());
    let report = host.run()?; // ends when both have completed
    println!("{report}");
    Ok(())
}

fn read(port: &SerialPort, sender: &Sender<&'static str>, ctx: &Context) -> Result {
    loop {
        ctx.sleep(Duration::from_millis(200))?; // the device's time
        let line = port.lock().map_err(|_| "a reader panicked at the port")?.next();
        match line {
            Some(line) => sender.send(line)?,
            None => return Ok(()), // unplugged. The sender goes with this service, and so the decoder completes too
        }
    }
}

fn decode(session: u32, lines: &Receiver<&'static str>, ctx: &Context) -> Result {
    loop {
        match ctx.recv(lines) {
            Ok(line) => println!("session {session}: {:.1} degrees", line.parse::<f32>()?),
            Err(RecvError::Disconnected) => return Ok(()),
            Err(error) => return Err(error.into()),
        }
    }
}
