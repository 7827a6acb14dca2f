//! Waits in the Redis command `BLPOP`. At the stop, a second connection asks the server to unblock the first.

use hosted::{Context, Result, worker};
use recipes::{PROMPT, measure};
use redis::{Client, TypedCommands};
use std::env;
use std::time::Duration;

fn main() -> Result {
    let client = Client::open(format!("redis://127.0.0.1:{}", env::var("REDIS_PORT")?))?;
    measure(PROMPT, || {
        let client = client.clone();
        worker(move |ctx| work(client.clone(), ctx))
    })
}

fn work(client: Client, ctx: &Context) -> Result {
    let mut connection = client.get_connection()?;
    connection.lpush("jobs", "the first")?;
    // recipe
    let unblock = redis::cmd("CLIENT").arg("UNBLOCK").arg(connection.client_id()?).arg("ERROR").to_owned();
    let _unblock = ctx.on_stop_repeating(Duration::from_millis(10), move || {
        _ = client.get_connection().and_then(|mut other| unblock.exec(&mut other));
    });
    // end
    while !ctx.stop_requested() {
        match connection.blpop("jobs", 0.0) {
            Ok(job) => assert_eq!(job, Some(["jobs".into(), "the first".into()])), // the only job
            Err(_) if ctx.stop_requested() => break,                               // unblocked
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}
