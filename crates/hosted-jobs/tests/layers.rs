//! The layers of `src`: each file imports only from modules that stand before its own; files and functions are small.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const LONGEST_FILE: usize = 400;
const LONGEST_FUNCTION: usize = 50;

/// Every source file, by its path below `src` without the ending: `store/mod`, `jobs`.
fn files() -> BTreeMap<String, String> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut found, mut folders) = (BTreeMap::new(), vec![src.clone()]);
    while let Some(folder) = folders.pop() {
        let paths = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let (inside, files): (Vec<PathBuf>, Vec<_>) = paths.partition(|path| path.is_dir());
        folders.extend(inside);
        for path in files {
            let name = path.strip_prefix(&src).unwrap().with_extension("");
            found.insert(name.to_str().unwrap().replace('\\', "/"), fs::read_to_string(&path).unwrap());
        }
    }
    found
}

/// The code of a file: without comments and without its tests, which are its last module.
fn code(text: &str) -> impl Iterator<Item = &str> {
    let lines = text.lines().take_while(|line| !line.starts_with("mod tests {"));
    lines.map(|line| line.split("//").next().unwrap())
}

/// The names that follow `prefix` in the code of a file: `crate::`, `super::` or `mod `.
fn names_after<'a>(text: &'a str, prefix: &str) -> Vec<&'a str> {
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

/// The modules that a file declares, in order.
fn modules(text: &str) -> Vec<&str> {
    let declared = code(text).filter_map(|line| line.trim_start_matches("pub(crate) ").strip_prefix("mod "));
    declared.filter_map(|rest| rest.strip_suffix(';')).collect()
}

#[test]
fn every_file_imports_only_from_modules_before_its_own() {
    let files = files();
    let order = modules(&files["lib"]);
    let place = |module: &str| order.iter().position(|other| *other == module);
    for (file, text) in files.iter().filter(|(file, _)| *file != "lib" && !file.starts_with("bin/")) {
        let home = file.split('/').next().unwrap();
        let own = place(home).unwrap_or_else(|| panic!("src/{file}.rs is not declared in lib.rs"));
        for module in names_after(text, "crate::").into_iter().filter(|module| *module != home) {
            // A name that is no module is public, and stands in lib.rs.
            let before = place(module).is_none_or(|other| other < own);
            assert!(before, "src/{file}.rs imports crate::{module}, which comes after `{home}` in lib.rs");
        }
    }
}

#[test]
fn inside_a_folder_every_file_imports_only_from_those_before_it() {
    let files = files();
    for (file, text) in files.iter().filter(|(file, _)| file.contains('/') && !file.ends_with("/mod")) {
        let (folder, name) = file.rsplit_once('/').unwrap();
        let Some(parent) = files.get(&format!("{folder}/mod")) else { continue };
        let order = modules(parent);
        let place = |module: &str| order.iter().position(|other| *other == module);
        let own = place(name).unwrap_or_else(|| panic!("src/{file}.rs is not declared in its mod.rs"));
        for module in names_after(text, "super::") {
            let before = place(module).is_none_or(|other| other < own);
            assert!(before, "src/{file}.rs imports super::{module}, which comes after it");
        }
    }
}

#[test]
fn no_file_and_no_function_is_too_long() {
    for (file, text) in files() {
        let lines = text.lines().count();
        assert!(lines <= LONGEST_FILE, "src/{file}.rs has {lines} lines");
        let mut begin: Option<(usize, &str)> = None;
        for (number, line) in text.lines().enumerate() {
            let is_fn = line.trim_start().starts_with("fn ") || line.contains(" fn ") && !line.contains("//");
            if is_fn && line.ends_with('{') {
                begin = Some((number, line));
            }
            let Some((first, head)) = begin else { continue };
            let indent = head.len() - head.trim_start().len();
            if line.trim_end() == format!("{}}}", " ".repeat(indent)) {
                let lines = number - first + 1;
                assert!(lines <= LONGEST_FUNCTION, "src/{file}.rs: {} has {lines} lines", head.trim());
                begin = None;
            }
        }
    }
}

#[test]
fn only_one_file_catches_panics() {
    for (file, text) in files() {
        let catches = code(&text).any(|line| line.contains("catch_unwind"));
        assert!(!catches || file == "util/panic", "src/{file}.rs catches panics");
    }
}
