//! `DynamicGroup`: services that are added and removed while the host runs (Erlang: `DynamicSupervisor`).
//!
//! The members live in a registry, as the services of a [group](super::group) do. The thread of a member creates no work for
//! another thread when it ends: the last thing that it does is to free its name and its record. The stop of the group is that of a
//! host whose services are the members that are alive.

use super::Host;
use super::add_member::GroupRun;
use super::group::{close, stop_application};
use super::member::Member;
use super::member_error::AddError;
use super::options::ServiceOptions;
use super::stop_request::request_member_stop;
use super::validate::HostedService;
use crate::diagnose::Waits;
use crate::registry::{HostHandle, Registry};
use crate::report::{Result, ServiceStatus, StopReason};
use crate::service::{Context, Service};
use crate::stop::{StopSource, StopToken, Stopped};
use crate::util::log::log_line;
use crate::util::panic::drop_catching_panic;
use crate::util::sync::{Arc, Mutex};
use log::Level;
use std::{fmt, mem};

/// A group whose members are added and removed while the host runs. Clones are the same group.
///
/// Use it for units of work that come and go: a connection, a device, a tenant. Each member is a service with a thread of its own,
/// and is shown as `group/member` in logs, statuses, events, reports and thread names.
///
/// - A member starts at once. `add` returns when its thread exists.
/// - A member that ends is forgotten: its name is free, and nothing of it is left. [`Member`] keeps its outcome.
/// - A failure of a member is a warning and an event, and counts as an error of the group. The host continues, unless the options
///   of the member say otherwise.
/// - When the stop of the group is requested, all members receive their stop request at once. They share the stop deadline of the
///   group.
/// - If a member is hung, the group is hung too.
///
/// A host runs the group as the service that [`service`](Self::service) returns. Erlang: `DynamicSupervisor`. Tokio: `JoinSet` and
/// `TaskTracker`.
///
/// ```
/// use hosted::{DynamicGroup, Host, once, worker};
/// use std::time::Duration;
///
/// let devices = DynamicGroup::new().limit(100);
/// let mut host = Host::new();
/// host.add("devices", devices.service());
/// let plugged = devices.clone();
/// host.add("watcher", worker(move |ctx| {
///     plugged.add("usb-1", worker(|ctx| { ctx.wait(); Ok(()) }))?; // a device appears
///     ctx.wait();
///     Ok(())
/// }));
/// host.start().unwrap();
/// let probe = devices.add("probe", once(|_| Ok(()))).unwrap();
/// probe.wait(Duration::from_secs(10)).expect("it ends by itself");
/// host.stop(Duration::from_secs(10)).unwrap();
/// ```
#[doc(alias("DynamicSupervisor", "JoinSet", "TaskTracker", "Supervisor", "spawn"))]
#[derive(Clone, Default)]
pub struct DynamicGroup {
    state: Arc<Mutex<GroupState>>,
}

#[derive(Default)]
struct GroupState {
    limit: Option<usize>,
    /// A service of this group exists that a host may run.
    has_service: bool,
    /// The latest run of the service.
    run: Option<GroupRun>,
}

impl DynamicGroup {
    /// Creates a group without members and without a limit.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many members may be alive at the same time. Default: no limit.
    ///
    /// The limit counts each member until nothing of it is left. At the limit, [`add`](Self::add) returns [`AddError::Full`];
    /// [`wait_for_room`](Self::wait_for_room) waits until there is room. A new limit applies from the next start of the group's service
    /// on. A limit of zero is an error of [`Host::start`](crate::Host::start).
    #[doc(alias("max_children", "Semaphore"))]
    pub fn limit(self, members: usize) -> Self {
        self.state.lock().limit = Some(members);
        self
    }

    /// Creates the service that runs the group. Add it to a host, once.
    ///
    /// If a group has two services, the second one is an error of [`Host::start`](crate::Host::start). When the service is restarted, as a
    /// part of a [`group`](crate::group), it begins without members.
    pub fn service(&self) -> impl Service {
        let is_second = mem::replace(&mut self.state.lock().has_service, true);
        DynamicService { group: self.clone(), is_second, run: None }
    }

    /// Adds a member, and starts it at once on a thread of its own. Returns when that thread exists.
    ///
    /// Any thread may call this: a member too, for this group or another one.
    ///
    /// # Errors
    ///
    /// - [`AddError::NotRunning`] until the service of the group has started, and [`AddError::Stopped`] after its stop request.
    /// - [`AddError::Full`] if the [`limit`](Self::limit) is reached.
    /// - [`AddError::Duplicate`] if a member of that name is alive.
    /// - [`AddError::Invalid`] if the name is empty or contains NUL, or if the service is not valid.
    /// - [`AddError::NoThread`] if the operating system does not create the thread.
    ///
    /// The service is dropped in all these cases.
    #[doc(alias("start_child", "spawn"))]
    pub fn add(&self, name: impl Into<Arc<str>>, service: impl Service) -> Result<Member, AddError> {
        self.add_with(name, service, ServiceOptions::default())
    }

    /// Adds a member with options.
    ///
    /// The default of [`on_failure`](ServiceOptions::on_failure) is [`Ignore`](crate::OnFailure::Ignore) for a member. With
    /// [`StopHost`](crate::OnFailure::StopHost), a failure of the member stops the host. The options
    /// [`after`](ServiceOptions::after), [`independent`](ServiceOptions::independent) and
    /// [`on_completion`](ServiceOptions::on_completion) have no meaning for a member.
    ///
    /// ```
    /// use hosted::{DynamicGroup, Host, Restart, ServiceOptions, worker};
    /// use std::time::Duration;
    ///
    /// let tenants = DynamicGroup::new();
    /// let mut host = Host::new();
    /// host.add("tenants", tenants.service());
    /// host.start().unwrap();
    /// let mut options = ServiceOptions::new();
    /// options.restart(Restart::on_failure()).stack_size(256 << 10);
    /// tenants.add_with("acme", worker(|ctx| { ctx.wait(); Ok(()) }), options).unwrap();
    /// # host.stop(Duration::from_secs(10)).unwrap();
    /// ```
    ///
    /// # Errors
    ///
    /// Those of [`add`](Self::add), and [`AddError::Invalid`] if an option has no meaning for a member.
    pub fn add_with(
        &self,
        name: impl Into<Arc<str>>,
        service: impl Service,
        options: ServiceOptions,
    ) -> Result<Member, AddError> {
        self.add_stopped_by(StopSource::new(), name.into(), Box::new(service), options)
    }

    /// Adds a member whose token is that of `source`.
    pub(crate) fn add_stopped_by(
        &self,
        source: StopSource,
        name: Arc<str>,
        service: Box<dyn Service>,
        options: ServiceOptions,
    ) -> Result<Member, AddError> {
        let mut service = Some(service);
        let added = self.run().and_then(|run| run.add(name, &mut service, &options, source));
        if let Err(text) = drop_catching_panic(service) {
            log_line(
                Level::Error,
                "hosted::service",
                format_args!("panic while dropping a member that was not added: {text}"),
            );
        }
        added
    }

    /// Blocks until fewer members are alive than the [`limit`](Self::limit) allows. Without a limit, it returns at once.
    ///
    /// Another thread may take the room before this one does: [`add`](Self::add) then returns [`AddError::Full`].
    ///
    /// ```
    /// use hosted::{AddError, DynamicGroup, Member, Result, StopToken, worker};
    ///
    /// fn add_when_there_is_room(group: &DynamicGroup, name: &str, stop: &StopToken) -> Result<Member> {
    ///     loop {
    ///         group.wait_for_room(stop)?;
    ///         match group.add(name, worker(|ctx| { ctx.wait(); Ok(()) })) {
    ///             Err(AddError::Full) => {}
    ///             added => return Ok(added?),
    ///         }
    ///     }
    /// }
    /// # let _ = add_when_there_is_room;
    /// ```
    ///
    /// # Errors
    ///
    /// [`Stopped`] once the stop of `token` is requested.
    pub fn wait_for_room(&self, token: &StopToken) -> Result<(), Stopped> {
        loop {
            token.check()?;
            let Some(registry) = self.registry() else { return Ok(()) };
            match registry.register_for_room(token) {
                Some(room) => _ = room.wait_until(None, Waits::MemberRoom),
                None => return Ok(()),
            }
        }
    }

    /// Returns the member of that name, or `None` if no such member is alive.
    #[doc(alias = "whereis")]
    pub fn get(&self, name: &str) -> Option<Member> {
        self.registry()?.member(name).map(Member::new)
    }

    /// Returns the status of every member that is alive, all of one moment: the hung members first, then the others in the order in
    /// which they were added.
    #[doc(alias = "which_children")]
    pub fn members(&self) -> Vec<ServiceStatus> {
        let rows = self.registry().map(|registry| registry.member_statuses());
        HostHandle::with_blocked_in(rows.unwrap_or_default())
    }

    /// Returns the number of members that are alive.
    #[doc(alias = "count_children")]
    pub fn len(&self) -> usize {
        self.registry().map_or(0, |registry| registry.member_count())
    }

    /// Returns `true` if no member is alive.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns a token that stops when a member requests the stop of the host.
    #[cfg(feature = "io")]
    pub(crate) fn stopping(&self) -> StopToken {
        self.registry().map_or_else(StopToken::never, |registry| HostHandle::new(registry).stopping())
    }

    fn registry(&self) -> Option<Arc<Registry>> {
        self.state.lock().run.as_ref().map(|run| run.registry.clone())
    }

    fn run(&self) -> Result<GroupRun, AddError> {
        let run = self.state.lock().run.clone().ok_or(AddError::NotRunning)?;
        if run.token.stop_requested() { Err(AddError::Stopped) } else { Ok(run) }
    }
}

impl fmt::Debug for DynamicGroup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DynamicGroup").field("members", &self.len()).finish_non_exhaustive()
    }
}

/// The service that runs a dynamic group.
struct DynamicService {
    group: DynamicGroup,
    is_second: bool,
    /// From `start` until `close`.
    run: Option<GroupRun>,
}

impl Service for DynamicService {
    fn start(&mut self, ctx: &Context) -> Result {
        let registry = Registry::new(ctx.id().map(|_| (ctx.registry(), ctx.shared_name())));
        let limit = self.group.state.lock().limit;
        registry.open_for_members(limit, ctx.id().map(|id| (Arc::downgrade(ctx.host().registry()), id)));
        if let Some(id) = ctx.id() {
            // `adopt` returns the registry of the last run. It is dropped outside the lock: the errors in it are user code.
            drop(ctx.registry().adopt(id, registry.clone()));
        }
        let (clock, token, name) = (ctx.clock().clone(), ctx.stop_token().clone(), ctx.shared_name());
        let run = GroupRun { registry, clock, token, name };
        let last = self.group.state.lock().run.replace(run.clone());
        drop(last); // outside the lock, for the same reason
        self.run = Some(run);
        Ok(())
    }

    fn run(&mut self, ctx: &Context) -> Result {
        if let Some(run) = &self.run {
            let stopping = HostHandle::new(run.registry.clone()).stopping();
            StopSource::linked([ctx.stop_token(), &stopping]).token().wait();
            if !ctx.stop_requested() {
                stop_application(ctx); // a member has requested the stop of the host
            }
        }
        self.close(ctx)
    }

    fn stop(&mut self, ctx: &Context) -> Result {
        self.close(ctx) // if `run` was not called
    }

    fn validate(&self) -> Result {
        if self.is_second {
            return Err(
                "this dynamic group has a service already; call `service` once, and clone the group instead".into()
            );
        }
        match self.group.state.lock().limit {
            Some(0) => Err("the limit of a dynamic group must not be zero".into()),
            _ => Ok(()),
        }
    }
}

impl DynamicService {
    /// Stops all members. Returns when nothing of them is left.
    fn close(&mut self, ctx: &Context) -> Result {
        self.run.take().map_or(Ok(()), |run| close(Host::of_members(run), ctx))
    }
}

impl Drop for DynamicService {
    fn drop(&mut self) {
        if !self.is_second {
            self.group.state.lock().has_service = false;
        }
        // Only if somebody has called `start` without a host, and neither `run` nor `stop`.
        if let Some(run) = self.run.take() {
            run.registry.request_stop(StopReason::Requested).run_on_thread();
            run.registry.living_members().iter().for_each(|member| request_member_stop(member, None, None));
        }
    }
}

impl Host {
    /// Creates a host of the members that are alive, so that they are stopped like the services of any host. No member is added
    /// from now on.
    fn of_members(run: GroupRun) -> Self {
        let GroupRun { registry, clock, name, .. } = run;
        registry.request_stop(StopReason::Requested).run_on_thread();
        let mut host = Host::on(registry.clone(), clock, Some(name), None);
        host.services.resize_with(registry.capacity_of_records(), HostedService::vacant);
        for member in registry.living_members() {
            host.services[member.id().index()] = HostedService {
                name: member.name.clone(),
                options: ServiceOptions::of_member(member.stop_timeout, member.disconnects),
                member: Some(member.clone()),
                ..HostedService::vacant()
            };
        }
        host
    }
}
