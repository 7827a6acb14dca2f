//! A long query of SQLite: it asks now and then whether it is to end.

use hosted::{Result, worker};
use recipes::{PROMPT, measure};
use rusqlite::Connection;

/// Counts for ever.
const ENDLESS: &str = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n";

fn main() -> Result {
    measure(PROMPT, || {
        let mut db = Connection::open_in_memory().unwrap();
        worker(move |ctx| {
            // recipe
            let token = ctx.stop_token().clone();
            db.progress_handler(1000, Some(move || token.stop_requested()))?; // asked every 1,000 steps
            let count = db.query_one(ENDLESS, [], |row| row.get::<_, i64>(0));
            ctx.check()?; // the error of a stop is a clean end
            let count = count?;
            // end
            Err(format!("it came to an end, at {count}").into())
        })
    })
}
