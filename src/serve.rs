//! `serve`: a server as a ready-made service. Each connection is a member of a dynamic group.

use crate::host::{AddError, DynamicGroup, ServiceOptions};
use crate::io::{Listener, Pauses, is_broken};
use crate::report::Result;
use crate::service::{Context, Service, once};
use crate::stop::StopSource;
use crate::util::panic::catch_panic;
use crate::util::sync::{Arc, Mutex};
use std::error::Error;
use std::{fmt, io};

/// How many connections a server has at most, unless it is configured otherwise.
const MAX_CONNECTIONS: usize = 1_000;

/// Creates a service that accepts connections and calls `f` for each, on a thread of its own. Feature `io`.
///
/// `listener` is a [`TcpListener`](std::net::TcpListener), a [`UnixListener`](std::os::unix::net::UnixListener), or an `Arc` of one. Each
/// connection is a member of a [`DynamicGroup`]: `echo/127.0.0.1:51234`. It has its own [`Context`], whose token stops when the stop of
/// the server is requested. A connection of a Unix listener has a number: `echo/1`.
///
/// - If `f` returns an error or panics, the connection ends. The failure is a warning and an event, and counts as an error of the
///   server. Other connections continue.
/// - If the process has no descriptor or no thread left for a connection, the server waits until there is one again, and accepts
///   nothing meanwhile. The clients wait in the backlog of the listener. Each connection takes two descriptors: its stream, and the
///   [descriptor](crate::StopToken::fd) of its token.
/// - If the listener is broken, the service fails with a [`ListenerError`].
/// - At a stop request, the server accepts no more connections. Then every connection receives its stop request. A connection that
///   does not end by the stop deadline is named in the log and in the report.
/// - A restart of the service continues with the clients that wait in the backlog.
///
/// Read through [`ctx.interruptible`](Context::interruptible), so that a read returns at the stop request:
///
/// ```
/// use hosted::{Context, Host, Result, serve};
/// use std::io::{BufRead, BufReader, Write};
/// use std::net::{TcpListener, TcpStream};
/// use std::time::Duration;
///
/// fn talk(client: TcpStream, ctx: &Context) -> Result {
///     for line in BufReader::new(ctx.interruptible(&client)).lines() {
///         writeln!(&client, "{}", line?.to_uppercase())?;
///     }
///     Ok(())
/// }
///
/// # fn main() -> Result {
/// let listener = TcpListener::bind("127.0.0.1:0")?;
/// let address = listener.local_addr()?;
/// let mut host = Host::new();
/// host.add("echo", serve(listener, talk));
/// host.start()?;
///
/// let mut client = TcpStream::connect(address)?;
/// client.write_all(b"hello\n")?;
/// let mut answer = String::new();
/// BufReader::new(client).read_line(&mut answer)?;
/// assert_eq!(answer, "HELLO\n");
/// host.stop(Duration::from_secs(10))?;
/// # Ok(()) }
/// ```
#[doc(alias("server", "TcpListener", "Kestrel", "listen"))]
pub fn serve<L, F>(listener: L, f: F) -> Serve<L, F>
where
    L: Listener + Send + Sync + 'static,
    F: Fn(L::Stream, &Context) -> Result + Send + Sync + 'static,
{
    Serve {
        listener: Arc::new(listener),
        f: Arc::new(f),
        when_full: None,
        max_connections: MAX_CONNECTIONS,
        options: ServiceOptions::new(),
        connections: DynamicGroup::new().limit(MAX_CONNECTIONS),
        group: None,
        waiting: None,
        accepted: 0,
    }
}

/// What a server does with a connection that it has no room for.
type WhenFull<S> = Box<dyn Fn(S) + Send>;

/// The service that accepts connections. Created by [`serve`].
#[must_use = "a service does nothing until a host runs it"]
pub struct Serve<L: Listener, F> {
    listener: Arc<L>,
    f: Arc<F>,
    when_full: Option<WhenFull<L::Stream>>,
    max_connections: usize,
    /// The options of each connection.
    options: ServiceOptions,
    connections: DynamicGroup,
    /// The service that runs `connections`, from `start` until `stop`.
    group: Option<Box<dyn Service>>,
    /// A connection that was accepted, and could not be served before the stop. The next run begins with it.
    waiting: Option<Client<L>>,
    /// How many connections have been accepted.
    accepted: u64,
}

/// An accepted connection, and its name.
struct Client<L: Listener> {
    stream: L::Stream,
    name: String,
}

impl<L, F> Serve<L, F>
where
    L: Listener + Send + Sync + 'static,
    F: Fn(L::Stream, &Context) -> Result + Send + Sync + 'static,
{
    /// Sets how many connections the server has at most. Default: 1,000. Further clients wait in the backlog of the listener, unless
    /// [`when_full`](Self::when_full) is set. Zero is an error of [`Host::start`](crate::Host::start).
    pub fn max_connections(mut self, n: usize) -> Self {
        self.max_connections = n;
        self.connections = self.connections.limit(n);
        self
    }

    /// Accepts connections beyond [`max_connections`](Self::max_connections) too, and calls `f` with each, which may answer "busy". The
    /// connection is closed when `f` drops it. `f` runs on the thread that accepts, so it must not block.
    ///
    /// ```
    /// use hosted::serve;
    /// use std::io::Write;
    /// use std::net::{TcpListener, TcpStream};
    ///
    /// # fn main() -> std::io::Result<()> {
    /// let server = serve(TcpListener::bind("127.0.0.1:0")?, |_client, ctx| { ctx.wait(); Ok(()) })
    ///     .max_connections(100)
    ///     .when_full(|mut client: TcpStream| _ = client.write_all(b"busy\n"));
    /// # drop(server);
    /// # Ok(()) }
    /// ```
    pub fn when_full(mut self, f: impl Fn(L::Stream) + Send + Sync + 'static) -> Self {
        self.when_full = Some(Box::new(f));
        self
    }

    /// Sets the stack size of the thread of each connection, in bytes. Default: that of the standard library, 2 MiB.
    pub fn stack_size(mut self, bytes: usize) -> Self {
        self.options.stack_size(bytes);
        self
    }

    /// Allows a forced disconnect of each connection that is still blocked on a socket at its stop deadline. See
    /// [`ServiceOptions::disconnect_when_hung`]. Features `io` and `disconnect`; Linux.
    #[cfg(feature = "disconnect")]
    pub fn disconnect_when_hung(mut self) -> Self {
        self.options.disconnect_when_hung();
        self
    }

    /// Accepts and serves connections, until the stop of the server is requested or the listener is broken.
    fn accept_until_end(&mut self, ctx: &Context) -> ServeEnd {
        // A connection that requests the stop of the host stops its group.
        let stop = StopSource::linked([ctx.stop_token(), &self.connections.stopping()]);
        let ctx = &ctx.with_token(stop.token());
        let listener = self.listener.clone();
        let mut clients = ctx.incoming_clients(&*listener);
        let mut waiting = self.waiting.take();
        loop {
            if let Some(client) = waiting.take() {
                if let Err(unserved) = self.serve(client, ctx) {
                    self.waiting = Some(unserved);
                    return ServeEnd::Stopped;
                }
            }
            if self.when_full.is_none() && self.connections.wait_for_room(ctx.stop_token()).is_err() {
                return ServeEnd::Stopped;
            }
            match clients.next() {
                None => return ServeEnd::Stopped,
                Some(Ok((stream, address))) => {
                    self.accepted += 1;
                    let name = L::client_name(&address).unwrap_or_else(|| self.accepted.to_string());
                    waiting = Some(Client { stream, name });
                }
                Some(Err(error)) if is_broken(&error) => return ServeEnd::Broken(self.listener_error(error)),
                Some(Err(error)) => ctx.report_error(error),
            }
        }
    }

    /// Creates the member that serves the client. Waits while there is no descriptor or no thread for it. Returns the client if the
    /// stop is requested first.
    fn serve(&self, client: Client<L>, ctx: &Context) -> Result<(), Client<L>> {
        let Client { stream, name } = client;
        // The stream stays here until a thread takes it.
        let stream = Arc::new(Mutex::new(Some(stream)));
        let unserved = |stream: &Mutex<Option<L::Stream>>| {
            stream.lock().take().map_or(Ok(()), |stream| Err(Client { stream, name: name.clone() }))
        };
        let (mut pauses, mut attempt) = (Pauses::default(), 1);
        loop {
            let shortage = match self.add(&stream, &name, attempt) {
                Ok(()) => return Ok(()),
                Err(Refusal::Shortage(error) | Refusal::Group(AddError::NoThread(error))) => error,
                Err(Refusal::Group(AddError::NotRunning | AddError::Stopped)) => return unserved(&stream),
                Err(Refusal::Group(AddError::Duplicate(_))) => {
                    attempt += 1; // the client has come back while something of its last connection was left
                    continue;
                }
                Err(Refusal::Group(AddError::Full)) => {
                    self.turn_away(&stream, ctx);
                    return Ok(());
                }
                Err(Refusal::Group(error @ AddError::Invalid(_))) => {
                    ctx.report_error(error);
                    return Ok(());
                }
            };
            if pauses.is_first() {
                let text = format!("cannot serve `{name}` for now: {shortage}; trying again, at least once a second");
                ctx.report_error(text);
            }
            // Real time: with a clock that stands still, no descriptor would ever be tried again.
            if ctx.stop_token().wait_timeout(pauses.next()) {
                return unserved(&stream);
            }
        }
    }

    fn add(&self, stream: &Arc<Mutex<Option<L::Stream>>>, name: &str, attempt: u32) -> Result<(), Refusal> {
        let source = StopSource::new();
        // Nearly every connection needs the descriptor of its token, for reads that end at the stop. Without one its reads would
        // fail, and the client would be lost.
        source.token().fd().map_err(Refusal::Shortage)?;
        let (f, stream) = (self.f.clone(), stream.clone());
        let talk = once(move |ctx| {
            let taken = stream.lock().take();
            taken.map_or(Ok(()), |stream| f(stream, ctx))
        });
        let name = if attempt == 1 { name.into() } else { format!("{name} #{attempt}").into() };
        let added = self.connections.add_stopped_by(source, name, Box::new(talk), self.options.clone());
        added.map(drop).map_err(Refusal::Group)
    }

    /// Gives a connection for which there is no room to the user.
    fn turn_away(&self, stream: &Mutex<Option<L::Stream>>, ctx: &Context) {
        let taken = stream.lock().take();
        if let (Some(stream), Some(when_full)) = (taken, &self.when_full) {
            if let Err(text) = catch_panic(|| when_full(stream)) {
                ctx.report_error(format!("`when_full` panicked: {text}"));
            }
        }
    }

    fn listener_error(&self, error: io::Error) -> ListenerError {
        ListenerError { address: self.listener.own_address(), error }
    }
}

/// Why no member was created for a client.
enum Refusal {
    /// There is no descriptor for its token.
    Shortage(io::Error),
    Group(AddError),
}

/// Why a server accepts no more connections.
enum ServeEnd {
    Stopped,
    Broken(ListenerError),
}

impl<L, F> Service for Serve<L, F>
where
    L: Listener + Send + Sync + 'static,
    F: Fn(L::Stream, &Context) -> Result + Send + Sync + 'static,
{
    fn start(&mut self, ctx: &Context) -> Result {
        drop(self.group.take()); // that of the last run, whose connections have ended
        let mut group: Box<dyn Service> = Box::new(self.connections.service());
        group.start(ctx)?;
        self.group = Some(group);
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        let end = self.accept_until_end(ctx);
        match (self.group.as_mut(), end) {
            // The stop was requested. The group requests the stop of every connection, and waits for all of them.
            (Some(group), ServeEnd::Stopped) => group.run(ctx),
            (Some(group), ServeEnd::Broken(error)) => {
                group.stop(ctx)?;
                Err(error.into())
            }
            (None, _) => Ok(()), // `start` was not called
        }
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.group.take().map_or(Ok(()), |mut group| group.stop(ctx)) // if `run` was not called, or panicked
    }

    fn validate(&self) -> Result {
        if self.max_connections == 0 { Err("`max_connections` must not be zero".into()) } else { Ok(()) }
    }
}

/// The failure of a server whose listener accepts no connection any more: it was closed or shut down.
///
/// ```
/// use hosted::{Cause, Host, ListenerError, serve};
/// use std::net::{Shutdown, TcpListener, TcpStream};
/// use std::os::fd::OwnedFd;
/// use std::sync::Arc;
///
/// let listener = Arc::new(TcpListener::bind("127.0.0.1:0").unwrap());
/// let mut host = Host::new();
/// host.add("echo", serve(listener.clone(), |_, _| Ok(())));
/// host.start().unwrap();
/// // Somebody shuts the listener down:
/// let socket: TcpStream = OwnedFd::from(listener.try_clone().unwrap()).into();
/// socket.shutdown(Shutdown::Both).unwrap();
/// host.wait();
/// let error = host.stop(std::time::Duration::from_secs(10)).unwrap_err();
/// let Cause::Failed(cause) = error.failures()[0].cause() else { panic!("{error}") };
/// assert!(cause.is::<ListenerError>());
/// ```
#[derive(Debug)]
pub struct ListenerError {
    address: Option<String>,
    error: io::Error,
}

impl ListenerError {
    /// Returns the error of the system.
    pub fn io_error(&self) -> &io::Error {
        &self.error
    }
}

impl fmt::Display for ListenerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Some(address) => write!(f, "the listener at {address} accepts no more connections: {}", self.error),
            None => write!(f, "the listener accepts no more connections: {}", self.error),
        }
    }
}

impl Error for ListenerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&self.error)
    }
}
