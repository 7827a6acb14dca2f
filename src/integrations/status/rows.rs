//! Services as a tree: the services of a group are inside it.

use crate::report::ServiceStatus;

pub(super) struct Row<'a> {
    pub(super) service: &'a ServiceStatus,
    pub(super) children: Vec<Row<'a>>,
}

/// Makes a tree of a list in which the services of a group, named `group/service`, follow the group.
pub(super) fn rows(services: &[ServiceStatus]) -> Vec<Row<'_>> {
    let mut rows = Vec::new();
    let mut rest = services;
    while let [service, tail @ ..] = rest {
        let is_inside =
            |other: &ServiceStatus| other.name.strip_prefix(&*service.name).is_some_and(|child| child.starts_with('/'));
        let end = tail.iter().position(|other| !is_inside(other)).unwrap_or(tail.len());
        rows.push(Row { service, children: self::rows(&tail[..end]) });
        rest = &tail[end..];
    }
    rows
}

impl Row<'_> {
    /// How many services are inside the group, and of how many of them `what` is true.
    pub(super) fn count(&self, what: &dyn Fn(&ServiceStatus) -> bool) -> (usize, usize) {
        self.children.iter().fold((0, 0), |(services, found), child| {
            let (services_inside, found_inside) = child.count(what);
            (services + services_inside + 1, found + found_inside + usize::from(what(child.service)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::picture::tests::service;
    use super::*;
    use crate::report::{Health, ServiceState};

    #[test]
    fn services_of_groups_are_inside_their_group_and_are_counted() {
        let names = ["a", "feed", "feed/in", "feed/in/x", "feed/out", "feeder", "b/c", "b"];
        let services: Vec<_> = names.map(|name| service(name, ServiceState::Running, Health::Healthy)).into();
        let rows = rows(&services);
        let tops: Vec<&str> = rows.iter().map(|row| &*row.service.name).collect();
        assert_eq!(tops, ["a", "feed", "feeder", "b/c", "b"]);
        let inside: Vec<&str> = rows[1].children.iter().map(|row| &*row.service.name).collect();
        assert_eq!(inside, ["feed/in", "feed/out"]);
        assert_eq!(rows[1].count(&|service| service.name.ends_with('x')), (3, 1));
    }
}
