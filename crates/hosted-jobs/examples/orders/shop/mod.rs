//! The parts of the shop, and how they are put together.

mod database;
mod mail;
mod report;
mod facts;
mod web;

use hosted::{Host, StatusAddress, StatusServer};
use hosted_jobs::{Handlers, JobContext, Jobs, Recurring};
use std::error::Error;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// The threads that answer requests.
const WEB_THREADS: usize = 4;

pub(crate) struct Options {
    pub(crate) folder: PathBuf,
    /// 0: any free port.
    pub(crate) port: u16,
    /// Of the status page. 0: any free port.
    pub(crate) status_port: u16,
    /// The threads that run jobs.
    pub(crate) threads: usize,
    /// `None`: a report every night at three, UTC.
    pub(crate) report_every: Option<Duration>,
}

/// Opens the shop. Returns the host that runs it, its address, and that of its status page.
pub(crate) fn open(options: &Options) -> Result<(Host, SocketAddr, StatusAddress), Box<dyn Error + Send + Sync>> {
    std::fs::create_dir_all(&options.folder)?;
    let path = options.folder.join("orders.db");
    // No job here can kill its process, so a death is never the fault of the jobs that ran.
    let jobs = Jobs::builder().max_deaths(1_000).open(&path)?;
    database::create(&path)?;
    let maildir = mail::Maildir::create(&options.folder.join("mail"))?;
    let reports = report::Reports::create(&options.folder.join("reports"), &path)?;

    let nightly = match options.report_every {
        None => Recurring::cron("report", "0 3 * * *", &report::Report {})?.zone("UTC")?,
        Some(period) => Recurring::every("report", period, &report::Report {}),
    };
    jobs.recurring([nightly])?;
    let handlers = Handlers::new()
        .handle(move |job: mail::SendMail, ctx: &JobContext| maildir.send(&job, ctx))
        .handle(move |_: report::Report, ctx: &JobContext| reports.write(ctx));

    let server = Arc::new(tiny_http::Server::http(("127.0.0.1", options.port))?);
    let address = server.server_addr().to_ip().ok_or("the server has no address")?;
    let (db, stored) = (path.clone(), jobs.clone());
    let status = StatusServer::bind(format!("127.0.0.1:{}", options.status_port))
        .facts("Orders", move || facts::or_error(facts::orders(&db)))
        .facts("Jobs", move || facts::or_error(facts::jobs(&stored)));
    let status_address = status.local_addr();
    let mut host = Host::new();
    host.add("status", status); // the first service: it answers until the others have stopped
    host.add("jobs", jobs.workers(options.threads, handlers));
    // Added later, so they stop first: the last order is in the database before the workers stop.
    for number in 1..=WEB_THREADS {
        let web = web::Web::new(server.clone(), jobs.clone(), &path);
        host.add(format!("web-{number}"), web).after(["jobs"]);
    }
    Ok((host, address, status_address))
}
