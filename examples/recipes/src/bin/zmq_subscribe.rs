//! Subscribes with ZeroMQ. `zmq::poll` waits for the socket and for the token's descriptor.

use hosted::{Context, Result, worker};
use recipes::{PROMPT, measure};
use std::os::fd::AsRawFd;
use zmq::{Error::EINTR, POLLIN, PollItem};

fn main() -> Result {
    measure(PROMPT, || worker(listen))
}

fn listen(ctx: &Context) -> Result {
    let zmq = zmq::Context::new();
    let (publisher, news) = (zmq.socket(zmq::XPUB)?, zmq.socket(zmq::SUB)?);
    publisher.bind("tcp://127.0.0.1:*")?;
    news.connect(&publisher.get_last_endpoint()?.unwrap_or_default())?;
    news.set_subscribe(b"")?;
    publisher.recv_bytes(0)?; // the subscription has arrived
    publisher.send("the first", 0)?;
    // recipe
    let stop = ctx.stop_token().fd()?.as_raw_fd();
    while !ctx.stop_requested() {
        receive_all(&news)?;
        let items = &mut [news.as_poll_item(POLLIN), PollItem::from_fd(stop, POLLIN)];
        zmq::poll(items, -1).or_else(|error| if error == EINTR { Ok(0) } else { Err(error) })?;
    }
    // end
    Ok(())
}

fn receive_all(news: &zmq::Socket) -> Result {
    while news.get_events()?.contains(POLLIN) {
        assert_eq!(news.recv_bytes(0)?, b"the first"); // the only message
    }
    Ok(())
}
