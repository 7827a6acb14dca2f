//! The library's `util/mod.rs` once more, with the checker's locks, threads and time as `sync`.

pub(crate) use crate::sync;
#[path = "../../src/util/log.rs"]
pub(crate) mod log;
#[path = "../../src/util/panic.rs"]
pub(crate) mod panic;
#[path = "../../src/util/text.rs"]
pub(crate) mod text;
#[path = "../../src/util/time.rs"]
pub(crate) mod time;
