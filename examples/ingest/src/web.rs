//! `web`: shows the status as an HTML page and as JSON.

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

/// The first port to try if the command line has none, and how many ports after it.
const FIRST_PORT: u16 = 8080;
const PORTS: u16 = 100;

pub struct Web {
    /// The address to listen on. After the first start it is the address that was found, so that a restart does not
    /// move the page.
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
        let header = Header::from_bytes("Content-Type", kind).expect("three constants that are valid headers");
        let response = Response::from_string(body).with_status_code(status).with_header(header);
        _ = request.respond(response); // the client may have closed the connection
    }

    fn find(&self, request: &Request, ctx: &Context) -> Result<(u16, &'static str, String)> {
        if !matches!(request.method(), Method::Get | Method::Head) {
            return Ok((405, TEXT, "This page can only be read.\n".to_owned()));
        }
        Ok(match request.url().split('?').next() {
            Some("/") => (200, HTML, page(&self.sources.read(ctx)?)),
            Some("/status.json") => (200, JSON, format!("{:#}\n", self.sources.read(ctx)?.json())),
            _ => (404, TEXT, "There are / and /status.json.\n".to_owned()),
        })
    }
}

impl Service for Web {
    /// Binds the port. So the start fails if the port of the command line is in use.
    fn start(&mut self, _: &Context) -> Result {
        let listener = match self.port {
            Some(port) => TcpListener::bind((Ipv4Addr::LOCALHOST, port))?,
            None => first_free()?,
        };
        self.port = Some(listener.local_addr()?.port());
        let server = Server::from_listener(listener, None)?;
        log::info!("the page is at http://{}/", server.server_addr());
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

/// Listens on the same address at each start, if no other program uses it.
fn first_free() -> io::Result<TcpListener> {
    let ports = FIRST_PORT..FIRST_PORT + PORTS;
    let mut bound = ports.map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
    let taken = |bound: &io::Result<_>| matches!(bound, Err(error) if error.kind() == ErrorKind::AddrInUse);
    bound.find(|bound| !taken(bound)).unwrap_or_else(|| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
}
