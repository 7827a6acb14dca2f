//! Runs a long PostgreSQL query. At the stop, a second connection asks the server to cancel it.

use hosted::{Context, Result, worker};
use libpq::{Connection, Status};
use recipes::{PROMPT, measure};
use std::time::Duration;

fn main() -> Result {
    measure(PROMPT, || worker(query))?;
    nothing_is_left()
}

fn query(ctx: &Context) -> Result {
    let connection = Connection::new("")?; // the address comes from PGHOST and related variables
    // recipe
    let cancel = format!("SELECT pg_cancel_backend({})", connection.backend_pid());
    let _cancel = ctx.on_stop_repeating(Duration::from_millis(10), move || {
        _ = Connection::new("").map(|other| other.exec(&cancel));
    });
    let result = connection.exec("SELECT pg_sleep(3600)");
    ctx.check()?; // a clean exit if the stop caused the error
    // end
    if result.status() != Status::TuplesOk {
        return Err(result.error_message()?.unwrap_or_default().into());
    }
    Ok(())
}

/// Returns an error if the server still runs one of the queries.
fn nothing_is_left() -> Result {
    let left = "SELECT query FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND query LIKE '%pg_sleep%' AND state = 'active'";
    match Connection::new("")?.exec(left).ntuples() {
        0 => Ok(()),
        some => Err(format!("the server still runs {some} queries").into()),
    }
}
