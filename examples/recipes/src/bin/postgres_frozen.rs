//! Queries a PostgreSQL server that is frozen (SIGSTOP). A cancel has no effect, so the host closes the connection.

use hosted::{Context, Result, worker};
use libpq::{Connection, Status};
use recipes::{EDGE, measure_host};
use rustix::process::{Pid, Signal, kill_process};
use std::thread;
use std::time::Duration;

/// The host closes the connection when 100 ms of this time are left. With ten seconds, it would do so one second before
/// the end.
const TIMEOUT: Duration = Duration::from_millis(250);

fn main() -> Result {
    let reports = measure_host(EDGE, TIMEOUT, |host| {
        // recipe
        host.add("orders", worker(query)).disconnect_when_hung();
        // end
    })?;
    for report in reports {
        assert!(!report.services[0].disconnected.is_empty(), "{report}"); // the host may also close a cancel connection
    }
    Ok(())
}

fn query(ctx: &Context) -> Result {
    let connection = Connection::new("")?;
    let server = Server(Pid::from_raw(connection.backend_pid().try_into()?).ok_or("no process")?);
    let cancel = format!("SELECT pg_cancel_backend({})", connection.backend_pid());
    let _cancel = ctx.on_stop_repeating(Duration::from_millis(10), move || {
        _ = Connection::new("").map(|other| other.exec(&cancel)); // returns `true` and has no effect
    });
    let result = thread::scope(|scope| {
        scope.spawn(|| server.freeze_in_query());
        connection.exec("SELECT pg_sleep(3600)")
    });
    ctx.check()?; // libpq reports that the server closed the connection
    if result.status() != Status::TuplesOk {
        return Err(result.error_message()?.unwrap_or_default().into());
    }
    Ok(())
}

/// The server process of one connection.
struct Server(Pid);

impl Server {
    fn freeze_in_query(&self) -> Result {
        let other = Connection::new("")?;
        let working = format!("SELECT FROM pg_stat_activity WHERE pid = {} AND state = 'active'", self.0);
        while other.exec(&working).ntuples() == 0 {
            thread::sleep(Duration::from_millis(1));
        }
        Ok(kill_process(self.0, Signal::STOP)?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        _ = kill_process(self.0, Signal::CONT); // it then handles the cancel, finds the connection closed, and exits
    }
}
