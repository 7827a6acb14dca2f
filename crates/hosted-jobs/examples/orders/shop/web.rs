//! HTTP: `POST /orders` places an order.

use super::database::{NewOrder, connect, place};
use hosted::{Context, Result, Service};
use hosted_jobs::Jobs;
use hosted_jobs::rusqlite::Connection;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tiny_http::{Method, Request, Response, Server};

/// The largest order, in bytes.
const LARGEST: u64 = 16 * 1024;

/// A thread that answers requests, with its own connection to the database.
pub(crate) struct Web {
    server: Arc<Server>,
    jobs: Jobs,
    path: PathBuf,
}

type Answer = (u16, String);

impl Web {
    pub(crate) fn new(server: Arc<Server>, jobs: Jobs, path: &Path) -> Self {
        Web { server, jobs, path: path.to_owned() }
    }

    fn answer(&self, request: &mut Request, db: &mut Connection, ctx: &Context) -> Answer {
        let answered = match (request.method(), request.url()) {
            (Method::Post, "/orders") => self.order(request, db),
            (_, "/orders") => Ok((405, "use POST\n".to_owned())),
            _ => Ok((404, "there is nothing here\n".to_owned())),
        };
        answered.unwrap_or_else(|error| {
            let text = format!("{error}\n");
            ctx.report_error(error);
            (500, text)
        })
    }

    fn order(&self, request: &mut Request, db: &mut Connection) -> Result<Answer> {
        let header = request.headers().iter().find(|header| header.field.equiv("Idempotency-Key"));
        let key = header.map(|header| header.value.as_str().to_owned());
        let mut body = Vec::new();
        request.as_reader().take(LARGEST + 1).read_to_end(&mut body)?;
        if body.len() as u64 > LARGEST {
            return Ok((413, format!("an order has at most {LARGEST} bytes\n")));
        }
        let order: NewOrder = match serde_json::from_slice(&body) {
            Ok(order) => order,
            Err(error) => return Ok((400, format!("this is no order: {error}\n"))),
        };
        // A line break would let the customer write headers of the mail.
        if order.customer.is_empty() || order.customer.contains(char::is_control) {
            return Ok((400, "the customer must be a mail address on one line\n".to_owned()));
        }
        let id = place(db, &self.jobs, order, key.as_deref())?;
        Ok((201, format!("order {id}\n")))
    }
}

impl Service for Web {
    fn run(&mut self, ctx: &Context) -> Result {
        let mut db = connect(&self.path)?;
        let blocked = self.server.clone();
        // The threads share the server, and an `unblock` wakes any one of them. So each thread repeats it until it has returned.
        let _wake = ctx.on_stop_repeating(Duration::from_millis(5), move || blocked.unblock());
        while !ctx.stop_requested() {
            let mut request = match self.server.recv() {
                Ok(request) => request,
                Err(_) if ctx.stop_requested() => break, // the stop callback unblocked `recv`
                Err(error) => return Err(error.into()),
            };
            let (status, text) = self.answer(&mut request, &mut db, ctx);
            let response = Response::from_string(text).with_status_code(status);
            if let Err(error) = request.respond(response) {
                ctx.report_error(error); // the visitor has disconnected
            }
        }
        Ok(())
    }
}
