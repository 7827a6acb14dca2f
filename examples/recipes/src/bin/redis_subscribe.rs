//! `SUBSCRIBE` of Redis: the stop comes as a message, through a channel that is ours alone.

use hosted::{Context, Result, worker};
use recipes::{PROMPT, measure};
use redis::{Client, TypedCommands};
use std::env;
use std::time::Duration;

fn main() -> Result {
    let client = Client::open(format!("redis://127.0.0.1:{}", env::var("REDIS_PORT")?))?;
    measure(PROMPT, || {
        let client = client.clone();
        worker(move |ctx| listen(client.clone(), ctx))
    })
}

fn listen(client: Client, ctx: &Context) -> Result {
    let mut connection = client.get_connection()?;
    let mut other = client.get_connection()?;
    // recipe
    let stop = format!("stop:{}", connection.client_id()?); // nobody else's on this server
    let mut news = connection.as_pubsub();
    news.subscribe(&["news", &stop])?; // from here on what is published waits for us
    let _wake = ctx.on_stop_repeating(Duration::from_millis(10), move || {
        _ = client.get_connection().and_then(|mut other| other.publish(&stop, ""));
    });
    // end
    other.publish("news", "the first")?;
    loop {
        let message = news.get_message()?;
        ctx.check()?;
        assert_eq!(message.get_payload_bytes(), b"the first"); // there is no other
    }
}
