//! The guide in `docs/guide` is complete. `cargo test --doc` runs its programs: `src/lib.rs` lists the pages for it.

use std::fs;
use std::path::{Path, PathBuf};

#[test]
fn cargo_test_runs_the_programs_of_every_chapter() {
    let listed = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs");
    for chapter in chapters() {
        let page = format!("\"docs/guide/{chapter}\"");
        assert!(listed.contains(&page), "`mod pages` in src/lib.rs does not list {page}");
    }
}

#[test]
fn the_index_links_to_every_chapter() {
    let index = fs::read_to_string(guide().join("README.md")).expect("docs/guide/README.md");
    for chapter in chapters() {
        assert!(index.contains(&format!("]({chapter})")), "docs/guide/README.md does not link to {chapter}");
    }
}

#[test]
fn every_chapter_begins_with_a_complete_program() {
    for chapter in chapters() {
        let text = fs::read_to_string(guide().join(&chapter)).expect(&chapter);
        let (_, code) = text.split_once("```").unwrap_or_default();
        let (program, _) = code.split_once("```").unwrap_or_default();
        assert!(program.starts_with("rust\n"), "{chapter}: the first block of code is not Rust that runs");
        assert!(program.contains("\nfn main()"), "{chapter}: the first block of code has no `fn main()`");
        assert!(program.contains("assert"), "{chapter}: the first program does not check its result");
    }
}

fn chapters() -> Vec<String> {
    let mut chapters = pages();
    chapters.retain(|page| page != "README.md");
    assert!(chapters.len() >= 12, "only {} chapters found", chapters.len());
    chapters
}

fn pages() -> Vec<String> {
    let entries = fs::read_dir(guide()).expect("docs/guide");
    let names = entries.map(|entry| entry.expect("an entry").file_name().into_string().expect("a name in UTF-8"));
    names.filter(|name| name.ends_with(".md")).collect()
}

fn guide() -> PathBuf {
    root().join("docs/guide")
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
