//! Responses that everybody should take, kept for `tests/judges/run` to be read by others.

use std::fs;
use std::path::Path;

/// Names the folder they are kept in; without it none is kept.
const FOLDER: &str = "STAPLERD_TEST_JUDGED";

/// Keeps a response of `issuer`, and the one certificate it is about if it is about one; both as
/// PEM.
pub fn keep(response: &[u8], issuer: &[u8], certificate: Option<&[u8]>) {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let case = tempfile::Builder::new()
        .prefix("case-")
        .tempdir_in(Path::new(&folder))
        .unwrap()
        .keep();
    fs::write(case.join("response.der"), response).unwrap();
    fs::write(case.join("issuer.pem"), issuer).unwrap();
    if let Some(certificate) = certificate {
        fs::write(case.join("certificate.pem"), certificate).unwrap();
    }
}
