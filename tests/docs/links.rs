//! Every relative link of the documentation leads to a file and to a heading in it. The book lists every page.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    let mut links = 0;
    for page in pages() {
        for link in relative_links(&read(&page)) {
            links += 1;
            broken.extend(check(&page, &link).err().map(|why| format!("{}: {link}: {why}", page.display())));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
    assert!(links >= 200, "only {links} links found");
}

#[test]
fn the_book_lists_every_page_once() {
    let mut listed: Vec<String> = relative_links(&read(Path::new("docs/SUMMARY.md")));
    listed.sort();
    let pages = pages_below("docs").into_iter().map(|page| page.strip_prefix("docs").expect("docs/").to_owned());
    let pages: BTreeSet<PathBuf> = pages.filter(|page| page != Path::new("SUMMARY.md")).collect();
    assert_eq!(listed, pages.iter().map(|page| page.display().to_string()).collect::<Vec<_>>());
}

#[test]
fn links_in_code_are_not_links_and_equal_headings_are_numbered() {
    let text = "a [b](c.md#d) `[e](f)`\n```rust\ng[0](h)\n```\n[i](https://j.k) ![l](m.png)";
    assert_eq!(relative_links(text), ["c.md#d", "m.png"]);
    let headings = anchors("# A `b` & c\n## Same\n```\n# no heading\n```\n## Same\n");
    assert_eq!(headings, ["a-b--c", "same", "same-1"].map(str::to_owned).into());
}

/// Every page that a reader of the repository opens.
fn pages() -> Vec<PathBuf> {
    let outside =
        ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "examples/README.md", "verification/README.md"];
    let pages: Vec<PathBuf> = outside.iter().map(PathBuf::from).chain(pages_below("docs")).collect();
    assert!(pages.len() >= 30, "only {} pages found", pages.len());
    pages
}

fn pages_below(folder: &str) -> Vec<PathBuf> {
    let (mut pages, mut folders) = (Vec::new(), vec![PathBuf::from(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root().join(&folder)).expect("a folder") {
            let entry = entry.expect("an entry");
            let path = folder.join(entry.file_name());
            if entry.path().is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

/// The targets of all links, without those that name a server.
fn relative_links(text: &str) -> Vec<String> {
    let text = without_code(text);
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target);
    targets.filter(|target| !target.contains(':')).map(str::to_owned).collect()
}

fn check(page: &Path, link: &str) -> Result<(), String> {
    let (file, heading) = link.split_once('#').unwrap_or((link, ""));
    let target = if file.is_empty() { page.to_owned() } else { resolve(page, file)? };
    if !root().join(&target).exists() {
        return Err("there is no such file".to_owned());
    }
    if heading.is_empty() || anchors(&read(&target)).contains(heading) {
        return Ok(());
    }
    Err("there is no such heading".to_owned())
}

/// Returns the path of the target below the root of the repository.
fn resolve(page: &Path, file: &str) -> Result<PathBuf, String> {
    let mut path = page.parent().expect("a page is a file").to_owned();
    for part in Path::new(file).components() {
        match part {
            Component::Normal(name) => path.push(name),
            Component::CurDir => {}
            Component::ParentDir if path.pop() => {}
            _ => return Err("it leaves the repository".to_owned()),
        }
    }
    Ok(path)
}

/// The anchors that GitHub and mdBook give to the headings of a page.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let text = without_fences(text);
    let numbered = text.lines().filter_map(anchor).map(|anchor| {
        let count = seen.entry(anchor.clone()).or_default();
        *count += 1;
        if *count == 1 { anchor } else { format!("{anchor}-{}", *count - 1) }
    });
    numbered.collect()
}

fn anchor(line: &str) -> Option<String> {
    let heading = line.strip_prefix('#')?.trim_start_matches('#').strip_prefix(' ')?.to_lowercase();
    let kept = heading.chars().filter(|&letter| letter.is_alphanumeric() || " -_".contains(letter));
    Some(kept.map(|letter| if letter == ' ' { '-' } else { letter }).collect())
}

/// Removes blocks of code and code in a line, because their brackets are not links.
fn without_code(text: &str) -> String {
    without_fences(text).split('`').step_by(2).collect()
}

fn without_fences(text: &str) -> String {
    let mut inside = false;
    let lines = text.lines().filter(|line| {
        let is_fence = line.trim_start().starts_with("```");
        inside ^= is_fence;
        !inside && !is_fence
    });
    lines.map(|line| format!("{line}\n")).collect()
}

fn read(path: &Path) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}
