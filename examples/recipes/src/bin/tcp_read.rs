//! `read` of a stream, here a whole line: it ends at the stop, and what is written then still goes out.

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
                .try_for_each(|line| writeln!(&stream, "you said {}", line?)); // ends at the stop
            let goodbye = writeln!(&stream, "bye"); // writes go on
            read.and(goodbye)?; // the error of a stop is a clean end
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
