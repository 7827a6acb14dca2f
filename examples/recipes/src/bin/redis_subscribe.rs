//! Receives Redis messages (`SUBSCRIBE`). The stop arrives as a message on a private channel.

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
    let stop = format!("stop:{}", connection.client_id()?); // unique on this server
    let mut news = connection.as_pubsub();
    news.subscribe(&["news", &stop])?; // on return, the server has confirmed both
    let _wake = ctx.on_stop_repeating(Duration::from_millis(10), move || {
        _ = client.get_connection().and_then(|mut other| other.publish(&stop, ""));
    });
    // end
    other.publish("news", "the first")?;
    loop {
        let message = news.get_message()?;
        ctx.check()?;
        assert_eq!(message.get_payload_bytes(), b"the first"); // the only message
    }
}
