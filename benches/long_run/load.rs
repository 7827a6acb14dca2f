//! The first host: ingest as its own `main` builds it, with faults and further services.

use crate::catalogue::{Catalogue, Change};
use crate::chance::{Chance, KNOWN};
use crate::churn::{churn, lock, plant};
use crate::client::{client, free_port};
use crate::counted_queue::CountedQueue;
use crate::digest::Digester;
use crate::facts::Sources;
use crate::flaky::{Flaky, again, session};
use crate::job::{Claims, Job};
use crate::members::add_members;
use crate::retention::{Retention, Tidy};
use crate::rounds::rounds;
use crate::scan::Scanner;
use crate::store::store;
use crate::tally::Tally;
use crate::tokens::traffic;
use crate::tree::Tree;
use crossbeam_channel::Receiver;
use hosted::{Context, Event, EventKind, Host, Queue, Result, Service, StatusServer, StopToken, every, task, worker};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tempfile::TempDir;

/// The name of the catalogue's file.
pub const CATALOGUE: &str = "catalogue.db";

const SCAN: Duration = Duration::from_millis(200);
const SWEEP: Duration = Duration::from_millis(500);
const TICK: Duration = Duration::from_millis(10);

pub struct Load {
    pub host: Host,
    /// The queue whose jobs fail and panic.
    pub queue: CountedQueue,
    /// A subscription that nobody reads: it fills up, and must not grow after that.
    _unread: Receiver<Event>,
    /// Dropped last, when no service works in the directory.
    _dir: TempDir,
}

impl Load {
    /// `parent` outlives the host.
    pub fn new(chance: &Chance, tally: &Arc<Tally>, parent: &StopToken) -> Result<Self> {
        let dir = tree()?;
        plant(dir.path(), chance)?;
        let (mut host, queue) = (Host::new(), CountedQueue::new(256));
        let (events, unread) = (host.events(), host.events());
        host.add("listener", listener(events, tally)); // the first service, so that it receives the end of all others
        ingest(&mut host, dir.path(), chance, tally)?;
        let job = |one_in| {
            let (chance, tally) = (chance.clone(), tally.clone());
            move |_: &Context| {
                tally.jobs.add(1);
                chance.strike(one_in)
            }
        };
        for name in ["consumer 1", "consumer 2", "consumer 3"] {
            host.add(name, queue.consumer(job(500)));
        }
        for name in ["batches 1", "batches 2"] {
            host.add(name, queue.batch_consumer(job(500)));
        }
        for name in ["producer 1", "producer 2"] {
            host.add(name, queue.producer(chance, Duration::from_millis(2)));
        }
        for name in ["flaky 1", "flaky 2", "flaky 3"] {
            host.add(name, Flaky::new(chance)).restart(again());
        }
        host.add("session", session(chance)).restart(again());
        host.add("traffic 1", traffic(parent, chance));
        host.add("traffic 2", traffic(parent, chance));
        add_members(&mut host, chance, tally)?;
        host.add("ticker", ticker(tally));
        host.add("rounds", rounds(chance, tally));
        Ok(Load { host, queue, _unread: unread, _dir: dir })
    }
}

/// Uses a directory in memory if there is one, to spare the disk half an hour of writes.
fn tree() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    Ok(if memory.is_dir() { tempfile::tempdir_in(memory)? } else { tempfile::tempdir()? })
}

fn ingest(host: &mut Host, dir: &Path, chance: &Chance, tally: &Arc<Tally>) -> Result {
    let (db, port) = (dir.join(CATALOGUE), free_port()?);
    let (tree, claims, jobs) = (Tree::new(dir.to_owned(), &db), Claims::default(), Queue::bounded(256));
    let changes = Queue::bounded(256);

    let sources = Sources { dir: dir.to_owned(), db: db.clone(), jobs: jobs.clone(), claims: claims.clone() };
    let server = StatusServer::bind(format!("127.0.0.1:{port}")).facts("Catalogue", move || sources.totals());
    host.add("status", server).restart(again());
    let at = db.clone();
    host.add("schema", task(move |_| Ok(Catalogue::create(&at)?)));
    host.add("store", store(&db, &changes));
    for name in ["digest 1", "digest 2", "digest 3"] {
        host.add(name, jobs.consumer(digest(&tree, &changes, chance, tally))).after(["store"]);
    }
    let (retention, sweeping) = (Retention::new(&tree, &db, &changes, Tidy::default()), chance.clone());
    let sweep = move |ctx: &Context| {
        sweeping.strike(20)?;
        retention.sweep(ctx)
    };
    host.add("retention", every(SWEEP, sweep).immediately().fixed_delay()).after(["store"]);
    let (mut scanner, scanning) = (Scanner::new(&tree, &db, &jobs, &claims), chance.clone());
    let scan = move |ctx: &Context| {
        scanning.strike(20)?;
        scanner.scan(ctx).map(drop)
    };
    host.add("scan", every(SCAN, scan).immediately().fixed_delay());
    host.add("lock", lock(&db, chance));
    host.add("churn", churn(dir, chance)).restart(again());
    host.add("client", client(port, chance, tally));
    Ok(())
}

/// Handles a job as a digester does, with faults: some jobs fail or panic, and some files cannot be read.
fn digest(
    tree: &Tree,
    changes: &Queue<Change>,
    chance: &Chance,
    tally: &Arc<Tally>,
) -> impl FnMut(Job, &Context) -> Result + Send + 'static {
    let (mut digester, changes) = (Digester::new(tree, changes), changes.clone());
    let (unreadable, chance, tally): (PathBuf, _, _) = (tree.dir().join("loop"), chance.clone(), tally.clone());
    move |job, ctx| {
        tally.jobs.add(1);
        chance.strike(50)?;
        if chance.fault(50) {
            let error = fs::read(&unreadable).expect_err("the link leads to itself");
            return Ok(changes.push_until(Change::Unreadable(job, error.to_string()), ctx.stop_token())?);
        }
        digester.digest(job, ctx)
    }
}

fn ticker(tally: &Arc<Tally>) -> impl Service {
    let tally = tally.clone();
    worker(move |ctx| {
        for tick in ctx.ticks(TICK) {
            let due = tick.scheduled - TICK * tick.missed;
            tally.ticks.add(due.elapsed());
        }
        Ok(())
    })
}

/// Counts restarts, and records unexpected failures.
fn listener(events: Receiver<Event>, tally: &Arc<Tally>) -> impl Service {
    let tally = tally.clone();
    worker(move |ctx| {
        loop {
            let event = ctx.recv(&events)?;
            let is_trouble = match &event.kind {
                EventKind::Restarting { error, .. } => {
                    tally.restarts.add(1);
                    error.is_some()
                }
                EventKind::Lagged { events } => {
                    tally.missed.add(*events);
                    false
                }
                kind => matches!(kind, EventKind::Failed(_) | EventKind::Reported { .. } | EventKind::Hung(_)),
            };
            let text = event.to_string();
            if is_trouble && !KNOWN.iter().any(|known| text.contains(known)) {
                tally.unexpected(text);
            }
        }
    })
}
