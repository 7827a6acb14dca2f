//! `digest`: reads the queued files.

use crate::catalogue::Change;
use crate::job::{Job, Stamp};
use crate::tree::Tree;
use hosted::{Context, Queue, Result};
use sha2::{Digest as _, Sha256};
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind, Read};
use std::path::{Path, PathBuf};

/// The size of one read. Between two reads, a digester checks its stop deadline.
const BLOCK: usize = 64 * 1024;

/// The digest of a file's content.
pub struct Digest {
    pub lines: i64,
    pub words: i64,
    pub sha256: String,
}

pub struct Digester {
    dir: PathBuf,
    changes: Queue<Change>,
    block: Vec<u8>,
}

impl Digester {
    pub fn new(tree: &Tree, changes: &Queue<Change>) -> Self {
        Digester { dir: tree.dir().to_owned(), changes: changes.clone(), block: vec![0; BLOCK] }
    }

    /// Reads one file and sends the result to the store.
    ///
    /// `ctx` is the context of a queued job. Its token stops at the stop deadline, not at the stop request, because the
    /// digesters still read what is queued.
    pub fn digest(&mut self, job: Job, ctx: &Context) -> Result {
        let path = self.dir.join(job.claim.path());
        match read(&path, job.stamp, &mut self.block, ctx) {
            Ok(Some(digest)) => Ok(self.changes.push_until(Change::Read(job, digest), ctx.stop_token())?),
            Ok(None) => Ok(()), // the file has changed: drop its claim, so that the next scan finds it
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            Err(_) if ctx.stop_requested() => Err(format!("no time left for {}", path.display()).into()),
            Err(error) => {
                ctx.report_error(format!("{}: {error}", path.display()));
                Ok(self.changes.push_until(Change::Unreadable(job, error.to_string()), ctx.stop_token())?)
            }
        }
    }
}

/// Returns `None` if the file no longer has this stamp.
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
    /// Counts lines and words as `wc` does: line feeds, and runs of characters between white space.
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
