//! What a thread can wait for: this library, the primitives below it, and other crates.

use hosted::{StopSource, StopToken};
use parking_lot::{Condvar, Mutex};
use std::future::pending;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Poll, Wake, Waker};
use std::thread::{self, Thread};

/// Something that happens once, and that threads can wait for.
pub(crate) trait Signal: Clone + Send + Sync + 'static {
    fn fresh() -> Self;
    fn wait(&self);
    fn raise(&self);
}

/// The primitive that the library builds on: a lower bound.
#[derive(Clone)]
pub(crate) struct Bare(Arc<(Mutex<bool>, Condvar)>);

impl Signal for Bare {
    fn fresh() -> Self {
        Bare(Arc::default())
    }

    fn wait(&self) {
        let mut raised = self.0.0.lock();
        while !*raised {
            self.0.1.wait(&mut raised);
        }
    }

    fn raise(&self) {
        *self.0.0.lock() = true; // unlocks before it wakes a thread
        self.0.1.notify_all();
    }
}

/// The same with the standard library, as people write it by hand.
#[derive(Clone)]
pub(crate) struct Pair(pub(crate) Arc<(std::sync::Mutex<bool>, std::sync::Condvar)>);

impl Signal for Pair {
    fn fresh() -> Self {
        Pair(Arc::default())
    }

    fn wait(&self) {
        let raised = self.0.0.lock().unwrap();
        drop(self.0.1.wait_while(raised, |raised| !*raised).unwrap());
    }

    fn raise(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }
}

#[derive(Clone)]
pub(crate) struct Ours(StopSource, StopToken);

impl Signal for Ours {
    fn fresh() -> Self {
        let source = StopSource::new();
        let token = source.token();
        Ours(source, token)
    }

    fn wait(&self) {
        self.1.wait();
    }

    fn raise(&self) {
        self.0.request_stop();
    }
}

/// This library, by the receiver that disconnects at the stop.
#[derive(Clone)]
pub(crate) struct OurDone(Ours);

impl Signal for OurDone {
    fn fresh() -> Self {
        OurDone(Ours::fresh())
    }

    fn wait(&self) {
        _ = self.0.1.done().recv();
    }

    fn raise(&self) {
        self.0.raise();
    }
}

/// A channel whose only sender is dropped.
#[derive(Clone)]
pub(crate) struct Disconnect(Arc<Mutex<Option<crossbeam_channel::Sender<()>>>>, crossbeam_channel::Receiver<()>);

impl Signal for Disconnect {
    fn fresh() -> Self {
        let (sender, receiver) = crossbeam_channel::bounded(0);
        Disconnect(Arc::new(Mutex::new(Some(sender))), receiver)
    }

    fn wait(&self) {
        _ = self.1.recv();
    }

    fn raise(&self) {
        let sender = self.0.lock().take();
        drop(sender);
    }
}

#[derive(Clone)]
pub(crate) struct TokioUtil(tokio_util::sync::CancellationToken);

impl Signal for TokioUtil {
    fn fresh() -> Self {
        TokioUtil(tokio_util::sync::CancellationToken::new())
    }

    fn wait(&self) {
        block_on(self.0.cancelled());
    }

    fn raise(&self) {
        self.0.cancel();
    }
}

#[derive(Clone)]
pub(crate) struct CancellationToken(cancellation_token::CancellationTokenSource, cancellation_token::CancellationToken);

impl Signal for CancellationToken {
    fn fresh() -> Self {
        let source = cancellation_token::CancellationTokenSource::new();
        let token = source.token();
        CancellationToken(source, token)
    }

    fn wait(&self) {
        _ = block_on(self.1.run(pending::<()>()));
    }

    fn raise(&self) {
        self.0.cancel();
    }
}

/// How a thread without a runtime waits for a future.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match future.as_mut().poll(&mut std::task::Context::from_waker(&waker)) {
            Poll::Ready(output) => return output,
            Poll::Pending => thread::park(),
        }
    }
}
