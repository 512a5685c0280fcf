//! What one exchange with a responder can come to, and what follows from it.
//!
//! Every fault has its own variant; its name in snake_case is the log reason. What to do next is a
//! pure function of the fault ([`Error::next_step`], [`Error::retry_after`], [`Error::health`]).
//! Whether the bytes of an answer are worth anything is not judged here beyond "these may be an
//! OCSP response" (RFC 9919 §5; statuses: RFC 9110 §15).

use std::time::Duration;

use super::address::RefusedAddress;
use super::caching::Caching;
use super::limits::Health;
use crate::text::Printable;

/// Characters of foreign text that are repeated in an error.
const SHOWN_MAX: usize = 200;

/// A body that has the outer form of an OCSP response, with what HTTP said about it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Fetched {
    /// The bytes, complete: one DER SEQUENCE and nothing after it.
    pub body: Vec<u8>,
    /// What caches were told about the answer.
    pub caching: Caching,
}

/// The outcome of one exchange that did not fail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HttpReply {
    /// An answer to be judged.
    Fetched(Fetched),
    /// 304: the answer held is still the current one.
    NotModified(Caching),
}

/// What to try after a failed exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum NextStep {
    /// The fault may lie in the form of the request or in a cache: ask the same URL by POST if it
    /// was asked by GET, else go on to the next URL.
    OtherMethod,
    /// This URL is of no use now: go on to the next one.
    NextUrl,
}

/// Why an exchange with a responder brought no answer.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Error {
    /// The certificate names no URL that could be asked.
    #[error("no responder to ask")]
    NoUrl,
    /// The URL is not one an OCSP request can be sent to.
    #[error("'{url}' is no responder's address: {reason}")]
    InvalidUrl {
        /// The URL as the certificate or a redirect had it.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The address rules forbid every address the host has.
    #[error("{0}")]
    AddressRefused(#[from] RefusedAddress),
    /// The host's addresses could not be found out.
    #[error("'{host}' cannot be resolved: {reason}")]
    Resolve {
        /// The host that was looked up.
        host: String,
        /// What the system's resolver said.
        reason: String,
    },
    /// The host was not looked up: so many other lookups take long that it had no turn in time.
    #[error("'{host}' is not looked up yet: too many other lookups take long")]
    LookupWaits {
        /// The host that waits.
        host: String,
    },
    /// No address of the host accepted a connection in time.
    #[error("no connection within the connect timeout")]
    ConnectTimeout,
    /// The host refused the connection.
    #[error("connection refused")]
    ConnectRefused,
    /// The connection could not be made for another reason (no route, network down).
    #[error("cannot connect: {reason}")]
    Connect {
        /// What the system said.
        reason: String,
    },
    /// The proxy did not open a tunnel.
    #[error("the proxy refuses: {reason}")]
    Proxy {
        /// What the proxy said.
        reason: String,
    },
    /// TLS to the responder failed, its certificate included.
    #[error("TLS: {reason}")]
    Tls {
        /// What rustls said.
        reason: String,
    },
    /// The answer was not complete within the request timeout.
    #[error("no complete answer within the request timeout")]
    Timeout,
    /// The responder reset the connection.
    #[error("connection reset by the responder")]
    Reset,
    /// The responder closed the connection without a whole answer.
    #[error("connection closed before a whole answer")]
    Closed,
    /// The body is shorter than its length, its chunks or its DER say.
    #[error("the answer is cut off")]
    Truncated,
    /// The header or the body is larger than an OCSP response can sensibly be.
    #[error("the answer is larger than {limit} bytes")]
    TooLarge {
        /// The bound that was passed, in bytes.
        limit: usize,
    },
    /// The responder does not speak HTTP/1.
    #[error("not an HTTP answer: {reason}")]
    NotHttp {
        /// What was wrong.
        reason: String,
    },
    /// A status other than 200 (and 304 where asked for).
    #[error("HTTP status {code}")]
    HttpStatus {
        /// The status code.
        code: u16,
        /// What `Retry-After` asks for, within bounds.
        retry_after: Option<Duration>,
    },
    /// A redirect led on after the last one that is followed, or back to where it came from.
    #[error("too many redirects, or a loop of them")]
    TooManyRedirects,
    /// The body is compressed although only `identity` was asked for.
    #[error("the answer has the content coding '{coding}'")]
    Encoding {
        /// The value of `Content-Encoding`.
        coding: String,
    },
    /// The body is empty.
    #[error("the answer is empty")]
    Empty,
    /// The body is not a DER OCSPResponse: HTML, PEM, base64, something else.
    #[error("the answer is no OCSP response (content type '{content_type}')")]
    NotOcsp {
        /// The value of `Content-Type`, empty where there was none.
        content_type: String,
    },
    /// The responder failed repeatedly and is not asked for now.
    #[error("the responder failed repeatedly; next try in {} s", retry_after.as_secs())]
    CircuitOpen {
        /// When it will be asked again, at the earliest.
        retry_after: Duration,
    },
}

impl Error {
    /// Whether no request was sent: it says nothing about the certificate, nor about the responder.
    pub fn is_postponement(&self) -> bool {
        matches!(self, Error::CircuitOpen { .. } | Error::LookupWaits { .. })
    }

    /// The variant's name in snake_case: the log reason.
    pub fn kind(&self) -> &'static str {
        match self {
            Error::NoUrl => "no_url",
            Error::InvalidUrl { .. } => "invalid_url",
            Error::AddressRefused(_) => "address_refused",
            Error::Resolve { .. } => "resolve",
            Error::LookupWaits { .. } => "lookup_waits",
            Error::ConnectTimeout => "connect_timeout",
            Error::ConnectRefused => "connect_refused",
            Error::Connect { .. } => "connect",
            Error::Proxy { .. } => "proxy",
            Error::Tls { .. } => "tls",
            Error::Timeout => "timeout",
            Error::Reset => "reset",
            Error::Closed => "closed",
            Error::Truncated => "truncated",
            Error::TooLarge { .. } => "too_large",
            Error::NotHttp { .. } => "not_http",
            Error::HttpStatus { .. } => "http_status",
            Error::TooManyRedirects => "too_many_redirects",
            Error::Encoding { .. } => "encoding",
            Error::Empty => "empty",
            Error::NotOcsp { .. } => "not_ocsp",
            Error::CircuitOpen { .. } => "circuit_open",
        }
    }

    /// What to try next for the same certificate.
    pub fn next_step(&self) -> NextStep {
        match self {
            // A responder that knows POST only, a cache or a proxy that chokes on the long URL, an
            // error page for everyone: POST asks differently and passes caches (RFC 9919 §6).
            Error::HttpStatus { code, .. } if (400..500).contains(code) && *code != 429 => {
                NextStep::OtherMethod
            }
            Error::Encoding { .. }
            | Error::Empty
            | Error::NotOcsp { .. }
            | Error::TooManyRedirects => NextStep::OtherMethod,
            _ => NextStep::NextUrl,
        }
    }

    /// How long the responder asked to be left alone; none where the usual backoff decides.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Error::HttpStatus { retry_after, .. } => *retry_after,
            Error::CircuitOpen { retry_after } => Some(*retry_after),
            _ => None,
        }
    }

    /// What the fault, `took` after asking, says about the responder as a whole rather than about
    /// one certificate or our settings. A responder that sends nonsense is up and costs the others
    /// no time.
    pub fn health(&self, took: Duration) -> Health {
        match self {
            Error::HttpStatus {
                code: 429 | 503,
                retry_after: Some(pause),
            } => Health::Busy(*pause),
            Error::HttpStatus {
                code: 429 | 500.., ..
            }
            | Error::Resolve { .. }
            | Error::ConnectTimeout
            | Error::ConnectRefused
            | Error::Connect { .. }
            | Error::Proxy { .. }
            | Error::Tls { .. }
            | Error::Timeout
            | Error::Reset
            | Error::Closed => Health::Failed,
            Error::HttpStatus { .. }
            | Error::Truncated
            | Error::TooLarge { .. }
            | Error::NotHttp { .. }
            | Error::TooManyRedirects
            | Error::Encoding { .. }
            | Error::Empty
            | Error::NotOcsp { .. } => Health::Answered(took),
            Error::NoUrl
            | Error::InvalidUrl { .. }
            | Error::AddressRefused(_)
            | Error::LookupWaits { .. }
            | Error::CircuitOpen { .. } => Health::Unknown,
        }
    }
}

/// Foreign text as it may stand in an error: short, and without what could steer a terminal.
pub(super) fn shown(text: &[u8]) -> String {
    text.printable()
        .to_string()
        .chars()
        .take(SHOWN_MAX)
        .collect()
}

/// How far a body has the outer form of an OCSPResponse (RFC 6960 §4.2.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum OuterForm {
    /// `SEQUENCE { ENUMERATED …` and exactly as long as it says.
    Whole,
    /// It begins like an OCSPResponse but ends early.
    CutOff,
    /// Something else, or something after it.
    Foreign,
}

/// Looks at the first bytes only: enough to tell an error page and a cut-off body from an answer.
/// The judgement about everything inside is the validator's.
pub(super) fn outer_form(body: &[u8]) -> OuterForm {
    let (header, length) = match *body {
        [0x30, length, ..] if length < 0x80 => (2, usize::from(length)),
        [0x30, 0x81, length, ..] => (3, usize::from(length)),
        [0x30, 0x82, high, low, ..] => (4, usize::from(u16::from_be_bytes([high, low]))),
        [0x30] | [0x30, 0x81] | [0x30, 0x82] | [0x30, 0x82, _] => return OuterForm::CutOff,
        _ => return OuterForm::Foreign,
    };
    let content = body.get(header..).unwrap_or_default();
    match (content, content.len().cmp(&length)) {
        ([], std::cmp::Ordering::Less) => OuterForm::CutOff,
        ([0x0a, ..], std::cmp::Ordering::Less) => OuterForm::CutOff,
        ([0x0a, ..], std::cmp::Ordering::Equal) => OuterForm::Whole,
        _ => OuterForm::Foreign,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(code: u16) -> Error {
        Error::HttpStatus {
            code,
            retry_after: None,
        }
    }

    #[test]
    fn refusals_of_the_form_are_asked_again_by_post_and_outages_are_not() {
        for error in [
            status(400),
            status(404),
            status(405),
            status(414),
            Error::Empty,
            Error::NotOcsp {
                content_type: "text/html".to_owned(),
            },
        ] {
            assert_eq!(error.next_step(), NextStep::OtherMethod, "{error}");
        }
        for error in [
            status(429),
            status(500),
            status(503),
            Error::Timeout,
            Error::Truncated,
        ] {
            assert_eq!(error.next_step(), NextStep::NextUrl, "{error}");
        }
    }

    #[test]
    fn only_silence_and_outages_count_against_a_responder() {
        let took = Duration::from_secs(1);
        for error in [
            Error::Timeout,
            Error::ConnectRefused,
            Error::Reset,
            status(500),
            status(429),
        ] {
            assert_eq!(error.health(took), Health::Failed, "{error}");
        }
        for error in [status(404), Error::Truncated, Error::Empty] {
            assert_eq!(error.health(took), Health::Answered(took), "{error}");
        }
        assert_eq!(Error::NoUrl.health(took), Health::Unknown);
        let busy = Error::HttpStatus {
            code: 503,
            retry_after: Some(took),
        };
        assert_eq!(busy.health(took), Health::Busy(took));
    }

    #[test]
    fn foreign_text_is_cut_and_cannot_steer_a_terminal() {
        assert_eq!(
            shown(b"\x1b[2Jtext/html\xff\n"),
            r"\u{1b}[2Jtext/html\xff\n"
        );
        assert_eq!(shown(&[b'x'; 5000]).len(), SHOWN_MAX);
    }

    #[test]
    fn the_outer_form_tells_answers_from_pages_and_cut_off_bodies() {
        for (body, form) in [
            (&[0x30, 0x03, 0x0a, 0x01, 0x03][..], OuterForm::Whole),
            (&[0x30, 0x03, 0x0a, 0x01], OuterForm::CutOff),
            (&[0x30, 0x82, 0x01], OuterForm::CutOff),
            (&[0x30], OuterForm::CutOff),
            (&[0x30, 0x03, 0x0a, 0x01, 0x03, 0x00], OuterForm::Foreign),
            (&[0x30, 0x03, 0x02, 0x01, 0x03], OuterForm::Foreign),
            (
                &[0x30, 0x80, 0x0a, 0x01, 0x03, 0x00, 0x00],
                OuterForm::Foreign,
            ),
            (b"<html>", OuterForm::Foreign),
            (b"MIIB", OuterForm::Foreign),
        ] {
            assert_eq!(outer_form(body), form, "{body:02x?}");
        }
    }
}
