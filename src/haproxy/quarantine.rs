//! Certificate stores that are not asked about, or not believed, and why.
//!
//! Pure bookkeeping that outlives a connection. After a lost connection, every store that had been
//! asked about and not answered is a suspect, and suspects are asked about one at a time: the one
//! over which the connection is lost again stays in quarantine until HAProxy no longer lists it, or
//! its file is another and so is the process. The others go on meanwhile.

use std::collections::{BTreeMap, HashSet};
use std::time::SystemTime;

use super::command;
use super::error::Error;
use super::reply::{self, Doubt};
use crate::x509::CertificateReference;

/// So often must HAProxy stay silent while a store is asked about alone: it may be busy. If it ends
/// the connection, which is rarer and may be the end of the process, once is enough.
const SILENCES: u32 = 2;

/// Why a certificate store is left alone.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Quarantine {
    /// Its name would not arrive as one argument.
    #[error(
        "its name cannot be sent to HAProxy (it contains '<<' or a control character, or is not UTF-8): rename the file; it is stapled only if it had a .ocsp beside it when HAProxy started"
    )]
    UnsendableName,
    /// It is a bundle, of which HAProxy 2.2 shows nothing.
    #[error(
        "HAProxy 2.2 shows nothing of the certificates of a bundle: they are stapled only if they had their .ocsp beside them when HAProxy started; name each file for itself, or update HAProxy"
    )]
    Bundle,
    /// Its description contradicts itself.
    #[error("{0}; it is known by its serial number alone")]
    Ambiguous(Doubt),
    /// This HAProxy may end over its description.
    #[error(
        "this HAProxy can end when it is asked about a certificate with so many names; it is stapled only if it had a .ocsp beside it when HAProxy started"
    )]
    FatalDescription,
    /// The connection is lost whenever it is asked about.
    #[error(
        "the connection was lost each time it was asked about ({0}); asked again once its file is another and HAProxy has loaded it"
    )]
    ConnectionLost(&'static str),
    /// It holds a certificate that another client meant for another store.
    #[error(
        "another client's certificate came into it while this program gave it a staple, as can happen before HAProxy 3.1: it is served in place of its own; deploy its own certificate again, or reload HAProxy"
    )]
    ForeignCertificate(CertificateReference),
}

impl Quarantine {
    /// The variant's name in snake_case: log reason.
    pub fn kind(&self) -> &'static str {
        match self {
            Quarantine::UnsendableName => "unsendable_name",
            Quarantine::Bundle => "bundle",
            Quarantine::Ambiguous(_) => "ambiguous",
            Quarantine::FatalDescription => "fatal_description",
            Quarantine::ConnectionLost(_) => "connection_lost",
            Quarantine::ForeignCertificate(_) => "foreign_certificate",
        }
    }

    /// Whether a person has to do something for the sake of what HAProxy serves.
    pub fn needs_attention(&self) -> bool {
        matches!(self, Quarantine::ForeignCertificate(_))
    }
}

/// The stores of one process in quarantine, and those that may have to be.
#[derive(Default, Debug)]
pub(super) struct Quarantined {
    process: u32,
    stores: BTreeMap<String, Quarantine>,
    /// When the files of those were changed last over which connections were lost.
    changed: BTreeMap<String, SystemTime>,
    /// How often a connection was lost while this store was asked about alone.
    suspects: BTreeMap<String, u32>,
}

impl Quarantined {
    /// Another process may have loaded other files: of those that are what they were, it is asked
    /// as little as the one before, which may have ended over the question.
    pub(super) fn meet(&mut self, process: u32, changed: impl Fn(&str) -> Option<SystemTime>) {
        if self.process == process {
            return;
        }
        self.process = process;
        let known = &self.changed;
        self.stores.retain(|name, why| match why {
            Quarantine::ConnectionLost(_) => {
                let before = known.get(name).copied();
                before.is_some() && changed(name) == before
            }
            Quarantine::UnsendableName
            | Quarantine::Bundle
            | Quarantine::Ambiguous(_)
            | Quarantine::FatalDescription
            | Quarantine::ForeignCertificate(_) => false,
        });
        let stores = &self.stores;
        self.changed.retain(|name, _| stores.contains_key(name));
    }

    /// Takes the list of all names; those that can be asked about, and need not be alone. HAProxy
    /// may end over the description of what `is_fatal`.
    pub(super) fn list(
        &mut self,
        names: Vec<String>,
        longest: usize,
        mut is_fatal: impl FnMut(&str) -> bool,
    ) -> Vec<String> {
        let listed: HashSet<&String> = names.iter().collect();
        self.stores.retain(|name, _| listed.contains(name));
        self.suspects.retain(|name, _| listed.contains(name));
        let (sendable, unsendable): (Vec<_>, Vec<_>) = names
            .into_iter()
            .partition(|name| command::is_sendable(name, longest));
        for name in unsendable {
            self.stores.insert(name, Quarantine::UnsendableName);
        }
        for name in &sendable {
            if reply::bundle(name).is_some() {
                self.stores.insert(name.clone(), Quarantine::Bundle);
            }
        }
        for name in &sendable {
            if !self.is_closed(name) && is_fatal(name) {
                self.suspects.remove(name);
                self.stores
                    .insert(name.clone(), Quarantine::FatalDescription);
            }
        }
        let is_open = |name: &String| !self.suspects.contains_key(name) && !self.is_closed(name);
        sendable.into_iter().filter(is_open).collect()
    }

    /// Notes what was thought of the description of a store.
    pub(super) fn described(&mut self, name: &str, doubt: Option<Doubt>) {
        self.suspects.remove(name);
        match doubt {
            None | Some(Doubt::Cut) => self.stores.remove(name),
            Some(doubt) => self
                .stores
                .insert(name.to_owned(), Quarantine::Ambiguous(doubt)),
        };
    }

    /// Another client's certificate came into this store.
    pub(super) fn taken_over(&mut self, name: &str, by: CertificateReference) {
        let foreign = Quarantine::ForeignCertificate(by);
        self.stores.insert(name.to_owned(), foreign);
    }

    /// Whether this is the other client's certificate that came into this store.
    pub(super) fn is_foreign(&self, name: &str, certificate: &CertificateReference) -> bool {
        let known = self.stores.get(name);
        matches!(known, Some(Quarantine::ForeignCertificate(foreign)) if foreign == certificate)
    }

    /// The stores that other clients' certificates came into.
    pub(super) fn foreign(&self) -> impl Iterator<Item = &String> {
        let is_foreign = |why: &Quarantine| matches!(why, Quarantine::ForeignCertificate(_));
        let foreign = self.stores.iter().filter(move |(_, why)| is_foreign(why));
        foreign.map(|(name, _)| name)
    }

    /// The connection was lost before these stores were answered about. `changed` tells when the
    /// file of a store was changed last.
    pub(super) fn lost(
        &mut self,
        unanswered: &[String],
        loss: &Error,
        changed: impl Fn(&str) -> Option<SystemTime>,
    ) {
        let enough = if *loss == Error::Closed { 1 } else { SILENCES };
        for name in unanswered {
            let losses = self.suspects.entry(name.clone()).or_default();
            *losses += u32::from(unanswered.len() == 1);
            if *losses >= enough {
                self.suspects.remove(name);
                let lost = Quarantine::ConnectionLost(loss.kind());
                self.stores.insert(name.clone(), lost);
                if let Some(at) = changed(name) {
                    self.changed.insert(name.clone(), at);
                }
            }
        }
    }

    /// A store to be asked about alone; the one over which the fewest connections were lost.
    pub(super) fn suspect(&self) -> Option<String> {
        let (name, _) = self.suspects.iter().min_by_key(|(_, losses)| **losses)?;
        Some(name.clone())
    }

    /// Whether this store is to be asked about alone.
    pub(super) fn is_suspect(&self, name: &str) -> bool {
        self.suspects.contains_key(name)
    }

    /// The stores in quarantine.
    pub(super) fn stores(&self) -> &BTreeMap<String, Quarantine> {
        &self.stores
    }

    /// The stores that HAProxy has and does not describe.
    pub(super) fn undescribed(&self) -> impl Iterator<Item = &String> {
        let closed = self.stores.keys().filter(|name| self.is_closed(name));
        closed.chain(self.suspects.keys())
    }

    fn is_closed(&self, name: &str) -> bool {
        matches!(
            self.stores.get(name),
            Some(
                Quarantine::UnsendableName
                    | Quarantine::Bundle
                    | Quarantine::FatalDescription
                    | Quarantine::ConnectionLost(_)
            )
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONGEST: usize = 8192;

    fn list(quarantined: &mut Quarantined, names: Vec<String>) -> Vec<String> {
        quarantined.list(names, LONGEST, |_| false)
    }

    fn names(list: &[&str]) -> Vec<String> {
        list.iter().map(|name| (*name).to_owned()).collect()
    }

    fn met() -> Quarantined {
        let mut quarantined = Quarantined::default();
        quarantined.meet(4711, |_| None);
        quarantined
    }

    #[test]
    fn the_store_over_which_connections_are_lost_is_found_among_its_neighbours() {
        let mut quarantined = met();
        quarantined.lost(&names(&["a", "b", "c"]), &Error::Closed, |_| None);
        assert!(quarantined.stores().is_empty());
        assert_eq!(list(&mut quarantined, names(&["a", "b", "c", "d"])), ["d"]);
        // "b" is the culprit: each suspect is asked about alone.
        for _ in 0..10 {
            let Some(suspect) = quarantined.suspect() else {
                break;
            };
            match suspect.as_str() {
                "b" => quarantined.lost(&[suspect], &Error::Closed, |_| None),
                innocent => quarantined.described(innocent, None),
            }
        }
        assert_eq!(quarantined.suspect(), None);
        let lost = Quarantine::ConnectionLost("closed");
        assert_eq!(quarantined.stores(), &[("b".to_owned(), lost)].into());
        assert_eq!(list(&mut quarantined, names(&["a", "b", "c"])), ["a", "c"]);
    }

    #[test]
    fn who_is_silent_may_be_busy_and_is_asked_once_more() {
        let silence = Error::NoAnswer(std::time::Duration::from_secs(5));
        for (loss, asked) in [(Error::Closed, 1), (silence, SILENCES)] {
            let mut quarantined = met();
            quarantined.lost(&names(&["a", "b"]), &loss, |_| None);
            let mut times = 0;
            while quarantined.is_suspect("a") {
                quarantined.lost(&names(&["a"]), &loss, |_| None);
                times += 1;
            }
            assert_eq!(times, asked, "{loss:?}");
        }
    }

    #[test]
    fn what_a_process_may_end_over_is_not_asked_of_it_at_all() {
        let mut quarantined = met();
        let is_fatal = |name: &str| name == "b";
        let open = quarantined.list(names(&["a", "b"]), LONGEST, is_fatal);
        assert_eq!(open, ["a"]);
        assert_eq!(quarantined.undescribed().count(), 1);
        // Another file in its place does not tell what this process has loaded.
        assert_eq!(list(&mut quarantined, names(&["a", "b"])), ["a"]);
        quarantined.meet(4712, |_| None);
        assert_eq!(list(&mut quarantined, names(&["a", "b"])), ["a", "b"]);
    }

    #[test]
    fn another_clients_certificate_counts_until_another_one_or_another_process_comes() {
        let [foreign, own] = [1, 2].map(|octet| CertificateReference::serial(&[octet]));
        let mut quarantined = met();
        quarantined.taken_over("a", foreign.clone());
        assert!(quarantined.is_foreign("a", &foreign));
        assert!(!quarantined.is_foreign("a", &own) && !quarantined.is_foreign("b", &foreign));
        // The store is read as before.
        assert_eq!(list(&mut quarantined, names(&["a"])), ["a"]);
        assert_eq!(quarantined.foreign().collect::<Vec<_>>(), ["a"]);
        assert!(
            quarantined
                .stores()
                .values()
                .all(Quarantine::needs_attention)
        );
        quarantined.described("a", None);
        assert!(quarantined.stores().is_empty());
        quarantined.taken_over("a", foreign);
        quarantined.meet(4712, |_| None);
        assert!(quarantined.stores().is_empty());
    }

    #[test]
    fn a_quarantine_ends_when_the_file_or_the_list_is_another() {
        let first = Some(SystemTime::UNIX_EPOCH);
        let second = first.map(|time| time + std::time::Duration::from_secs(1));
        // Lost with this file, another process with that one: still in quarantine?
        for (before, after, stays) in [
            (first, first, true),
            (first, second, false),
            (first, None, false),
            (None, None, false),
        ] {
            let mut quarantined = met();
            quarantined.lost(&names(&["a", "b"]), &Error::Closed, |_| before);
            // The process itself may have ended over the question.
            quarantined.meet(4712, |_| before);
            quarantined.lost(&names(&["a"]), &Error::Closed, |_| before);
            quarantined.meet(4713, |_| after);
            let is_asked = !list(&mut quarantined, names(&["a"])).is_empty();
            assert_eq!(is_asked, !stays, "{before:?} {after:?}");
            assert!(list(&mut quarantined, Vec::new()).is_empty());
            assert_eq!(list(&mut quarantined, names(&["a"])), ["a"]);
        }
    }

    #[test]
    fn names_that_cannot_be_sent_never_are_and_doubts_come_and_go() {
        let mut quarantined = met();
        let listed = names(&["a", "b <<x", "c\rd"]);
        assert_eq!(list(&mut quarantined, listed), ["a"]);
        assert_eq!(quarantined.undescribed().count(), 2);
        quarantined.described("a", Some(Doubt::Twice("Serial:")));
        assert_eq!(quarantined.stores().len(), 3);
        quarantined.described("a", Some(Doubt::Cut));
        assert_eq!(quarantined.stores().len(), 2);
    }
}
