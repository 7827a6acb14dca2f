//! The HTML page.

use crate::status::Status;
use hosted::{ServiceState, ServiceStatus};
use std::fmt;
use std::time::Duration;

const HEAD: &str = r#"<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="2">
<title>ingest</title>
<style>
  :root { color-scheme: light dark; --ink: #1c1f24; --dim: #6a7079; --line: #e3e5e9; --card: #fff; --ground: #f6f7f9;
    --good: #1a8f4c; --busy: #b7791f; --bad: #c43c35; }
  @media (prefers-color-scheme: dark) {
    :root { --ink: #e7e9ec; --dim: #969ca6; --line: #2c3038; --card: #1c1f25; --ground: #14161a;
      --good: #4cc582; --busy: #e0ac4e; --bad: #f2716a; } }
  body { margin: 0 auto; padding: 2.5rem 1.25rem; max-width: 56rem; color: var(--ink); background: var(--ground);
    font: 15px/1.5 system-ui, sans-serif; font-variant-numeric: tabular-nums; }
  h1 { margin: 0; font-size: 1.5rem; }
  h2 { margin: 2rem 0 .5rem; font-size: .8rem; font-weight: 600; letter-spacing: .06em; text-transform: uppercase;
    color: var(--dim); }
  p { margin: 0; color: var(--dim); overflow-wrap: anywhere; }
  dl { display: grid; grid-template-columns: repeat(2, 1fr); gap: .75rem; margin: 1.5rem 0 0; }
  @media (min-width: 40rem) { dl { grid-template-columns: repeat(3, 1fr); } }
  dl div, section { background: var(--card); border: 1px solid var(--line); border-radius: 8px; }
  dl div { padding: .7rem .9rem; }
  dt { color: var(--dim); font-size: .85rem; }
  dd { margin: 0; font-size: 1.35rem; font-weight: 600; }
  table { width: 100%; border-spacing: 0; }
  th, td { padding: .45rem .9rem; text-align: left; vertical-align: top; }
  th { color: var(--dim); font-size: .85rem; font-weight: 500; }
  th, td { white-space: nowrap; }
  td { border-top: 1px solid var(--line); }
  section { overflow-x: auto; }
  .n { text-align: right; }
  /* On a phone each row is a card: the name and the state, then the figures with their names, then the error. */
  @media (max-width: 40rem) {
    body { padding: 1.25rem .75rem; }
    table, tbody { display: block; }
    tr { display: flex; flex-wrap: wrap; padding: .5rem .4rem; border-top: 1px solid var(--line); }
    tr.head { display: none; }
    tr.head + tr { border-top: 0; }
    td { flex: 1 1 25%; min-width: 0; padding: .1rem .5rem; border: 0; white-space: normal; overflow-wrap: anywhere; }
    td:first-child { flex: 1 1 50%; font-weight: 600; }
    td.state { flex: 0 1 auto; }
    td.n { text-align: left; color: var(--dim); }
    td.n::before { content: attr(data-name) " "; }
    td.text { flex-basis: 100%; min-width: 0; }
    td.text:empty { display: none; }
  }
  .text { width: 99%; min-width: 14rem; white-space: normal; overflow-wrap: anywhere; }
  .state::before { content: ""; display: inline-block; width: .55em; height: .55em; margin-right: .5em;
    border-radius: 50%; background: currentColor; }
  .good { color: var(--good); } .busy { color: var(--busy); } .bad { color: var(--bad); } .idle { color: var(--dim); }
</style>
"#;

pub fn page(status: &Status) -> String {
    let dir = Text(&status.dir.to_string_lossy()).to_string();
    let services: String = status.services.iter().map(service).collect();
    format!(
        "{HEAD}<h1>ingest</h1>\n<p>{dir}</p>\n<dl>\n{}</dl>\n\
         <h2>Services</h2>\n<section><table>\n<tr class=head><th>Service<th>State<th class=n>For<th class=n>Restarts\
         <th class=n>Errors<th class=text>Last error\n{services}</table></section>\n{}</html>\n",
        totals(status),
        unreadable(&status.unreadable),
    )
}

fn totals(status: &Status) -> String {
    let totals = &status.totals;
    let figures = [
        ("Files", grouped(totals.files)),
        ("Size", size(totals.bytes)),
        ("Lines", grouped(totals.lines)),
        ("Words", grouped(totals.words)),
        ("Unreadable", grouped(totals.unreadable)),
        ("In flight", status.in_flight.to_string()),
    ];
    figures.iter().map(|(name, figure)| format!("<div><dt>{name}<dd>{figure}</div>\n")).collect()
}

fn service(service: &ServiceStatus) -> String {
    let class = match service.state {
        ServiceState::Running => "good",
        ServiceState::Completed | ServiceState::Stopped => "idle",
        ServiceState::Failed | ServiceState::NotRestarted | ServiceState::Hung => "bad",
        _ => "busy",
    };
    format!(
        "<tr><td>{}<td class='state {class}'>{}<td class=n data-name=For>{}<td class=n data-name=Restarts>{}\
         <td class=n data-name=Errors>{}<td class=text>{}</td>\n",
        Text(&service.name),
        service.state,
        age(service.since.elapsed()),
        service.restarts,
        service.errors,
        Text(service.last_error.as_deref().unwrap_or_default()),
    )
}

fn unreadable(files: &[(String, String)]) -> String {
    if files.is_empty() {
        return String::new();
    }
    let row = |(path, error): &(String, String)| format!("<tr><td class=text>{}<td>{}\n", Text(path), Text(error));
    let rows: String = files.iter().map(row).collect();
    format!(
        "<h2>Could not be read</h2>\n<section><table>\n<tr class=head><th class=text>File<th>Why\n{rows}</table></section>\n"
    )
}

/// Escapes text from outside, so that none of it is markup.
struct Text<'a>(&'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => write!(f, "{c}"),
        })
    }
}

/// Writes 1234567 as `1,234,567`.
fn grouped(n: i64) -> String {
    if n < 1000 { n.to_string() } else { format!("{},{:03}", grouped(n / 1000), n % 1000) }
}

fn size(bytes: i64) -> String {
    let (mut size, mut unit) = (bytes as f64, "B");
    for larger in ["kB", "MB", "GB", "TB"] {
        if size < 1000.0 {
            break;
        }
        (size, unit) = (size / 1000.0, larger);
    }
    if unit == "B" { format!("{bytes} B") } else { format!("{size:.1} {unit}") }
}

fn age(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h {} min", seconds / 3600, seconds / 60 % 60),
    }
}
