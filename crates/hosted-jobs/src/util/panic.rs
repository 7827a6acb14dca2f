//! Calling user code: the only file that uses `catch_unwind`.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Calls `f`. Returns the panic message if `f` panics. The panic hook has already run by then.
///
/// Unwind safety is asserted: every caller discards the values that `f` may have left half changed.
pub(crate) fn catch_panic<R>(f: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(f)).map_err(message)
}

/// Drops `value`. Returns the panic message if its `Drop` panics.
pub(crate) fn drop_catching_panic<T>(value: T) -> Result<(), String> {
    catch_panic(move || drop(value))
}

fn message(payload: Box<dyn Any + Send>) -> String {
    let text = if let Some(text) = payload.downcast_ref::<&str>() {
        (*text).to_owned()
    } else if let Some(text) = payload.downcast_ref::<String>() {
        text.clone()
    } else {
        "(non-string panic payload)".to_owned()
    };
    // A payload may panic in its own `Drop`. The second payload is leaked: nothing is left that could report it.
    if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
        std::mem::forget(again);
    }
    text
}
