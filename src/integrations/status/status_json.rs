//! `/status.json`: everything that the page shows, for programs.

use super::calendar::rfc_3339;
use super::events::EventRow;
use super::facts::FactsView;
use super::json::Json;
use super::picture::{Picture, host_word};
use crate::report::{Health, ServiceStatus};
use crate::util::sync::Arc;
use std::time::Instant;

pub(super) const CONTENT_TYPE: &str = "application/json";

pub(super) fn json(picture: &Picture, events: &[Arc<EventRow>], facts: &[FactsView]) -> String {
    let host = Json::Object(vec![
        ("state", Json::text(host_word(picture.host))),
        ("has_started", Json::Bool(picture.has_started)),
        ("is_ready", Json::Bool(picture.is_ready)),
        ("is_live", Json::Bool(picture.is_live)),
    ]);
    let all = Json::Object(vec![
        ("at", Json::text(rfc_3339(picture.at))),
        ("host", host),
        ("services", Json::List(picture.services.iter().map(|row| service(picture, row)).collect())),
        ("facts", Json::List(facts.iter().map(fact).collect())),
        ("events", Json::List(events.iter().map(|row| event(row)).collect())),
    ]);
    format!("{all}\n")
}

fn service(picture: &Picture, service: &ServiceStatus) -> Json {
    let (reason, health_since) = match &service.health {
        Health::Healthy => (None, None),
        Health::Degraded { reason, since } => (Some(reason.clone()), Some(*since)),
        Health::Stalled { since } => (None, Some(*since)),
    };
    let time = |since: Instant| Json::text(rfc_3339(picture.time_of(since)));
    Json::Object(vec![
        ("name", Json::text(&*service.name)),
        ("state", Json::text(service.state.to_string())),
        ("since", time(service.since)),
        ("since_seconds", Json::Seconds(picture.age(service.since).as_secs_f64())),
        ("restarts", Json::Count(service.restarts.into())),
        ("errors", Json::Count(service.errors)),
        ("ticks_missed", Json::Count(service.ticks_missed)),
        ("last_error", Json::text_or_null(service.last_error.clone())),
        ("ignores_failure", Json::Bool(service.ignores_failure)),
        ("health", Json::text(service.health.word())),
        ("health_reason", Json::text_or_null(reason)),
        ("health_since", health_since.map_or(Json::Null, time)),
        ("blocked_in", Json::text_or_null(service.blocked_in.clone())),
    ])
}

fn fact(facts: &FactsView) -> Json {
    let value = |(name, value): &(String, String)| {
        Json::Object(vec![("name", Json::text(name.clone())), ("value", Json::text(value.clone()))])
    };
    Json::Object(vec![
        ("title", Json::text(facts.title.clone())),
        ("values", Json::List(facts.values.iter().map(value).collect())),
        ("problem", Json::text_or_null(facts.problem.clone())),
    ])
}

fn event(event: &EventRow) -> Json {
    Json::Object(vec![
        ("number", Json::Count(event.number)),
        ("at", Json::text(rfc_3339(event.at))),
        ("level", Json::text(event.level.as_str())),
        ("service", Json::text_or_null(event.service.as_deref())),
        ("text", Json::text(event.text.clone())),
    ])
}
