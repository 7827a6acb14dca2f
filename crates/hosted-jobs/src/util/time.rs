//! Time as the store keeps it: milliseconds since 1970, UTC.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970, UTC.
pub(crate) type Millis = i64;

/// The latest time that the store accepts, in the year 9999. Arithmetic with it cannot overflow.
const LATEST: Millis = 253_402_300_799_999;

/// Converts a wall-clock time. A time before 1970 becomes 1970.
pub(crate) fn to_millis(time: SystemTime) -> Millis {
    time.duration_since(UNIX_EPOCH).map_or(0, millis)
}

/// Converts a time of the store.
pub(crate) fn from_millis(time: Millis) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(time.max(0).unsigned_abs())
}

/// Converts a length of time, rounded up: a delay is never cut short.
pub(crate) fn millis(time: Duration) -> Millis {
    let whole = time.as_nanos().div_ceil(1_000_000);
    Millis::try_from(whole).map_or(LATEST, |whole| whole.min(LATEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delay_is_rounded_up_and_bounded() {
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::from_millis(5)), 5);
        assert_eq!(millis(Duration::MAX), LATEST);
        assert_eq!(to_millis(from_millis(LATEST)), LATEST);
        assert_eq!(to_millis(UNIX_EPOCH - Duration::from_secs(1)), 0);
    }
}
