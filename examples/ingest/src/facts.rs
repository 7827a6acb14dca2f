//! The facts that the status page shows: the totals of the catalogue, and the files that could not be read.

use crate::catalogue::{Catalogue, Totals};
use crate::job::{Claims, Job};
use hosted::{Queue, Result};
use std::path::PathBuf;

/// How many unreadable files the page lists.
const UNREADABLE: u32 = 10;

/// The sources of the facts.
#[derive(Clone)]
pub struct Sources {
    pub dir: PathBuf,
    pub db: PathBuf,
    pub jobs: Queue<Job>,
    pub claims: Claims,
}

/// A name and its value, as the page shows them.
type Fact = (String, String);

impl Sources {
    pub fn totals(&self) -> Vec<Fact> {
        let mut facts = vec![("Directory".to_owned(), self.dir.display().to_string())];
        match Catalogue::open(&self.db).and_then(|catalogue| catalogue.totals()) {
            Ok(totals) => facts.extend(figures(totals)),
            // The page says why, instead of showing nothing: the catalogue does not exist before the first start.
            Err(error) => facts.push(("Catalogue".to_owned(), error.to_string())),
        }
        let queues = [("Queued", self.jobs.len()), ("In flight", self.claims.len())];
        facts.extend(queues.map(|(name, number)| (name.to_owned(), number.to_string())));
        facts
    }

    /// The first unreadable files with their errors.
    pub fn unreadable(&self) -> Vec<Fact> {
        let read = || -> Result<Vec<(Vec<u8>, String)>> { Ok(Catalogue::open(&self.db)?.unreadable(UNREADABLE)?) };
        let text = |(path, error): (Vec<u8>, String)| (String::from_utf8_lossy(&path).into_owned(), error);
        read().unwrap_or_default().into_iter().map(text).collect()
    }
}

fn figures(totals: Totals) -> impl Iterator<Item = Fact> {
    let Totals { files, bytes, lines, words, unreadable } = totals;
    let figures = [("Files", files), ("Bytes", bytes), ("Lines", lines), ("Words", words), ("Unreadable", unreadable)];
    figures.into_iter().map(|(name, number)| (name.to_owned(), grouped(number)))
}

/// Writes 1234567 as `1,234,567`.
fn grouped(n: i64) -> String {
    if n < 1000 { n.to_string() } else { format!("{},{:03}", grouped(n / 1000), n % 1000) }
}
