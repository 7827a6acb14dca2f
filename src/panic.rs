//! Calling code that is not ours: the one file that knows `catch_unwind`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `f`; a panic comes back as its message. No panic hook is touched, so the hook has printed it already.
///
/// Unwind safety is asserted: whoever calls this either gives the panicking value up or hands it back to a
/// service, whose contract says that `start` must rebuild what a broken run left.
pub(crate) fn guarded<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

/// Drops `value` where a panic must not spread; a message says what its `Drop` panicked with.
pub(crate) fn drop_quietly<T>(value: T) -> Result<(), String> {
    guarded(move || drop(value))
}

fn message(payload: Box<dyn Any + Send>) -> String {
    let text = if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "a value that is not text".to_owned()
    };
    // A payload may panic in its own Drop: what that throws is leaked, as there is nowhere left to report it.
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(again);
    }
    text
}
