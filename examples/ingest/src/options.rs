//! The command line.

use sha2::{Digest, Sha256};
use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::io::ErrorKind;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

const USAGE: &str = "\
usage: ingest DIR [options]

Keeps an SQLite catalogue of the files below DIR, until ctrl-c.

  --db PATH        where the catalogue is (default: a separate file for DIR in $XDG_STATE_HOME/ingest or
                   ~/.local/state/ingest; it is logged)
  --port N         where its page is, on 127.0.0.1 (default: 8080, or the next port that is free; 0: any free port)
  --digesters N    how many files are read side by side (default: one for each core)
  --every SECONDS  the time between two scans (default: 2)
  --once           stop when there is nothing new
  --help           this text";

/// The options of the command line.
pub struct Options {
    /// The directory, absolute and free of symlinks.
    pub dir: PathBuf,
    /// The database, absolute and free of symlinks too, so that a scan recognises it.
    pub db: PathBuf,
    /// `None` means the first free port from 8080 on.
    pub port: Option<u16>,
    pub digesters: usize,
    pub period: Duration,
    pub once: bool,
}

/// Why the program does not run.
pub enum No {
    Help,
    Mistake(String),
}

impl No {
    /// Prints the reason. Returns the exit code.
    pub fn print(self) -> ExitCode {
        match self {
            No::Help => {
                println!("{USAGE}");
                ExitCode::SUCCESS
            }
            No::Mistake(text) => {
                eprintln!("ingest: {text}\nrun `ingest --help` for the options");
                ExitCode::from(2)
            }
        }
    }
}

impl Options {
    pub fn parse(mut args: impl Iterator<Item = OsString>) -> Result<Self, No> {
        let (mut dir, mut db): (Option<PathBuf>, Option<PathBuf>) = (None, None);
        let (mut port, mut digesters, mut seconds, mut once) = (None, cores(), 2.0, false);
        while let Some(arg) = args.next() {
            match arg.to_str() {
                Some("--help" | "-h") => return Err(No::Help),
                Some("--once") => once = true,
                Some("--db") => db = Some(value("--db", args.next())?.into()),
                Some("--port") => port = Some(number("--port", args.next(), 0..=u16::MAX)?),
                Some("--digesters") => digesters = number("--digesters", args.next(), 1..=256)?,
                Some("--every") => seconds = number("--every", args.next(), 0.01..=1e6)?,
                Some(option) if option.starts_with('-') => return mistake(format!("there is no option {option}")),
                _ if dir.is_none() => dir = Some(arg.into()),
                _ => return mistake(format!("one directory at a time: {arg:?} is one too many")),
            }
        }
        let Some(dir) = dir else { return mistake("which directory?".to_owned()) };
        let dir = directory(&dir)?;
        let db = database(db.map_or_else(|| default_database(&dir), Ok)?)?;
        Ok(Options { dir, db, port, digesters, period: Duration::from_secs_f64(seconds), once })
    }
}

fn mistake<T>(text: String) -> Result<T, No> {
    Err(No::Mistake(text))
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(16)
}

fn value(option: &str, value: Option<OsString>) -> Result<OsString, No> {
    value.map_or_else(|| mistake(format!("{option} wants a value")), Ok)
}

fn number<T>(option: &str, given: Option<OsString>, range: RangeInclusive<T>) -> Result<T, No>
where
    T: FromStr + PartialOrd + Display,
{
    let given = value(option, given)?;
    let number = given.to_str().and_then(|text| text.parse().ok()).filter(|number| range.contains(number));
    let (from, to) = (range.start(), range.end());
    number.map_or_else(|| mistake(format!("{option} wants a number from {from} to {to}, not {given:?}")), Ok)
}

fn directory(dir: &Path) -> Result<PathBuf, No> {
    match fs::canonicalize(dir) {
        Ok(path) if path.is_dir() => Ok(path),
        Ok(_) => mistake(format!("{} is not a directory", dir.display())),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            mistake(format!("there is no directory {}", dir.display()))
        }
        Err(error) => mistake(format!("{}: {error}", dir.display())),
    }
}

/// The catalogue of `dir` among the user's state files, because the program changes nothing in the directory.
/// Directories with the same name differ by a digest of the whole path.
fn default_database(dir: &Path) -> Result<PathBuf, No> {
    let Some(state) = state_directory() else {
        return mistake("there is no home directory for the catalogue: set its place with --db PATH".to_owned());
    };
    let folder = state.join("ingest");
    if let Err(error) = fs::create_dir_all(&folder) {
        return mistake(format!("{}: {error}; set another place for the catalogue with --db PATH", folder.display()));
    }
    // A file name has at most 255 bytes, and a character has up to four.
    let name: String = dir.file_name().unwrap_or_default().to_string_lossy().chars().take(48).collect();
    let digest = Sha256::digest(dir.as_os_str().as_encoded_bytes());
    let digest: String = digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
    Ok(folder.join(format!("{name}-{digest}.db")))
}

/// The directory for a user's state files, by the rules of freedesktop.org, or of Windows.
fn state_directory() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let of_home = || absolute("HOME").map(|home| home.join(".local/state"));
    absolute("XDG_STATE_HOME").or_else(of_home).or_else(|| absolute("LOCALAPPDATA"))
}

/// The real path of the database. SQLite follows symlinks and puts its journals beside the real file.
fn database(db: PathBuf) -> Result<PathBuf, No> {
    if let Ok(path) = fs::canonicalize(&db) {
        return Ok(path);
    }
    let Some(name) = db.file_name() else {
        return mistake(format!("{} is not a file name for a database", db.display()));
    };
    let parent = db.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok(directory(parent)?.join(name))
}
