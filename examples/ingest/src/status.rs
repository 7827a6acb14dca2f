//! The status that the page and `/status.json` show.

use crate::catalogue::{Catalogue, Totals};
use crate::job::{Claims, Job};
use hosted::{Context, HostState, Queue, Result, ServiceStatus};
use serde_json::{Value, json};
use std::path::PathBuf;

/// The sources that a status is read from.
pub struct Sources {
    pub dir: PathBuf,
    pub db: PathBuf,
    pub jobs: Queue<Job>,
    pub claims: Claims,
}

/// The status of the program at one moment.
pub struct Status {
    pub dir: PathBuf,
    pub host: HostState,
    pub services: Vec<ServiceStatus>,
    pub totals: Totals,
    /// The first few unreadable files with their errors.
    pub unreadable: Vec<(String, String)>,
    pub queued: usize,
    pub in_flight: usize,
}

impl Sources {
    pub fn read(&self, ctx: &Context) -> Result<Status> {
        let catalogue = Catalogue::open(&self.db)?;
        let text = |(path, error): (Vec<u8>, String)| (String::from_utf8_lossy(&path).into_owned(), error);
        Ok(Status {
            dir: self.dir.clone(),
            host: ctx.host().state(),
            services: ctx.host().services(),
            totals: catalogue.totals()?,
            unreadable: catalogue.unreadable(10)?.into_iter().map(text).collect(),
            queued: self.jobs.len(),
            in_flight: self.claims.len(),
        })
    }
}

impl Status {
    pub fn json(&self) -> Value {
        let Totals { files, bytes, lines, words, unreadable } = self.totals;
        json!({
            "directory": self.dir.to_string_lossy(),
            "host": format!("{:?}", self.host).to_lowercase(),
            "services": self.services.iter().map(service).collect::<Vec<_>>(),
            "catalogue": {
                "files": files, "bytes": bytes, "lines": lines, "words": words, "unreadable": unreadable,
            },
            "queued": self.queued,
            "in_flight": self.in_flight,
        })
    }
}

fn service(service: &ServiceStatus) -> Value {
    json!({
        "name": &*service.name,
        "state": service.state.to_string(),
        "since_seconds": service.since.elapsed().as_secs_f64(),
        "restarts": service.restarts,
        "errors": service.errors,
        "last_error": service.last_error,
    })
}
