//! One certificate file: the certificate HAProxy would serve from it, and its issuer.
//!
//! The leaf is the first CERTIFICATE of the file, the rest its chain; the issuer is looked for in
//! that chain, in the `.issuer` file and in the chains the configuration names, because HAProxy
//! looks nowhere else (it computes the CertID from the issuer, and refuses to start without one
//! once a `.ocsp` exists).

use std::path::{Path, PathBuf};

use super::chains::Chains;
use super::pem_file::{FileRefusal, read_bundle};
use super::source::Companions;
use crate::files::Reach;
use crate::x509::{self, Bundle, Certificate};

/// A certificate that can be stapled for, as far as its file tells.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The certificate HAProxy serves from the file.
    pub certificate: Certificate,
    /// Its issuer.
    pub issuer: Certificate,
}

/// Reads a certificate file and finds its issuer; links lead no farther than `reach`.
///
/// # Errors
/// [`FileRefusal`] when there is nothing to staple for; none of them is the agent's failure.
pub fn read(
    path: &Path,
    reach: Reach<'_>,
    companions: &Companions,
    chains: &mut Chains,
) -> Result<Finding, FileRefusal> {
    let bundle = read_bundle(path, reach)?;
    let certificate = bundle.leaf().clone();
    if certificate.is_certificate_authority() {
        return Err(if is_before_what_it_issued(&bundle) {
            FileRefusal::IssuerFirst
        } else {
            FileRefusal::CertificateAuthority
        });
    }
    if certificate.is_self_signed() {
        return Err(FileRefusal::SelfSigned);
    }
    match issuer(&bundle, path, reach, companions, chains) {
        Ok(issuer) => Ok(Finding {
            certificate,
            issuer,
        }),
        Err(shortage @ FileRefusal::Shortage(_)) => Err(shortage),
        // Nothing would come of it with an issuer either.
        Err(_) if certificate.ocsp_urls().is_empty() => Err(FileRefusal::NoResponder),
        Err(refusal) => Err(refusal),
    }
}

/// Whether the first certificate has issued a server's that stands behind it.
fn is_before_what_it_issued(bundle: &Bundle) -> bool {
    let mut servers = bundle
        .chain()
        .iter()
        .filter(|one| !one.is_certificate_authority());
    let first = std::slice::from_ref(bundle.leaf());
    servers.any(|one| x509::find_issuer(one, first).is_some())
}

fn issuer(
    bundle: &Bundle,
    path: &Path,
    reach: Reach<'_>,
    companions: &Companions,
    chains: &mut Chains,
) -> Result<Certificate, FileRefusal> {
    let certificate = bundle.leaf();
    let beside = match &companions.issuer {
        Some(issuer_path) => match read_bundle(issuer_path, reach) {
            Ok(bundle) => Some(bundle.leaf().clone()),
            Err(shortage @ FileRefusal::Shortage(_)) => return Err(shortage),
            Err(_) if !issuer_path.exists() => None,
            Err(_) => return Err(FileRefusal::WrongIssuerFile(issuer_path.clone())),
        },
        None => None,
    };
    // HAProxy checks `.issuer` first and refuses a wrong one even if the chain has the right one.
    if let (Some(beside), Some(issuer_path)) = (&beside, &companions.issuer)
        && x509::find_issuer(certificate, std::slice::from_ref(beside)).is_none()
    {
        return Err(match x509::unsupported_issuer(certificate, [beside]) {
            Some(error) => FileRefusal::UnsupportedIssuer(error),
            None => FileRefusal::WrongIssuerFile(issuer_path.clone()),
        });
    }
    if let Some(issuer) = x509::find_issuer(certificate, bundle.chain()) {
        return Ok(issuer.clone());
    }
    if let Some(beside) = beside {
        return Ok(beside);
    }
    // HAProxy completes only certificates without a chain, and only by the key their issuer has.
    if let Some(folder) = &companions.issuers_chain_path
        && bundle.chain().is_empty()
        && certificate.authority_key_identifier().is_some()
        && let Some(issuer) = x509::find_issuer(certificate, chains.first_certificates(folder))
    {
        return Ok(issuer.clone());
    }
    for chain in &companions.chains {
        if let Some(issuer) = x509::find_issuer(certificate, chains.certificates(chain, reach)) {
            return Ok(issuer.clone());
        }
    }
    if let Some(shortage) = chains.shortage() {
        return Err(FileRefusal::Shortage(shortage.to_owned()));
    }
    if let Some(error) = x509::unsupported_issuer(certificate, bundle.chain()) {
        return Err(FileRefusal::UnsupportedIssuer(error));
    }
    let missing = companions.issuer.as_ref().or(companions.chains.first());
    Err(FileRefusal::NoIssuer(
        missing.map_or_else(|| path.to_owned(), PathBuf::clone),
    ))
}
