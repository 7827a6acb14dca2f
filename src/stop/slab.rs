//! A slab: a collection whose values are addressed by small numbers. A node keeps its callbacks and children in slabs, so
//! that removing a value takes constant time.

pub(super) struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// The first free slot: the head of a list through `Slot::Free`. `NONE` if all slots are full.
    free: u32,
    len: usize,
}

enum Slot<T> {
    Full(T),
    Free(u32),
}

/// The slot number of a registration that came after the stop, and so has no slot.
pub(super) const NONE: u32 = u32::MAX;

/// An empty slab with more capacity than this frees its memory, so that a million short registrations leave nothing behind.
const SHRINK_ABOVE: usize = 32;

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Slab { slots: Vec::new(), free: NONE, len: 0 }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    pub(super) fn insert(&mut self, value: T) -> u32 {
        self.len += 1;
        if self.free == NONE {
            self.slots.push(Slot::Full(value));
            return (self.slots.len() - 1) as u32;
        }
        let slot = self.free;
        if let Slot::Free(next) = self.slots[slot as usize] {
            self.free = next;
        }
        self.slots[slot as usize] = Slot::Full(value);
        slot
    }

    #[inline]
    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let entry = self.slots.get_mut(slot as usize).filter(|entry| matches!(entry, Slot::Full(_)))?;
        let Slot::Full(value) = std::mem::replace(entry, Slot::Free(self.free)) else { return None };
        self.free = slot;
        self.len -= 1;
        if self.len == 0 && self.slots.capacity() > SHRINK_ABOVE {
            *self = Slab::new();
        }
        Some(value)
    }

    /// Removes the first value in slot `from` or after it. Returns the slot and the value.
    pub(super) fn take_from(&mut self, from: u32) -> Option<(u32, T)> {
        let rest = self.slots.get(from as usize..)?;
        let slot = from + rest.iter().position(|slot| matches!(slot, Slot::Full(_)))? as u32;
        Some((slot, self.remove(slot)?))
    }

    pub(super) fn into_values(self) -> impl Iterator<Item = T> {
        self.slots.into_iter().filter_map(|slot| match slot {
            Slot::Full(value) => Some(value),
            Slot::Free(_) => None,
        })
    }
}
