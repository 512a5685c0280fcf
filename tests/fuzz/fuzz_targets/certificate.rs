//! No bytes make the reading of a certificate panic, and nothing in it can paint a terminal.
#![no_main]

use libfuzzer_sys::fuzz_target;
use staplerd::x509::Certificate;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(certificate) = Certificate::from_der(bytes) {
        assert_eq!(certificate.der(), bytes);
        assert!(!certificate.subject_display().contains(char::is_control));
        assert!(
            certificate
                .ocsp_urls()
                .iter()
                .all(|url| url.starts_with(['h', 'H']))
        );
        let _ = certificate.is_self_signed();
    }
});
