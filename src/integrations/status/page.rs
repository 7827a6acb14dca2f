//! The page for people. One document: its style and its script are in it, and nothing else is loaded.

use super::calendar::{age, rfc_3339, time_of_day};
use super::events::EventRow;
use super::facts::FactsView;
use super::http::encode;
use super::markup::{Badge, Html, is_problem, last_error};
use super::picture::{Picture, host_word};
use super::table::{View, show_services};
use crate::diagnose::clause;
use crate::report::{Health, HostState, ServiceStatus};
use crate::util::sync::Arc;
use log::Level;
use std::fmt::Write;

pub(super) const CONTENT_TYPE: &str = "text/html; charset=utf-8";

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// How many services stand under "Needs attention": more would hide everything else.
const MOST_PROBLEMS: usize = 20;

/// Nothing may run or be loaded but this style, this script, and requests to this server.
pub(super) const POLICY: &str = "default-src 'none'; \
    style-src 'sha256-ry9LkoU9dW07lZA9zml0laRDj1unxTR6Bbe5flEt2R4='; \
    script-src 'sha256-HJ54sm0vnNuEh8U0sYtcdJqBqIKoKbd2KtqLh5LUZ3k='; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Renders the page. Writing to a `String` cannot fail.
pub(super) fn html(view: &View<'_>) -> String {
    let mut out = String::with_capacity(32 * 1_024);
    let picture = view.picture;
    let problems: Vec<&ServiceStatus> = picture.services.iter().filter(|service| is_problem(service)).collect();
    let mark = match (problems.len(), host_word(picture.host)) {
        (0, word) => word.to_owned(),
        (1, word) => format!("1 problem, {word}"),
        (n, word) => format!("{n} problems, {word}"),
    };
    let program = Html(view.program);
    _ = write!(
        out,
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{mark} · {program}</title><style>{STYLE}</style>\
         <noscript><meta http-equiv=\"refresh\" content=\"10\"></noscript></head><body>",
    );
    header(view, &mut out);
    out += "<main id=\"main\">";
    show_problems(picture, &problems, &mut out);
    show_facts(view.facts, &mut out);
    show_services(view, &mut out);
    show_events(view.events, &mut out);
    _ = writeln!(out, "</main><script>{SCRIPT}</script></body></html>");
    out
}

fn header(view: &View<'_>, out: &mut String) {
    let Picture { host, is_ready, is_live, at, .. } = view.picture;
    let class = match host {
        HostState::Started => "good",
        HostState::New | HostState::Starting => "busy",
        HostState::Stopping => "warn",
        HostState::Stopped => "calm",
    };
    let (ready, ready_class) = if *is_ready { ("ready", "good") } else { ("not ready", "warn") };
    let (live, live_class) = if *is_live { ("live", "good") } else { ("not live", "bad") };
    let (program, pid) = (Html(view.program), std::process::id());
    _ = write!(
        out,
        "<header><h1>{program} <small>pid {pid}</small></h1><p id=\"top\">\
         <span class=\"badge {class}\">{}</span> <span class=\"badge {ready_class}\">{ready}</span> \
         <span class=\"badge {live_class}\">{live}</span></p>\
         <p class=\"end\"><span id=\"live\" role=\"status\" hidden></span>\
         <noscript>as of <time datetime=\"{}\">{} UTC</time>, reloads every 10 s</noscript></p></header>",
        host_word(*host),
        rfc_3339(*at),
        time_of_day(*at),
    );
}

fn show_problems(picture: &Picture, problems: &[&ServiceStatus], out: &mut String) {
    if problems.is_empty() {
        return;
    }
    out.push_str("<section id=\"problems\"><div class=\"bar\"><h2>Needs attention</h2></div><ul>");
    for service in &problems[..problems.len().min(MOST_PROBLEMS)] {
        let why = match &service.health {
            Health::Degraded { reason, .. } => Some(reason.clone()),
            Health::Stalled { since } => Some(format!("no sign of life for {}", age(picture.age(*since)))),
            Health::Healthy => None,
        };
        let blocked = service.blocked_in.as_deref().map(clause);
        let why = why.or(blocked).unwrap_or_else(|| last_error(service).to_owned());
        let (name, encoded) = (Html(&service.name), encode(&service.name));
        _ = write!(out, "<li id=\"p-{encoded}\"><a href=\"?service={encoded}#s-{encoded}\">{name}</a>");
        _ = write!(out, "{}<span class=\"why\">{}</span></li>", Badge(service), Html(&why));
    }
    if problems.len() > MOST_PROBLEMS {
        let more = problems.len() - MOST_PROBLEMS;
        _ = write!(out, "<li id=\"p-more\" class=\"soft\">and {more} more, in the list of services</li>");
    }
    out.push_str("</ul></section>");
}

fn show_facts(facts: &[FactsView], out: &mut String) {
    if facts.is_empty() {
        return;
    }
    out.push_str("<section id=\"facts\">");
    for (n, FactsView { title, values, problem }) in facts.iter().enumerate() {
        _ = write!(out, "<div class=\"fact\" id=\"f-{n}\"><div class=\"bar\"><h2>{}</h2></div>", Html(title));
        if let Some(problem) = problem {
            _ = write!(out, "<p class=\"problem\">{}</p>", Html(problem));
        }
        out.push_str("<dl>");
        for (name, value) in values.iter() {
            _ = write!(out, "<dt>{}</dt><dd>{}</dd>", Html(name), Html(value));
        }
        out.push_str("</dl></div>");
    }
    out.push_str("</section>");
}

fn show_events(events: &[Arc<EventRow>], out: &mut String) {
    out.push_str("<section id=\"events\"><div class=\"bar\"><h2>Events</h2><span class=\"soft\">the latest ");
    _ = write!(out, "{}, newest first</span></div>", events.len());
    if events.is_empty() {
        out.push_str("<p class=\"empty\">Nothing has happened yet.</p>");
    }
    out.push_str("<ol>");
    for event in events {
        let class = match event.level {
            Level::Error => "bad",
            Level::Warn => "warn",
            Level::Info => "busy",
            Level::Debug | Level::Trace => "calm",
        };
        let (at, level) = (rfc_3339(event.at), event.level.as_str().to_lowercase());
        _ = write!(
            out,
            "<li id=\"e-{}\"><time datetime=\"{at}\" title=\"{at}\">{}</time>\
             <span class=\"badge {class}\">{level}</span><p>{}</p></li>",
            event.number,
            time_of_day(event.at),
            Html(&event.text),
        );
    }
    out.push_str("</ol></section>");
}

#[cfg(test)]
mod tests {
    use super::super::picture::SERVICE_STATES;
    use super::super::picture::tests::{degraded, picture, service, stalled};
    use super::*;
    use crate::report::ServiceState;
    #[cfg(target_os = "linux")]
    use std::{io::Write as _, process::Command, process::Stdio};

    /// The SHA-256 of `text` in Base64, as the policy writes a hash.
    #[cfg(target_os = "linux")]
    fn hash(text: &str) -> String {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        // The program of coreutils computes it, so that no crate is needed for this test alone.
        let program = Command::new("sha256sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut program = program.expect("sha256sum");
        program.stdin.take().expect("piped").write_all(text.as_bytes()).unwrap();
        let output = String::from_utf8(program.wait_with_output().unwrap().stdout).unwrap();
        let digits: Vec<u32> = output.chars().map_while(|digit| digit.to_digit(16)).collect();
        assert_eq!(digits.len(), 64, "{output}");
        // Three digits, which are 12 bits, are two letters. The hash ends with one digit, which makes one letter and a pad.
        let letters = digits.chunks(3).flat_map(|chunk| {
            let bits = chunk.iter().fold(0, |bits, digit| bits << 4 | digit) << (4 * (3 - chunk.len()));
            [bits >> 6, bits & 63]
        });
        let text: String = letters.take(43).map(|letter| char::from(LETTERS[letter as usize])).collect();
        text + "="
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_policy_allows_the_style_and_the_script_of_the_page() {
        for (directive, text) in [("style-src", STYLE), ("script-src", SCRIPT)] {
            let allowed = format!("{directive} 'sha256-{}';", hash(text));
            assert!(POLICY.contains(&allowed), "write this into POLICY: {allowed}");
        }
    }

    /// One service of each state and health. `HOSTED_STATUS_PAGE` names a file to write the page to.
    #[test]
    fn each_state_and_health_has_its_word_on_the_page() {
        let (mut services, healthy) = (Vec::new(), Health::Healthy);
        for state in SERVICE_STATES {
            services.push(service(&format!("{state} service"), state, healthy.clone()));
        }
        services.push(service("broker", ServiceState::Running, degraded("no connection to mq.example.org:5672")));
        services.push(service("import", ServiceState::Running, stalled()));
        services.push(service("feed", ServiceState::Running, healthy.clone()));
        services.push(service("feed/reader", ServiceState::Running, healthy.clone()));
        services.push(service("feed/parser", ServiceState::Failed, healthy));
        for service in services.iter_mut().filter(|service| service.state == ServiceState::Failed) {
            (service.errors, service.restarts) = (12, 11);
            service.last_error = Some(format!("service `{}` failed while running: no such table", service.name));
        }
        let picture = picture(services, false, false);
        let (values, problem) = (Arc::new(vec![("jobs".to_owned(), "42".to_owned())]), Some("no answer".to_owned()));
        let facts = [FactsView { title: "Totals".to_owned(), values, problem }];
        let view =
            View { picture: &picture, events: &[], facts: &facts, program: "demo", open: &[], not_inspected: &[] };
        let page = html(&view);
        for word in SERVICE_STATES.map(|state| state.to_string()) {
            assert!(page.contains(&format!("\">{word}</span></span>")), "{word}");
        }
        for text in [
            "\">degraded<",
            "\">stalled<",
            "\"last\">failed while running: no such table<",
            ">no connection to mq.example.org:5672<",
            "no sign of life for 42 s",
        ] {
            assert!(page.contains(text), "{text}");
        }
        assert!(page.contains("feed <small>2 services</small> <span class=\"badge bad\">1 problem</span>"), "{page}");
        assert!(page.contains("<title>5 problems, started · demo</title>"));
        if let Some(path) = std::env::var_os("HOSTED_STATUS_PAGE") {
            std::fs::write(path, page).unwrap();
        }
    }
}
