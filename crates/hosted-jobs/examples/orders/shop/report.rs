//! The report of a night: how many orders there are. Its file is named by the time at which it was due, however late it runs.

use super::database::connect;
use hosted_jobs::{Job, JobContext, Options, Result};
use serde::{Deserialize, Serialize};
use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

#[derive(Serialize, Deserialize)]
pub(crate) struct Report {}

impl Job for Report {
    const KIND: &'static str = "report";

    fn options() -> Options {
        Options::new().queue("reports")
    }
}

pub(crate) struct Reports {
    folder: PathBuf,
    db: PathBuf,
}

impl Reports {
    pub(crate) fn create(folder: &Path, db: &Path) -> Result<Self, Box<dyn Error + Send + Sync>> {
        fs::create_dir_all(folder)?;
        Ok(Reports { folder: folder.to_owned(), db: db.to_owned() })
    }

    pub(crate) fn write(&self, ctx: &JobContext) -> Result {
        let due = ctx.due_at().unwrap_or_else(SystemTime::now).duration_since(UNIX_EPOCH)?.as_secs();
        let db = connect(&self.db)?;
        let count = "SELECT count(*), count(mailed_at) FROM orders WHERE placed_at < ?1";
        let (orders, mailed): (i64, i64) = db.query_row(count, [due as i64], |row| Ok((row.get(0)?, row.get(1)?)))?;
        let text = format!("orders {orders}\nmailed {mailed}\nreports missed before this one {}\n", ctx.missed());
        let (temporary, path) = (self.folder.join("unfinished"), self.folder.join(format!("report-{due}.txt")));
        fs::write(&temporary, text)?;
        Ok(fs::rename(temporary, path)?)
    }
}
