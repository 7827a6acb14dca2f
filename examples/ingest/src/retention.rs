//! `retention`: removes the rows of files that no longer exist.

use crate::catalogue::{Catalogue, Change, PathBytes, bytes};
use crate::job::Stamp;
use crate::tree::Tree;
use hosted::{Context, Queue, Result};
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// `true` if the last sweep found no row to remove.
#[derive(Clone, Default)]
pub struct Tidy(Arc<AtomicBool>);

impl Tidy {
    pub fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed) // `Relaxed` is enough: no other data depends on the flag
    }

    fn set(&self, tidy: bool) {
        self.0.store(tidy, Ordering::Relaxed);
    }
}

pub struct Retention {
    tree: Tree,
    db: PathBuf,
    changes: Queue<Change>,
    tidy: Tidy,
}

impl Retention {
    pub fn new(tree: &Tree, db: &Path, changes: &Queue<Change>, tidy: Tidy) -> Self {
        Retention { tree: tree.clone(), db: db.to_owned(), changes: changes.clone(), tidy }
    }

    /// Sends the store a removal for every file that the catalogue has and the tree has not.
    pub fn sweep(&self, ctx: &Context) -> Result {
        let gone = self.gone(ctx)?;
        self.tidy.set(gone.is_empty());
        if !gone.is_empty() {
            log::info!("files that are gone: {}", gone.len());
        }
        for (path, stamp) in gone {
            self.changes.push_until(Change::Gone(path, stamp), ctx.stop_token())?;
        }
        Ok(())
    }

    /// Returns the missing files. Files in an unreadable directory do not count: `scan` reports that directory.
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
