//! `web`: shows how it goes, as a page for people and as JSON for programs.

use crate::page::page;
use crate::status::Sources;
use hosted::{Context, Result, Service};
use std::net::Ipv4Addr;
use std::sync::Arc;
use tiny_http::{Header, Method, Request, Response, Server};

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

pub struct Web {
    port: u16,
    sources: Sources,
    /// From `start` to the end of the `run` that follows.
    server: Option<Arc<Server>>,
}

impl Web {
    pub fn new(port: u16, sources: Sources) -> Self {
        Web { port, sources, server: None }
    }

    fn answer(&self, request: Request, ctx: &Context) {
        let (status, kind, body) = self.find(&request, ctx).unwrap_or_else(|error| {
            let text = error.to_string();
            ctx.report(error);
            (500, TEXT, text)
        });
        let header = Header::from_bytes("Content-Type", kind).expect("three constants that are headers");
        let response = Response::from_string(body).with_status_code(status).with_header(header);
        _ = request.respond(response); // who asked may have gone meanwhile
    }

    fn find(&self, request: &Request, ctx: &Context) -> Result<(u16, &'static str, String)> {
        if !matches!(request.method(), Method::Get | Method::Head) {
            return Ok((405, TEXT, "This can only be looked at.\n".to_owned()));
        }
        Ok(match request.url().split('?').next() {
            Some("/") => (200, HTML, page(&self.sources.read(ctx)?)),
            Some("/status.json") => (200, JSON, format!("{:#}\n", self.sources.read(ctx)?.json())),
            _ => (404, TEXT, "There are / and /status.json.\n".to_owned()),
        })
    }
}

impl Service for Web {
    /// Ready when it listens: so a port that is taken fails the start.
    fn start(&mut self, _: &Context) -> Result {
        let server = Server::http((Ipv4Addr::LOCALHOST, self.port))?;
        log::info!("how it goes: http://{}/", server.server_addr());
        self.server = Some(Arc::new(server));
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        let server = self.server.take().ok_or("it has not started")?;
        let accept = server.clone();
        let _wake = ctx.on_stop(move || accept.unblock());
        loop {
            match server.recv() {
                Ok(request) => self.answer(request, ctx),
                Err(_) if ctx.stop_requested() => return Ok(()),
                Err(error) => return Err(error.into()),
            }
        }
    }
}
