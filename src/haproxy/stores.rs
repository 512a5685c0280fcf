//! What is known about a process's certificate stores: which certificate each of them holds.
//!
//! Pure bookkeeping over the replies to `show ssl cert`. A certificate can lie in several stores
//! (the same PEM under two names), each of which needs its own slot, and a store's certificate can
//! be replaced while HAProxy runs; so stores are found by what they hold (its SHA-1 fingerprint, or
//! its serial number where HAProxy shows no more), never by name, and are read again in turn.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use super::reply::{Slot, StoreDetails};
use crate::x509::{Certificate, CertificateReference};

/// The certificate stores of one process.
#[derive(Default, Debug)]
pub(super) struct Stores {
    details: BTreeMap<String, StoreDetails>,
    by_certificate: HashMap<CertificateReference, BTreeSet<String>>,
    unread: VecDeque<String>,
}

impl Stores {
    /// Takes the list of all names: stores that are gone are forgotten, all are to be read (again),
    /// those not known yet first.
    pub(super) fn list(&mut self, names: &[String]) {
        let present: BTreeSet<&String> = names.iter().collect();
        let gone: Vec<String> = self
            .details
            .keys()
            .filter(|name| !present.contains(name))
            .cloned()
            .collect();
        for name in &gone {
            self.forget(name);
        }
        let (known, new): (Vec<String>, Vec<String>) = names
            .iter()
            .cloned()
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
    pub(super) fn note(
        &mut self,
        name: &str,
        details: StoreDetails,
    ) -> Option<CertificateReference> {
        let before = self.forget(name);
        let lost_slot = before
            .as_ref()
            .is_some_and(|before| before.slot == Slot::Present)
            && details.slot == Slot::Absent;
        let same_certificate =
            before.is_some_and(|before| before.certificate == details.certificate);
        let certificate = details.certificate.clone();
        self.details.insert(name.to_owned(), details);
        let certificate = certificate?;
        self.by_certificate
            .entry(certificate.clone())
            .or_default()
            .insert(name.to_owned());
        (!same_certificate || lost_slot).then_some(certificate)
    }

    /// Forgets a store, for instance one that is gone; what was known of it.
    pub(super) fn forget(&mut self, name: &str) -> Option<StoreDetails> {
        let details = self.details.remove(name)?;
        if let Some(certificate) = &details.certificate
            && let Some(names) = self.by_certificate.get_mut(certificate)
        {
            names.remove(name);
            if names.is_empty() {
                self.by_certificate.remove(certificate);
            }
        }
        Some(details)
    }

    /// The stores that hold a certificate, and whether each has a slot. Those of which only the
    /// serial number is believed count only if there is no other: any certificate can have that
    /// number.
    pub(super) fn holding(&self, certificate: &Certificate) -> Vec<(String, Slot)> {
        let references = CertificateReference::all(certificate);
        let (sure, doubtful): (Vec<_>, Vec<_>) = references
            .iter()
            .filter_map(|reference| self.by_certificate.get(reference))
            .flatten()
            .filter_map(|name| Some((name, self.details.get(name)?)))
            .partition(|(_, details)| details.doubt.is_none());
        let stores = if sure.is_empty() { doubtful } else { sure };
        stores
            .into_iter()
            .map(|(name, details)| (name.clone(), details.slot))
            .collect()
    }

    /// Whether one store alone is known to hold this certificate.
    pub(super) fn is_only_one(&self, certificate: &CertificateReference) -> bool {
        let names = self.by_certificate.get(certificate);
        names.is_some_and(|names| names.len() == 1)
    }

    /// The certificates that the stores hold.
    pub(super) fn certificates(&self) -> impl ExactSizeIterator<Item = &CertificateReference> {
        self.by_certificate.keys()
    }

    /// The names of the stores that are known.
    pub(super) fn names(&self) -> impl Iterator<Item = &String> {
        self.details.keys()
    }

    /// Whether a store is still to be read for the first time.
    pub(super) fn some_new(&self) -> bool {
        let mut unread = self.unread.iter();
        unread.any(|name| !self.details.contains_key(name))
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
    use crate::pki::World;

    fn holds(certificate: &Certificate, slot: Slot) -> StoreDetails {
        let [fingerprint, _] = CertificateReference::all(certificate);
        StoreDetails {
            certificate: Some(fingerprint),
            slot,
            doubt: None,
        }
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    #[test]
    fn a_certificate_is_found_in_every_store_that_holds_it() {
        let world = World::new();
        let [_, serial] = CertificateReference::all(&world.leaf);
        let mut stores = Stores::default();
        stores.note("a", holds(&world.leaf, Slot::Present));
        stores.note("b", holds(&world.leaf, Slot::Absent));
        stores.note("c", holds(&world.issuer, Slot::Absent));
        let by_serial = StoreDetails {
            certificate: Some(serial),
            slot: Slot::Absent,
            doubt: None,
        };
        stores.note("d", by_serial);
        let expected = vec![
            ("a".to_owned(), Slot::Present),
            ("b".to_owned(), Slot::Absent),
            ("d".to_owned(), Slot::Absent),
        ];
        assert_eq!(stores.holding(&world.leaf), expected);
        assert!(stores.holding(&world.root).is_empty());
        stores.slot_made("b");
        assert_eq!(stores.holding(&world.leaf)[1].1, Slot::Present);
    }

    #[test]
    fn a_replaced_certificate_and_a_lost_slot_are_changes_and_nothing_else_is() {
        let world = World::new();
        let [leaf, _] = CertificateReference::all(&world.leaf);
        let [issuer, _] = CertificateReference::all(&world.issuer);
        let mut stores = Stores::default();
        let mut note = |certificate, slot| stores.note("a", holds(certificate, slot));
        assert_eq!(note(&world.leaf, Slot::Absent), Some(leaf.clone()));
        assert_eq!(note(&world.leaf, Slot::Absent), None);
        assert_eq!(note(&world.leaf, Slot::Present), None);
        assert_eq!(note(&world.leaf, Slot::Absent), Some(leaf));
        assert_eq!(note(&world.issuer, Slot::Absent), Some(issuer));
        assert!(stores.holding(&world.leaf).is_empty());
    }

    #[test]
    fn a_list_forgets_what_is_gone_and_reads_new_stores_first() {
        let world = World::new();
        let mut stores = Stores::default();
        stores.list(&names(&["a", "b"]));
        assert_eq!(stores.take_new().as_deref(), Some("a"));
        stores.note("a", holds(&world.leaf, Slot::Absent));
        stores.note("b", holds(&world.issuer, Slot::Absent));
        stores.list(&names(&["b", "c"]));
        assert!(stores.holding(&world.leaf).is_empty());
        assert_eq!(stores.take_new().as_deref(), Some("c"));
        stores.put_off("c".to_owned());
        assert_eq!(stores.take_new().as_deref(), Some("c"));
        stores.note("c", holds(&world.root, Slot::Absent));
        assert_eq!(stores.take_new(), None);
        assert_eq!(stores.take_unread().as_deref(), Some("b"));
        assert!(stores.all_read());
    }
}
