//! `retention`: removes the rows of files that are gone.

use crate::catalogue::{Catalogue, Change, PathBytes, bytes};
use crate::job::Stamp;
use crate::store::submit;
use crate::tree::Tree;
use crossbeam_channel::Sender;
use hosted::{Context, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// Whether the last sweep found nothing that is gone.
#[derive(Clone, Default)]
pub struct Tidy(Arc<AtomicBool>);

impl Tidy {
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed) // nothing else hangs on it
    }

    fn set(&self, tidy: bool) {
        self.0.store(tidy, Ordering::Relaxed);
    }
}

pub struct Retention {
    tree: Tree,
    db: PathBuf,
    changes: Sender<Change>,
    tidy: Tidy,
}

impl Retention {
    pub fn new(tree: &Tree, db: &Path, changes: Sender<Change>, tidy: Tidy) -> Self {
        Retention { tree: tree.clone(), db: db.to_owned(), changes, tidy }
    }

    /// Tells the store of every file that the catalogue has and the tree has not.
    pub fn sweep(&self, ctx: &Context) -> Result {
        let gone = self.gone(ctx)?;
        self.tidy.set(gone.is_empty());
        if !gone.is_empty() {
            log::info!("files that are gone: {}", gone.len());
        }
        for (path, stamp) in gone {
            submit(Change::Gone(path, stamp), &self.changes, ctx)?;
        }
        Ok(())
    }

    /// Nothing is said to be gone from where one cannot look: scan tells of it.
    fn gone(&self, ctx: &Context) -> Result<HashMap<PathBytes, Stamp>> {
        let mut rows: HashMap<_, _> = Catalogue::open(&self.db)?.files()?;
        for entry in self.tree.files() {
            ctx.check()?;
            match entry {
                Ok(entry) => _ = rows.remove(bytes(self.tree.relative(entry.path()))),
                Err(error) => {
                    let hidden = self.tree.relative(error.path().unwrap_or(self.tree.dir())).join("");
                    rows.retain(|path, _| !path.starts_with(bytes(&hidden)));
                }
            }
        }
        Ok(rows)
    }
}
