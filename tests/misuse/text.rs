//! Names and messages that are very long, or made to deceive the reader.

use crate::support::log::{Recording, record};
use crate::support::{LIMIT, in_time};
use crossbeam_channel::{Receiver, bounded, unbounded};
use hosted::{Context, Event, Host, HostError, OnFailure, Outcome, StopSource, StopToken, group, worker};
use std::error::Error;
use std::thread;
use std::time::Duration;

/// Ends a line, reverses the direction of text, or controls the terminal.
fn steers(c: char) -> bool {
    let turns = ['\u{61c}', '\u{200e}', '\u{200f}'].contains(&c);
    c.is_control() || turns || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// Every such character except NUL, which no name can have.
fn evil(lead: &str) -> String {
    let steering: String = ('\u{1}'..='\u{2fff}').filter(|&c| steers(c)).collect();
    format!("{lead} {steering} [ERROR] forged")
}

fn assert_plain(text: &str) {
    let steering: Vec<char> = text.chars().filter(|&c| steers(c)).collect();
    assert!(steering.is_empty(), "{steering:?} in {text:?}");
}

/// Asserts that the text has this many lines and no character that controls a terminal.
fn assert_lines(text: &str, lines: usize) {
    assert_eq!(text.split('\n').count(), lines, "{text:?}");
    text.split('\n').for_each(assert_plain);
}

/// Three services with deceptive names and messages. Each fails in another way.
fn deceivers() -> Host {
    let mut host = Host::new();
    let fails = |ctx: &Context| {
        ctx.report_error(evil("reported"));
        Err(evil("failed").into())
    };
    host.add(evil("one"), worker(fails)).on_failure(OnFailure::Ignore);
    host.add(evil("two"), worker(|_| panic!("{}", evil("panicked")))).on_failure(OnFailure::Ignore);
    let called_back = |ctx: &Context| {
        let (over, called) = bounded::<()>(0);
        let _guard = ctx.on_stop(move || {
            let _over = over;
            panic!("{}", evil("called"))
        });
        ctx.host().request_stop();
        _ = called.recv();
        ctx.report_error(evil("at last")); // stays its last error
        Ok(())
    };
    host.add(evil("three"), worker(called_back));
    host
}

/// Everything that can be read from a host that has failed.
fn assert_all_plain(host: &Host, error: &HostError, events: &Receiver<Event>) {
    let (failures, report) = (error.failures(), error.report());
    assert_lines(&error.to_string(), failures.len() + 1 + report.services.len());
    assert_eq!(error.to_string(), format!("{error:?}"));
    assert_lines(&report.to_string(), 1 + report.services.len());
    assert_plain(&format!("{report:?}"));
    assert_plain(&report.reason.to_string());
    for failure in failures {
        assert_plain(&failure.to_string());
        assert_plain(&format!("{failure:?}"));
    }
    for status in host.handle().services() {
        assert_plain(status.last_error.as_deref().unwrap_or(""));
        assert_plain(status.blocked_in.as_deref().unwrap_or(""));
        assert_plain(&format!("{status:?}"));
    }
    for event in events.try_iter() {
        assert_plain(&event.to_string());
        assert_plain(&format!("{event:?}"));
    }
}

fn assert_logged_plainly(log: &Recording, mine: &[&str]) {
    for mine in mine {
        let lines = log.containing(mine);
        assert!(!lines.is_empty(), "{mine}");
        lines.iter().for_each(|line| assert_plain(&line.text));
    }
}

#[test]
fn control_and_bidi_characters_are_escaped_in_every_output() {
    in_time(|| {
        let log = record();
        let mut host = deceivers();
        let events = host.events();
        let error = host.run_until(&StopToken::never()).unwrap_err();
        assert_eq!(error.report().services.iter().map(|service| service.errors).collect::<Vec<_>>(), [2, 1, 2]);
        assert_all_plain(&host, &error, &events);
        assert_logged_plainly(
            &log,
            &["one ", "reported ", "failed ", "two ", "panicked ", "three ", "called ", "at last "],
        );
    });
}

#[test]
fn control_and_bidi_characters_of_a_hung_service_are_escaped() {
    in_time(|| {
        let log = record();
        let (mut host, (go, gone), (sender, receiver)) = (Host::new(), unbounded::<()>(), unbounded());
        let fill = move |inside: &mut Host| {
            let (gone, sender) = (gone.clone(), sender.clone());
            let hangs = move |_: &Context| {
                sender.send(thread::current().name().map(str::to_owned))?;
                Ok(_ = gone.recv())
            };
            inside.add(evil("child"), worker(hangs));
            Ok(())
        };
        host.add(evil("group"), group(fill));
        host.start().unwrap();
        let events = host.events();
        let error = host.stop(Duration::ZERO).unwrap_err();
        assert_plain(&receiver.recv().unwrap().unwrap());
        assert_all_plain(&host, &error, &events);
        for service in &error.report().services {
            let Outcome::Hung(hung) = &service.outcome else { panic!("hung: {error}") };
            assert_plain(&hung.to_string());
            assert_plain(&hung.thread);
        }
        assert_logged_plainly(&log, &["group ", "child "]);
        drop(go);
        host.stop(LIMIT).unwrap();
    });
}

#[test]
fn a_set_up_error_is_one_plain_line_whatever_the_name() {
    let fills: [fn(&mut Host); 3] = [
        |host| _ = host.add(evil("twin"), worker(|_| Ok(()))),
        |host| _ = host.add("asker", worker(|_| Ok(()))).after([evil("nobody")]),
        |host| _ = host.add(evil("nul\0"), worker(|_| Ok(()))),
    ];
    for fill in fills {
        let mut host = Host::new();
        host.add(evil("twin"), worker(|_| Ok(())));
        fill(&mut host);
        let error = host.start().unwrap_err();
        assert_lines(&error.to_string(), 1);
        assert_plain(&error.source().unwrap().to_string());
    }
}

#[test]
fn letters_of_every_script_and_emoji_are_not_escaped() {
    in_time(|| {
        let name = "café שלום 数据 👩‍👩‍👧 a/b";
        let mut host = Host::new();
        let events = host.events();
        host.add(name, worker(move |_| Err(name.into())));
        let error = host.run_until(&StopToken::never()).unwrap_err();
        let line = format!("service `{name}` failed while running: {name}");
        assert_eq!(error.failures()[0].to_string(), line);
        assert!(events.try_iter().any(|event| event.to_string() == line));
        assert!(error.report().to_string().contains(&format!("\n  {name}  failed")), "{error}");
    });
}

#[test]
fn a_name_of_a_megabyte_is_complete_in_the_log_and_the_report() {
    in_time(|| {
        let log = record();
        let (name, mut host) = ("🦀".repeat(1 << 18), Host::new());
        host.add(name.clone(), worker(|ctx| Ok(ctx.sleep(Duration::MAX)?)));
        host.add("short", worker(|_| Err("over".into())));
        let error = host.run_until(&StopToken::never()).unwrap_err();
        assert!(error.to_string().contains(&format!("\n  {name}  stopped")));
        assert!(error.report().to_string().contains("\n  short  "));
        assert!(log.containing(&name).iter().any(|line| line.text == format!("service `{name}` has stopped")));
        let mut host = Host::new();
        let fails = |ctx: &Context| {
            ctx.wait_until_started()?;
            Err("over".into())
        };
        host.add(&name[..4 * 70_000], worker(fails)); // four bytes for each letter
        host.start().unwrap();
        host.wait();
        drop(host); // the drop logs the report
    });
}

#[test]
fn a_context_without_a_host_may_have_any_name() {
    let log = record();
    for name in [String::new(), "a\0b".to_owned(), evil("alone"), "🦀".repeat(1 << 18)] {
        let ctx = Context::new(name.as_str(), StopSource::new().token());
        assert_eq!(ctx.name(), name);
        ctx.report_error(evil("loner"));
        assert_plain(&format!("{ctx:?}"));
    }
    let lines = log.containing("loner ");
    assert_eq!(lines.len(), 4);
    lines.iter().for_each(|line| assert_plain(&line.text));
}
