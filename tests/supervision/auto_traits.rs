//! Which types may cross threads: `Host`, the handles, the tokens, and every error.

use hosted::testing::ManualClock;
use hosted::{
    BoxError, Cause, Clock, Consumer, Context, Event, Every, Host, HostError, HostHandle, PushError, Queue, RecvError,
    Report, Restart, Service, ServiceError, ServiceOptions, ServiceStatus, StopCallback, StopSource, StopToken,
    Stopped, Ticks,
};
use std::cell::Cell;
use std::error::Error;

fn send<T: Send>() {}
fn send_sync<T: Send + Sync>() {}
fn error<T: Error + Send + Sync + 'static>() {}
fn service<T: Service>() {}

/// Can be sent, but not shared.
type Unshared = Cell<u32>;

#[test]
fn a_host_can_be_sent_to_another_thread_and_so_can_its_services() {
    send::<Host>();
    send::<Box<dyn Service>>();
    service::<Box<dyn Service>>();
    service::<Every<fn(&Context) -> hosted::Result>>();
    service::<Consumer<Unshared, fn(Unshared, &Context) -> hosted::Result>>();
}

#[test]
fn handles_contexts_tokens_and_sources_are_send_and_sync() {
    send_sync::<HostHandle>();
    send_sync::<Context>();
    send_sync::<StopToken>();
    send_sync::<StopSource>();
    send_sync::<Clock>();
    send_sync::<ManualClock>();
}

#[test]
fn a_queue_is_send_and_sync_if_its_items_are_send() {
    send_sync::<Queue<String>>();
    send_sync::<Queue<Unshared>>();
    send_sync::<Queue<Box<dyn FnOnce() + Send>>>();
}

#[test]
fn the_guard_of_a_callback_and_the_ticks_can_be_sent() {
    send::<StopCallback>();
    send::<Ticks>();
}

#[test]
fn reports_events_and_statuses_are_send_and_sync() {
    send_sync::<Event>();
    send_sync::<Report>();
    send_sync::<ServiceStatus>();
    send_sync::<ServiceOptions>();
    send_sync::<Restart>();
    send_sync::<Cause>();
}

#[test]
fn every_error_is_static_send_and_sync() {
    error::<Stopped>();
    error::<RecvError>();
    error::<ServiceError>();
    error::<HostError>();
    error::<PushError<String>>();
    send_sync::<BoxError>();
}

#[test]
fn a_push_error_is_an_error_for_every_item_type() {
    fn is_error<T: Error>() {}
    struct Opaque; // no Debug, no Display
    is_error::<PushError<Opaque>>();
    is_error::<PushError<Unshared>>();
    send::<PushError<Unshared>>();
}

#[test]
fn all_errors_convert_with_the_question_mark() {
    fn host() -> hosted::Result {
        let mut host = Host::new();
        host.start()?;
        Ok(())
    }
    fn push() -> hosted::Result {
        let queue = Queue::bounded(1);
        queue.push("item")?;
        StopToken::never().check()?;
        Ok(())
    }
    host().unwrap();
    push().unwrap();
}
