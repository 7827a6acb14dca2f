//! The answer to each path.

use super::connection::NO_CONTENT;
use super::events::Events;
use super::facts::Facts;
use super::http::{Request, Response, TEXT, parameters};
use super::picture::Picture;
use super::probes::{Verdict, live, ready, started};
use super::table::View;
use super::{metrics, page, status_json};
use crate::service::Context;
use crate::util::sync::Arc;

const PATHS: &str = "the paths are / /livez /readyz /startupz /metrics /status.json";

pub(super) struct Answers {
    pub(super) ctx: Context,
    pub(super) program: String,
    pub(super) events: Arc<Events>,
    pub(super) facts: Vec<Arc<Facts>>,
}

impl Answers {
    /// The response to a request, and its content security policy.
    pub(super) fn answer(&self, request: &Request) -> (Response, &'static str) {
        let probe = |probe: fn(&Picture) -> Verdict| {
            let (is_well, text) = probe(&self.picture());
            Response::new(if is_well { 200 } else { 503 }, TEXT, text)
        };
        let response = match &*request.path {
            "/livez" => probe(live),
            "/readyz" => probe(ready),
            "/startupz" => probe(started),
            "/metrics" => Response::new(200, metrics::CONTENT_TYPE, metrics::text(&self.picture(), &self.events)),
            "/status.json" => self.status(&request.query),
            "/" => return (self.page(&request.query), page::POLICY),
            _ => Response::error(404, PATHS),
        };
        (response, NO_CONTENT)
    }

    fn picture(&self) -> Picture {
        Picture::new(self.ctx.host())
    }

    fn status(&self, query: &str) -> Response {
        let facts = Facts::view_all(&self.facts, &self.ctx);
        let mut picture = self.picture();
        picture.inspect(&parameters(query, "service"));
        Response::new(200, status_json::CONTENT_TYPE, status_json::json(&picture, &self.events.latest(), &facts))
    }

    fn page(&self, query: &str) -> Response {
        let facts = Facts::view_all(&self.facts, &self.ctx);
        let open = parameters(query, "service");
        let mut picture = self.picture();
        let not_inspected = picture.inspect(&open);
        let view = View {
            picture: &picture,
            events: &self.events.latest(),
            facts: &facts,
            program: &self.program,
            open: &open,
            not_inspected: &not_inspected,
        };
        Response::new(200, page::CONTENT_TYPE, page::html(&view))
    }
}
