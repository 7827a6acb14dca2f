//! Calling user code: the only file that uses `catch_unwind`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `f`. Returns the panic message if `f` panics. The panic hook is not changed, so the hook has already run.
///
/// Unwind safety is asserted: every caller either discards the value that panicked or returns it to a service, whose
/// contract says that `start` must rebuild the state after a broken run.
pub(crate) fn catch_panic<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(panic_message)
}

/// Drops `value`. Returns the panic message if its `Drop` panics.
pub(crate) fn drop_catching_panic<T>(value: T) -> Result<(), String> {
    catch_panic(move || drop(value))
}

fn panic_message(payload: Box<dyn Any + Send>) -> String {
    let text = if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(non-string panic payload)".to_owned()
    };
    // A payload may panic in its own `Drop`. The second payload is leaked, because dropping it could panic again.
    if let Err(second_payload) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(second_payload);
    }
    text
}
