//! The layers of `src`: each file belongs to a floor and imports only from lower floors. Files and functions are small.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors from the ground up. A folder has the floor of its name. Inside a folder, the order of the `mod` lines
/// counts.
const FLOORS: &[&[&str]] = &[
    &["util"],
    &["diagnose"],
    &["stop"],
    &["report"],
    &["clock", "signal"],
    &["registry"],
    &["service"],
    &["services", "io"],
    &["host"],
    &["serve"],
    &["integrations"],
];

fn src() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Every source file, by its path below `src` without the ending: `stop/token`, `clock`.
fn files() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut folders = vec![src()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(src()).unwrap().with_extension("");
                let text = fs::read_to_string(&path).unwrap();
                found.insert(name.to_str().unwrap().replace('\\', "/"), text);
            }
        }
    }
    found
}

/// The code of a file: without comments and without its tests, which are its last module.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().take_while(|line| !line.starts_with("mod tests {"));
    lines.map(|line| line.split("//").next().unwrap())
}

fn floor_of(file: &str) -> Option<usize> {
    let module = file.split('/').next().unwrap();
    FLOORS.iter().position(|floor| floor.contains(&module))
}

/// The modules named after `prefix` in the code of a file: `crate::` or `super::`.
fn named<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
    let mut found = Vec::new();
    for line in code(text) {
        for (at, _) in line.match_indices(prefix) {
            let rest = &line[at + prefix.len()..];
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            found.push(&rest[..end]);
        }
    }
    found
}

#[test]
fn every_file_stands_on_a_floor() {
    for file in files().keys().filter(|file| *file != "lib") {
        assert!(floor_of(file).is_some(), "src/{file}.rs is on no floor: say on which, in tests/docs/floors.rs");
    }
}

#[test]
fn every_file_imports_only_from_lower_floors() {
    for (file, text) in files().iter().filter(|(file, _)| *file != "lib") {
        let (home, floor) = (file.split('/').next().unwrap(), floor_of(file).unwrap());
        for module in named(text, "crate::").into_iter().filter(|module| *module != home) {
            let below = floor_of(module).is_some_and(|other| other < floor);
            assert!(below, "src/{file}.rs (floor {floor}) imports crate::{module}, which is not below it");
        }
    }
}

#[test]
fn inside_a_folder_every_file_imports_only_from_those_before_it() {
    let files = files();
    for (file, text) in files.iter().filter(|(file, _)| file.contains('/') && !file.ends_with("/mod")) {
        let (folder, name) = file.rsplit_once('/').unwrap();
        let order = named(&files[&format!("{folder}/mod")], "mod ");
        let place = |module: &str| order.iter().position(|other| *other == module);
        let own = place(name).unwrap_or_else(|| panic!("src/{file}.rs is not declared in its mod.rs"));
        for module in named(text, "super::") {
            // A name that is no module is the main type of the folder, from its mod.rs.
            let before = place(module).is_none_or(|other| other < own);
            assert!(before, "src/{file}.rs imports super::{module}, which comes after it");
        }
    }
}

#[test]
fn the_front_door_lists_the_modules_in_floor_order() {
    let files = files();
    let floors: Vec<_> = named(&files["lib"], "mod ").into_iter().filter_map(floor_of).collect();
    assert!(floors.is_sorted(), "the modules in lib.rs are not in floor order: {floors:?}");
}

#[test]
fn no_file_is_over_400_lines_and_no_function_over_50() {
    for (file, text) in files() {
        assert!(text.lines().count() <= 400, "src/{file}.rs has {} lines", text.lines().count());
        let mut begin: Option<(usize, &str)> = None;
        for (number, line) in text.lines().enumerate() {
            let is_fn = line.trim_start().starts_with("fn ") || line.contains(" fn ") && !line.contains("//");
            if is_fn && line.ends_with('{') {
                begin = Some((number, line));
            }
            let Some((first, head)) = begin else { continue };
            let indent = head.len() - head.trim_start().len();
            if line.trim_end() == format!("{}}}", " ".repeat(indent)) {
                assert!(number - first < 50, "src/{file}.rs: {} has {} lines", head.trim(), number - first + 1);
                begin = None;
            }
        }
    }
}

#[test]
fn only_sync_names_locks_threads_and_the_clock_and_only_panic_catches() {
    for (file, text) in files() {
        for line in code(&text) {
            // Everything that a model checker must replace is named in one file.
            for modelled in ["parking_lot", "std::sync", "std::thread", "Instant::now", "SystemTime::now", ".elapsed()"]
            {
                assert!(!line.contains(modelled) || file == "util/sync", "src/{file}.rs: {line}");
            }
            assert!(!line.contains("catch_unwind") || file == "util/panic", "src/{file}.rs: {line}");
            assert!(
                !line.contains("std::sync::Mutex") && !line.contains("std::sync::Condvar"),
                "src/{file}.rs: {line}"
            );
        }
    }
}

#[test]
fn only_the_registry_reads_the_fields_of_its_state() {
    for (file, text) in files().iter().filter(|(file, _)| !file.starts_with("registry/")) {
        let line = text.lines().find(|line| line.contains("inner."));
        assert_eq!(line, None, "src/{file}.rs: call a method of the registry instead");
    }
}

#[test]
fn without_features_the_library_needs_four_packages() {
    let manifest = fs::read_to_string(src().join("../Cargo.toml")).unwrap();
    let section = manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[").next().unwrap();
    let packages = section
        .lines()
        .filter(|line| !line.starts_with('#') && !line.contains("optional = true"))
        .filter_map(|line| line.split(' ').next());
    let packages: Vec<_> = packages.filter(|name| !name.is_empty()).collect();
    assert_eq!(packages, ["crossbeam-channel", "ctrlc", "log", "parking_lot"]);
}
