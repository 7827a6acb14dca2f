//! `interruptible`: reads return at the stop, and everything else works as before.

#![cfg(feature = "io")]

use crate::support::sockets::{connected, is_stopped, pipe};
use crate::support::{asleep_in, in_time};
use hosted::{StopSource, StopToken};
use std::fs::File;
use std::io::{ErrorKind, IoSlice, Read, Seek, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

// 81
#[test]
fn after_the_stop_reads_fail_and_writes_still_arrive() {
    let source = StopSource::new();
    let (here, mut there) = connected();
    let (unix_here, mut unix_there) = UnixStream::pair().unwrap();
    let (mut here, mut unix_here) = (source.token().interruptible(here), source.token().interruptible(unix_here));
    source.request_stop();
    assert!(is_stopped(&here.read(&mut [0]).unwrap_err()));
    assert!(is_stopped(&unix_here.read(&mut [0]).unwrap_err()));

    here.write_all(b"good").unwrap();
    (&here).write_all(b"b").unwrap();
    let parts = [IoSlice::new(b"y"), IoSlice::new(b"e")];
    assert_eq!(here.write_vectored(&parts).unwrap() + (&unix_here).write_vectored(&parts).unwrap(), 4);
    here.flush().and_then(|()| (&here).flush()).unwrap();
    drop((here, unix_here));
    let mut text = String::new();
    there.read_to_string(&mut text).unwrap();
    unix_there.read_to_string(&mut text).unwrap();
    assert_eq!(text, "goodbyeye");
}

#[test]
fn after_a_read_ended_by_the_stop_the_stream_can_still_be_written() {
    let source = StopSource::new();
    let (here, mut there) = connected();
    let mut here = source.token().interruptible(here);
    let reader = asleep_in(move || {
        let error = here.read(&mut [0]).unwrap_err();
        here.write_all(b"goodbye").map(|()| is_stopped(&error))
    });
    source.request_stop();
    assert!(reader.result().unwrap());
    let mut text = String::new();
    there.read_to_string(&mut text).unwrap();
    assert_eq!(text, "goodbye");
}

#[test]
fn data_that_arrives_before_or_during_a_read_is_read() {
    let source = StopSource::new();
    let (here, mut there) = connected();
    let mut here = source.token().interruptible(here);
    there.write_all(&[1]).unwrap();
    let mut byte = [0];
    here.read_exact(&mut byte).unwrap();
    let reader = asleep_in(move || here.read_exact(&mut byte).map(|()| byte));
    there.write_all(&[2]).unwrap();
    assert_eq!((byte, reader.result().unwrap()), ([1], [2]));
}

// 81
#[test]
fn the_stop_takes_precedence_over_data_which_stays_in_the_stream() {
    let source = StopSource::new();
    let (here, mut there) = UnixStream::pair().unwrap();
    let mut here = source.token().interruptible(here);
    there.write_all(&[7]).unwrap();
    source.request_stop();
    let mut byte = [0];
    assert!(is_stopped(&here.read(&mut byte).unwrap_err()));
    here.get_mut().read_exact(&mut byte).unwrap();
    assert_eq!(byte, [7]);
}

#[test]
fn a_read_ended_by_the_stop_leaves_data_that_arrives_later() {
    for _ in 0..100 {
        let source = StopSource::new();
        let (here, mut there) = UnixStream::pair().unwrap();
        let mut here = source.token().interruptible(here);
        let reader = asleep_in(move || is_stopped(&here.read(&mut [0]).unwrap_err()));
        source.request_stop();
        _ = there.write_all(&[7]); // the reader may have exited
        assert!(reader.result());
    }
}

// 81
#[test]
fn a_peer_that_closes_the_connection_is_the_end_of_the_file() {
    let source = StopSource::new();
    let (here, there) = connected();
    let (unix_here, unix_there) = UnixStream::pair().unwrap();
    let (out, into) = pipe();
    let token = source.token();
    let streams: [Box<dyn Read + Send>; 3] = [
        Box::new(token.interruptible(here)),
        Box::new(token.interruptible(unix_here)),
        Box::new(token.interruptible(out)),
    ];
    let readers = streams.map(|mut stream| asleep_in(move || [stream.read(&mut [0]), stream.read(&mut [0])]));
    drop((there, unix_there, into));
    for reader in readers {
        assert_eq!(reader.result().map(Result::unwrap), [0, 0]);
    }
    source.request_stop();
}

#[test]
fn an_error_of_the_stream_is_not_reported_as_a_stop() {
    let (here, there) = connected();
    let mut here = StopSource::new().token().interruptible(here);
    here.write_all(b"nobody reads this").unwrap();
    there.peek(&mut [0]).unwrap();
    drop(there); // unread data causes a reset
    let error = in_time(move || here.read(&mut [0]).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_read_after_shutting_down_the_stream_is_the_end_of_the_file() {
    let (here, _there) = connected();
    let closer = here.try_clone().unwrap();
    let mut here = StopSource::new().token().interruptible(here);
    let reader = asleep_in(move || here.read(&mut [0]));
    closer.shutdown(Shutdown::Both).unwrap();
    assert_eq!(reader.result().unwrap(), 0);
}

#[test]
fn a_read_timeout_is_a_separate_error_and_can_be_removed() {
    for token in [StopSource::new().token(), StopToken::never()] {
        let (here, mut there) = connected();
        let mut here = token.interruptible(here);
        for time in [Duration::from_millis(5), Duration::ZERO] {
            here.set_read_timeout(time);
            let (error, back) = in_time(move || (here.read(&mut [0]).unwrap_err(), here));
            assert_eq!(error.kind(), ErrorKind::TimedOut);
            here = back;
        }
        there.write_all(&[1, 2]).unwrap();
        here.get_ref().peek(&mut [0]).unwrap(); // the byte has arrived
        assert_eq!(here.read(&mut [0]).unwrap(), 1, "available bytes need no time");
        here.set_read_timeout(None);
        assert_eq!(here.read(&mut [0]).unwrap(), 1);
        let reader = asleep_in(move || here.read(&mut [0]));
        there.write_all(&[3]).unwrap();
        assert_eq!(reader.result().unwrap(), 1);
    }
}

#[test]
fn a_timeout_of_the_stream_itself_has_no_effect() {
    let (here, mut there) = connected();
    here.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    let mut itself = here.try_clone().unwrap();
    let mut here = StopSource::new().token().interruptible(here);
    let reader = asleep_in(move || here.read(&mut [0]));
    assert_eq!(itself.read(&mut [0]).unwrap_err().kind(), ErrorKind::WouldBlock, "the timeout has expired");
    there.write_all(&[3]).unwrap();
    assert_eq!(reader.result().unwrap(), 1);
}

#[test]
fn one_thread_can_read_while_another_writes() {
    let source = StopSource::new();
    let (here, mut there) = connected();
    let here = Arc::new(source.token().interruptible(here));
    let reading = here.clone();
    let reader = asleep_in(move || is_stopped(&(&*reading).read(&mut [0]).unwrap_err()));
    (&*here).write_all(&[9]).unwrap();
    let mut byte = [0];
    there.read_exact(&mut byte).unwrap();
    assert_eq!((byte, reader.result_so_far()), ([9], None));
    source.request_stop();
    assert!(reader.result());
}

#[test]
fn a_file_is_read_to_its_end_and_can_be_taken_back() {
    let mut file: File = tempfile::tempfile().unwrap();
    file.write_all(b"lines").unwrap();
    file.rewind().unwrap();
    let (source, descriptor) = (StopSource::new(), file.as_raw_fd());
    let mut file = source.token().interruptible(file);
    let mut text = String::new();
    file.read_to_string(&mut text).unwrap();
    source.request_stop();
    assert_eq!((text.as_str(), file.as_fd().as_raw_fd()), ("lines", descriptor));
    assert_eq!(file.into_inner().read(&mut [0]).unwrap(), 0, "reads of the inner stream do not return at the stop");
}
