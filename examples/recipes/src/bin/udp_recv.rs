//! Receives datagrams until the stop.

use hosted::{Result, worker};
use recipes::{PROMPT, ROUNDS, measure};
use std::net::UdpSocket;
use std::time::Duration;

fn main() -> Result {
    let peer = UdpSocket::bind("127.0.0.1:0")?;
    peer.set_read_timeout(Some(Duration::from_secs(5)))?;
    measure(PROMPT, || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        peer.send_to(b"hello", socket.local_addr().unwrap()).unwrap();
        worker(move |ctx| {
            let mut bytes = [0; 1500];
            // recipe
            socket.set_nonblocking(true)?; // the kernel may announce a datagram and then drop it
            while ctx.wait_readable(&socket, None)? {
                if let Ok((length, from)) = socket.recv_from(&mut bytes) {
                    _ = socket.send_to(&bytes[..length], from).map_err(|error| ctx.report_error(error));
                }
            }
            // end
            Ok(())
        })
    })?;
    for _ in 0..ROUNDS {
        let mut answer = [0; 5];
        peer.recv(&mut answer)?;
        assert_eq!(&answer, b"hello");
    }
    Ok(())
}
