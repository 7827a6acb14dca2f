//! A tree of files for `ingest`, and its expected catalogue.

use rusqlite::Connection;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

pub const NOBODY: u32 = 65534;

/// A row of the catalogue: the size of a file, and its lines, words and digest, or its error.
pub type Row = (i64, Result<(i64, i64, String), String>);
pub type Rows = BTreeMap<Vec<u8>, Row>;

/// Creates a tree with `n` small files and one file of each special kind.
pub fn tree(n: usize) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    let at = |path: &str| dir.path().join(path);
    fs::create_dir_all(at("nested/deeper/still")).unwrap();
    for i in 0..n {
        let folder = ["", "nested", "nested/deeper", "nested/deeper/still"][i % 4];
        fs::write(at(folder).join(format!("{i}.txt")), format!("file {i}\nwith\ttwo lines ").repeat(i % 200)).unwrap();
    }
    fs::write(at("empty"), "").unwrap();
    fs::write(at("big"), (0..5_000_000_u32).map(|i| (i.wrapping_mul(i) / 7) as u8).collect::<Vec<_>>()).unwrap();
    fs::write(at("nested").join(OsStr::from_bytes(b"not \xff text")), "not text").unwrap();
    symlink(at("big"), at("link to a file")).unwrap();
    symlink(at("nested"), at("link to a directory")).unwrap();
    assert!(Command::new("mkfifo").arg(at("fifo")).status().unwrap().success());
    dir
}

/// Makes one change of each kind. Each round changes different files.
pub fn change(dir: &Path, round: usize) {
    let small = |i: usize| dir.join(["", "nested", "nested/deeper"][i % 4]).join(format!("{i}.txt"));
    let i = 4 * round;
    fs::remove_file(small(i)).unwrap();
    fs::write(small(i + 1), format!("changed in round {round}")).unwrap();
    fs::rename(small(i + 2), dir.join(format!("moved {round}"))).unwrap();
    fs::create_dir(dir.join(format!("new {round}"))).unwrap();
    fs::write(dir.join(format!("new {round}/file")), [round as u8]).unwrap();
    OpenOptions::new().append(true).open(dir.join("big")).unwrap().write_all(b"more").unwrap();
}

pub fn give_to_nobody(dir: &Path) {
    fs::set_permissions(dir, Permissions::from_mode(0o755)).unwrap();
    assert!(Command::new("chown").args(["-R", &NOBODY.to_string()]).arg(dir).status().unwrap().success());
}

pub fn rows(db: &Path) -> Rows {
    let db = Connection::open(db).unwrap();
    let mut rows = db.prepare("SELECT path, size, error, lines, words, sha256 FROM files").unwrap();
    let row = |row: &rusqlite::Row| {
        let content = match row.get(2)? {
            Some(error) => Err(error),
            None => Ok((row.get(3)?, row.get(4)?, row.get(5)?)),
        };
        Ok((row.get(0)?, (row.get(1)?, content)))
    };
    rows.query_map([], row).unwrap().map(Result::unwrap).collect()
}

/// Returns the path of every file that belongs in the catalogue, by its name there.
pub fn paths(dir: &Path) -> BTreeMap<Vec<u8>, PathBuf> {
    let mut paths = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, kind) = (entry.path(), entry.file_type().unwrap());
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() && !path.to_string_lossy().contains(".db") {
                paths.insert(path.strip_prefix(dir).unwrap().as_os_str().as_bytes().to_owned(), path);
            }
        }
    }
    paths
}

pub fn truth(dir: &Path) -> Rows {
    let row = |path: &Path| {
        let content = fs::read(path).unwrap();
        let lines = content.iter().filter(|&&byte| byte == b'\n').count() as i64;
        let is_space = |byte: &u8| b" \t\n\x0b\x0c\r".contains(byte);
        let words = content.split(is_space).filter(|word| !word.is_empty()).count() as i64;
        let digest = Sha256::digest(&content).iter().map(|byte| format!("{byte:02x}")).collect();
        (content.len() as i64, Ok((lines, words, digest)))
    };
    paths(dir).into_iter().map(|(name, path)| (name, row(&path))).collect()
}

/// Asserts that both are equal. A failure shows only the rows that differ.
pub fn assert_same(rows: Rows, truth: Rows) {
    let wrong = |(name, row): &(&Vec<u8>, &Row)| truth.get(*name) != Some(*row);
    let name = |name: &Vec<u8>| String::from_utf8_lossy(name).into_owned();
    let wrong: Vec<_> = rows.iter().filter(wrong).map(|(path, row)| (name(path), row)).collect();
    let missing: Vec<_> = truth.keys().filter(|path| !rows.contains_key(*path)).map(name).collect();
    assert!(wrong.is_empty() && missing.is_empty(), "wrong or stale: {wrong:?}, missing: {missing:?}");
}

/// Compares the digests with those of GNU `sha256sum`, if it is installed.
pub fn compare_with_sha256sum(dir: &Path) {
    let (rows, paths) = (rows(&crate::program::database(dir)), paths(dir));
    let Ok(output) = Command::new("sha256sum").arg("-z").args(paths.values()).output() else { return };
    if output.status.success() {
        let theirs =
            output.stdout.split(|&byte| byte == 0).map(|line| String::from_utf8_lossy(&line[..line.len().min(64)]));
        for ((name, row), theirs) in rows.iter().zip(theirs) {
            assert_eq!(row.1.as_ref().unwrap().2, theirs, "{}", String::from_utf8_lossy(name));
        }
    }
}
