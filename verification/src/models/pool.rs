//! The pool of callback threads, a new one for each schedule: no job is lost, and a job that blocks delays no other.

use super::explore::explore;
use crate::StopSource;
use crate::stop::callback_pool::Pool;
use crate::sync::time;
use shuttle::thread;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

fn fresh() -> Arc<Pool> {
    // Idle threads wait for a while and then exit, so time has to run.
    time::runs_one_in(20);
    Pool::new(|text| panic!("{text}"))
}

#[test]
fn every_job_runs_once_whichever_thread_submits_it() {
    explore(|| {
        let (pool, runs) = (fresh(), Arc::new(AtomicUsize::new(0)));
        let submit = |pool: Arc<Pool>, runs: Arc<AtomicUsize>| {
            for patiently in [false, true] {
                let runs = runs.clone();
                let job = Box::new(move || _ = runs.fetch_add(1, Ordering::Relaxed));
                if patiently { pool.submit_patiently(job) } else { assert!(pool.submit(job).is_ok()) }
            }
        };
        let (theirs, counted) = (pool.clone(), runs.clone());
        let other = thread::spawn(move || submit(theirs, counted));
        submit(pool, runs.clone());
        other.join().unwrap();
        // Shuttle ends a schedule when all threads have exited. The threads of the pool exit when they are idle.
        while runs.load(Ordering::Relaxed) < 4 {
            thread::yield_now();
        }
        assert_eq!(runs.load(Ordering::Relaxed), 4);
    });
}

#[test]
fn jobs_that_wait_for_a_later_job_delay_it_only_briefly() {
    explore(|| {
        let (pool, gate, done) = (fresh(), StopSource::new(), Arc::new(AtomicUsize::new(0)));
        for _ in 0..3 {
            let (token, done) = (gate.token(), done.clone());
            let blocks = move || {
                token.wait();
                done.fetch_add(1, Ordering::Relaxed);
            };
            assert!(pool.submit(Box::new(blocks)).is_ok());
        }
        let opens = gate.clone();
        assert!(pool.submit(Box::new(move || _ = opens.request_stop())).is_ok());
        gate.token().wait();
        while done.load(Ordering::Relaxed) < 3 {
            thread::yield_now();
        }
    });
}
