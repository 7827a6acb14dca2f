//! The library's `util/mod.rs` with the locks, threads and time of a checker as `sync`.

pub(crate) use crate::sync;
#[path = "../../src/util/log.rs"]
pub(crate) mod log;
#[path = "../../src/util/panic.rs"]
pub(crate) mod panic;
#[path = "../../src/util/text.rs"]
pub(crate) mod text;
#[path = "../../src/util/time.rs"]
pub(crate) mod time;
