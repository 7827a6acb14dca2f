//! `web`: shows the status as a page for people and as JSON for programs.

use crate::page::page;
use crate::status::Sources;
use hosted::{Context, Result, Service};
use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, TcpListener};
use std::sync::Arc;
use tiny_http::{Header, Method, Request, Response, Server};

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const TEXT: &str = "text/plain; charset=utf-8";

/// The first port that is tried if none is asked for, and how many after it.
const FIRST_PORT: u16 = 8080;
const PORTS: u16 = 100;

pub struct Web {
    /// After the first start it is the one that was found: after a restart the page is where it was.
    port: Option<u16>,
    sources: Sources,
    /// The listening server, from `start` until `run` takes it.
    server: Option<Arc<Server>>,
}

impl Web {
    pub fn new(port: Option<u16>, sources: Sources) -> Self {
        Web { port, sources, server: None }
    }

    fn answer(&self, request: Request, ctx: &Context) {
        let (status, kind, body) = self.find(&request, ctx).unwrap_or_else(|error| {
            let text = error.to_string();
            ctx.report_error(error);
            (500, TEXT, text)
        });
        let header = Header::from_bytes("Content-Type", kind).expect("three constants that are headers");
        let response = Response::from_string(body).with_status_code(status).with_header(header);
        _ = request.respond(response); // the client may have closed the connection
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
    /// Binds the port, so that a port that was asked for and is in use fails the start.
    fn start(&mut self, _: &Context) -> Result {
        let listener = match self.port {
            Some(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, port))?,
            None => first_free()?,
        };
        self.port = Some(listener.local_addr()?.port());
        let server = Server::from_listener(listener, None)?;
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

/// The same address at each start, if nobody else has it.
fn first_free() -> io::Result<TcpListener> {
    let ports = FIRST_PORT..FIRST_PORT + PORTS;
    let mut bound = ports.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    let taken = |bound: &io::Result<_>| matches!(bound, Err(error) if error.kind() == ErrorKind::AddrInUse);
    bound.find(|bound| !taken(bound)).unwrap_or_else(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}
