//! Which services have exceeded their time: those that are alive when a service they depend on receives its stop request.

use super::validate::HostedService;
use crate::registry::Registry;
use std::collections::HashSet;

pub(super) struct Overtaking {
    /// Who comes after each.
    dependents: Vec<Vec<usize>>,
    /// Whom this stop has marked: a service may depend on several.
    marked: HashSet<usize>,
}

impl Overtaking {
    pub(super) fn new(entries: &[HostedService]) -> Self {
        let mut dependents = vec![Vec::new(); entries.len()];
        for (place, entry) in entries.iter().enumerate() {
            entry.after.iter().for_each(|&before| dependents[before].push(place));
        }
        Overtaking { dependents, marked: HashSet::new() }
    }

    /// The service at `place` is about to receive its stop request. Marks whoever is alive and depends on it, directly or by
    /// way of services that have ended, such as start-up tasks.
    pub(super) fn pass_by(&mut self, board: &Registry, place: usize) {
        let (mut above, mut seen) = (vec![place], HashSet::new());
        while let Some(place) = above.pop() {
            for &dependent in &self.dependents[place] {
                if !seen.insert(dependent) {
                    continue;
                }
                if board.read(|inner| inner.slots[dependent].is_over()) {
                    above.push(dependent);
                } else if self.marked.insert(dependent) {
                    board.record_stop_timeout(dependent);
                }
            }
        }
    }
}
