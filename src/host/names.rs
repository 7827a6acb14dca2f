//! The names of a host's services, each with its place: `after` keeps places, which are a fraction of the names.

use crate::util::sync::{Arc, Mutex};
use std::collections::HashMap;
use std::fmt;

/// The names that were added to one host, in the order of their places. Each service's options have it.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    names: Vec<Arc<str>>,
    /// The first service of each name.
    places: HashMap<Arc<str>, u32>,
}

impl Names {
    /// Takes up the name of the next service.
    pub(super) fn add(&self, name: Arc<str>) {
        let mut table = self.0.lock();
        // A host of four billion services has no memory left for the next: each takes some hundred bytes.
        let place = u32::try_from(table.names.len()).unwrap_or(u32::MAX);
        table.names.push(name.clone());
        table.places.entry(name).or_insert(place);
    }

    /// The place of the first service of that name.
    pub(super) fn place(&self, name: &str) -> Option<u32> {
        self.0.lock().places.get(name).copied()
    }

    /// The name of the service at `place`; empty, which no service is called, where there is none.
    fn name(&self, place: u32) -> Arc<str> {
        self.0.lock().names.get(place as usize).cloned().unwrap_or_default()
    }

    fn count(&self) -> usize {
        self.0.lock().names.len()
    }

    fn is(&self, other: &Names) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The services that a service comes after, as they were named.
#[derive(Clone, Default)]
pub(super) struct After {
    /// Where the places are; `None`: of no host, when the options were made alone.
    names: Option<Names>,
    /// Somebody said what the service comes after, perhaps nothing. Otherwise it comes after all before it.
    given: bool,
    places: Vec<u32>,
    /// What is not known there: an error of the start, unless the options are given to a host that knows it.
    unknown: Vec<Box<str>>,
}

impl After {
    /// Of a service that is added to a host with these `names`.
    pub(super) fn of(names: Names) -> Self {
        After { names: Some(names), ..After::default() }
    }

    pub(super) fn is_given(&self) -> bool {
        self.given
    }

    /// Adds names. The iterator is user code, and runs while nothing is locked.
    pub(super) fn add<N: AsRef<str>>(&mut self, names: impl Iterator<Item = N>) {
        self.given = true;
        let known = self.names.as_ref().map_or(0, Names::count);
        self.places.reserve(names.size_hint().0.min(known));
        for name in names {
            let name = name.as_ref();
            match self.names.as_ref().and_then(|names| names.place(name)) {
                Some(place) => self.places.push(place),
                None => self.unknown.push(name.into()),
            }
        }
    }

    /// The places in a host with these `names`, each once. Only services before `place` can be named; a name of any other is
    /// the error.
    pub(super) fn places_before(&self, place: usize, names: &Names) -> Result<Vec<usize>, Arc<str>> {
        let mut places = Vec::with_capacity(self.places.len() + self.unknown.len());
        let known = |name: &str| names.place(name).map(|at| at as usize).filter(|&at| at < place);
        match &self.names {
            Some(own) if own.is(names) => {
                for &at in &self.places {
                    let at = at as usize;
                    places.push(Some(at).filter(|&at| at < place).ok_or_else(|| names.name(at as u32))?);
                }
            }
            Some(of_another) => {
                for name in self.places.iter().map(|&at| of_another.name(at)) {
                    places.push(known(&name).ok_or(name)?);
                }
            }
            None => {} // without names there are no places
        }
        for name in &self.unknown {
            places.push(known(name).ok_or_else(|| Arc::from(&**name))?);
        }
        places.sort_unstable();
        places.dedup(); // a name said twice is one service to wait for
        Ok(places)
    }
}

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.given {
            return f.write_str("all before");
        }
        let name = |&at: &u32| self.names.as_ref().map(|names| names.name(at));
        let known = self.places.iter().filter_map(name);
        f.debug_list().entries(known).entries(&self.unknown).finish()
    }
}
