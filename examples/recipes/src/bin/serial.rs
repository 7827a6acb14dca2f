//! Reads lines from a serial port until the stop. The crate `serialport` sets the line's parameters.

use hosted::{Result, worker};
use recipes::{PROMPT, ROUNDS, measure};
use rustix::fs::{Mode, OFlags, open};
use serialport::{SerialPort, TTYPort};
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::sync::mpsc;

fn main() -> Result {
    let (seen, lines) = mpsc::channel();
    measure(PROMPT, || {
        let seen = seen.clone();
        // The two ends of a pseudo-terminal stand in for a serial line.
        let (mut device, port) = TTYPort::pair().unwrap();
        let path = port.name().unwrap();
        worker(move |ctx| {
            // recipe
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::NONBLOCK | OFlags::CLOEXEC; // waits for no carrier
            let stream = ctx.interruptible(File::from(open(&path, flags, Mode::empty())?));
            let _settings = serialport::new(&path, 9_600).open_native()?; // the settings belong to the port
            let lines = BufReader::new(stream).lines(); // ends at the stop
            // end
            device.write_all(b"21.5\n")?;
            for line in lines {
                seen.send(line?)?;
            }
            Ok(())
        })
    })?;
    assert_eq!(lines.try_iter().collect::<Vec<_>>(), ["21.5"; ROUNDS]);
    Ok(())
}
