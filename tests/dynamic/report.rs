//! The report of a dynamic group.

use crate::support::{LIMIT, MS, unresponsive};
use crate::{idle, running};
use hosted::{DynamicGroup, Outcome, ServiceOptions, once, worker};

// 127
#[test]
fn the_report_has_the_totals_of_the_group_and_the_members_alive_at_the_stop() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    for n in 0..3 {
        group.add(format!("done-{n}"), once(|_| Ok(()))).unwrap().wait(LIMIT).unwrap();
    }
    let failed = group.add("failed", worker(|_| Err("no".into()))).unwrap();
    failed.wait(LIMIT).unwrap();
    group.add("a", idle()).unwrap();
    group.add("b", idle()).unwrap();
    let report = host.stop(LIMIT).unwrap();
    let names: Vec<_> = report.services.iter().map(|row| &*row.name).collect();
    assert_eq!(names, ["g", "g/a", "g/b"], "{report}");
    let totals = report.services[0].members.unwrap();
    assert_eq!((totals.alive, totals.ended, totals.failed), (0, 6, 1));
    assert!(report.to_string().contains("members ended: 6, failed: 1"), "{report}");
    assert!(matches!(failed.wait(LIMIT), Some(Outcome::Failed(_))));
}

// 127
#[test]
fn a_report_of_many_members_counts_them_and_names_the_hung_ones_first() {
    const MEMBERS: usize = 300;
    let group = DynamicGroup::new();
    let mut host = running(&group);
    let mut options = ServiceOptions::new();
    options.stack_size(128 << 10);
    let add = |n: usize| group.add_with(format!("m{n}"), idle(), options.clone()).unwrap();
    (0..MEMBERS / 2).for_each(|n| _ = add(n));
    let (service, release) = unresponsive();
    group.add("stuck", service).unwrap().wait_ready(LIMIT).unwrap();
    (MEMBERS / 2..MEMBERS).for_each(|n| _ = add(n));
    let error = host.stop(1_000 * MS).unwrap_err();
    let report = error.report();
    assert_eq!(report.services.len(), 2 + MEMBERS);
    assert_eq!(&*report.services[1].name, "g/stuck", "the hung one is the first");
    let text = report.to_string();
    assert!(text.lines().count() < 6, "{text}");
    assert!(text.contains("g/stuck") && text.contains(&format!("more members: {MEMBERS} stopped")), "{text}");
    let rows = host.handle().services();
    assert_eq!(rows.iter().map(|row| &*row.name).collect::<Vec<_>>(), ["g", "g/stuck"], "what is left");
    drop(release);
    host.stop(LIMIT).unwrap();
}
