//! `docs/guarantees.md` and `docs/verification.md` agree with the tests: every guarantee has a test, every named test
//! exists, and the numbers above the tests are those of the guarantees.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

fn read(path: impl AsRef<Path>) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

/// Every test file, by its path below `tests` without the ending: `stop`, `child/mod`.
fn files() -> BTreeMap<String, String> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let (mut found, mut folders) = (BTreeMap::new(), vec![tests.clone()]);
    while let Some(folder) = folders.pop() {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (inside, files): (Vec<PathBuf>, Vec<_>) = paths.partition(|path| path.is_dir());
        folders.extend(inside);
        for path in files.iter().filter(|path| path.extension().is_some_and(|ending| ending == "rs")) {
            // The tests in the package `other_crates` are named as if they were here.
            let path_in = path.strip_prefix(&tests).unwrap();
            let name = path_in.strip_prefix("other_crates").unwrap_or(path_in).with_extension("");
            found.insert(name.to_str().unwrap().replace('\\', "/"), read(path));
        }
    }
    found
}

fn numbers(text: &str) -> Vec<usize> {
    text.split(|letter: char| !letter.is_ascii_digit()).filter_map(|number| number.parse().ok()).collect()
}

/// Returns the guarantees of a comment: `// 39, 41` above a test, or `//! Guarantees 39 and 41: …` at the head of a
/// file.
fn guarantees_of(line: &str) -> Vec<usize> {
    let is_list = |text: &str| text.chars().all(|letter| letter.is_ascii_digit() || ", ".contains(letter));
    let text = match line.strip_prefix("//! ") {
        Some(text) => text.split_once("uarantee").map(|(_, rest)| rest.trim_start_matches('s')),
        None => line.strip_prefix("//").filter(|text| is_list(text)),
    };
    let begins_with_one = |text: &&str| text.trim_start().starts_with(|letter: char| letter.is_ascii_digit());
    text.filter(begins_with_one).map(numbers).unwrap_or_default()
}

/// The tests of a file that `cargo test` runs, each with the numbers above it.
fn tests(file: &str) -> Vec<(&str, Vec<usize>)> {
    let (mut found, mut above) = (Vec::new(), Vec::new());
    for line in file.lines().map(str::trim_start) {
        let name = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next());
        if let Some(name) = name.filter(|_| above.contains(&"#[test]")) {
            let is_run = !above.iter().any(|line| line.starts_with("#[ignore"));
            is_run.then(|| found.push((name, above.iter().flat_map(|line| guarantees_of(line)).collect())));
        }
        if line.starts_with("//") || line.starts_with("#[") { above.push(line) } else { above.clear() }
    }
    found
}

/// Returns each text in backticks that is the name of a test: `file::function`, where `…` may replace the end of the
/// function.
fn named_tests(text: &str) -> Vec<(&str, &str)> {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || "_/…".contains(letter);
    let is_name = |part: &str| part.chars().all(fits);
    let spans = text.split('`').skip(1).step_by(2).filter_map(|span| span.split_once("::"));
    spans.filter(|(file, test)| is_name(file) && is_name(test)).collect()
}

/// Returns the numbers above the one test with this name.
fn find(files: &BTreeMap<String, String>, (file, test): (&str, &str)) -> Vec<usize> {
    let text = files.get(file).unwrap_or_else(|| panic!("there is no tests/{file}.rs"));
    let is_it = |name: &str| test.strip_suffix('…').map_or(name == test, |begin| name.starts_with(begin));
    let mut found: Vec<_> = tests(text).into_iter().filter(|(name, _)| is_it(name)).collect();
    assert_eq!(found.len(), 1, "tests that are `{test}` in tests/{file}.rs: {found:?}");
    found.remove(0).1
}

/// Returns the rows of the page: each number, and the rest of its row.
fn guarantees(page: &str) -> Vec<(usize, &str)> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" | "));
    let mut rows: Vec<_> = rows.filter_map(|(number, rest)| Some((number.parse::<usize>().ok()?, rest))).collect();
    rows.sort_unstable(); // a new guarantee has the next free number, in any chapter
    rows
}

#[test]
fn every_guarantee_has_a_test_with_its_number() {
    let (page, files) = (read("docs/guarantees.md"), files());
    let rows = guarantees(&page);
    assert!(rows.len() >= 105 && rows.windows(2).all(|two| two[0].0 < two[1].0), "each number once");
    for (number, rest) in rows {
        let named = named_tests(rest);
        assert!(!named.is_empty(), "guarantee {number} has no test");
        for test in named {
            assert!(find(&files, test).contains(&number), "{test:?} should have `// {number}` above it");
        }
    }
}

#[test]
fn every_test_that_the_pages_name_exists() {
    let files = files();
    for page in ["docs/guarantees.md", "docs/verification.md"] {
        named_tests(&read(page)).into_iter().for_each(|test| _ = find(&files, test));
    }
}

#[test]
fn every_number_in_a_test_file_is_a_guarantee() {
    let page = read("docs/guarantees.md");
    let known: Vec<usize> = guarantees(&page).into_iter().map(|row| row.0).collect();
    for (file, text) in files() {
        for line in text.lines().map(str::trim_start) {
            let unknown = guarantees_of(line).into_iter().find(|number| !known.contains(number));
            assert_eq!(unknown, None, "tests/{file}.rs: {line}");
        }
    }
}

#[test]
fn every_test_name_has_at_most_80_characters() {
    for (file, text) in files() {
        for (name, _) in tests(&text) {
            assert!(name.len() <= 80, "tests/{file}.rs: {name}");
        }
    }
}
