//! `digest`: reads the files that are queued.

use crate::catalogue::Change;
use crate::job::{Job, Stamp};
use crate::store::submit;
use crate::tree::Tree;
use crossbeam_channel::Sender;
use hosted::{Context, Result};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// How much is read at once. Between two blocks, a digester looks whether its time is up.
const BLOCK: usize = 64 * 1024;

/// What is in a file.
pub struct Digest {
    pub lines: i64,
    pub words: i64,
    pub sha256: String,
}

pub struct Digester {
    dir: PathBuf,
    changes: Sender<Change>,
    block: Vec<u8>,
}

impl Digester {
    pub fn new(tree: &Tree, changes: &Sender<Change>) -> Self {
        Digester { dir: tree.dir().to_owned(), changes: changes.clone(), block: vec![0; BLOCK] }
    }

    /// Reads one file and tells the store. `ctx` is that of a job: not stopped when a stop is asked for, because what
    /// is queued is still read, but when the time to finish is up.
    pub fn digest(&mut self, job: Job, ctx: &Context) -> Result {
        let path = self.dir.join(job.claim.path());
        match read(&path, job.stamp, &mut self.block, ctx) {
            Ok(Some(digest)) => submit(Change::Read(job, digest), &self.changes, ctx),
            Ok(None) => Ok(()), // changed meanwhile: its claim ends here, and the next scan finds it
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(_) if ctx.stop_requested() => Err(format!("no time left for {}", path.display()).into()),
            Err(error) => {
                ctx.report(format!("{}: {error}", path.display()));
                submit(Change::Unreadable(job, error.to_string()), &self.changes, ctx)
            }
        }
    }
}

/// `None`: it is not the file any more that had this stamp.
fn read(path: &Path, stamp: Stamp, block: &mut [u8], ctx: &Context) -> io::Result<Option<Digest>> {
    let is_same = |now: Metadata| Ok::<_, io::Error>(now.is_file() && Stamp::of(&now)? == stamp);
    if !is_same(fs::symlink_metadata(path)?)? {
        return Ok(None);
    }
    let mut file = File::open(path)?;
    let mut tally = Tally::default();
    loop {
        ctx.check().map_err(io::Error::other)?;
        match file.read(block) {
            Ok(0) => break,
            Ok(length) => tally.add(&block[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(is_same(file.metadata()?)?.then(|| tally.finish()))
}

#[derive(Default)]
struct Tally {
    lines: i64,
    words: i64,
    in_word: bool,
    hash: Sha256,
}

impl Tally {
    /// Counts as `wc` does: line ends, and what is between white space.
    fn add(&mut self, block: &[u8]) {
        self.hash.update(block);
        for &byte in block {
            let in_word = !matches!(byte, b' ' | b'\t'..=b'\r');
            self.lines += i64::from(byte == b'\n');
            self.words += i64::from(in_word && !self.in_word);
            self.in_word = in_word;
        }
    }

    fn finish(self) -> Digest {
        let sha256 = self.hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Digest { lines: self.lines, words: self.words, sha256 }
    }
}
