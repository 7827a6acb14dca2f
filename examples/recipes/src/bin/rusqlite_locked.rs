//! Waits for an SQLite database that another connection has locked, until the stop.

use hosted::{Result, worker};
use recipes::{PROMPT, measure};
use rusqlite::Connection;
use std::time::Duration;

fn main() -> Result {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("orders.db");
    let other = Connection::open(&path)?;
    other.execute_batch("CREATE TABLE orders (id INTEGER); BEGIN EXCLUSIVE")?;
    measure(PROMPT, || {
        let mut db = Connection::open(&path).unwrap();
        worker(move |ctx| {
            // recipe
            let token = ctx.stop_token().clone();
            db.busy_handler(Some(move |_| token.sleep(Duration::from_millis(20)).is_ok()))?; // `true`: try again
            let done = db.execute("INSERT INTO orders VALUES (1)", []);
            ctx.check()?; // a clean exit if the stop caused the error
            done?;
            // end
            Err("the database was not locked".into())
        })
    })
}
