//! The catalogue: one SQLite table with a row for each file.

use crate::digest::Digest;
use crate::job::{Job, Stamp};
use rusqlite::{Connection, OpenFlags, Result, Statement, params};
use std::path::Path;

const SCHEMA: &str = "
    CREATE TABLE IF NOT EXISTS files (
        path BLOB PRIMARY KEY,   -- relative to the directory, as bytes
        size INTEGER NOT NULL,
        mtime INTEGER NOT NULL,  -- nanoseconds since 1970
        lines INTEGER,
        words INTEGER,
        sha256 TEXT,
        error TEXT               -- why the file is unreadable; lines, words and sha256 are then null
    ) WITHOUT ROWID;
    DELETE FROM files WHERE error IS NOT NULL; -- each start reads these files again";

const PUT: &str = "REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)";
const REMOVE: &str = "DELETE FROM files WHERE path = ? AND size = ? AND mtime = ?";
const SAME: &str = "SELECT 1 FROM files WHERE path = ? AND size = ? AND mtime = ?";
const TOTALS: &str = "
    SELECT count(*), coalesce(sum(size), 0), coalesce(sum(lines), 0), coalesce(sum(words), 0), count(error) FROM files";

/// A path relative to the directory, as bytes: a path need not be valid text.
pub type PathBytes = Vec<u8>;

/// A change of the catalogue, which the store writes.
pub enum Change {
    Read(Job, Digest),
    Unreadable(Job, String),
    /// The file with this stamp no longer exists.
    Gone(PathBytes, Stamp),
}

/// The totals of the catalogue.
pub struct Totals {
    pub files: i64,
    pub bytes: i64,
    pub lines: i64,
    pub words: i64,
    pub unreadable: i64,
}

/// A connection to the catalogue.
pub struct Catalogue(Connection);

impl Catalogue {
    /// Creates the database if it does not exist. In WAL mode, readers and the writer do not block each other.
    pub fn create(db: &Path) -> Result<()> {
        let connection = Connection::open(db)?;
        connection.pragma_update(None, "journal_mode", "WAL")?;
        connection.execute_batch(SCHEMA)
    }

    pub fn open(db: &Path) -> Result<Self> {
        let connection = Connection::open_with_flags(db, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        // A power loss may undo the last transactions. The next scan finds these files again.
        connection.pragma_update(None, "synchronous", "NORMAL")?;
        Ok(Catalogue(connection))
    }

    /// Writes all `changes` in one transaction, or none of them.
    pub fn write(&mut self, changes: &[Change]) -> Result<()> {
        let transaction = self.0.transaction()?;
        {
            let mut put = transaction.prepare_cached(PUT)?;
            let mut remove = transaction.prepare_cached(REMOVE)?;
            for change in changes {
                apply(change, &mut put, &mut remove)?;
            }
        }
        transaction.commit()
    }

    /// Returns `true` if the catalogue has the file at `path` with this stamp.
    pub fn has(&self, path: &Path, stamp: Stamp) -> Result<bool> {
        self.0.prepare_cached(SAME)?.exists(params![bytes(path), stamp.size, stamp.mtime])
    }

    /// Returns every file in the catalogue.
    pub fn files<C: FromIterator<(PathBytes, Stamp)>>(&self) -> Result<C> {
        let mut files = self.0.prepare("SELECT path, size, mtime FROM files")?;
        files.query_map([], |row| Ok((row.get(0)?, Stamp { size: row.get(1)?, mtime: row.get(2)? })))?.collect()
    }

    pub fn totals(&self) -> Result<Totals> {
        self.0.query_row(TOTALS, [], |row| {
            let (files, bytes, lines) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(Totals { files, bytes, lines, words: row.get(3)?, unreadable: row.get(4)? })
        })
    }

    /// Returns up to `at_most` unreadable files with their errors.
    pub fn unreadable(&self, at_most: u32) -> Result<Vec<(PathBytes, String)>> {
        let mut files = self.0.prepare("SELECT path, error FROM files WHERE error IS NOT NULL LIMIT ?")?;
        files.query_map([at_most], |row| Ok((row.get(0)?, row.get(1)?)))?.collect()
    }
}

fn apply(change: &Change, put: &mut Statement, remove: &mut Statement) -> Result<usize> {
    match change {
        Change::Read(Job { claim, stamp }, Digest { lines, words, sha256 }) => {
            put.execute(params![bytes(claim.path()), stamp.size, stamp.mtime, lines, words, sha256, None::<&str>])
        }
        Change::Unreadable(Job { claim, stamp }, error) => {
            let none = None::<i64>;
            put.execute(params![bytes(claim.path()), stamp.size, stamp.mtime, none, none, none, error])
        }
        Change::Gone(path, stamp) => remove.execute(params![path, stamp.size, stamp.mtime]),
    }
}

/// Returns `path` in the form in which the catalogue stores it.
pub fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}
