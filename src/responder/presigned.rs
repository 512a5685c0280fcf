//! Answers that are signed once and given often.
//!
//! Pure: a bounded memory of signed answers by CertID. An answer is given again while the source
//! states the same and half of its life is not over (so that clients get fresh ones ahead of time;
//! RFC 9919 §3.2.4 lets responders sign ahead). When memory is full, the answers that were not
//! asked for lately go.

use std::collections::HashMap;
use std::sync::Arc;

use super::SignedAnswer;
use super::status::Statement;
use crate::time::Timestamp;

/// What an entry takes besides its answer and its CertID: hash table, pointers, allocations.
const ENTRY_BYTES: usize = 256;

struct PresignedEntry {
    statement: Statement,
    signed: Arc<SignedAnswer>,
}

type Generation = HashMap<Box<[u8]>, PresignedEntry>;

/// The answers, in two generations: what is asked for moves to the young one; when that has half of
/// the bytes, it becomes the old one, and what was old is forgotten.
pub(super) struct Presigned {
    young: Generation,
    young_bytes: usize,
    old: Generation,
    max_bytes: usize,
}

impl Presigned {
    /// An empty memory for about `max_bytes`.
    pub(super) fn new(max_bytes: usize) -> Self {
        Presigned {
            young: Generation::new(),
            young_bytes: 0,
            old: Generation::new(),
            max_bytes,
        }
    }

    /// The answer about `cert_id`, if there is one that says `statement` and is fresh at `now`.
    pub(super) fn get(
        &mut self,
        cert_id: &[u8],
        statement: &Statement,
        now: Timestamp,
    ) -> Option<Arc<SignedAnswer>> {
        let fits =
            |entry: &PresignedEntry| entry.statement == *statement && entry.signed.is_fresh(now);
        if let Some(entry) = self.young.get(cert_id) {
            return fits(entry).then(|| Arc::clone(&entry.signed));
        }
        let (cert_id, entry) = self.old.remove_entry(cert_id)?;
        let signed = fits(&entry).then(|| Arc::clone(&entry.signed))?;
        self.insert_entry(cert_id, entry);
        Some(signed)
    }

    /// Remembers an answer.
    pub(super) fn insert(
        &mut self,
        cert_id: &[u8],
        statement: Statement,
        signed: Arc<SignedAnswer>,
    ) {
        self.old.remove(cert_id);
        self.insert_entry(cert_id.into(), PresignedEntry { statement, signed });
    }

    fn insert_entry(&mut self, cert_id: Box<[u8]>, entry: PresignedEntry) {
        let size = |entry: &PresignedEntry, key: usize| entry.signed.der.len() + key + ENTRY_BYTES;
        let key = cert_id.len();
        self.young_bytes += size(&entry, key);
        if let Some(replaced) = self.young.insert(cert_id, entry) {
            self.young_bytes -= size(&replaced, key);
        }
        if self.young_bytes > self.max_bytes / 2 {
            self.old = std::mem::take(&mut self.young);
            self.young_bytes = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::ocsp::CertificateStatus;

    const NOW: Timestamp = Timestamp::from_unix(1_768_478_400);

    fn signed(bytes: usize) -> Arc<SignedAnswer> {
        Arc::new(SignedAnswer::new(
            vec![0; bytes],
            NOW,
            NOW.saturating_add(Duration::from_secs(100)),
        ))
    }

    fn good() -> Statement {
        CertificateStatus::Good.into()
    }

    #[test]
    fn an_answer_is_given_again_until_half_of_its_life_or_another_status() {
        let mut memory = Presigned::new(1 << 20);
        memory.insert(b"a", good(), signed(100));
        let after = |seconds| NOW.saturating_add(Duration::from_secs(seconds));
        assert!(memory.get(b"a", &good(), NOW).is_some());
        assert!(memory.get(b"a", &good(), after(49)).is_some());
        assert!(memory.get(b"a", &good(), after(50)).is_none());
        assert!(memory.get(b"b", &good(), NOW).is_none());
        let unknown = CertificateStatus::Unknown.into();
        assert!(memory.get(b"a", &unknown, NOW).is_none());
    }

    #[test]
    fn an_answer_from_the_future_is_not_given_after_the_clock_went_back() {
        let mut memory = Presigned::new(1 << 20);
        memory.insert(b"a", good(), signed(100));
        let before = NOW.saturating_sub(Duration::from_secs(1));
        assert!(memory.get(b"a", &good(), before).is_none());
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_is_asked_for() {
        let entry = 1000 + ENTRY_BYTES + 8;
        let mut memory = Presigned::new(100 * entry);
        memory.insert(b"wanted!!", good(), signed(1000));
        for number in 0..10_000_u64 {
            memory.insert(&number.to_be_bytes(), good(), signed(1000));
            assert!(memory.get(b"wanted!!", &good(), NOW).is_some());
            assert!(memory.young.len() + memory.old.len() <= 102);
        }
        assert!(memory.get(&0_u64.to_be_bytes(), &good(), NOW).is_none());
    }
}
