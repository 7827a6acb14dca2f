//! `BLPOP` of Redis: the server ends it, asked through a second connection.

use hosted::{Context, Result, worker};
use recipes::{PROMPT, measure};
use redis::{Client, TypedCommands};
use std::env;
use std::time::Duration;

fn main() -> Result {
    let client = Client::open(format!("redis://127.0.0.1:{}", env::var("REDIS_PORT")?))?;
    measure(PROMPT, || {
        let client = client.clone();
        worker(move |ctx| work(&client, ctx))
    })
}

fn work(client: &Client, ctx: &Context) -> Result {
    let mut connection = client.get_connection()?;
    connection.lpush("jobs", "the first")?;
    loop {
        let job = next_job(client, &mut connection, ctx)?;
        assert_eq!(job, "the first"); // there is no other
    }
}

fn next_job(client: &Client, connection: &mut redis::Connection, ctx: &Context) -> Result<String> {
    let client = client.clone();
    // recipe
    let unblock = redis::cmd("CLIENT").arg("UNBLOCK").arg(connection.client_id()?).arg("ERROR").to_owned();
    let _unblock = ctx.on_stop_repeating(Duration::from_millis(10), move || {
        _ = client.get_connection().and_then(|mut other| unblock.exec(&mut other));
    });
    let job = connection.blpop("jobs", 0.0);
    // end
    match job {
        Ok(Some([_, job])) => Ok(job),
        Ok(None) => Err("BLPOP without a timeout has run out of time".into()),
        Err(error) => {
            ctx.check()?; // unblocked
            Err(error.into())
        }
    }
}
