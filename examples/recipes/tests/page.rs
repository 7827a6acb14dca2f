//! RECIPES.md and the programs say the same: each program's recipe stands in a section of its own, and its stop was measured.

use std::fs;
use std::path::Path;

/// What is longer is no recipe: a user would look for something simpler.
const LINES: usize = 6;

struct Program {
    name: String,
    /// The lines between `// recipe` and `// end`, as the page shows them.
    recipe: Vec<String>,
}

#[test]
fn every_program_has_a_recipe_of_six_lines_at_most() {
    complain(programs().iter().filter_map(|Program { name, recipe }| match recipe.len() {
        0 => Some(format!("src/bin/{name}.rs: put its recipe between a line `// recipe` and a line `// end`")),
        1..=LINES => None,
        lines => Some(format!("src/bin/{name}.rs: its recipe has {lines} lines; make it {LINES} at most")),
    }));
}

#[test]
fn every_recipe_stands_in_the_section_of_its_program() {
    let page = page();
    let sections = sections(&page);
    complain(programs().iter().filter_map(|Program { name, recipe }| {
        let mut its = sections.iter().filter(|(heading, _)| heading == name);
        match (its.next(), its.next()) {
            (None, _) => Some(format!("{name}: add a section \"## `{name}`: …\" to RECIPES.md")),
            (_, Some(_)) => Some(format!("{name}: RECIPES.md has two sections of it; take one away")),
            (Some((_, shown)), None) if shown == recipe => None,
            _ => Some(format!(
                "{name}: make the rust block of its section in RECIPES.md this:\n\n{}\n",
                recipe.join("\n")
            )),
        }
    }));
}

#[test]
fn every_stop_was_measured() {
    let page = page();
    let rows = rows(&page);
    complain(programs().iter().filter_map(
        |Program { name, .. }| match rows.iter().filter(|row| *row == name).count() {
            0 => Some(format!("{name}: add the row that it prints to the table of RECIPES.md")),
            1 => None,
            _ => Some(format!("{name}: the table of RECIPES.md has more than one row of it; leave one")),
        },
    ));
}

#[test]
fn nothing_on_the_page_is_without_a_program() {
    let (page, programs) = (page(), programs());
    let known = |name: &str| programs.iter().any(|program| program.name == name);
    let sections = sections(&page).into_iter().map(|(name, _)| ("section", name));
    let rows = rows(&page).into_iter().map(|name| ("row", name));
    complain(sections.chain(rows).filter(|(_, name)| !known(name)).map(|(what, name)| {
        format!(
            "{name}: RECIPES.md has a {what} of it, but src/bin has no {name}.rs; write it, or take the {what} away"
        )
    }));
}

fn complain(of: impl Iterator<Item = String>) {
    let all: Vec<String> = of.collect();
    assert!(all.is_empty(), "\n{}", all.join("\n"));
}

fn programs() -> Vec<Program> {
    let files = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/bin")).unwrap();
    let mut all: Vec<Program> = files.map(|file| program(&file.unwrap().path())).collect();
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

fn page() -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../RECIPES.md");
    fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// The name in each heading "## `name`: …", and the first block of Rust below it.
fn sections(page: &str) -> Vec<(&str, Vec<&str>)> {
    page.split("\n## ")
        .skip(1)
        .filter_map(|section| {
            let (name, _) = section.strip_prefix('`')?.split_once("`: ")?;
            let block = section.lines().skip_while(|line| *line != "```rust").skip(1);
            Some((name, block.take_while(|line| *line != "```").collect()))
        })
        .collect()
}

/// The name in each row "| name | …" of a table, whose head is none.
fn rows(page: &str) -> Vec<&str> {
    let below = page.lines().skip(1).chain([""]);
    page.lines()
        .zip(below)
        .filter(|(_, below)| !below.starts_with("|-"))
        .filter_map(|(line, _)| {
            let (name, _) = line.strip_prefix("| ")?.split_once(" |")?;
            name.chars().all(|c| c == '_' || c.is_ascii_lowercase() || c.is_ascii_digit()).then_some(name)
        })
        .collect()
}
