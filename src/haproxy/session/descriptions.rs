//! Which certificates HAProxy may end over when it is asked to describe them.
//!
//! HAProxy 2.6 ends over the description of a certificate whose names leave just too little room in
//! its buffer for what follows them, whichever client asks. How long the names are is told by the
//! file, where a store has the name of one: what HAProxy has loaded from it may be another
//! certificate, but mostly it is this one.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::Path;
use std::time::SystemTime;

use crate::files::{self, Reach};
use crate::x509::bundle::MAX_PEM_BYTES;
use crate::x509::{Bundle, Certificate};

/// Between the end of the names and that of the buffer there is room for the line with the
/// algorithm and none for the fingerprint: it ends with 21 to 71 bytes left, and lives with 11 and
/// 81. Some more are left alone, since not every field before the names is known to the byte.
const FATAL_ROOM: std::ops::Range<usize> = 0..112;

/// HAProxy shows a name with less than so many characters for each byte that it takes in a PEM file
/// (3.5 for an IPv4 address), so that smaller files need no reading.
const CHARACTERS_PER_BYTE: u64 = 4;

/// What is known of the files, so that each is read once.
#[derive(Default, Debug)]
pub(super) struct Descriptions {
    known: HashMap<String, (Option<SystemTime>, bool)>,
}

impl Descriptions {
    /// Forgets all stores but these.
    pub(super) fn keep(&mut self, listed: &[String]) {
        if self.known.len() > listed.len() {
            let listed: HashSet<&String> = listed.iter().collect();
            self.known.retain(|store, _| listed.contains(store));
        }
    }

    /// Whether the names in the certificate that lies in this store's file leave so little room in
    /// a buffer.
    pub(super) fn fill(&mut self, store: &str, buffer: usize) -> bool {
        let Ok(metadata) = fs::metadata(store) else {
            return false;
        };
        let changed = metadata.modified().ok();
        if let Some((before, fills)) = self.known.get(store)
            && *before == changed
        {
            return *fills;
        }
        let may_fill = metadata.len() >= buffer as u64 / CHARACTERS_PER_BYTE;
        let fills = may_fill
            && leaf(store)
                .and_then(|leaf| buffer.checked_sub(names_end(store, &leaf)))
                .is_some_and(|room| FATAL_ROOM.contains(&room));
        self.known.insert(store.to_owned(), (changed, fills));
        fills
    }
}

/// The certificate that lies in the file that has the name of a store.
pub(super) fn leaf(store: &str) -> Option<Certificate> {
    let pem = files::read(Path::new(store), MAX_PEM_BYTES as u64, Reach::Anywhere).ok()?;
    Some(Bundle::from_pem(&pem).ok()?.leaf().clone())
}

/// Where the names end in the description that 2.6 gives of a certificate.
fn names_end(store: &str, certificate: &Certificate) -> usize {
    let serial = 2 * certificate.serial().len();
    let before = "Filename: \nStatus: Used\nSerial: \nnotBefore: Nov 20 16:29:17 2026 GMT\n\
                  notAfter: Nov 20 16:29:17 2026 GMT\nSubject Alternative Name: ";
    let names = certificate.names().iter();
    let names = names.map(|name| "DNS:, ".len() + name.len());
    let addresses = certificate.ip_addresses().iter();
    let addresses = addresses.map(|it| "IP Address:, ".len() + it.to_string().len());
    let shown: usize = names.chain(addresses).sum();
    // The last one is followed by a line feed only.
    (store.len() + serial + before.len() + shown).saturating_sub(1)
}
