//! A tree of files that changes all the time, and a service that locks the catalogue.

use crate::chance::Chance;
use hosted::{Context, Result, Service, every, worker};
use rusqlite::Connection;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The maximum number of files, so that neither the tree nor the catalogue grows.
const FILES: u64 = 300;

/// Creates the tree, with a link to itself that nobody can read.
pub fn plant(dir: &Path, chance: &Chance) -> Result {
    symlink("loop", dir.join("loop"))?;
    (0..10).try_for_each(|folder| fs::create_dir(dir.join(folder.to_string())))?;
    (0..FILES).try_for_each(|file| write(&place(dir, file), chance))
}

/// Writes, renames and removes about fifty files a second, or makes them unreadable (which root does not notice).
pub fn churn(dir: &Path, chance: &Chance) -> impl Service {
    let (dir, chance) = (dir.to_owned(), chance.clone());
    worker(move |ctx| {
        loop {
            ctx.sleep(chance.millis(10..30))?;
            match change(&dir, &chance) {
                Err(error) if error.downcast_ref().is_some_and(is_not_found) => {} // the file was removed before
                changed => changed?,
            }
        }
    })
}

fn is_not_found(error: &std::io::Error) -> bool {
    error.kind() == ErrorKind::NotFound
}

fn change(dir: &Path, chance: &Chance) -> Result {
    let [this, other] = [(); 2].map(|()| place(dir, chance.below(FILES)));
    match chance.below(10) {
        0 => fs::remove_file(&this)?,
        1 => fs::rename(&this, &other)?,
        2 if chance.fault(4) => fs::set_permissions(&this, Permissions::from_mode(0o000))?,
        _ => {
            _ = fs::remove_file(&this); // may be missing or read-only
            write(&this, chance)?;
        }
    }
    Ok(())
}

fn place(dir: &Path, file: u64) -> PathBuf {
    dir.join(format!("{}/file {file}", file % 10))
}

fn write(path: &Path, chance: &Chance) -> Result {
    let line = format!("words of file {}\n", chance.below(u64::MAX));
    Ok(fs::write(path, line.repeat(chance.below(500) as usize))?)
}

/// Locks the catalogue for a moment. Sometimes longer than the store waits, and then the store fails.
pub fn lock(db: &Path, chance: &Chance) -> impl Service {
    let (db, chance) = (db.to_owned(), chance.clone());
    every(Duration::from_secs(2), move |ctx: &Context| {
        let connection = Connection::open(&db)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        Ok(ctx.sleep(if chance.fault(20) { Duration::from_secs(6) } else { chance.millis(10..300) })?)
    })
    .fixed_delay()
}
