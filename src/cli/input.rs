//! Files that are named on the command line: certificates, and what else is read whole.
//!
//! Every problem is one line that names the file.

use std::fmt::Display;
use std::path::Path;

use zeroize::Zeroizing;

use crate::files::{self, Reach};
use crate::text::Printable;
use crate::x509::{self, Bundle, Certificate};

/// Largest file that is read, in bytes.
const MAX_FILE_BYTES: u64 = x509::bundle::MAX_PEM_BYTES as u64;

/// A file's content; the buffer is wiped when dropped, because it may hold a key.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, String> {
    let about = |problem: &dyn Display| format!("{}: {problem}", path.printable());
    files::read(path, MAX_FILE_BYTES, Reach::Anywhere).map_err(|error| about(&error))
}

/// PEM, or one certificate as DER.
pub(super) fn read_certificates(path: &Path) -> Result<Bundle, String> {
    let bytes = read(path)?;
    if let Ok(certificate) = Certificate::from_der(&bytes) {
        return Ok(certificate.into());
    }
    Bundle::from_pem_buffer(bytes).map_err(|error| format!("{}: {error}", path.printable()))
}

/// The issuer among the certificates that the operator gives, and vouches for. If none of them made
/// the certificate's signature, the one with the issuer's name counts, or else the first.
pub(super) fn choose_issuer<'a>(certificate: &Certificate, given: &'a Bundle) -> &'a Certificate {
    let candidates = given.certificates();
    let named = || {
        candidates
            .iter()
            .find(|candidate| candidate.subject_name() == certificate.issuer_name())
    };
    x509::find_issuer(certificate, candidates)
        .or_else(named)
        .unwrap_or(given.leaf())
}
