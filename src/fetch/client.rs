//! One HTTP exchange with a responder, as RFC 6960 appendix A and RFC 9919 §5 want it.
//!
//! Blocking, with a total deadline. Follows redirects itself (the address rules hold on each hop
//! because every hop is resolved by `resolver`; a redirect to another host is a stranger's word
//! even if the operator wrote the first URL), bounds header and body, refuses content codings, and
//! sends a request once more when a kept connection turned out dead, or when the server had to be
//! asked first whether it speaks HTTP. TLS sessions are not resumed: a ticket is a stranger's
//! bytes, too. What an answer means, and what to do after a failure, is decided elsewhere.

use std::collections::HashSet;
use std::io::{self, Read as _};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ureq::Agent;
use ureq::http::header::{
    ACCEPT, ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE,
    HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LOCATION,
    PROXY_AUTHORIZATION,
};
use ureq::http::{Method, Request, Response, StatusCode, Uri};
use ureq::tls::{RootCerts, TlsConfig, TlsProvider};
use ureq::unversioned::transport::{Connector as _, RustlsConnector};

use super::acquaintance::{Acquaintances, Unacquainted};
use super::address::Author;
use super::caching::{Caching, Validators, retry_after};
use super::connection::{Dial, IDLE_MAX, StaleConnection, Watch};
use super::outcome::{Fetched, HttpReply, OuterForm, outer_form, shown};
use super::proxy::{Proxies, Route};
use super::resolver::{AddressBook, ResponderResolver};
use super::url::parse_url;
use super::wire;
use super::{Error, Settings};

/// Redirects followed in one exchange.
pub const REDIRECTS_MAX: usize = 3;
/// Longest body read; HAProxy takes a sixth of it.
pub const BODY_MAX: usize = 64 * 1024;
/// Longest response header read.
pub const HEADER_MAX: usize = 16 * 1024;
/// Responders remembered that are silent when they are asked by GET.
const SILENT_MAX: usize = 1024;
/// Room for an answer as it arrives; more than a header may take, so that a longer one is noticed.
const INPUT_BUFFER: usize = HEADER_MAX + 4 * 1024;
/// Room for a request's header; holds the longest URL twice.
const OUTPUT_BUFFER: usize = 8 * 1024;

/// What to ask, and how.
#[derive(Clone, Debug)]
pub struct Ask<'a> {
    /// The URL: complete for GET, the responder's for POST.
    pub url: &'a str,
    /// Whose word the URL is.
    pub author: Author,
    /// The DER request to be posted; none to ask by GET.
    pub post: Option<&'a [u8]>,
    /// Whether caches on the way are told to ask the responder.
    pub past_caches: bool,
    /// What the responder may compare with to answer 304.
    pub conditional: Option<&'a Validators>,
}

/// Carries out exchanges; shared by all worker threads.
#[derive(Clone)]
pub struct Client {
    /// For URLs of strangers.
    strangers: Agent,
    /// For URLs that the operator wrote himself.
    operators: Agent,
    settings: Arc<Settings>,
    /// URLs whose responder never answered when it was asked by GET.
    silent_on_get: Arc<Mutex<HashSet<String>>>,
}

impl Client {
    /// A client with its own connections and addresses.
    pub fn new(settings: &Settings) -> Self {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = TlsConfig::builder()
            .provider(TlsProvider::Rustls)
            .root_certs(RootCerts::PlatformVerifier)
            .unversioned_rustls_crypto_provider(provider)
            .build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .proxy(None)
            .tls_config(tls)
            .user_agent(concat!("staplerd/", env!("CARGO_PKG_VERSION")))
            .max_response_header_size(HEADER_MAX)
            .input_buffer_size(INPUT_BUFFER)
            .output_buffer_size(OUTPUT_BUFFER)
            .max_idle_connections(settings.renewal_threads)
            .max_idle_connections_per_host(settings.renewal_threads)
            .max_idle_age(IDLE_MAX)
            .timeout_resolve(Some(settings.connect_timeout))
            .timeout_connect(Some(settings.connect_timeout))
            .build();
        let book = settings.address_book();
        let acquaintances = Arc::default();
        let agent = |author| agent(&config, settings, &book, &acquaintances, author);
        Client {
            strangers: agent(Author::Stranger),
            operators: agent(Author::Operator),
            settings: Arc::new(settings.clone()),
            silent_on_get: Arc::default(),
        }
    }

    /// Whose word a responder's URL is.
    pub(super) fn author_of(&self, url: &str) -> Author {
        self.settings.author_of(url)
    }

    /// Whether the responder at `url` never answered when it was asked by GET last.
    pub(super) fn is_silent_on_get(&self, url: &str) -> bool {
        self.silent_on_get().contains(url)
    }

    /// Remembers whether the responder at `url` is silent when it is asked by GET.
    pub(super) fn remember_silence(&self, url: &str, is_silent: bool) {
        let mut urls = self.silent_on_get();
        if !is_silent {
            urls.remove(url);
        } else {
            if urls.len() >= SILENT_MAX {
                urls.clear();
            }
            urls.insert(url.to_owned());
        }
    }

    fn silent_on_get(&self) -> MutexGuard<'_, HashSet<String>> {
        let urls = self.silent_on_get.lock();
        urls.unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes all connections, those in use too; exchanges under way fail soon.
    pub fn shut_down(&self) {
        self.strangers.clone().shutdown();
        self.operators.clone().shutdown();
    }

    /// Asks once and follows redirects, all before `deadline`.
    ///
    /// # Errors
    /// Every fault of the way to the responder and of its answer, see [`Error`].
    pub fn exchange(&self, ask: &Ask<'_>, deadline: Instant) -> Result<HttpReply, Error> {
        let mut uri = parse_url(ask.url)?;
        let mut author = ask.author;
        let mut post = ask.post;
        let mut visited = Vec::new();
        while visited.len() <= REDIRECTS_MAX {
            if author == Author::Stranger || !visited.is_empty() {
                uri = wire::harmless(&uri).ok_or_else(|| Error::InvalidUrl {
                    url: shown(ask.url.as_bytes()),
                    reason: "it is not a URL",
                })?;
            }
            let conditional = ask.conditional.filter(|held| held.are_of(&uri));
            let hop = Hop {
                uri: &uri,
                author,
                post,
                past_caches: ask.past_caches,
                conditional,
            };
            let mut response = self.send(&hop, deadline)?;
            match response.status() {
                StatusCode::OK => return read(&mut response, &uri).map(HttpReply::Fetched),
                StatusCode::NOT_MODIFIED if conditional.is_some() => {
                    return Ok(HttpReply::NotModified(Caching::from_headers(
                        response.headers(),
                        &uri,
                    )));
                }
                StatusCode::SEE_OTHER => post = None,
                StatusCode::MOVED_PERMANENTLY
                | StatusCode::FOUND
                | StatusCode::TEMPORARY_REDIRECT
                | StatusCode::PERMANENT_REDIRECT => {}
                status => {
                    return Err(Error::HttpStatus {
                        code: status.as_u16(),
                        retry_after: retry_after(response.headers(), (self.settings.now)()),
                    });
                }
            }
            let next = redirect_target(&uri, response.headers()).ok_or(Error::HttpStatus {
                code: response.status().as_u16(),
                retry_after: None,
            })??;
            // Within the host and port that the operator wrote nothing else is reached.
            let is_elsewhere = (next.scheme(), next.authority()) != (uri.scheme(), uri.authority());
            if is_elsewhere {
                author = Author::Stranger;
            }
            visited.push(std::mem::replace(&mut uri, next));
            if visited.contains(&uri) {
                break;
            }
        }
        Err(Error::TooManyRedirects)
    }

    fn send(&self, hop: &Hop<'_>, deadline: Instant) -> Result<Response<ureq::Body>, Error> {
        let mut idle = IDLE_MAX;
        let mut introduced = false;
        loop {
            match self.send_once(hop, deadline, idle) {
                Err(ureq::Error::Other(error)) if error.is::<StaleConnection>() => {
                    if idle.is_zero() {
                        return Err(Error::Closed);
                    }
                    // No kept connection is young enough now: this one is fresh.
                    idle = Duration::ZERO;
                }
                Err(ureq::Error::Other(error)) if error.is::<Unacquainted>() => {
                    if introduced {
                        let reason = error.to_string();
                        return Err(Error::NotHttp { reason });
                    }
                    introduced = true;
                    // The body stays here until the server has spoken HTTP.
                    let empty = Hop {
                        post: Some(&[]),
                        ..*hop
                    };
                    self.send(&empty, deadline)?;
                }
                Err(error) => return Err(explain(error)),
                Ok(response) => return Ok(response),
            }
        }
    }

    fn send_once(
        &self,
        hop: &Hop<'_>,
        deadline: Instant,
        idle: Duration,
    ) -> Result<Response<ureq::Body>, ureq::Error> {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ureq::Error::Timeout(ureq::Timeout::Global));
        }
        let agent = match hop.author {
            Author::Stranger => &self.strangers,
            Author::Operator => &self.operators,
        };
        let mut request = Request::new(());
        *request.uri_mut() = hop.uri.clone();
        *request.headers_mut() = self.headers(hop);
        match hop.post {
            None => {
                let request = agent.configure_request(request);
                agent.run(
                    request
                        .timeout_global(Some(left))
                        .max_idle_age(idle)
                        .build(),
                )
            }
            Some(body) => {
                *request.method_mut() = Method::POST;
                let content_type = HeaderValue::from_static("application/ocsp-request");
                request.headers_mut().insert(CONTENT_TYPE, content_type);
                let request = agent.configure_request(request.map(|()| body));
                agent.run(
                    request
                        .timeout_global(Some(left))
                        .max_idle_age(idle)
                        .build(),
                )
            }
        }
    }

    fn headers(&self, hop: &Hop<'_>) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/ocsp-response"),
        );
        headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        if hop.past_caches {
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        }
        let mut set = |name: HeaderName, value: Option<&str>| {
            if let Some(Ok(value)) = value.map(HeaderValue::from_str) {
                headers.insert(name, value);
            }
        };
        if let Some(held) = hop.conditional {
            set(IF_NONE_MATCH, held.etag.as_deref());
            set(IF_MODIFIED_SINCE, held.last_modified.as_deref());
        }
        if hop.uri.scheme_str() == Some("http")
            && let Ok(Route::Proxied { proxy, .. }) = self.settings.proxies.route(hop.uri)
        {
            set(PROXY_AUTHORIZATION, proxy.authorization.as_deref());
        }
        headers
    }
}

/// One request of an exchange: the first, or one that follows a redirect.
#[derive(Clone, Copy)]
struct Hop<'a> {
    uri: &'a Uri,
    author: Author,
    post: Option<&'a [u8]>,
    past_caches: bool,
    conditional: Option<&'a Validators>,
}

fn agent(
    config: &ureq::config::Config,
    settings: &Settings,
    book: &Arc<AddressBook>,
    acquaintances: &Arc<Acquaintances>,
    author: Author,
) -> Agent {
    let proxies = Arc::new(settings.proxies.clone());
    let connector = Dial {
        book: Arc::clone(book),
        proxies: Arc::clone(&proxies),
        acquaintances: Arc::clone(acquaintances),
    }
    .chain(RustlsConnector::default())
    .chain(Watch {
        proxies: Arc::clone(&proxies),
    });
    let resolver = ResponderResolver {
        book: Arc::clone(book),
        proxies,
        author,
    };
    Agent::with_parts(config.clone(), connector, resolver)
}

/// The responder a URL belongs to: scheme, host and port. Faults and permits are counted per
/// responder; what `https://CA:80/` comes to says nothing about `http://CA/`.
pub(super) fn responder_of(url: &str) -> Result<String, Error> {
    let uri = parse_url(url)?;
    let proxies = Proxies::default();
    let (Route::Direct { host, port } | Route::Proxied { host, port, .. }) = proxies.route(&uri)?;
    let scheme = uri.scheme_str().unwrap_or_default();
    let responder = format!("{scheme}://{host}:{port}");
    Ok(responder.to_ascii_lowercase())
}

/// Where a redirect leads (RFC 3986 §5.2, without dot segments); `None` without a `Location`.
fn redirect_target(base: &Uri, headers: &HeaderMap) -> Option<Result<Uri, Error>> {
    let location = headers.get(LOCATION)?;
    let location = String::from_utf8_lossy(location.as_bytes());
    let location = location.split('#').next().unwrap_or_default().trim();
    let scheme = base.scheme_str().unwrap_or_default();
    let authority = base.authority().map_or("", |authority| authority.as_str());
    let absolute = if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let (directory, _) = base.path().rsplit_once('/').unwrap_or_default();
        format!("{scheme}://{authority}{directory}/{location}")
    };
    Some(parse_url(&absolute))
}

/// Reads the body of a 200 answer, if it may be an OCSP response.
fn read(response: &mut Response<ureq::Body>, uri: &Uri) -> Result<Fetched, Error> {
    const TOO_LARGE: Error = Error::TooLarge { limit: BODY_MAX };
    let header = |name: HeaderName| {
        let value = response.headers().get(name).map(HeaderValue::as_bytes);
        shown(value.unwrap_or_default())
    };
    let coding = header(CONTENT_ENCODING);
    if !coding.is_empty() && !coding.eq_ignore_ascii_case("identity") {
        return Err(Error::Encoding { coding });
    }
    if header(CONTENT_LENGTH)
        .parse()
        .is_ok_and(|length: u64| length > BODY_MAX as u64)
    {
        return Err(TOO_LARGE);
    }
    let content_type = header(CONTENT_TYPE);
    let caching = Caching::from_headers(response.headers(), uri);
    let mut body = Vec::new();
    response
        .body_mut()
        .as_reader()
        .take(BODY_MAX as u64 + 1)
        .read_to_end(&mut body)
        .map_err(|error| match explain(error.into()) {
            Error::Closed | Error::Reset => Error::Truncated,
            error => error,
        })?;
    if body.len() > BODY_MAX {
        return Err(TOO_LARGE);
    }
    if body.is_empty() {
        return Err(Error::Empty);
    }
    match outer_form(&body) {
        OuterForm::Whole => Ok(Fetched { body, caching }),
        OuterForm::CutOff => Err(Error::Truncated),
        OuterForm::Foreign => Err(Error::NotOcsp { content_type }),
    }
}

/// ureq's error in the words of this room.
fn explain(error: ureq::Error) -> Error {
    match error {
        ureq::Error::Other(error) => match error.downcast::<Error>() {
            Ok(error) => *error,
            Err(error) => Error::Connect {
                reason: error.to_string(),
            },
        },
        ureq::Error::Timeout(ureq::Timeout::Connect) => Error::ConnectTimeout,
        ureq::Error::Timeout(_) => Error::Timeout,
        ureq::Error::LargeResponseHeader(_, limit) => Error::TooLarge { limit },
        ureq::Error::Rustls(error) => Error::Tls {
            reason: error.to_string(),
        },
        ureq::Error::Tls(reason) => Error::Tls {
            reason: reason.to_owned(),
        },
        ureq::Error::Protocol(error) => Error::NotHttp {
            reason: error.to_string(),
        },
        ureq::Error::BodyStalled => Error::Truncated,
        ureq::Error::Io(error) => explain_io(&error),
        error => Error::Connect {
            reason: error.to_string(),
        },
    }
}

fn explain_io(error: &io::Error) -> Error {
    let reason = error.to_string();
    if error
        .get_ref()
        .is_some_and(|inner| inner.is::<rustls::Error>())
    {
        return Error::Tls { reason };
    }
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Error::ConnectRefused,
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => Error::Timeout,
        io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Error::Reset,
        io::ErrorKind::UnexpectedEof | io::ErrorKind::NotConnected => Error::Closed,
        _ => Error::Connect { reason },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fetch::URL_MAX;

    #[test]
    fn urls_that_no_request_can_be_sent_to_are_refused() {
        for url in [
            "",
            "ocsp.example",
            "/path",
            "ftp://ocsp.example/",
            "ldap://ocsp.example/",
            "file:///etc/passwd",
            "http:///",
            "http://:80/",
            "http://user@ocsp.example/",
            "http://user:password@ocsp.example/",
            "http://ocsp.example:0/",
            "http://ocsp.example:99999/",
            "http://ocsp.example/#fragment",
            "http://ocsp.example/with space",
            "http://ocsp;prompt/",
            "http://ocsp.example$x/",
            &format!("http://ocsp.example/{}", "x".repeat(URL_MAX)),
        ] {
            assert_eq!(parse_url(url).unwrap_err().kind(), "invalid_url", "{url}");
        }
        for url in [
            "http://ocsp.example",
            "HTTP://OCSP.EXAMPLE/",
            "https://ocsp.example:8443/a?b=c",
            "http://[2606::1]:80/",
        ] {
            assert!(parse_url(url).is_ok(), "{url}");
        }
    }

    #[test]
    fn a_responder_is_a_scheme_a_host_and_a_port() {
        for (url, responder) in [
            ("http://OCSP.example/a", "http://ocsp.example:80"),
            ("HTTP://ocsp.example:80/a", "http://ocsp.example:80"),
            ("https://ocsp.example/b", "https://ocsp.example:443"),
            ("https://ocsp.example:80/b", "https://ocsp.example:80"),
            ("http://[::1]:8080", "http://[::1]:8080"),
        ] {
            assert_eq!(responder_of(url).unwrap(), responder);
        }
    }

    #[test]
    fn redirects_lead_where_the_location_says() {
        let base: Uri = "http://a.example:81/b/c?d".parse().unwrap();
        for (location, target) in [
            ("https://x.example/y", "https://x.example/y"),
            ("//x.example/y", "http://x.example/y"),
            ("/y#z", "http://a.example:81/y"),
            ("y", "http://a.example:81/b/y"),
        ] {
            let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
            let found = redirect_target(&base, &headers).unwrap().unwrap();
            assert_eq!(found.to_string(), target, "{location}");
        }
        let headers = HeaderMap::from_iter([(LOCATION, "gopher://x/".parse().unwrap())]);
        assert!(redirect_target(&base, &headers).unwrap().is_err());
        assert!(redirect_target(&base, &HeaderMap::new()).is_none());
    }
}
