//! The token's protocol.

use crate::StopSource;
use crate::sync::{thread, time};

#[test]
fn a_waiter_is_woken() {
    loom::model(|| {
        time::stands_still();
        let stop = StopSource::new();
        let token = stop.token();
        let waiter = thread::Builder::new().spawn(move || token.wait()).unwrap();
        assert!(stop.request_stop());
        waiter.join().unwrap();
    });
}
