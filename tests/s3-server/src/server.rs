//! The HTTP server: connections, dates, and faults.

use std::{
    convert::Infallible,
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto::Builder,
};
use s3s::{
    Body,
    auth::SimpleAuth,
    service::{S3Service, S3ServiceBuilder},
};
use s3s_fs::FileSystem;
use tempfile::TempDir;
use tokio::{
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

use crate::{
    Deviation, Faults, Observer, User,
    access::AccessPolicies,
    deviations::Deviations,
    faults::{FaultInjector, RequestFaults},
    observer::UnansweredRequest,
    storage::LockedFileSystem,
};

/// Options of a server: its storage, users, faults, and deviations from S3.
#[derive(Clone, Debug)]
pub struct Options {
    /// The directory of the buckets, created if necessary; by default a temporary one.
    pub directory: Option<PathBuf>,
    /// The port on 127.0.0.1; by default any free one.
    pub port: u16,
    /// The bucket that is created.
    pub bucket: String,
    /// The initial faults.
    pub faults: Faults,
    /// The seed of the random faults.
    pub seed: u64,
    /// Additional users besides the owner, and their permissions.
    pub users: Vec<User>,
    /// What the server does otherwise than S3.
    pub deviations: Vec<Deviation>,
    /// The observer of all requests.
    pub observer: Option<Arc<dyn Observer>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            directory: None,
            port: 0,
            bucket: "neap".to_owned(),
            faults: Faults::default(),
            seed: 0,
            users: Vec::new(),
            deviations: Vec::new(),
            observer: None,
        }
    }
}

/// A running server. Dropping it stops it and cuts its connections.
#[derive(derive_more::Debug)]
#[debug("S3Server {{ address: {address:?}, bucket: {bucket:?}, .. }}")]
pub struct S3Server {
    address: SocketAddr,
    bucket: String,
    chance: Arc<FaultInjector>,
    accept: JoinHandle<Infallible>,
    _directory: Option<TempDir>,
}

impl S3Server {
    /// The access key of the owner.
    pub const ACCESS_KEY: &'static str = "AKIDTEST";

    /// The secret key of the owner.
    pub const SECRET_KEY: &'static str = "SKTEST";

    /// Starts a server on the current Tokio runtime.
    pub async fn start(options: Options) -> io::Result<Self> {
        let (root, directory) = match options.directory {
            Some(root) => (root, None),
            None => {
                let directory = TempDir::new()?;
                (directory.path().to_owned(), Some(directory))
            }
        };
        tokio::fs::create_dir_all(root.join(&options.bucket)).await?;
        let files =
            FileSystem::new(&root).map_err(|error| io::Error::other(format!("{error:?}")))?;
        let deviations = Arc::new(Deviations::new(&options.deviations));
        let storage = LockedFileSystem::new(files, Arc::clone(&deviations));
        let mut builder = S3ServiceBuilder::new(storage);
        let mut keys = SimpleAuth::from_single(Self::ACCESS_KEY, Self::SECRET_KEY);
        for user in &options.users {
            keys.register(user.access_key.clone(), user.secret_key.clone().into());
        }
        builder.set_auth(keys);
        let access = AccessPolicies::new(Self::ACCESS_KEY, options.users);
        builder.set_access(access.clone());
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await?;
        let address = listener.local_addr()?;
        let chance = Arc::new(FaultInjector::new(options.faults, options.seed));
        let handler = RequestHandler {
            service: builder.build(),
            chance: Arc::clone(&chance),
            access,
            deviations,
            observer: options.observer,
        };
        let accept = tokio::spawn(accept(listener, Arc::new(handler)));
        Ok(Self {
            address,
            bucket: options.bucket,
            chance,
            accept,
            _directory: directory,
        })
    }

    /// Returns the URL of the server for S3 clients.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the bucket that was created.
    pub fn bucket(&self) -> &str {
        &self.bucket
    }

    /// Replaces the faults.
    pub fn set_faults(&self, faults: Faults) {
        self.chance.set(faults);
    }
}

impl Drop for S3Server {
    fn drop(&mut self) {
        self.accept.abort();
    }
}

/// Handles requests.
struct RequestHandler {
    service: S3Service,
    chance: Arc<FaultInjector>,
    access: AccessPolicies,
    deviations: Arc<Deviations>,
    observer: Option<Arc<dyn Observer>>,
}

async fn accept(listener: TcpListener, handler: Arc<RequestHandler>) -> Infallible {
    let mut connections = JoinSet::new();
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            connections.spawn(connection(stream, Arc::clone(&handler)));
        }
        while connections.try_join_next().is_some() {}
    }
}

async fn connection(stream: TcpStream, handler: Arc<RequestHandler>) {
    // Without `TCP_NODELAY`, small responses wait for the client's delayed acknowledgements.
    let unbuffered = stream.set_nodelay(true);
    let service = service_fn(|request| {
        let handler = Arc::clone(&handler);
        let fate = handler.chance.draw();
        async move { handler.answer(fate, request).await }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    // The handler adds the date.
    builder.http1().auto_date_header(false);
    let served = builder.serve_connection(TokioIo::new(stream), service).await;
    // Errors are expected when a client disconnects, or when a fault drops the response.
    drop((unbuffered, served));
}

/// A response that is dropped on purpose: hyper closes the connection.
#[derive(Debug, thiserror::Error)]
#[error("the response is lost")]
struct LostResponse;

impl RequestHandler {
    #[expect(clippy::disallowed_methods, reason = "the server uses real time")]
    async fn answer(
        &self,
        fate: RequestFaults,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, LostResponse> {
        tokio::time::sleep(fate.delay).await;
        let writes = !matches!(*request.method(), Method::GET | Method::HEAD);
        let mut response = if fate.unavailable {
            failure(StatusCode::SERVICE_UNAVAILABLE, "SlowDown", INJECTED_FAULT)
        } else {
            let answered = self.answer_without_faults(request).await?;
            let took_effect = writes && answered.status().is_success();
            if took_effect && fate.lost_reply {
                return Err(LostResponse);
            }
            if took_effect && fate.failed_reply {
                failure(StatusCode::INTERNAL_SERVER_ERROR, "InternalError", INJECTED_FAULT)
            } else {
                answered
            }
        };
        let date = (chrono::Utc::now() + chrono::Duration::seconds(fate.date_error_seconds))
            .format("%a, %d %b %Y %H:%M:%S GMT")
            .to_string();
        let has_date = !self.deviations.has(Deviation::MissingDates);
        if let Some(date) = HeaderValue::from_str(&date).ok().filter(|_| has_date) {
            response.headers_mut().insert(header::DATE, date);
        }
        if self.deviations.has(Deviation::CachedResponses) {
            response.headers_mut().insert(header::AGE, HeaderValue::from_static("1"));
        }
        Ok(response)
    }

    /// Answers a request without faults and notifies the observer.
    async fn answer_without_faults(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Body>, LostResponse> {
        let asked = UnansweredRequest::from_request(&request);
        if self.deviations.refuses(&request) {
            let text = "A header you provided implies functionality that is not implemented";
            return Ok(failure(StatusCode::NOT_IMPLEMENTED, "NotImplemented", text));
        }
        let answered = self.service.call(request.map(Body::from)).await;
        let mut response = answered.map_err(|_| LostResponse)?;
        if response.status() == StatusCode::NOT_FOUND && self.access.hides_missing(&asked) {
            response = failure(
                StatusCode::FORBIDDEN,
                "AccessDenied",
                "missing keys are hidden from users without permission to list the bucket",
            );
        }
        if let Some(observer) = &self.observer {
            asked.notify(&**observer, &response);
        }
        Ok(response)
    }
}

/// The message of an injected fault.
const INJECTED_FAULT: &str = "injected fault";

fn failure(status: StatusCode, code: &str, message: &str) -> Response<Body> {
    let text = format!("<Error><Code>{code}</Code><Message>{message}</Message></Error>");
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    response
}
