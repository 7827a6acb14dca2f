//! Guarantees 106 and 107: `Schedule`, and when it is due around the changes of daylight saving time.

use crate::calendar::{text_of, utc};
use hosted::Schedule;

/// Returns the due times of the schedule between two instants, as text in UTC.
fn due_between(expression: &str, zone: &str, from: &str, to: &str) -> Vec<String> {
    let schedule = expression.parse::<Schedule>().unwrap().in_time_zone(zone).unwrap();
    let next = |at: &std::time::SystemTime| schedule.next_after(*at).filter(|due| *due <= utc(to));
    std::iter::successors(next(&utc(from)), next).map(text_of).collect()
}

// 107
#[test]
fn a_time_in_a_gap_is_due_once_at_the_end_of_the_gap() {
    for (zone, expression, from, to, due) in [
        // New York: at 02:00 the clock moves to 03:00.
        (
            "America/New_York",
            "30 2 * * *",
            "2026-03-07T06:00Z",
            "2026-03-10T05:59Z",
            ["03-07 07:30", "03-08 07:00", "03-09 06:30"],
        ),
        // London: at 01:00 the clock moves to 02:00.
        (
            "Europe/London",
            "0 1 * * *",
            "2026-03-28T00:30Z",
            "2026-03-30T12:00Z",
            ["03-28 01:00", "03-29 01:00", "03-30 00:00"],
        ),
        // Lord Howe: at 02:00 the clock moves to 02:30.
        (
            "Australia/Lord_Howe",
            "15 2 * * *",
            "2026-10-02T15:00Z",
            "2026-10-05T15:00Z",
            ["10-02 15:45", "10-03 15:30", "10-04 15:15"],
        ),
        // Santiago: at midnight the clock moves to 01:00.
        (
            "America/Santiago",
            "15 0 * * *",
            "2026-09-05T04:00Z",
            "2026-09-07T04:00Z",
            ["09-05 04:15", "09-06 04:00", "09-07 03:15"],
        ),
    ] {
        assert_eq!(due_between(expression, zone, from, to), due, "{zone}");
    }
}

// 107
#[test]
fn a_time_that_exists_twice_is_due_once_the_first_time() {
    for (zone, expression, from, to, due) in [
        // New York: at 02:00 the clock moves back to 01:00.
        (
            "America/New_York",
            "30 1 * * *",
            "2026-10-31T05:00Z",
            "2026-11-02T07:00Z",
            ["10-31 05:30", "11-01 05:30", "11-02 06:30"],
        ),
        // London: at 02:00 the clock moves back to 01:00.
        (
            "Europe/London",
            "0 1 * * *",
            "2026-10-23T23:30Z",
            "2026-10-26T02:00Z",
            ["10-24 00:00", "10-25 00:00", "10-26 01:00"],
        ),
        // Lord Howe: at 02:00 the clock moves back to 01:30.
        (
            "Australia/Lord_Howe",
            "45 1 * * *",
            "2026-04-03T14:00Z",
            "2026-04-05T16:00Z",
            ["04-03 14:45", "04-04 14:45", "04-05 15:15"],
        ),
        // Santiago: at midnight the clock moves back to 23:00.
        (
            "America/Santiago",
            "30 23 * * *",
            "2026-04-04T02:00Z",
            "2026-04-06T04:00Z",
            ["04-04 02:30", "04-05 02:30", "04-06 03:30"],
        ),
    ] {
        assert_eq!(due_between(expression, zone, from, to), due, "{zone}");
    }
}

// 107
#[test]
fn an_interval_skips_the_gap_and_is_due_in_both_passes_of_a_repeated_hour() {
    for (zone, from, to, due) in [
        ("America/New_York", "2026-03-08T06:15Z", "2026-03-08T08:00Z", &["06:30", "07:00", "07:30", "08:00"][..]),
        ("America/New_York", "2026-11-01T05:15Z", "2026-11-01T07:00Z", &["05:30", "06:00", "06:30", "07:00"]),
        ("Europe/London", "2026-10-25T00:15Z", "2026-10-25T02:00Z", &["00:30", "01:00", "01:30", "02:00"]),
        ("Australia/Lord_Howe", "2026-04-04T14:15Z", "2026-04-04T16:00Z", &["14:30", "15:00", "15:30", "16:00"]),
        ("Australia/Lord_Howe", "2026-10-03T15:00Z", "2026-10-03T16:30Z", &["15:30", "16:00", "16:30"]),
        ("America/Santiago", "2026-09-06T03:15Z", "2026-09-06T05:00Z", &["03:30", "04:00", "04:30", "05:00"]),
    ] {
        let times: Vec<String> =
            due_between("*/30 * * * *", zone, from, to).iter().map(|due| due[6..].to_owned()).collect();
        assert_eq!(times, due, "{zone} from {from}");
    }
}

// 107
#[test]
fn several_times_in_one_gap_are_due_once_together() {
    let due = due_between("0,15,30 2,5 * * *", "America/New_York", "2026-03-08T06:30Z", "2026-03-08T10:00Z");
    assert_eq!(due, ["03-08 07:00", "03-08 09:00", "03-08 09:15", "03-08 09:30"]);
}

// 106
#[test]
fn expressions_have_five_or_six_fields_names_nicknames_and_l_w_and_hash() {
    for (expression, due) in [
        ("0 12 * * *", "01-01 12:00"),
        ("30 0 12 * * *", "01-01 12:00"),
        ("@hourly", "01-01 01:00"),
        ("@daily", "01-02 00:00"),
        ("@weekly", "01-04 00:00"),
        ("@monthly", "02-01 00:00"),
        ("0 0 1 MAR *", "03-01 00:00"),
        ("0 0 * * MON", "01-05 00:00"),
        ("0 0 L * *", "01-31 00:00"),
        ("0 0 15W 2 *", "02-16 00:00"), // the 15th is a Sunday
        ("0 0 * * FRI#2", "01-09 00:00"),
    ] {
        let schedule = expression.parse::<Schedule>().unwrap().in_time_zone("UTC").unwrap();
        let found = schedule.next_after(utc("2026-01-01T00:00Z")).map(text_of);
        assert_eq!(found.as_deref(), Some(due), "{expression}");
    }
    let yearly: Schedule = "CRON_TZ=UTC @yearly".parse().unwrap();
    assert_eq!(yearly.next_after(utc("2026-01-01T00:00Z")), Some(utc("2027-01-01T00:00Z")));
}

// 106
#[test]
fn the_text_of_a_schedule_parses_to_the_same_schedule() {
    for text in ["0 3 * * *", "CRON_TZ=Europe/London 0 3 * * *", "@daily"] {
        let schedule: Schedule = text.parse().unwrap();
        assert_eq!(schedule.to_string(), text);
        assert_eq!(schedule.to_string().parse::<Schedule>().unwrap(), schedule);
    }
}

// 106
#[test]
fn the_error_of_a_schedule_escapes_control_characters() {
    let error = "61 * *\u{1b}[2J * *".parse::<Schedule>().unwrap_err().to_string();
    assert!(!error.contains('\u{1b}'), "{error:?}");
    assert!(error.starts_with("invalid schedule `61 "), "{error:?}");
}
