//! `scan`: walks the tree and queues new and changed files.

use crate::catalogue::Catalogue;
use crate::job::{Claims, Job, Stamp, is_settled};
use crate::tree::{Tree, is_not_found};
use hosted::{Context, Queue, Result};
use std::collections::HashSet;
use std::fs::Metadata;
use std::path::{Path, PathBuf};

pub struct Scanner {
    tree: Tree,
    db: PathBuf,
    jobs: Queue<Job>,
    claims: Claims,
    /// The errors that have been reported: each unreadable directory is reported once.
    reported: HashSet<String>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Seen {
    /// The catalogue has the file with its current stamp.
    UpToDate,
    /// The file is in flight or changed a moment ago. A later scan checks it again.
    Unsettled,
    Queued,
}

impl Scanner {
    pub fn new(tree: &Tree, db: &Path, jobs: &Queue<Job>, claims: &Claims) -> Self {
        let (tree, db, jobs, claims) = (tree.clone(), db.to_owned(), jobs.clone(), claims.clone());
        Scanner { tree, db, jobs, claims, reported: HashSet::new() }
    }

    /// Checks every file once. Returns `true` if the catalogue is up to date.
    pub fn scan(&mut self, ctx: &Context) -> Result<bool> {
        let catalogue = Catalogue::open(&self.db)?;
        let (mut up_to_date, mut queued) = (true, 0);
        for entry in self.tree.files() {
            ctx.check()?;
            let seen = match entry.and_then(|entry| Ok((entry.metadata()?, entry))) {
                Ok((metadata, entry)) => self.check(self.tree.relative(entry.path()), &metadata, &catalogue, ctx)?,
                Err(error) if error.depth() == 0 => return Err(error.into()),
                Err(error) if is_not_found(&error) => continue,
                Err(error) => {
                    if self.reported.insert(error.to_string()) {
                        ctx.report_error(error);
                    }
                    continue;
                }
            };
            up_to_date &= seen == Seen::UpToDate;
            queued += usize::from(seen == Seen::Queued);
        }
        if queued > 0 {
            log::info!("new or changed files: {queued}");
        }
        Ok(up_to_date)
    }

    /// Checks one file. The claim comes first, because from then on nobody else changes the row of the file.
    fn check(&self, path: &Path, metadata: &Metadata, catalogue: &Catalogue, ctx: &Context) -> Result<Seen> {
        let Some(claim) = self.claims.claim(path) else { return Ok(Seen::Unsettled) };
        let stamp = Stamp::of(metadata)?;
        if catalogue.has(path, stamp)? {
            return Ok(Seen::UpToDate);
        }
        if !is_settled(metadata)? {
            return Ok(Seen::Unsettled);
        }
        self.jobs.push_until(Job { claim, stamp }, ctx.stop_token())?;
        Ok(Seen::Queued)
    }
}
