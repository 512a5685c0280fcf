//! The URLs that an OCSP request may be sent to.
//!
//! Pure. Governed by RFC 6960 appendix A.1 and RFC 9110 §4.2.

use ureq::http::Uri;

use super::outcome::{Error, shown};
use super::proxy::Proxies;
use super::wire;

/// Longest URL asked.
pub const URL_MAX: usize = 2048;

/// Reads a URL an OCSP request may be sent to.
///
/// # Errors
/// [`Error::InvalidUrl`] with what is wrong.
pub(super) fn parse_url(url: &str) -> Result<Uri, Error> {
    let invalid = |reason| Error::InvalidUrl {
        url: shown(url.as_bytes()),
        reason,
    };
    if url.len() > URL_MAX {
        return Err(invalid("it is too long"));
    }
    if url.contains('#') {
        return Err(invalid("it has a fragment"));
    }
    let uri: Uri = url.parse().map_err(|_| invalid("it is not a URL"))?;
    let Some(authority) = uri.authority() else {
        return Err(invalid("it has no host"));
    };
    if authority.as_str().contains('@') {
        return Err(invalid("it has a user name"));
    }
    if !wire::is_plain_host(authority.host()) {
        return Err(invalid("its host is neither a name nor an address"));
    }
    let rest = authority.as_str().strip_prefix(authority.host());
    if rest.is_none_or(|rest| !rest.is_empty() && authority.port_u16().is_none()) {
        return Err(invalid("its port is no port"));
    }
    Proxies::default().route(&uri)?;
    Ok(uri)
}
