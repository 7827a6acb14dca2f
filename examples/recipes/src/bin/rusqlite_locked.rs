//! A database of SQLite that another connection has locked: waiting for it ends at the stop.

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
            db.busy_handler(Some(move |_| token.sleep(Duration::from_millis(20)).is_ok()))?; // and try again
            let done = db.execute("INSERT INTO orders VALUES (1)", []);
            ctx.check()?; // the error of a stop is a clean end
            done?;
            // end
            Err("nobody had locked it".into())
        })
    })
}
