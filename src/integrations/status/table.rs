//! The services on the page: a row for each, with its details, and groups folded.

use super::calendar::{age, rfc_3339};
use super::events::EventRow;
use super::facts::FactsView;
use super::http::encode;
use super::markup::{Attribute, Badge, Html, class_of, is_problem, last_error};
use super::picture::{Picture, SERVICE_STATES};
use super::rows::{Row, rows};
use crate::report::{Health, ServiceStatus};
use crate::util::sync::Arc;
use std::fmt::{self, Display, Write};
use std::time::Instant;

/// The contents of the page.
pub(super) struct View<'a> {
    pub(super) picture: &'a Picture,
    pub(super) events: &'a [Arc<EventRow>],
    pub(super) facts: &'a [FactsView],
    pub(super) program: &'a str,
    /// The services whose rows are open.
    pub(super) open: &'a [String],
    /// The open services whose threads were not inspected, because there were too many.
    pub(super) not_inspected: &'a [Arc<str>],
}

pub(super) fn show_services(view: &View<'_>, out: &mut String) {
    let services = &view.picture.services;
    out.push_str("<section id=\"services\"><div class=\"bar\" id=\"counts\"><h2>Services</h2>");
    for state in SERVICE_STATES {
        let count = services.iter().filter(|service| service.state == state).count();
        if count > 0 {
            let class = class_of(state);
            _ = write!(
                out,
                "<button class=\"badge {class}\" id=\"c-{state}\" data-word=\"{state}\">{count} {state}</button>"
            );
        }
    }
    out.push_str(
        "<input id=\"filter\" type=\"search\" placeholder=\"Filter by name or state\" aria-label=\"Filter\" hidden></div>\
         <div class=\"row head\"><span></span><span>Service</span><span>State</span><span>For</span>\
         <span class=\"number\">Restarts</span><span class=\"number\">Errors</span><span>Last error</span></div>\
         <div id=\"rows\">",
    );
    for row in rows(services) {
        show_row(view, &row, out);
    }
    out.push_str("</div><p class=\"empty\" id=\"none\" hidden>No service has these words.</p></section>");
}

/// Recursion is as deep as groups are nested.
fn show_row(view: &View<'_>, row: &Row<'_>, out: &mut String) {
    let (service, picture) = (row.service, view.picture);
    let (name, encoded, health) = (Html(&service.name), encode(&service.name), service.health.word());
    let open = if view.open.iter().any(|open| **open == *service.name) { " open" } else { "" };
    _ = write!(
        out,
        "<details class=\"service\" id=\"s-{encoded}\" data-name=\"{}\" data-words=\"{name} {} {health}\"{open}>\
         <summary class=\"row\"><span class=\"name\">{name}{}</span>{}<span class=\"meta\"><span class=\"since\">{}</span>",
        Attribute(&service.name),
        service.state,
        Inside(row),
        Badge(service),
        age(picture.age(service.since)),
    );
    number(service.restarts.into(), "restart", out);
    number(service.errors, "error", out);
    _ = write!(out, "</span><span class=\"last\">{}</span></summary>", Html(last_error(service)));
    details(view, service, out);
    if !row.children.is_empty() {
        out.push_str("<div class=\"children\">");
        row.children.iter().for_each(|child| show_row(view, child, out));
        out.push_str("</div>");
    }
    out.push_str("</details>");
}

/// How many services are in a group, and how many of them need attention.
struct Inside<'a>(&'a Row<'a>);

impl Display for Inside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (services, problems) = self.0.count(&is_problem);
        match services {
            0 => return Ok(()),
            1 => write!(f, " <small>1 service</small>")?,
            n => write!(f, " <small>{n} services</small>")?,
        }
        match problems {
            0 => Ok(()),
            1 => write!(f, " <span class=\"badge bad\">1 problem</span>"),
            n => write!(f, " <span class=\"badge bad\">{n} problems</span>"),
        }
    }
}

fn number(value: u64, unit: &str, out: &mut String) {
    let zero = if value == 0 { " zero" } else { "" };
    let plural = if value == 1 { "" } else { "s" };
    _ = write!(out, "<span class=\"number{zero}\" data-unit=\"{unit}{plural}\">{value}</span>");
}

fn details(view: &View<'_>, service: &ServiceStatus, out: &mut String) {
    let time = |since: Instant| {
        let at = view.picture.time_of(since);
        format!("<time datetime=\"{}\">{} UTC</time>", rfc_3339(at), rfc_3339(at)[..19].replace('T', " "))
    };
    _ = write!(out, "<dl class=\"more\"><dt>State</dt><dd>{} since {}</dd>", service.state, time(service.since));
    match &service.health {
        Health::Healthy => {}
        Health::Degraded { reason, since } => {
            _ = write!(out, "<dt>Degraded</dt><dd>{} (since {})</dd>", Html(reason), time(*since));
        }
        Health::Stalled { since } => _ = write!(out, "<dt>Stalled</dt><dd>since {}</dd>", time(*since)),
    }
    if let Some(error) = &service.last_error {
        _ = write!(out, "<dt>Last error</dt><dd>{}</dd>", Html(error));
    }
    if service.ignores_failure {
        out.push_str("<dt>On failure</dt><dd>the host goes on</dd>");
    }
    let encoded = encode(&service.name);
    let was_asked = view.open.iter().any(|open| **open == *service.name);
    out.push_str("<dt>Blocked in</dt><dd>");
    _ = match &service.blocked_in {
        Some(call) => write!(out, "<code>{}</code>", Html(call)),
        None if view.not_inspected.contains(&service.name) => write!(out, "not inspected: too many rows are open"),
        None if was_asked => write!(out, "nothing to see: it has no thread, or the system does not show it"),
        None => write!(out, "<a class=\"inspect\" href=\"?service={encoded}#s-{encoded}\">inspect</a>"),
    };
    out.push_str("</dd></dl>");
}
