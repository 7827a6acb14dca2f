//! Guarantee 130: bad input is an error that names the culprit.

use crate::support::LIMIT;
use crate::{idle, running};
use hosted::{
    AddError, Context, DynamicGroup, Host, OnCompletion, Restart, Result, Service, ServiceOptions, StopToken, once,
};

fn invalid(group: &DynamicGroup, name: &str, set: impl FnOnce(&mut ServiceOptions)) -> String {
    let mut options = ServiceOptions::default();
    set(&mut options);
    match group.add_with(name, once(|_| Ok(())), options) {
        Err(error @ AddError::Invalid(..)) => error.to_string(),
        other => panic!("{other:?}"),
    }
}

// 130
#[test]
fn an_invalid_name_or_option_of_a_member_is_an_error_that_names_it() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    assert_eq!(invalid(&group, "", |_| {}), "the name of a member is empty");
    let nul = invalid(&group, "a\0b", |_| {});
    assert!(nul.contains("invalid member name `a\\0b`"), "{nul}");
    for (option, set) in [
        ("after", (|options| _ = options.after(["x"])) as fn(&mut ServiceOptions)),
        ("independent", |options| _ = options.independent()),
        ("on_completion", |options| _ = options.on_completion(OnCompletion::StopHost)),
    ] {
        let text = invalid(&group, "probe", set);
        assert!(text.contains("`probe`") && text.contains(&format!("`{option}`")), "{text}");
    }
    let text = invalid(&group, "probe", |options| _ = options.restart(Restart::on_failure()));
    assert!(text.contains("`probe`") && text.contains("once"), "{text}");
    let backwards = std::time::Duration::from_secs(2)..=std::time::Duration::from_secs(1);
    let text = invalid(&group, "probe", |options| _ = options.restart(Restart::never().backoff(backwards)));
    assert!(text.contains("`probe`") && text.contains("backoff"), "{text}");
    assert!(group.is_empty());
    host.stop(LIMIT).unwrap();
}

// 130
#[test]
fn a_taken_name_is_an_error_that_names_it() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    group.add("a", idle()).unwrap();
    let error = group.add("a", idle()).unwrap_err();
    assert_eq!(error.to_string(), "a member named `a` is alive");
    host.stop(LIMIT).unwrap();
}

// 130
#[test]
fn a_limit_of_zero_and_a_second_service_are_errors_of_start() {
    let mut host = Host::new();
    host.add("none", DynamicGroup::new().limit(0).service());
    let error = host.start().unwrap_err().to_string();
    assert!(error.contains("`none`") && error.contains("limit"), "{error}");

    let group = DynamicGroup::new();
    let mut host = Host::new();
    host.add("first", group.service());
    host.add("second", group.service());
    let error = host.start().unwrap_err().to_string();
    assert!(error.contains("`second`") && error.contains("service"), "{error}");
    drop(host);
    running(&group).stop(LIMIT).unwrap(); // both services are gone: a new one may run
}

// 130, 133
#[test]
fn once_with_a_restart_policy_is_an_error_of_start() {
    let mut host = Host::new();
    host.add("a", once(|_| Ok(()))).restart(Restart::always());
    let error = host.start().unwrap_err().to_string();
    assert!(error.contains("`a`") && error.contains("once"), "{error}");
    let mut host = Host::new();
    host.add("boxed", Box::new(once(|_| Ok(()))) as Box<dyn Service>).restart(Restart::on_failure());
    assert!(host.start().is_err());
}

// 133
#[test]
fn once_moves_what_its_closure_has_captured() {
    let text = String::from("moved");
    let (sender, texts) = crossbeam_channel::bounded(1);
    let mut host = Host::new();
    host.add("a", once(move |_| Ok(sender.send(text)?))).restart(Restart::never());
    host.run().unwrap();
    assert_eq!(texts.recv().unwrap(), "moved");
    let ctx = Context::new("unit test", StopToken::never());
    let mut service = once(|_: &Context| Ok(()));
    service.run(&ctx).unwrap();
    assert!(service.run(&ctx).is_err());
}

/// A service whose checks panic, or fail.
struct Bad(&'static str);

impl Service for Bad {
    fn validate(&self) -> Result {
        match self.0 {
            "panic" => panic!("no idea"),
            "error" => Err("no address".into()),
            _ => Ok(()),
        }
    }

    fn attach(&mut self, _: &StopToken) {
        assert_ne!(self.0, "attach", "no idea");
    }
}

// 130
#[test]
fn a_service_that_is_not_valid_is_an_error_that_names_the_member() {
    let group = DynamicGroup::new();
    let mut host = running(&group);
    for (bad, text) in [("panic", "`validate` panicked"), ("error", "no address"), ("attach", "`attach` panicked")] {
        match group.add("bad", Bad(bad)) {
            Err(error @ AddError::Invalid(..)) => {
                assert!(error.to_string().contains("`bad`") && error.to_string().contains(text), "{error}");
            }
            other => panic!("{other:?}"),
        }
    }
    let mut options = ServiceOptions::new();
    options.stack_size(usize::MAX / 2);
    assert!(matches!(group.add_with("bad", idle(), options), Err(AddError::NoThread(_))));
    group.add("bad", idle()).unwrap(); // its name is free
    let report = host.stop(LIMIT).unwrap();
    assert_eq!(report.services.len(), 2, "{report}");
    assert_eq!(report.services[0].members.unwrap().ended, 1);
}
