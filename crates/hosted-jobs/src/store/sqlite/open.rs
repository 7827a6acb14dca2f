//! Opens the file: what is checked before the first statement, and the settings of a connection.

use super::convert::store_error;
use super::lock::WorkerLocks;
use super::sql::Sql;
use super::{STATEMENTS, SqliteStore, Writer, beside, migrate};
use crate::error::OpenError;
use hosted::Clock;
use parking_lot::Mutex;
use rusqlite::{Connection, Error, ErrorCode, OpenFlags};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How a store in a SQLite file is opened.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// In front of the names of all tables.
    pub(crate) prefix: String,
    /// Whether commits wait for the disk: `synchronous = FULL`.
    pub(crate) full_synchronous: bool,
    /// Whether the file and the tables are created, and older tables upgraded.
    pub(crate) migrate: bool,
    /// How long to wait for other writers.
    pub(crate) busy_limit: Duration,
}

/// The log of the database is cut to this size when it is started anew.
const JOURNAL_SIZE_LIMIT: i64 = 16 << 20;

impl SqliteStore {
    pub(crate) fn open(path: &Path, settings: Settings, clock: Clock) -> Result<Self, OpenError> {
        check_prefix(&settings.prefix)?;
        check_path(path)?;
        if !settings.migrate && !path.exists() {
            return Err(OpenError::NotFound(path.to_owned()));
        }
        let failed = |error| open_error(path, error);
        let mut conn = connect(path, &settings).map_err(failed)?;
        if conn.is_readonly("main").map_err(failed)? {
            return Err(OpenError::ReadOnly(path.to_owned()));
        }
        if !settings.migrate {
            migrate::require(&conn, &settings.prefix)?;
        }
        use_wal(&conn, path)?;
        migrate::migrate(&mut conn, &settings.prefix)?;
        // The library waits for the lock itself: see `begin_immediate`.
        conn.busy_timeout(Duration::ZERO).map_err(failed)?;
        // SQLite keeps its files beside the file that a symbolic link leads to.
        let path = path.canonicalize().map_err(|error| store_error_of_io(path, &error))?;
        let locks = WorkerLocks::new(beside(&path, "-workers"));
        let durable = settings.full_synchronous;
        Ok(SqliteStore {
            sql: Sql::new(&settings.prefix),
            clock,
            writer: Mutex::new(Writer { conn, durable }),
            readers: Mutex::default(),
            writers_of_jobs: Mutex::default(),
            locks,
            path,
            settings,
        })
    }
}

/// Returns the statements that create the tables.
pub(crate) fn migration(prefix: &str) -> String {
    migrate::statements(prefix, 0)
}

/// Opens a connection with the settings that all connections of the library have.
pub(super) fn connect(path: &Path, settings: &Settings) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let conn = Connection::open_with_flags(path, flags)?;
    conn.busy_timeout(settings.busy_limit)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    let level = if settings.full_synchronous { "FULL" } else { "NORMAL" };
    conn.pragma_update(None, "synchronous", level)?;
    conn.pragma_update(None, "journal_size_limit", JOURNAL_SIZE_LIMIT)?;
    Ok(conn)
}

fn use_wal(conn: &Connection, path: &Path) -> Result<(), OpenError> {
    let failed = |error| open_error(path, error);
    let mode: String = conn.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
    if mode.eq_ignore_ascii_case("wal") {
        return Ok(());
    }
    Err(OpenError::Invalid(format!(
        "`{}` cannot use the write-ahead log (its journal mode is `{mode}`); the store needs a file on a local disk",
        path.display()
    )))
}

fn open_error(path: &Path, error: Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase) => OpenError::NotADatabase(path.to_owned()),
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            OpenError::ReadOnly(path.to_owned()) // the folder exists: `check_path` has seen it
        }
        _ => OpenError::Store(store_error("open the database file", error)),
    }
}

fn store_error_of_io(path: &Path, error: &std::io::Error) -> OpenError {
    OpenError::Invalid(format!("cannot find `{}`: {error}", path.display()))
}

/// The prefix stands in the text of every statement, so it must be part of a name.
fn check_prefix(prefix: &str) -> Result<(), OpenError> {
    let valid = prefix.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && prefix.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        && !prefix.to_ascii_lowercase().starts_with("sqlite_");
    if valid || prefix.is_empty() {
        return Ok(());
    }
    Err(OpenError::Invalid(format!(
        "the table prefix `{prefix}` may contain only ASCII letters, digits and `_`, and must not begin with a digit \
         or with `sqlite_`"
    )))
}

fn check_path(path: &Path) -> Result<(), OpenError> {
    if path.as_os_str().is_empty() || path == Path::new(":memory:") {
        return Err(OpenError::Invalid("a store needs a file; for a test use `Jobs::memory`".to_owned()));
    }
    if path.is_dir() {
        return Err(OpenError::Invalid(format!("`{}` is a directory; name a file in it", path.display())));
    }
    let folder = folder(path);
    if !folder.is_dir() {
        return Err(OpenError::Invalid(format!("the directory `{}` does not exist; create it", folder.display())));
    }
    match network_file_system(&folder) {
        Some(name) => Err(OpenError::NetworkFileSystem(path.to_owned(), name)),
        None => Ok(()),
    }
}

fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Returns the name of the network file system that `folder` is on.
#[cfg(target_os = "linux")]
fn network_file_system(folder: &Path) -> Option<&'static str> {
    // If the folder cannot be read, SQLite reports it.
    let magic = rustix::fs::statfs(folder).ok()?.f_type;
    network_name(magic as u64)
}

/// Returns the name of the network file system with that magic number.
#[cfg(target_os = "linux")]
fn network_name(magic: u64) -> Option<&'static str> {
    // From `linux/magic.h` and the sources of the file systems.
    const NETWORK: [(u64, &str); 9] = [
        (0x0102_1997, "9P"),
        (0x6969, "NFS"),
        (0x517B, "SMB"),
        (0xFF53_4D42, "CIFS"),
        (0xFE53_4D42, "SMB2"),
        (0x5346_414F, "AFS"),
        (0x00C3_6400, "Ceph"),
        (0x0BD0_0BD0, "Lustre"),
        (0x7461_636F, "OCFS2"),
    ];
    NETWORK.iter().find(|(number, _)| *number == magic & 0xFFFF_FFFF).map(|(_, name)| *name)
}

#[cfg(not(target_os = "linux"))]
fn network_file_system(_: &Path) -> Option<&'static str> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn network_file_systems_are_known_by_their_numbers() {
        let number = |name: u32| network_name(u64::from(name));
        assert_eq!((number(0x6969), number(0xFF53_4D42)), (Some("NFS"), Some("CIFS")));
        // ext4, tmpfs, overlayfs.
        assert_eq!([number(0xEF53), number(0x0102_1994), number(0x794C_7630)], [None; 3]);
        let error = OpenError::NetworkFileSystem("/mnt/jobs.db".into(), "NFS").to_string();
        assert!(error.contains("network file system (NFS)") && error.ends_with("use a local disk"), "{error}");
    }
}
