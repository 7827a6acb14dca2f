//! `StatusServer`: what a program makes, and the service that it is.

use super::accept::Acceptor;
use super::address::StatusAddress;
use super::answers::Answers;
use super::connection::{Connection, NO_CONTENT};
use super::events::Events;
use super::facts::Facts;
use super::hosts::AllowedHosts;
use super::http::Response;
use crate::report::{Event, Result};
use crate::service::{Context, Service};
use crate::stop::{StopSource, StopToken};
use crate::util::log::log_line;
use crate::util::sync::Arc;
use crate::util::sync::thread::Builder;
use crate::util::text::Escaped;
use crossbeam_channel::Receiver;
use log::Level;
use std::fmt;
use std::io;
use std::net::{TcpListener, TcpStream};
use std::path::Path;

/// A service that answers probes, metrics and a page for people over HTTP. Feature `status`; Unix.
///
/// Add it first. It then starts first and stops last, and so answers during the start and the stop of all others.
///
/// | path | answer |
/// |---|---|
/// | `/livez` | 200, or 503 if a service is hung or stalled |
/// | `/readyz` | 200, or 503 during start, drain and stop, or if a service whose failure counts is degraded or stalled |
/// | `/startupz` | 200 once every service has started, 503 before |
/// | `/metrics` | metrics of the host and its services, as OpenMetrics text |
/// | `/status.json` | everything that the page shows; with `?service=NAME`, also what its thread is blocked in |
/// | `/` | a page for people that stays current on its own |
///
/// A probe's text names the services that it failed for.
///
/// The server is safe to leave open on loopback, and answers only what can be read by anyone who reaches its address:
/// names, states and error messages of services, and your facts. It has no access control. It speaks plain HTTP/1.1.
///
/// - It answers GET and HEAD, and only for a `Host` that is an address, `localhost`, or an
///   [allowed name](Self::allow_host): a web page of another site cannot read it.
/// - It serves 64 connections at a time. Further connections get 503.
/// - A request must arrive within 5 s, and its header must not exceed 8 KiB.
/// - Each connection has a thread, named after the service and the client. The stop ends all of them within milliseconds.
///
/// ```
/// use hosted::{Host, StatusServer, worker};
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
///
/// # fn main() -> std::io::Result<()> {
/// let server = StatusServer::bind("127.0.0.1:0").facts("Totals", || vec![("jobs".to_owned(), "42".to_owned())]);
/// let address = server.local_addr();
/// let mut host = Host::new();
/// host.add("status", server);
/// host.add("poller", worker(|ctx| { ctx.wait(); Ok(()) }));
/// host.start().unwrap();
///
/// let mut client = TcpStream::connect(address.get().unwrap())?;
/// client.write_all(b"GET /readyz HTTP/1.0\r\n\r\n")?;
/// let mut answer = String::new();
/// client.read_to_string(&mut answer)?;
/// assert!(answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with("\r\n\r\nready\n"));
/// # host.stop(std::time::Duration::from_secs(10)).unwrap();
/// # Ok(()) }
/// ```
#[doc(alias("health check", "MapHealthChecks", "livenessProbe", "readinessProbe", "metrics"))]
#[must_use = "a service does nothing until a host runs it"]
pub struct StatusServer {
    bind_to: String,
    address: StatusAddress,
    hosts: AllowedHosts,
    facts: Vec<Arc<Facts>>,
    /// Kept over restarts, with the connections that wait in it.
    listener: Option<TcpListener>,
    events: Arc<Events>,
    /// From the first start on.
    subscription: Option<Receiver<Event>>,
}

impl StatusServer {
    /// Creates a server that listens on `address`, for example `127.0.0.1:9090`, `[::1]:9090` or `0.0.0.0:9090`.
    ///
    /// With port 0 the system picks a free port. A log line (INFO) and [`local_addr`](Self::local_addr) tell which. The
    /// server opens the port when it starts. If that fails, [`Host::start`](crate::Host::start) returns an error that
    /// quotes the address.
    pub fn bind(address: impl Into<String>) -> Self {
        StatusServer {
            bind_to: address.into(),
            address: StatusAddress::unknown(),
            hosts: AllowedHosts::default(),
            facts: Vec::new(),
            listener: None,
            events: Arc::default(),
            subscription: None,
        }
    }

    /// Returns a handle to the address on which the server listens once it has started.
    ///
    /// Take it before the server moves into its host.
    pub fn local_addr(&self) -> StatusAddress {
        self.address.clone()
    }

    /// Shows what `f` returns on the page and in `/status.json`, as names and values under `title`.
    ///
    /// The server calls `f` when somebody requests the page, on a dedicated thread, one call at a time. The page waits for
    /// 250 ms. If `f` takes longer, or panics, the page shows the previous values and says so. Probes and metrics never
    /// call `f`.
    pub fn facts<F>(mut self, title: impl Into<String>, f: F) -> Self
    where
        F: Fn() -> Vec<(String, String)> + Send + Sync + 'static,
    {
        self.facts.push(Arc::new(Facts::new(title.into(), Box::new(f))));
        self
    }

    /// Answers also for this host name: the name of the machine, of a Kubernetes service, or of a proxy.
    ///
    /// A name without a port stands for every port.
    pub fn allow_host(mut self, name: impl Into<String>) -> Self {
        self.hosts.add(name.into());
        self
    }

    /// Opens the port, unless it is open from before a restart. A restart keeps the port that the system picked.
    fn listen(&mut self) -> io::Result<()> {
        let listener = match (self.listener.take(), self.address.get()) {
            (Some(listener), _) => listener,
            (None, Some(address)) => TcpListener::bind(address)?,
            (None, None) => TcpListener::bind(&*self.bind_to)?,
        };
        self.address.set(listener.local_addr()?);
        self.listener = Some(listener);
        Ok(())
    }

    /// Serves until the stop, or until the listener is broken. When it returns, every thread that it started has ended.
    fn serve(&self, listener: &TcpListener, events: &Receiver<Event>, ctx: &Context) -> Result {
        let stop = StopSource::linked([ctx.stop_token()]);
        let (kept, token, events) = (self.events.clone(), stop.token(), events.clone());
        let collect = move || kept.collect(&events, &token);
        let collector = Builder::new().name(format!("{}:events", ctx.name())).spawn(collect)?;
        self.facts.iter().for_each(|facts| facts.open());
        let answers = Answers {
            ctx: ctx.clone(),
            program: program_name(),
            events: self.events.clone(),
            facts: self.facts.clone(),
        };
        let hosts = self.hosts.clone();
        let talk = move |stream: &TcpStream, token: &StopToken| {
            Connection::new(stream, token, &hosts).serve(&|request| answers.answer(request));
        };
        let release = || self.facts.iter().for_each(|facts| facts.close());
        let outcome = Acceptor::new(ctx, stop.clone(), Arc::new(talk), &refusal).run(listener, release);
        stop.request_stop();
        self.facts.iter().for_each(|facts| facts.join(ctx));
        _ = collector.join(); // what it calls of the user is caught
        outcome.map_err(|error| format!("cannot accept connections on `{}`: {error}", Escaped(&self.bind_to)).into())
    }

    fn log_address(&self, ctx: &Context) {
        let Some(address) = self.address.get() else { return };
        let name = Escaped(ctx.name());
        let text = format_args!("service `{name}` answers on http://{address}/");
        log_line(Level::Info, "hosted::service", text);
        if ctx.host().services().first().is_some_and(|first| &*first.name != ctx.name()) {
            let text = format_args!(
                "service `{name}` was not added first: it does not answer while the services before it start or stop; \
                 add it first"
            );
            log_line(Level::Warn, "hosted::service", text);
        }
    }
}

/// The answer to a connection beyond the limit.
fn refusal() -> Vec<u8> {
    Response::error(503, "too many connections; try again").to_bytes(false, false, NO_CONTENT)
}

fn program_name() -> String {
    let path = std::env::args_os().next().unwrap_or_default();
    Path::new(&path).file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned())
}

impl Service for StatusServer {
    fn start(&mut self, ctx: &Context) -> Result {
        // Subscribed before anything else, so that no event of this start is missed.
        self.subscription.get_or_insert_with(|| ctx.host().events());
        self.listen().map_err(|error| format!("cannot listen on `{}`: {error}", Escaped(&self.bind_to)))?;
        self.log_address(ctx);
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        let (Some(listener), Some(events)) = (self.listener.take(), self.subscription.clone()) else {
            return Err("the status server has not started".into());
        };
        self.serve(&listener, &events, ctx)?;
        // A listener that failed is not kept.
        self.listener = Some(listener);
        Ok(())
    }
}

impl Drop for StatusServer {
    fn drop(&mut self) {
        self.address.give_up();
    }
}

impl fmt::Debug for StatusServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StatusServer")
            .field("bind_to", &self.bind_to)
            .field("address", &self.address.get())
            .finish_non_exhaustive()
    }
}
