//! Runs a long SQLite query. SQLite calls a progress handler, which checks the token.

use hosted::{Result, worker};
use recipes::{PROMPT, measure};
use rusqlite::Connection;

/// Counts forever.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

fn main() -> Result {
    measure(PROMPT, || {
        let mut db = Connection::open_in_memory().unwrap();
        worker(move |ctx| {
            // recipe
            let token = ctx.stop_token().clone();
            db.progress_handler(1000, Some(move || token.stop_requested()))?; // called every 1,000 steps
            let count = db.query_one(ENDLESS, [], |row| row.get::<_, i64>(0));
            ctx.check()?; // a clean exit if the stop caused the error
            let count = count?;
            // end
            Err(format!("the endless query returned {count}").into())
        })
    })
}
