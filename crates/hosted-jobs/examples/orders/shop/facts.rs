//! What the status page shows of the shop: orders, queues, dead jobs and recurring jobs.

use super::database::connect;
use hosted_jobs::{Filter, Jobs, Outcome};
use std::error::Error;
use std::path::Path;

type Rows = Vec<(String, String)>;

/// The rows of a table, or the error as its only row.
pub(crate) fn or_error(rows: Result<Rows, Box<dyn Error + Send + Sync>>) -> Rows {
    rows.unwrap_or_else(|error| vec![("error".to_owned(), error.to_string())])
}

pub(crate) fn orders(db: &Path) -> Result<Rows, Box<dyn Error + Send + Sync>> {
    let count = "SELECT (SELECT max(id) FROM orders), (SELECT count(*) FROM orders WHERE mailed_at IS NULL)";
    let (orders, waiting): (Option<i64>, i64) =
        connect(db)?.query_row(count, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(vec![("orders".to_owned(), orders.unwrap_or(0).to_string()), ("not mailed yet".to_owned(), waiting.to_string())])
}

pub(crate) fn jobs(jobs: &Jobs) -> Result<Rows, Box<dyn Error + Send + Sync>> {
    let (stats, mut rows) = (jobs.stats()?, Rows::new());
    for queue in &stats.queues {
        let (ready, scheduled, running) = (queue.ready, queue.scheduled, queue.running);
        let paused = if queue.paused { ", paused" } else { "" };
        let text = format!("ready {ready}, scheduled {scheduled}, running {running}{paused}");
        rows.push((format!("queue {}", queue.name), text));
    }
    rows.push(("succeeded".to_owned(), stats.succeeded.to_string()));
    rows.push(("dead".to_owned(), stats.dead.to_string()));
    for job in jobs.list(&Filter::finished(Outcome::Dead).limit(20))? {
        rows.push((format!("dead job {} ({})", job.id, job.kind), job.error.unwrap_or_default()));
    }
    for schedule in jobs.schedules()? {
        let (paused, missed) = (if schedule.paused { ", paused" } else { "" }, schedule.missed);
        rows.push((format!("recurring {}", schedule.name), format!("{}, missed {missed}{paused}", schedule.schedule)));
    }
    for worker in &stats.workers {
        let state = if worker.stopping { "stopping" } else { "running" };
        rows.push((format!("process {} on {}", worker.pid, worker.host), state.to_owned()));
    }
    Ok(rows)
}
