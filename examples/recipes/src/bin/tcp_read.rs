//! Reads lines from a stream until the stop. Writes still work after the stop, so the peer gets a goodbye.

use hosted::{Result, worker};
use recipes::{PROMPT, measure};
use std::io::{BufRead, BufReader, Write, read_to_string};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc;

fn main() -> Result {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let (sender, peers) = mpsc::channel();
    measure(PROMPT, || {
        let peer = TcpStream::connect(address).unwrap();
        (&peer).write_all(b"hello\n").unwrap();
        sender.send(peer).unwrap();
        let (stream, _) = listener.accept().unwrap();
        worker(move |ctx| {
            // recipe
            let read = BufReader::new(ctx.interruptible(&stream))
                .lines()
                .try_for_each(|line| writeln!(&stream, "you said {}", line?)); // returns at the stop
            let goodbye = writeln!(&stream, "bye"); // writes still work
            read.and(goodbye)?; // through `?`, the error of a stop is a clean exit
            // end
            Ok(())
        })
    })?;
    drop(sender);
    for peer in peers {
        assert_eq!(read_to_string(peer)?, "you said hello\nbye\n");
    }
    Ok(())
}
