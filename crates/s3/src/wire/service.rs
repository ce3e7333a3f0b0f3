//! One request: limits, the protocol library, the shape of its answer.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, SERVER};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use metrics::{counter, histogram};
use s3s::service::S3Service;
use s3s::{Body, HttpError, HttpResponse};
use strongroom_iam::Iam;
use strongroom_seal::Random;
use strongroom_telemetry::{RequestId, names};
use time::OffsetDateTime;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tracing::Dispatch;
use tracing::instrument::{Instrument, WithSubscriber};

use super::body::RequestBody;
use super::content;
use super::control_signs;
use super::head;
use super::keep_alive::{KeepAlive, without_declaration};
use super::namespace;
use super::reply::{Open, Record, ReplyBody, Source};
use super::target::Target;
use super::unread::{Shared, Unread, announce_end};
use crate::cors::Cors;
use crate::error::{ApiError, DECLARATION, document, from_library};
use crate::face::{OtherStatus, OwnDocument};
use crate::form;
use crate::hoisted;
use crate::lenient::amend_unsigned;
use crate::options::S3Options;
use crate::request::{RequestState, within};
use crate::server::Linger;
use crate::sigv4::claims;
use crate::sts;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-amz-request-id");
const ID_2: HeaderName = HeaderName::from_static("x-amz-id-2");
const XML: HeaderValue = HeaderValue::from_static("application/xml");
const STRONGROOM: HeaderValue = HeaderValue::from_static("Strongroom");

/// Where a request came in.
#[derive(Debug, Clone)]
pub(crate) struct Connection {
    /// Whether it is TLS.
    pub(crate) secure: bool,
    /// Which version of it.
    pub(crate) tls_version: Option<&'static str>,
    /// The other end.
    pub(crate) peer: Option<SocketAddr>,
    /// Asked for where an answer is the connection's last one.
    pub(crate) linger: Linger,
}

/// Answers requests.
#[derive(Clone)]
pub(crate) struct Service(Arc<Inner>);

struct Inner {
    library: S3Service,
    cors: Cors,
    options: S3Options,
    /// For forms, whose signature the library does not know.
    iam: Iam,
    random: Arc<dyn Random>,
    /// Copies and completions, which go on when their client goes away.
    tasks: TaskTracker,
}

impl Service {
    pub(crate) fn new(
        library: S3Service,
        cors: Cors,
        options: S3Options,
        iam: Iam,
        random: Arc<dyn Random>,
        tasks: TaskTracker,
    ) -> Self {
        Self(Arc::new(Inner { library, cors, options, iam, random, tasks }))
    }

    /// Answers `request`. Every failure is an answer.
    pub(crate) async fn answer(
        self,
        connection: Connection,
        request: Request<Incoming>,
    ) -> Response<ReplyBody> {
        let mut random = [0; 16];
        self.0.random.fill(&mut random);
        let state = RequestState::new(RequestId::from_random(random), connection.secure, connection.peer);
        state.set_tls_version(connection.tls_version);
        let span = state.span().clone();
        let record = Record {
            method: request.method().clone(),
            started: Instant::now(),
            status: StatusCode::OK,
            sent: 0,
            failed: false,
            _open: Open::new(),
            state: state.clone(),
        };
        let (request, unread) = Unread::of(request);
        let (mut headers, source, record) = self.outcome(request, state, record).instrument(span).await;
        if unread.ends_connection().await {
            announce_end(&mut headers);
            connection.linger.ask();
        }
        let mut response = Response::new(ReplyBody::new(source, record));
        *response.status_mut() = response.body().status();
        *response.headers_mut() = headers;
        response
    }

    async fn outcome(
        self,
        mut request: Request<Shared<Incoming>>,
        state: RequestState,
        mut record: Record,
    ) -> (HeaderMap, Source, Record) {
        let cors = self.0.cors.headers(request.method(), request.uri(), request.headers());
        if sts::is_sts(request.method(), request.uri(), request.headers()) {
            state.set_sts();
        }
        let now = OffsetDateTime::now_utc();
        let checked = head::check(request.method(), request.uri(), request.headers(), &self.0.options, now);
        let uri = request.uri().clone();
        state.set_address(uri.clone(), request.headers().get(HOST).cloned());
        let checked = checked.and_then(|signed| {
            if let Some(signed) = signed {
                state.set_signed(signed);
            }
            claims::date_into_header(request.headers_mut());
            hoisted::into_headers(&uri, request.headers_mut())
        });
        let (status, mut headers, source) = match checked {
            Err(error) => failure(error, &state, &record.method),
            Ok(()) if request.method() == Method::OPTIONS => self.preflight(&request, &state),
            Ok(()) if head::may_take_long(request.method(), request.uri(), request.headers()) => {
                self.patiently(request, &state, &record.method).await
            }
            Ok(()) if record.method == Method::POST && form::is_form(request.headers()) => {
                self.form(request, &state).await
            }
            Ok(()) => {
                let answer = self.0.library.call(self.prepare(request, &state));
                let answer = within(state.clone(), answer.with_subscriber(Dispatch::none()));
                self.settle(answer.await, &state, &record.method)
            }
        };
        // An answer to a preflight has its own already.
        for (name, value) in cors.iter().filter(|_| record.method != Method::OPTIONS) {
            headers.append(name, value.clone());
        }
        common_headers(&mut headers, &state);
        record.status = status;
        histogram!(names::S3_FIRST_BYTE_SECONDS, "operation" => state.operation())
            .record(record.started.elapsed().as_secs_f64());
        (headers, source, record)
    }

    /// Answers what a browser asks before it sends something.
    fn preflight(
        &self,
        request: &Request<Shared<Incoming>>,
        state: &RequestState,
    ) -> (StatusCode, HeaderMap, Source) {
        state.set_operation("OptionsObject");
        match self.0.cors.preflight(request.uri(), request.headers()) {
            Ok(headers) => (StatusCode::OK, headers, Source::Empty),
            Err(error) => failure(error, state, request.method()),
        }
    }

    fn prepare(&self, request: Request<Shared<Incoming>>, state: &RequestState) -> Request<Body> {
        let limits = &self.0.options.limits;
        let (mut parts, body) = request.into_parts();
        let body = if body.is_end_stream() {
            Body::empty()
        } else {
            let chunking = head::chunking(&parts.headers, limits);
            let document = head::carries_document(&parts.method, &parts.uri)
                || parts.method == Method::PUT
                    && form::is_bucket(&parts.uri, &parts.headers, &self.0.options.domains);
            let in_chunks = chunking.is_some() && (document || head::lists_parts(&parts.method, &parts.uri));
            if document || in_chunks {
                state.keep_document(limits.xml_bytes_max);
            }
            if document && let Some(hash) = head::payload_hash(&parts.headers) {
                state.set_document_hash(hash);
            }
            if in_chunks {
                state.set_document_in_chunks();
            }
            Body::http_body_unsync(RequestBody::new(body, state.clone(), limits.body_idle_timeout, chunking))
        };
        if head::is_lengthless(parts.version, &parts.method, &parts.headers) {
            state.set_lengthless();
        }
        if head::is_pointless(&parts.method, &parts.uri) {
            let is_bucket = form::is_bucket(&parts.uri, &parts.headers, &self.0.options.domains);
            state.set_pointless(match parts.uri.path() {
                _ if is_bucket => "BUCKET",
                "/" => "SERVICE",
                _ => "OBJECT",
            });
        }
        head::announce_nothing(&mut parts.headers);
        amend_unsigned(&parts.method, state.signed(), &mut parts.headers);
        if let Some(token) = head::session_token(&parts.uri, &parts.headers) {
            state.set_session_token(token);
        }
        parts.extensions.insert(state.clone());
        Request::from_parts(parts, body)
    }

    /// Stores the file of an HTML form.
    async fn form(
        &self,
        request: Request<Shared<Incoming>>,
        state: &RequestState,
    ) -> (StatusCode, HeaderMap, Source) {
        let request = self.prepare(request, state);
        let (put, reply) = match form::as_put(request, state, &self.0.iam, &self.0.options).await {
            Ok(both) => both,
            Err(error) => return failure(error, state, &Method::POST),
        };
        let answer = self.0.library.call(put).with_subscriber(Dispatch::none());
        let answer = within(state.clone(), answer).await;
        let (status, headers, source) = self.settle(answer, state, &Method::POST);
        if !status.is_success() {
            return (status, headers, source);
        }
        let (status, headers, document) = reply.answer(&headers);
        (status, headers, document.map_or(Source::Empty, |text| Source::Document(Bytes::from(text))))
    }

    /// Runs what may take long in a task of its own, and starts the answer before the client loses patience.
    async fn patiently(
        &self,
        request: Request<Shared<Incoming>>,
        state: &RequestState,
        method: &Method,
    ) -> (StatusCode, HeaderMap, Source) {
        let request = self.prepare(request, state);
        let library = self.0.library.clone();
        let call = within(state.clone(), async move { library.call(request).await });
        let call = call.instrument(state.span().clone());
        let mut task = self.0.tasks.spawn(call.with_subscriber(Dispatch::none()));
        match timeout(self.0.options.limits.keep_alive_after, &mut task).await {
            Ok(Ok(result)) => self.settle(result, state, method),
            Ok(Err(_)) => failure(ApiError::internal(), state, method),
            Err(_) => {
                let (service, state, method) = (self.clone(), state.clone(), method.clone());
                let document = async move {
                    let (_, _, source) = match task.await {
                        Ok(result) => service.settle(result, &state, &method),
                        Err(_) => failure(ApiError::internal(), &state, &method),
                    };
                    without_declaration(all_of(source).await)
                };
                let headers = HeaderMap::from_iter([(CONTENT_TYPE, XML)]);
                (StatusCode::OK, headers, Source::KeepAlive(Box::new(KeepAlive::new(document))))
            }
        }
    }

    /// The answer of the library, or the error in its place.
    fn settle(
        &self,
        result: Result<HttpResponse, HttpError>,
        state: &RequestState,
        method: &Method,
    ) -> (StatusCode, HeaderMap, Source) {
        let Ok(response) = result else { return failure(ApiError::internal(), state, method) };
        let (mut parts, body) = response.into_parts();
        if let Some(OwnDocument(document)) = parts.extensions.remove() {
            let document = control_signs::referenced(&document).unwrap_or(document);
            parts.headers.insert(CONTENT_TYPE, XML);
            parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
            return (parts.status, parts.headers, Source::Document(document));
        }
        if !(parts.status.is_client_error()
            || parts.status.is_server_error()
            || parts.status == StatusCode::NOT_MODIFIED)
        {
            if let Some(document) = namespace::added(state.operation(), || body.bytes()) {
                parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
                return (parts.status, parts.headers, Source::Document(document));
            }
            let status = parts.extensions.get().map_or(parts.status, |OtherStatus(status)| *status);
            // Content is not ours to write otherwise, whatever its type.
            let is_xml = parts.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == "application/xml");
            let is_document = is_xml && state.operation() != "GetObject";
            let document = is_document.then(|| body.bytes()).flatten();
            return match document.as_deref().and_then(control_signs::referenced) {
                Some(document) => {
                    parts.headers.insert(CONTENT_LENGTH, HeaderValue::from(document.len()));
                    (status, parts.headers, Source::Document(document))
                }
                None => (status, parts.headers, Source::Library(body)),
            };
        }
        let of_library = || {
            let ours = parts.status == StatusCode::INTERNAL_SERVER_ERROR;
            let unread = ours.then(|| content::unread_document(state)).flatten();
            let told = || {
                let target =
                    || Target::of(&state.address()?.0, state.address()?.1.as_ref(), &self.0.options.domains);
                from_library(parts.status, &body.bytes().unwrap_or_default(), target)
            };
            let pointless = state.pointless().filter(|_| parts.status == StatusCode::NOT_IMPLEMENTED);
            let error = unread.or_else(|| pointless.map(ApiError::method_not_allowed)).unwrap_or_else(told);
            match state.signed() {
                Some(signed) if error.code == "SignatureDoesNotMatch" => signed.named_in(error),
                _ => error,
            }
        };
        let error = state.take_error().unwrap_or_else(of_library);
        failure(error, state, method)
    }
}

fn failure(mut error: ApiError, state: &RequestState, method: &Method) -> (StatusCode, HeaderMap, Source) {
    if error.code == "MethodNotAllowed" && error.fields.iter().all(|(name, _)| *name != "Method") {
        error.fields.insert(0, ("Method", method.to_string()));
    }
    counter!(names::S3_ERRORS, "operation" => state.operation(), "code" => error.code.clone()).increment(1);
    let mut headers: HeaderMap = error.headers.iter().cloned().collect();
    if error.status == StatusCode::NOT_MODIFIED {
        return (error.status, headers, Source::Empty);
    }
    headers.insert(CONTENT_TYPE, XML);
    if method == Method::HEAD {
        return (error.status, headers, Source::Empty);
    }
    let document = match state.is_sts() {
        true => sts::document(&error, state.id().as_str()),
        false => document(&error, state.id().as_str(), &state.host_id()),
    };
    let text = format!("{DECLARATION}{document}");
    headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    (error.status, headers, Source::Document(Bytes::from(text)))
}

fn common_headers(headers: &mut HeaderMap, state: &RequestState) {
    if let Ok(value) = HeaderValue::from_str(state.id().as_str()) {
        headers.insert(REQUEST_ID, value);
    }
    if let Ok(value) = HeaderValue::from_str(&state.host_id()) {
        headers.insert(ID_2, value);
    }
    headers.insert(SERVER, STRONGROOM);
}

/// The bytes of a document that is in memory anyway.
async fn all_of(source: Source) -> Bytes {
    match source {
        Source::Document(bytes) => bytes,
        Source::Library(body) => body.collect().await.map(|all| all.to_bytes()).unwrap_or_default(),
        Source::Empty | Source::KeepAlive(_) => Bytes::new(),
    }
}
