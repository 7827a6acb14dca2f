//! The tree of files that `scan` and `retention` walk.

use std::ffi::OsString;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use walkdir::{DirEntry, WalkDir};

/// A directory and everything below it, except the catalogue itself.
#[derive(Clone)]
pub struct Tree {
    dir: PathBuf,
    /// The database and its journals.
    own: Vec<PathBuf>,
}

impl Tree {
    pub fn new(dir: PathBuf, db: &Path) -> Self {
        let beside = |suffix| {
            let mut name = OsString::from(db);
            name.push(suffix);
            PathBuf::from(name)
        };
        Tree { dir, own: ["", "-wal", "-shm", "-journal"].map(beside).into() }
    }

    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Returns every regular file. The walk does not follow symlinks and skips files that disappear during it.
    pub fn files(&self) -> impl Iterator<Item = walkdir::Result<DirEntry>> {
        WalkDir::new(&self.dir).into_iter().filter(|entry| match entry {
            Ok(entry) => entry.file_type().is_file() && !self.own.iter().any(|own| own == entry.path()),
            Err(error) => error.depth() == 0 || !is_not_found(error),
        })
    }

    /// Returns `path` relative to the directory, as the catalogue stores it.
    pub fn relative<'p>(&self, path: &'p Path) -> &'p Path {
        path.strip_prefix(&self.dir).unwrap_or(path)
    }
}

pub fn is_not_found(error: &walkdir::Error) -> bool {
    error.io_error().is_some_and(|error| error.kind() == ErrorKind::NotFound)
}
