//! How others refer to a certificate without showing it.
//!
//! HAProxy prints a certificate's SHA-1 fingerprint, but for keys it has no name for (Ed25519) it
//! stops after the serial number. Neither is used for trust: a reference only finds candidates.

use serde::{Deserialize, Serialize};

use super::Certificate;

/// A reference to a certificate.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CertificateReference {
    /// SHA-1 of the whole certificate.
    Fingerprint([u8; 20]),
    /// The serial number's magnitude, without leading zero octets.
    Serial(Vec<u8>),
}

impl CertificateReference {
    /// A reference by serial number, of which leading zero octets do not count.
    pub fn serial(octets: &[u8]) -> Self {
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        CertificateReference::Serial(octets.iter().skip(zeros).copied().collect())
    }

    /// Every way to refer to a certificate.
    pub fn all(certificate: &Certificate) -> [Self; 2] {
        [
            CertificateReference::Fingerprint(certificate.sha1_fingerprint()),
            CertificateReference::serial(certificate.serial()),
        ]
    }

    /// Whether it refers to this certificate.
    pub fn fits(&self, certificate: &Certificate) -> bool {
        Self::all(certificate).contains(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pki::World;

    #[test]
    fn a_reference_fits_its_own_certificate_only() {
        let world = World::new();
        for reference in CertificateReference::all(&world.leaf) {
            assert!(reference.fits(&world.leaf));
            assert!(!reference.fits(&world.issuer));
        }
    }

    #[test]
    fn leading_zeros_of_a_serial_number_do_not_count() {
        let short = CertificateReference::serial(&[0x80, 0x01]);
        assert_eq!(CertificateReference::serial(&[0, 0x80, 0x01]), short);
        assert_ne!(CertificateReference::serial(&[0x80, 0x01, 0]), short);
    }
}
