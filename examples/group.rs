//! Prints `session 1: 21.5 degrees`, reads a garbled line, and continues with `session 2: 22.5 degrees`.
//!
//! A group restarts its services together. When the decoder fails, the group stops the reader too. The restart then
//! makes a new decoder, a new reader and a new channel between them.

use crossbeam_channel::{Receiver, Sender, bounded};
use hosted::{Context, Host, RecvError, Restart, Result, group, worker};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Stands for a device outside the program. It does not know about sessions.
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
    let report = host.run()?; // returns when both services have completed
    println!("{report}");
    Ok(())
}

fn read(port: &SerialPort, sender: &Sender<&'static str>, ctx: &Context) -> Result {
    loop {
        ctx.sleep(Duration::from_millis(200))?; // stands for the time that the device takes
        let line = port.lock().map_err(|_| "a reader panicked at the port")?.next();
        match line {
            Some(line) => sender.send(line)?,
            None => return Ok(()), // unplugged; dropping the sender completes the decoder too
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
