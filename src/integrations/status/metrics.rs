//! `/metrics`: OpenMetrics text.
//!
//! Written by hand, because the crate of the Prometheus project (`prometheus-client`) brings a proc macro with its parser, and
//! keeps values of its own. Here every value comes from the registry.

use super::events::Events;
use super::picture::{HEALTHS, HOST_STATES, Picture, SERVICE_STATES, host_word};
use crate::util::time::since;
use std::fmt::{self, Display, Write};
use std::time::SystemTime;

pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of the host and its services.
pub(super) fn text(picture: &Picture, events: &Events) -> String {
    let mut out = Writer(String::with_capacity(16 * 1_024));
    host(picture, events, &mut out);
    services(picture, &mut out);
    out.0 += "# EOF\n";
    out.0
}

fn host(picture: &Picture, events: &Events, out: &mut Writer) {
    out.family("hosted_host_state", "gauge", "", "1 for the state of the host, 0 for the others.");
    for state in HOST_STATES {
        let labels = [("state", host_word(state))];
        out.sample("hosted_host_state", &labels, u8::from(state == picture.host));
    }
    for (name, help, value) in [
        ("hosted_host_ready", "1 if the host takes work.", picture.is_ready),
        ("hosted_host_live", "1 if no service is hung or stalled.", picture.is_live),
        ("hosted_host_has_started", "1 if every service has started once.", picture.has_started),
    ] {
        out.family(name, "gauge", "", help);
        out.sample(name, &[], u8::from(value));
    }
    out.family("hosted_host_start_seconds", "gauge", "seconds", "How long the start of the host took.");
    if let Some(took) = events.start_took() {
        out.sample("hosted_host_start_seconds", &[], took.as_secs_f64());
    }
    out.family("hosted_host_stop_seconds", "gauge", "seconds", "Time since the stop of the host began.");
    if let Some(began) = events.stop_began() {
        out.sample("hosted_host_stop_seconds", &[], since(began).as_secs_f64());
    }
}

fn services(picture: &Picture, out: &mut Writer) {
    out.family("hosted_service_state", "gauge", "", "1 for the state of the service, 0 for the others.");
    for service in &picture.services {
        for state in SERVICE_STATES {
            let text = state.to_string();
            let labels = [("service", &*service.name), ("state", &text)];
            out.sample("hosted_service_state", &labels, u8::from(state == service.state));
        }
    }
    out.family("hosted_service_health", "gauge", "", "1 for the health of the service, 0 for the others.");
    for service in &picture.services {
        for health in HEALTHS {
            let labels = [("service", &*service.name), ("health", health)];
            out.sample("hosted_service_health", &labels, u8::from(health == service.health.word()));
        }
    }
    let name = "hosted_service_state_since_timestamp_seconds";
    out.family(name, "gauge", "seconds", "When the service entered its state, in seconds since 1970.");
    for service in &picture.services {
        let since = picture.time_of(service.since).duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        out.sample(name, &[("service", &service.name)], format_args!("{:.3}", since.as_secs_f64()));
    }
    out.family("hosted_service_restarts", "counter", "", "How often the service was started again.");
    for service in &picture.services {
        out.sample("hosted_service_restarts_total", &[("service", &service.name)], service.restarts);
    }
    out.family("hosted_service_errors", "counter", "", "Errors of the service: failed runs and reported errors.");
    for service in &picture.services {
        out.sample("hosted_service_errors_total", &[("service", &service.name)], service.errors);
    }
    out.family("hosted_service_ticks_missed", "counter", "", "Ticks that passed while the service was busy.");
    for service in &picture.services {
        out.sample("hosted_service_ticks_missed_total", &[("service", &service.name)], service.ticks_missed);
    }
}

/// Writes OpenMetrics text. Writing to a `String` cannot fail.
struct Writer(String);

impl Writer {
    fn family(&mut self, name: &str, kind: &str, unit: &str, help: &str) {
        _ = writeln!(self.0, "# TYPE {name} {kind}");
        if !unit.is_empty() {
            _ = writeln!(self.0, "# UNIT {name} {unit}");
        }
        _ = writeln!(self.0, "# HELP {name} {help}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0 += name;
        for (n, (label, value)) in labels.iter().enumerate() {
            let lead = if n == 0 { '{' } else { ',' };
            _ = write!(self.0, "{lead}{label}=\"{}\"", LabelValue(value));
        }
        let end = if labels.is_empty() { "" } else { "}" };
        _ = writeln!(self.0, "{end} {value}");
    }
}

/// A label's value: three characters are escaped, any other may stand in it.
struct LabelValue<'a>(&'a str);

impl Display for LabelValue<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '\\' => f.write_str("\\\\"),
            '"' => f.write_str("\\\""),
            '\n' => f.write_str("\\n"),
            c => f.write_char(c),
        })
    }
}
