//! The pages of `docs/recipes` and the programs agree: each program has one section, one row of measurements, and one
//! link.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The maximum length. For a longer recipe, a user would look for something simpler.
const LINES: usize = 6;

struct Program {
    name: String,
    /// The lines between `// recipe` and `// end`, as the page shows them.
    recipe: Vec<String>,
}

#[test]
fn every_program_has_a_recipe_of_at_most_six_lines() {
    complain(programs().iter().filter_map(|Program { name, recipe }| match recipe.len() {
        0 => Some(format!("src/bin/{name}.rs: put its recipe between a line `// recipe` and a line `// end`")),
        1..=LINES => None,
        lines => Some(format!("src/bin/{name}.rs: its recipe has {lines} lines; {LINES} are allowed")),
    }));
}

#[test]
fn one_section_of_one_page_shows_the_recipe_of_each_program() {
    let pages = pages();
    let sections = sections(&pages);
    complain(programs().iter().filter_map(|Program { name, recipe }| {
        let own: Vec<_> = sections.iter().filter(|section| section.name == name).collect();
        match own.as_slice() {
            [] => Some(format!("{name}: add a section \"## `{name}`: …\" to a page of docs/recipes")),
            [section] if section.code == *recipe => None,
            [Section { page, .. }] => Some(format!(
                "{name}: make the rust block of its section in docs/recipes/{page} this:\n\n{}\n",
                recipe.join("\n")
            )),
            [first, second, ..] => Some(format!("{name}: sections in {} and {}; delete one", first.page, second.page)),
        }
    }));
}

#[test]
fn the_first_page_has_one_row_of_measurements_for_each_program() {
    let pages = pages();
    let rows = rows(first_page(&pages));
    complain(programs().iter().filter_map(
        |Program { name, .. }| match rows.iter().filter(|row| *row == name).count() {
            0 => Some(format!("{name}: add the row that it prints to the table of docs/recipes/README.md")),
            1 => None,
            count => Some(format!("{name}: docs/recipes/README.md has {count} rows for it; leave one")),
        },
    ));
}

#[test]
fn the_first_page_links_to_the_section_of_each_program() {
    let pages = pages();
    let index = first_page(&pages);
    complain(sections(&pages).iter().filter_map(|Section { page, name, heading, .. }| {
        let link = format!("[`{name}`]({page}#{})", anchor(heading));
        (!index.contains(&link)).then(|| format!("{name}: add the link {link} to docs/recipes/README.md"))
    }));
}

#[test]
fn every_section_and_every_row_has_a_program() {
    let (pages, programs) = (pages(), programs());
    let is_unknown = |name: &str| !programs.iter().any(|program| program.name == name);
    let sections = sections(&pages).into_iter().map(|section| (section.page, "section", section.name));
    let rows =
        pages.iter().flat_map(|(page, text)| rows(text).into_iter().map(move |name| (page.as_str(), "row", name)));
    complain(sections.chain(rows).filter(|(_, _, name)| is_unknown(name)).map(|(page, kind, name)| {
        format!("{name}: docs/recipes/{page} has a {kind} for it; write src/bin/{name}.rs or delete the {kind}")
    }));
}

fn complain(about: impl Iterator<Item = String>) {
    let all: Vec<String> = about.collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

fn programs() -> Vec<Program> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin")).unwrap();
    let mut all: Vec<Program> = files.map(|file| program(&file.unwrap().path())).collect();
    assert!(!all.is_empty(), "src/bin has no programs");
    all.sort_by(|a, b| a.name.cmp(&b.name));
    all
}

fn program(file: &Path) -> Program {
    let source = fs::read_to_string(file).unwrap();
    let marked = source.lines().skip_while(|line| line.trim() != "// recipe");
    let lines: Vec<&str> = marked.skip(1).take_while(|line| line.trim() != "// end").collect();
    let indent = lines.first().map_or(0, |line| line.len() - line.trim_start().len());
    let dedented = |line: &&str| line.get(indent..).unwrap_or_default().to_owned();
    Program {
        name: file.file_stem().unwrap().to_string_lossy().into_owned(),
        recipe: lines.iter().map(dedented).collect(),
    }
}

/// The text of every page, by file name.
fn pages() -> BTreeMap<String, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/recipes");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let files = entries.map(|entry| entry.unwrap().path());
    let pages = files.filter(|path: &PathBuf| path.extension().is_some_and(|extension| extension == "md"));
    let named = |path: PathBuf| (path.file_name().unwrap().to_string_lossy().into_owned(), path);
    pages.map(named).map(|(name, path)| (name, fs::read_to_string(path).unwrap())).collect()
}

/// The page with the index and the measurements.
fn first_page(pages: &BTreeMap<String, String>) -> &str {
    pages.get("README.md").expect("docs/recipes/README.md")
}

struct Section<'a> {
    /// The file name of the page.
    page: &'a str,
    /// The program that the heading "## `name`: …" names.
    name: &'a str,
    /// The heading without its "## ".
    heading: &'a str,
    /// The lines of the first block of Rust below the heading.
    code: Vec<&'a str>,
}

fn sections(pages: &BTreeMap<String, String>) -> Vec<Section<'_>> {
    pages.iter().flat_map(|(page, text)| sections_of(page, text)).collect()
}

fn sections_of<'a>(page: &'a str, text: &'a str) -> impl Iterator<Item = Section<'a>> {
    text.split("\n## ").skip(1).filter_map(move |section| {
        let (name, _) = section.strip_prefix('`')?.split_once("`: ")?;
        let heading = section.lines().next()?;
        let block = section.lines().skip_while(|line| *line != "```rust").skip(1);
        Some(Section { page, name, heading, code: block.take_while(|line| *line != "```").collect() })
    })
}

/// The anchor that GitHub and mdBook give to a heading.
fn anchor(heading: &str) -> String {
    let lower = heading.to_lowercase();
    lower
        .chars()
        .filter(|c| c.is_alphanumeric() || "_- ".contains(*c))
        .map(|c| if c == ' ' { '-' } else { c })
        .collect()
}

/// The first cell of each table row "| name | …" whose cell is the name of a program. The head of a table is not a row.
fn rows(page: &str) -> Vec<&str> {
    let next_lines = page.lines().skip(1).chain([""]);
    page.lines()
        .zip(next_lines)
        .filter(|(_, next)| !next.starts_with("|-"))
        .filter_map(|(line, _)| {
            let (name, _) = line.strip_prefix("| ")?.split_once(" |")?;
            name.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit()).then_some(name)
        })
        .collect()
}
