//! Storing jobs.

use crate::raw;
use crate::setup::{ROUNDS, WINDOW, Work, compare, folder, median, print_head, rate, store};
use hosted_jobs::{Enqueue, Jobs};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

pub(crate) fn run(real: bool) {
    print_head("hosted-jobs", "by hand");
    for full in [true, false] {
        let mode = if full { "FULL" } else { "NORMAL" };
        let folders = [folder(real), folder(real)];
        let (jobs, other) = (store(folders[0].path(), full), store(folders[1].path(), full));
        let db = raw::connect(folders[1].path(), full);
        compare(
            &format!("{mode}, one caller, one job in a call"),
            &mut || rate(|| jobs.enqueue(&Work::new(1)).map(|_| 1).unwrap()),
            &mut || {
                rate(|| {
                    raw::insert(&db, &other, 1);
                    1
                })
            },
        );
        compare(
            &format!("{mode}, one caller, 100 jobs in a call"),
            &mut || rate(|| jobs.enqueue_all((0..100).map(|n| Enqueue::new(&Work::new(n)))).map(|_| 100).unwrap()),
            &mut || {
                rate(|| {
                    raw::insert(&db, &other, 100);
                    100
                })
            },
        );
    }
    println!();
    print_head("32 callers", "1 caller");
    for full in [true, false] {
        let folders = folder(real);
        let jobs = store(folders.path(), full);
        compare(
            &format!("{}, each call returns after its commit", if full { "FULL" } else { "NORMAL" }),
            &mut || callers(&jobs, 32),
            &mut || callers(&jobs, 1),
        );
    }
    println!("\n32 connections of their own, each with BEGIN IMMEDIATE, FULL: {:.0}/s", own_connections(real));
}

fn callers(jobs: &Jobs, number: u64) -> f64 {
    let (done, began) = (AtomicU64::new(0), Instant::now());
    std::thread::scope(|scope| {
        for _ in 0..number {
            scope.spawn(|| {
                while began.elapsed() < WINDOW {
                    jobs.enqueue(&Work::new(1)).unwrap();
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
    });
    done.into_inner() as f64 / began.elapsed().as_secs_f64()
}

fn own_connections(real: bool) -> f64 {
    let folder = folder(real);
    let jobs = store(folder.path(), true);
    let mut rates: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let (done, began) = (AtomicU64::new(0), Instant::now());
            std::thread::scope(|scope| {
                for _ in 0..32 {
                    scope.spawn(|| {
                        let db = raw::connect(folder.path(), true);
                        while began.elapsed() < WINDOW {
                            raw::insert(&db, &jobs, 1);
                            done.fetch_add(1, Ordering::Relaxed);
                        }
                    });
                }
            });
            done.into_inner() as f64 / began.elapsed().as_secs_f64()
        })
        .collect();
    median(&mut rates)
}
