//! The HTTP side of the responder: GET and POST (RFC 6960 A.1, RFC 9919 §5).
//!
//! Reads requests, hands them to the [`Responder`], sends answers with caching headers. The answer
//! to any input is an OCSP response or an HTTP error below 500. Faults that concern the connection
//! happen here. Every wait and every size has a bound.

use std::num::NonZero;
use std::os::fd::AsFd as _;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Body as _, Bytes, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::error_response;
use super::clients::Clients;
use super::fault::{Faults, Kind, spoil, spoil_signed};
use super::path::{PathContent, from_path};
use super::question::Question;
use super::refusal::Refusal;
use super::trickle::Trickle;
use super::{Answer, Responder, caching};
use crate::ocsp::request::{MAX_REQUEST_BYTES, RequestError};
use crate::time::Timestamp;

/// Connections at once, of which one client gets a part; more wait in the listener's queue.
const MAX_CONNECTIONS: usize = 1024;
/// Largest request line and headers, in bytes: a GET of the largest request, percent-encoded.
const MAX_HEAD_BYTES: usize = 72 * 1024;
/// Time for request line and headers, which is also how long a connection may idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Time for a request's body.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of an oversize body that are read and dropped, for clients that read no answer before they
/// have sent everything.
const MAX_DROPPED_BYTES: usize = 64 * 1024 * 1024;
/// How long a connection is kept; after it, the client is told to open another.
const CONNECTION_LIFE: Duration = Duration::from_secs(600);
/// How long a connection may take to end when it should.
const GRACE: Duration = Duration::from_secs(5);
/// Wait after the system refused a connection, as it does without free file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Trouble on this side is logged once in this time.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// The Cache-Control of what is for one client and one moment.
const NO_STORE: &str = "no-store";
const OCSP_RESPONSE: &str = "application/ocsp-response";
const GREETING: &str = "An OCSP responder (RFC 6960): ask by POST, or by GET with base64.\n";

/// A responder with what it needs to serve.
#[derive(Debug)]
pub struct Server {
    /// Who answers.
    pub responder: Responder,
    /// The wall clock.
    pub clock: fn() -> Timestamp,
    /// What goes wrong on purpose; `None` but for tests.
    pub faults: Option<Faults>,
}

type Body = Either<Full<Bytes>, Trickle>;

/// The connection is to be reset: a fault.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the connection is reset on purpose")]
struct Reset;

/// Why there is no request in a POST.
enum NoBody {
    TooLate,
    Broken,
}

/// Serves until `stop` is cancelled, then lets the requests in hand end.
pub async fn serve(listener: TcpListener, server: Arc<Server>, stop: CancellationToken) {
    let permits = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let connections = TaskTracker::new();
    let clients = Clients::default();
    let service = Arc::new(Service {
        server,
        last_trouble: Mutex::new(None),
    });
    loop {
        let accepted = async {
            let permit = Arc::clone(&permits).acquire_owned().await;
            (permit, listener.accept().await)
        };
        let (permit, accepted) = tokio::select! {
            () = stop.cancelled() => break,
            accepted = accepted => accepted,
        };
        match accepted {
            Ok((stream, client)) => {
                let Some(place) = clients.admit(client.ip()) else {
                    tracing::debug!("a connection of {client} is refused: it has enough");
                    continue;
                };
                let (service, stop) = (Arc::clone(&service), stop.clone());
                connections.spawn(async move {
                    connection(stream, service, stop).await;
                    drop((place, permit));
                });
            }
            Err(error) => {
                tracing::warn!("no connection could be accepted: {error}");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.close();
    // Each connection ends itself within the grace; this is for their last moves.
    let _ = timeout(GRACE * 2, connections.wait()).await;
}

async fn connection(stream: TcpStream, service: Arc<Service>, stop: CancellationToken) {
    // Answers are written at once: nothing gains from waiting for more.
    let _ = stream.set_nodelay(true);
    let twin = service.server.faults.as_ref().and_then(|_| twin(&stream));
    let handler = service_fn(|request| service.handle(request));
    let mut serving = std::pin::pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEAD_TIMEOUT)
            .max_buf_size(MAX_HEAD_BYTES)
            .serve_connection(TokioIo::new(stream), handler)
    );
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = stop.cancelled() => None,
        () = sleep(CONNECTION_LIFE) => None,
    };
    let ended = match ended {
        Some(ended) => Some(ended),
        None => {
            serving.as_mut().graceful_shutdown();
            timeout(GRACE, serving.as_mut()).await.ok()
        }
    };
    // All other ends are the client's business.
    if let Some(Err(error)) = ended
        && error.is_user()
        && let Some(twin) = twin
    {
        let _ = twin.set_zero_linger();
    }
}

/// A second handle of the same socket, with which it can be reset after hyper has dropped its own.
fn twin(stream: &TcpStream) -> Option<TcpStream> {
    let handle = stream.as_fd().try_clone_to_owned().ok()?;
    TcpStream::from_std(handle.into()).ok()
}

struct Service {
    server: Arc<Server>,
    last_trouble: Mutex<Option<Instant>>,
}

impl Service {
    async fn handle(&self, request: Request<Incoming>) -> Result<Response<Body>, Reset> {
        let (head, body) = request.into_parts();
        let request = match head.method {
            Method::GET | Method::HEAD => match from_path(head.uri.path()) {
                PathContent::Nothing => return Ok(text(StatusCode::OK, GREETING)),
                PathContent::Request(request) => Ok(request),
                PathContent::Garbage => Err(Refusal::Base64),
            },
            Method::POST => match read_body(&head.headers, body).await {
                Ok(request) => request,
                Err(NoBody::TooLate) => {
                    return Ok(text(StatusCode::REQUEST_TIMEOUT, "too late\n"));
                }
                Err(NoBody::Broken) => {
                    return Ok(text(StatusCode::BAD_REQUEST, "the body is cut off\n"));
                }
            },
            _ => {
                let mut response = text(StatusCode::METHOD_NOT_ALLOWED, GREETING);
                let allowed = HeaderValue::from_static("GET, HEAD, POST");
                response.headers_mut().insert(header::ALLOW, allowed);
                return Ok(response);
            }
        };
        let now = (self.server.clock)();
        let request = match request {
            Ok(request) => request,
            Err(refusal) => return Ok(self.refused(&refusal)),
        };
        if let Some(faults) = &self.server.faults {
            let kinds = strike(faults, &request);
            if !kinds.is_empty() {
                return self.fail(faults, &kinds, &request, now).await;
            }
        }
        Ok(match self.server.responder.answer(&request, now).await {
            Ok(answer) => answered(&answer, &head.headers, &head.method, now),
            Err(refusal) => self.refused(&refusal),
        })
    }

    fn refused(&self, refusal: &Refusal) -> Response<Body> {
        match refusal.reason() {
            Some(reason) => self.log(reason, refusal),
            None => tracing::debug!("refused: {refusal}"),
        }
        uncached(error_response(refusal.responder_error()).into())
    }

    /// Says what is wrong here, but not for each of ten thousand requests in a second.
    fn log(&self, reason: &str, refusal: &Refusal) {
        let now = Instant::now();
        let mut last = self
            .last_trouble
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if last.is_none_or(|last| now.duration_since(last) >= LOG_INTERVAL) {
            *last = Some(now);
            tracing::error!(reason, "requests cannot be answered: {refusal}");
        }
    }

    /// The way of a request for which something goes wrong on purpose.
    async fn fail(
        &self,
        faults: &Faults,
        kinds: &[Kind],
        request: &[u8],
        now: Timestamp,
    ) -> Result<Response<Body>, Reset> {
        for kind in kinds {
            match *kind {
                Kind::Delay(delay) => sleep(delay).await,
                Kind::NeverAnswer => std::future::pending().await,
                Kind::Reset => return Err(Reset),
                Kind::Http { code, retry_after } => return Ok(http_error(code, retry_after)),
                Kind::Error(error) => return Ok(uncached(error_response(error).into())),
                _ => {}
            }
        }
        let mut response = match self.spoiled(faults, kinds, request, now).await {
            Ok(response) => response,
            Err(refusal) => return Ok(self.refused(&refusal)),
        };
        for kind in kinds {
            response = spoil_signed(*kind, response);
        }
        let response = Bytes::from(response);
        Ok(if kinds.contains(&Kind::Trickle) {
            uncached(response.clone()).map(|_| Either::Right(Trickle::new(response)))
        } else {
            uncached(response)
        })
    }

    async fn spoiled(
        &self,
        faults: &Faults,
        kinds: &[Kind],
        request: &[u8],
        now: Timestamp,
    ) -> Result<Vec<u8>, Refusal> {
        let question = Question::read(request)?;
        let mut draft = self.server.responder.draft(&question, now).await?;
        for kind in kinds {
            spoil(*kind, &mut draft.data, draft.authority.issuer());
        }
        let signed = if kinds.contains(&Kind::ForeignSignature) {
            draft.authority.sign_with(&draft.data, &faults.foreign_key)
        } else {
            draft.authority.sign(&draft.data)
        };
        Ok(signed?)
    }
}

fn strike(faults: &Faults, request: &[u8]) -> Vec<Kind> {
    let question = Question::read(request);
    let cert_ids = question.iter().flat_map(|question| &question.cert_ids);
    let serials: Vec<&[u8]> = cert_ids.map(|cert_id| cert_id.serial).collect();
    faults.strike(&serials, fastrand::f64)
}

/// The body of a POST; what is more than a request may have is dropped, or not even waited for
/// where the client asks first (RFC 9110 §10.1.1).
async fn read_body(
    head: &HeaderMap,
    mut body: Incoming,
) -> Result<Result<Vec<u8>, Refusal>, NoBody> {
    let declared = body.size_hint().lower();
    if declared > MAX_REQUEST_BYTES as u64 && head.contains_key(header::EXPECT) {
        return Ok(Err(RequestError::TooLarge.into()));
    }
    let reading = async {
        let mut request = Vec::new();
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| NoBody::Broken)?;
            let Some(data) = frame.data_ref() else {
                continue;
            };
            length += data.len();
            if length <= MAX_REQUEST_BYTES {
                request.extend_from_slice(data);
            } else if length > MAX_DROPPED_BYTES {
                break;
            }
        }
        Ok(if length > MAX_REQUEST_BYTES {
            Err(RequestError::TooLarge.into())
        } else {
            Ok(request)
        })
    };
    timeout(BODY_TIMEOUT, reading)
        .await
        .unwrap_or(Err(NoBody::TooLate))
}

fn answered(
    answer: &Answer,
    request: &HeaderMap,
    method: &Method,
    now: Timestamp,
) -> Response<Body> {
    let signed = match answer {
        Answer::Personal(der) => return uncached(der.clone()),
        Answer::Shared(signed) => signed,
    };
    let header = |name| request.get(name)?.to_str().ok();
    let not_modified = method != Method::POST
        && caching::is_not_modified(
            signed,
            header(header::IF_NONE_MATCH),
            header(header::IF_MODIFIED_SINCE),
        );
    let mut response = if not_modified {
        let mut response = Response::new(Either::Left(Full::default()));
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        ocsp_response(signed.der.clone())
    };
    for (name, value) in caching::headers(signed, now) {
        if let Ok(value) = HeaderValue::try_from(value) {
            response.headers_mut().insert(name, value);
        }
    }
    response
}

fn ocsp_response(der: Bytes) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(der)));
    let content_type = HeaderValue::from_static(OCSP_RESPONSE);
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, content_type);
    response
}

/// A response for this client and this moment.
fn uncached(der: Bytes) -> Response<Body> {
    without_caching(ocsp_response(der))
}

fn without_caching(mut response: Response<Body>) -> Response<Body> {
    let value = HeaderValue::from_static(NO_STORE);
    response.headers_mut().insert(header::CACHE_CONTROL, value);
    response
}

fn text(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Either::Left(Full::new(Bytes::from_static(text.as_bytes()))));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, plain);
    without_caching(response)
}

fn http_error(code: u16, retry_after: Option<u32>) -> Response<Body> {
    let status = StatusCode::from_u16(code).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    let mut response = text(status, "a fault on purpose\n");
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

/// How many signatures this machine can make at the same time.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZero::get)
}
