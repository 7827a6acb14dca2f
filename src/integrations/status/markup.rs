//! Text, words and colours of the page.

use super::probes::{is_degraded, is_stuck};
use crate::report::{Health, ServiceState, ServiceStatus};
use crate::util::text::Escaped;
use std::fmt::{self, Display, Write};

/// Text in HTML. What would forge a line or turn letters around is escaped as in a log line.
pub(super) struct Html<'a>(pub(super) &'a str);

impl Display for Html<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(self.0).to_string().chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            c => f.write_char(c),
        })
    }
}

/// A name as it is, for the script.
pub(super) struct Attribute<'a>(pub(super) &'a str);

impl Display for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '"' => f.write_str("&quot;"),
            '<' => f.write_str("&lt;"),
            c => f.write_char(c),
        })
    }
}

/// The last error of a service beside its name: without the words that repeat the name.
pub(super) fn last_error(service: &ServiceStatus) -> &str {
    let error = service.last_error.as_deref().unwrap_or_default();
    let rest = error.strip_prefix("service `").and_then(|rest| rest.strip_prefix(&*Escaped(&service.name).to_string()));
    rest.and_then(|rest| rest.strip_prefix("` ")).unwrap_or(error)
}

/// Whether the service stands under "Needs attention".
pub(super) fn is_problem(service: &ServiceStatus) -> bool {
    is_stuck(service) || is_degraded(service) || service.state == ServiceState::Failed
}

/// The badge of a service: its health if that is bad, else its state.
pub(super) struct Badge<'a>(pub(super) &'a ServiceStatus);

impl Display for Badge<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Badge(service) = self;
        let (word, class) = match (&service.health, service.state) {
            (_, ServiceState::Hung) => ("hung".to_owned(), "bad"),
            (Health::Stalled { .. }, _) => (service.health.word().to_owned(), "bad"),
            (Health::Degraded { .. }, _) => (service.health.word().to_owned(), "warn"),
            (Health::Healthy, state) => (state.to_string(), class_of(state)),
        };
        write!(f, "<span class=\"state\"><span class=\"badge {class}\">{word}</span></span>")
    }
}

pub(super) fn class_of(state: ServiceState) -> &'static str {
    match state {
        ServiceState::Running => "good",
        ServiceState::Starting => "busy",
        ServiceState::Restarting | ServiceState::Stopping => "warn",
        ServiceState::Failed | ServiceState::Hung => "bad",
        ServiceState::Waiting | ServiceState::Completed | ServiceState::Stopped | ServiceState::NotRestarted => "calm",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_can_leave_its_place_in_the_page() {
        let text = Html("<b title='x\" y'>&\u{202e}\n</b>").to_string();
        assert_eq!(text, "&lt;b title=&#39;x&quot; y&#39;&gt;&amp;\\u{202e}\\n&lt;/b&gt;");
        assert_eq!(Attribute("a\"b&<\n>").to_string(), "a&quot;b&amp;&lt;\n>");
    }
}
