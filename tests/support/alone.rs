//! Runs a single test in its own process, for tests that count the threads or descriptors of their process.

use std::process::Command;

/// Names the test that a child process is for.
const ALONE: &str = "HOSTED_TEST_ALONE";

/// As the first line of a test: runs the test in a child process where no other test runs.
macro_rules! alone {
    () => {
        fn this_test() {}
        if !$crate::support::alone::is_child(std::any::type_name_of_val(&this_test)) {
            return;
        }
    };
}
pub(crate) use alone;

/// Returns `true` in the child process. In the parent, runs the child process, and returns `false` if the test passed there.
///
/// `inside` is the path of a function inside the test: `crate::module::test::function`.
pub(crate) fn is_child(inside: &str) -> bool {
    let test = inside.split_once("::").and_then(|(_, path)| path.rsplit_once("::")).expect("a path of a function").0;
    if std::env::var(ALONE).is_ok_and(|name| name == test) {
        return true;
    }
    let mut command = Command::new(std::env::current_exe().unwrap());
    let child = command.args([test, "--exact", "--nocapture"]).env(ALONE, test).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    assert!(child.status.success() && out.contains("1 passed"), "`{test}` in a child process: {out}\n{err}");
    false
}
