//! `docs/jobs/guarantees.md` is right about the tests: each test that it names exists, and has the number above it.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// The file of a test: `kills` is `tests/chaos/kills.rs`, and `src/x` is itself.
fn file(name: &str) -> String {
    let places = [format!("tests/{name}.rs"), format!("tests/chaos/{name}.rs"), format!("{name}.rs")];
    let found = places.iter().map(|place| root().join(place)).find(|path| path.exists());
    fs::read_to_string(found.unwrap_or_else(|| panic!("there is no test file `{name}`"))).unwrap()
}

/// The numbers in the comment above a test.
fn numbers_above(text: &str, function: &str) -> Vec<u32> {
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let is_it = |line: &&str| line.starts_with(&format!("fn {function}("));
    let at = lines.iter().position(is_it).unwrap_or_else(|| panic!("there is no test `{function}`"));
    let above = lines[..at].iter().rev().take_while(|line| line.starts_with("//") || line.starts_with("#["));
    let comments = above.filter_map(|line| line.strip_prefix("// "));
    comments.flat_map(|comment| comment.split(", ")).filter_map(|number| number.parse().ok()).collect()
}

#[test]
fn every_guarantee_has_tests_and_each_has_its_number() {
    let page = fs::read_to_string(root().join("../../docs/jobs/guarantees.md")).unwrap();
    let mut rows = 0;
    for line in page.lines() {
        let cells: Vec<&str> = line.split(" | ").collect();
        let Some(number) = cells[0].strip_prefix("| ").and_then(|number| number.parse::<u32>().ok()) else { continue };
        let tests: Vec<&str> = cells[2].split('`').skip(1).step_by(2).collect();
        assert!(!tests.is_empty(), "guarantee {number} has no test");
        for test in tests {
            let (name, function) = test.rsplit_once("::").unwrap_or_else(|| panic!("`{test}` is no test"));
            let numbers = numbers_above(&file(name), function);
            assert!(numbers.contains(&number), "{number} does not stand above `{test}`: {numbers:?}");
        }
        rows += 1;
    }
    assert!(rows > 50, "only {rows} guarantees found");
}
