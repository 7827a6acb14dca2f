//! The page: orders, queues, dead jobs, reports and processes, as plain text.

use hosted::HostHandle;
use hosted_jobs::rusqlite::Connection;
use hosted_jobs::{Filter, Jobs, Outcome};
use std::error::Error;
use std::fmt::Write;

pub(crate) fn page(db: &Connection, jobs: &Jobs, host: &HostHandle) -> Result<String, Box<dyn Error + Send + Sync>> {
    let mut page = String::new();
    let count = "SELECT (SELECT max(id) FROM orders), (SELECT count(*) FROM orders WHERE mailed_at IS NULL)";
    let (orders, waiting): (Option<i64>, i64) = db.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    writeln!(page, "orders {}, not mailed yet {waiting}\n", orders.unwrap_or(0))?;
    let stats = jobs.stats()?;
    for queue in &stats.queues {
        let (ready, scheduled, running) = (queue.ready, queue.scheduled, queue.running);
        let paused = if queue.paused { ", paused" } else { "" };
        writeln!(page, "queue {}: ready {ready}, scheduled {scheduled}, running {running}{paused}", queue.name)?;
    }
    writeln!(page, "jobs that succeeded {}, dead {}, cancelled {}", stats.succeeded, stats.dead, stats.cancelled)?;
    for job in jobs.list(&Filter::finished(Outcome::Dead).limit(20))? {
        writeln!(page, "dead job {} ({}): {}", job.id, job.kind, job.error.unwrap_or_default())?;
    }
    for schedule in jobs.schedules()? {
        let (paused, missed) = (if schedule.paused { ", paused" } else { "" }, schedule.missed);
        writeln!(page, "recurring {} ({}), missed {missed}{paused}", schedule.name, schedule.schedule)?;
    }
    writeln!(page)?;
    for service in host.services() {
        writeln!(page, "service {:12} {}", service.name, service.state)?;
    }
    for worker in &stats.workers {
        writeln!(page, "process {} on {}", worker.pid, worker.host)?;
    }
    Ok(page)
}
