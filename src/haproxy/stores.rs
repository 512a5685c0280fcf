//! What is known about a process's certificate stores: which certificate each of them holds.
//!
//! Pure bookkeeping over the replies to `show ssl cert`. A certificate can lie in several stores
//! (the same PEM under two names), each of which needs its own slot, and a store's certificate can
//! be replaced while HAProxy runs; so stores are found by the SHA-1 fingerprint of what they hold,
//! never by name, and are read again in turn.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::reply::{Fingerprint, Slot, StoreDetails};

/// The certificate stores of one process.
#[derive(Default, Debug)]
pub(super) struct Stores {
    details: BTreeMap<String, StoreDetails>,
    by_fingerprint: HashMap<Fingerprint, BTreeSet<String>>,
    unread: VecDeque<String>,
}

impl Stores {
    /// Takes the list of all names: stores that are gone are forgotten, all are to be read (again),
    /// those not known yet first.
    pub(super) fn list(&mut self, names: Vec<String>) {
        let present: BTreeSet<&String> = names.iter().collect();
        let gone: Vec<String> = self
            .details
            .keys()
            .filter(|name| !present.contains(name))
            .cloned()
            .collect();
        for name in gone {
            self.forget(&name);
        }
        let (known, new): (Vec<String>, Vec<String>) = names
            .into_iter()
            .partition(|name| self.details.contains_key(name));
        self.unread = new.into_iter().chain(known).collect();
    }

    /// The next store to be read, if it is one that is not known yet.
    pub(super) fn take_new(&mut self) -> Option<String> {
        let new = !self.details.contains_key(self.unread.front()?);
        if new { self.unread.pop_front() } else { None }
    }

    /// The next store to be read.
    pub(super) fn take_unread(&mut self) -> Option<String> {
        self.unread.pop_front()
    }

    /// Puts off a store that could not be read now. One that is not known yet stays in front.
    pub(super) fn put_off(&mut self, name: String) {
        if self.details.contains_key(&name) {
            self.unread.push_back(name);
        } else {
            self.unread.push_front(name);
        }
    }

    /// Whether every store has been read since the last list.
    pub(super) fn all_read(&self) -> bool {
        self.unread.is_empty()
    }

    /// How many stores are known.
    pub(super) fn len(&self) -> usize {
        self.details.len()
    }

    /// Notes what a store holds. Returns its certificate if the store changed so that its staple
    /// has to be delivered (again): another certificate, or the slot is gone.
    pub(super) fn note(&mut self, name: &str, details: StoreDetails) -> Option<Fingerprint> {
        let before = self.details.get(name).copied();
        self.forget(name);
        self.details.insert(name.to_owned(), details);
        let fingerprint = details.fingerprint?;
        self.by_fingerprint
            .entry(fingerprint)
            .or_default()
            .insert(name.to_owned());
        let same_certificate = before.is_some_and(|before| before.fingerprint == Some(fingerprint));
        let lost_slot = before.is_some_and(|before| before.slot == Slot::Present)
            && details.slot == Slot::Absent;
        (!same_certificate || lost_slot).then_some(fingerprint)
    }

    /// Forgets a store that is gone.
    pub(super) fn forget(&mut self, name: &str) {
        let Some(fingerprint) = self
            .details
            .remove(name)
            .and_then(|details| details.fingerprint)
        else {
            return;
        };
        if let Some(names) = self.by_fingerprint.get_mut(&fingerprint) {
            names.remove(name);
            if names.is_empty() {
                self.by_fingerprint.remove(&fingerprint);
            }
        }
    }

    /// The stores that hold a certificate, and whether each has a slot.
    pub(super) fn holding(&self, fingerprint: &Fingerprint) -> Vec<(String, Slot)> {
        let names = self.by_fingerprint.get(fingerprint).into_iter().flatten();
        names
            .filter_map(|name| Some((name.clone(), self.details.get(name)?.slot)))
            .collect()
    }

    /// Notes that a store has got its slot.
    pub(super) fn slot_made(&mut self, name: &str) {
        if let Some(details) = self.details.get_mut(name) {
            details.slot = Slot::Present;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(byte: u8, slot: Slot) -> StoreDetails {
        StoreDetails {
            fingerprint: Some([byte; 20]),
            slot,
        }
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_certificate_is_found_in_every_store_that_holds_it() {
        let mut stores = Stores::default();
        stores.note("a", holds(1, Slot::Present));
        stores.note("b", holds(1, Slot::Absent));
        stores.note("c", holds(2, Slot::Absent));
        let expected = vec![
            ("a".to_owned(), Slot::Present),
            ("b".to_owned(), Slot::Absent),
        ];
        assert_eq!(stores.holding(&[1; 20]), expected);
        assert!(stores.holding(&[3; 20]).is_empty());
        stores.slot_made("b");
        assert_eq!(stores.holding(&[1; 20])[1].1, Slot::Present);
    }

    #[test]
    fn a_replaced_certificate_and_a_lost_slot_are_changes_and_nothing_else_is() {
        let mut stores = Stores::default();
        assert_eq!(stores.note("a", holds(1, Slot::Absent)), Some([1; 20]));
        assert_eq!(stores.note("a", holds(1, Slot::Absent)), None);
        assert_eq!(stores.note("a", holds(1, Slot::Present)), None);
        assert_eq!(stores.note("a", holds(1, Slot::Absent)), Some([1; 20]));
        assert_eq!(stores.note("a", holds(2, Slot::Absent)), Some([2; 20]));
        assert!(stores.holding(&[1; 20]).is_empty());
    }

    #[test]
    fn a_list_forgets_what_is_gone_and_reads_new_stores_first() {
        let mut stores = Stores::default();
        stores.list(names(&["a", "b"]));
        assert_eq!(stores.take_new().as_deref(), Some("a"));
        stores.note("a", holds(1, Slot::Absent));
        stores.note("b", holds(2, Slot::Absent));
        stores.list(names(&["b", "c"]));
        assert!(stores.holding(&[1; 20]).is_empty());
        assert_eq!(stores.take_new().as_deref(), Some("c"));
        stores.put_off("c".to_owned());
        assert_eq!(stores.take_new().as_deref(), Some("c"));
        stores.note("c", holds(3, Slot::Absent));
        assert_eq!(stores.take_new(), None);
        assert_eq!(stores.take_unread().as_deref(), Some("b"));
        assert!(stores.all_read());
    }
}
