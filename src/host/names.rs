//! The names of a host's services. `after` keeps ids, which take a fraction of the memory of names.

use crate::registry::ServiceId;
use crate::util::sync::{Arc, Mutex};
use std::collections::HashMap;
use std::fmt;

/// The names of the services of one host, in order of registration. The options of each service share it.
#[derive(Clone, Default)]
pub(super) struct Names(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    names: Vec<Arc<str>>,
    /// The first service with each name.
    ids: HashMap<Arc<str>, ServiceId>,
}

impl Names {
    /// Adds the name of the next service.
    pub(super) fn add(&self, name: Arc<str>) {
        let mut table = self.0.lock();
        let id = ServiceId::new(table.names.len());
        table.names.push(name.clone());
        table.ids.entry(name).or_insert(id);
    }

    /// Returns the first service of that name.
    pub(super) fn id(&self, name: &str) -> Option<ServiceId> {
        self.0.lock().ids.get(name).copied()
    }

    /// Returns the name of a service. It is empty, which no service is called, if there is no such service.
    fn name(&self, id: ServiceId) -> Arc<str> {
        self.0.lock().names.get(id.index()).cloned().unwrap_or_default()
    }

    fn count(&self) -> usize {
        self.0.lock().names.len()
    }

    fn is(&self, other: &Names) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

/// The dependencies of a service, as they were named.
#[derive(Clone, Default)]
pub(super) struct After {
    /// The names that the ids belong to. `None` if the options were created alone, without a host.
    names: Option<Names>,
    /// Whether dependencies were given, perhaps none. Otherwise the service depends on all services before it.
    given: bool,
    ids: Vec<ServiceId>,
    /// Names that `names` does not have. They are an error of the start, unless the options go to a host that has them.
    unknown: Vec<Box<str>>,
}

impl After {
    /// Returns the dependencies of a service in a host with these `names`.
    pub(super) fn of(names: Names) -> Self {
        After { names: Some(names), ..After::default() }
    }

    pub(super) fn is_given(&self) -> bool {
        self.given
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ids.is_empty() && self.unknown.is_empty()
    }

    /// Adds names. The iterator is user code, and runs while nothing is locked.
    pub(super) fn add<N: AsRef<str>>(&mut self, names: impl Iterator<Item = N>) {
        self.given = true;
        let known = self.names.as_ref().map_or(0, Names::count);
        self.ids.reserve(names.size_hint().0.min(known));
        for name in names {
            let name = name.as_ref();
            match self.names.as_ref().and_then(|names| names.id(name)) {
                Some(id) => self.ids.push(id),
                None => self.unknown.push(name.into()),
            }
        }
    }

    /// Returns the services in a host with these `names`, each once. Only services before `index` can be named. The error
    /// is the name of any other.
    pub(super) fn ids_before(&self, index: usize, names: &Names) -> Result<Vec<ServiceId>, Arc<str>> {
        let mut ids = Vec::with_capacity(self.ids.len() + self.unknown.len());
        let before = |id: &ServiceId| id.index() < index;
        let known = |name: &str| names.id(name).filter(before);
        match &self.names {
            Some(own) if own.is(names) => {
                for &id in &self.ids {
                    ids.push(Some(id).filter(before).ok_or_else(|| names.name(id))?);
                }
            }
            Some(of_another) => {
                for name in self.ids.iter().map(|&id| of_another.name(id)) {
                    ids.push(known(&name).ok_or(name)?);
                }
            }
            None => {} // options that were created alone know no service
        }
        for name in &self.unknown {
            ids.push(known(name).ok_or_else(|| Arc::from(&**name))?);
        }
        ids.sort_unstable();
        ids.dedup(); // a service that is named twice is one dependency
        Ok(ids)
    }
}

impl fmt::Debug for After {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.given {
            return f.write_str("all before");
        }
        let name = |&id: &ServiceId| self.names.as_ref().map(|names| names.name(id));
        let known = self.ids.iter().filter_map(name);
        f.debug_list().entries(known).entries(&self.unknown).finish()
    }
}
