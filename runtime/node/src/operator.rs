//! The operator's listener: `/metrics`, `/livez`, `/readyz`, `/status`, `/admin/…`, on a thread of its own.
//!
//! Lives here: the HTTP of it. Does not live here: what is counted or how ready a node is; the role opens a
//! [`Panel`] that says so. Loopback unless told otherwise: there is no password on this door.
//!
//! | path | answer |
//! | --- | --- |
//! | `GET /` | the page: this node, or the whole cluster at a balancer; `/plain` is the one without scripts |
//! | `GET /metrics` | the role's registry in OpenMetrics text |
//! | `GET /livez` | 200 as long as this thread turns |
//! | `GET /readyz` | 200 ready, 404 draining, 503 not fed (or still starting) or lagging, with a sentence |
//! | `GET /status` | JSON by the role, with the process' CPU and memory |
//! | `GET /admin/events?after=N` | what happened after event N, JSON; by SSE where `text/event-stream` is accepted |
//! | `POST /admin/drain`, `POST /admin/ready` | sets and unsets [`Drain`] |
//! | `POST /admin/stop` | as SIGTERM |
//! | `POST /admin/reload` | as SIGHUP: 200, or 500 with what could not be read again, and why |
//! | `/admin/…` | whatever router the role brings |
//!
//! A POST that a page of another site makes is refused (`guard`): a browser beside this listener is inside the same
//! loopback.

mod following;
mod guard;
mod page;
mod plain;
mod process;

use std::fmt;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

pub use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::registry::Registry;
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;

use crate::events::Events;
use crate::settings::Address;
use crate::{Drain, Reload, Reloaded, Stop};

/// Where the operator listens.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperatorSettings {
    /// Address and port of the operator's listener. Default `127.0.0.1:9090`.
    pub listen: Address,
    /// A socket in the file system at which the next process of this role asks for our listening sockets when it is
    /// started beside us: it is filled, takes over, and we end; nobody is refused. Edges only. Default: none.
    pub handover: Option<PathBuf>,
}

impl Default for OperatorSettings {
    fn default() -> Self {
        Self { listen: Address(SocketAddr::from(([127, 0, 0, 1], 9090))), handover: None }
    }
}

/// How ready a node is, as `/readyz` tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// Does its work: 200.
    Ready,
    /// Lets its viewers go: 404.
    Draining(String),
    /// Alive, and has nothing worth serving, for this reason: 503.
    NotFed(String),
    /// Serves what it has, late: 503, because viewers are better served elsewhere.
    Lagging(String),
}

/// What a role shows its operator.
pub struct Panel {
    /// What `/metrics` encodes.
    pub registry: Registry,
    /// Asked at every `/readyz`.
    pub readiness: Box<dyn Fn() -> Readiness + Send + Sync>,
    /// Asked at every `/status`.
    pub status: Box<dyn Fn() -> serde_json::Value + Send + Sync>,
    /// Routes under `/admin`, given without that prefix (`/kick/{id}`); `Router::new()` for none.
    pub admin: Router,
}

impl fmt::Debug for Panel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Panel").field("registry", &self.registry).finish_non_exhaustive()
    }
}

/// Why the operator cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum OperatorError {
    /// The address is not to be had.
    #[error("operator listener {address}: {error}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// What the kernel said.
        error: std::io::Error,
    },
}

/// What the operator may do to a node, whatever its role.
#[derive(Clone, Debug, Default)]
pub struct Switches {
    /// Turned by `/admin/drain` and `/admin/ready`.
    pub drain: Drain,
    /// Signalled by `/admin/stop`; ends the listener too.
    pub stop: Stop,
    /// Signalled by `/admin/reload`.
    pub reload: Reload,
    /// Read by `/admin/events`.
    pub events: Events,
}

/// The listener; clones are the same one.
#[derive(Clone, Debug)]
pub struct Operator {
    address: SocketAddr,
    socket: Arc<OwnedFd>,
    room: Arc<Room>,
}

#[derive(Debug)]
struct Room {
    role: &'static str,
    panel: OnceLock<Panel>,
    switches: Switches,
    followers: Arc<Semaphore>,
}

impl Operator {
    /// Binds at once, so that a taken port is an error here, unless a socket is `given`; answers until `switches.stop`.
    pub fn listen(
        role: &'static str,
        address: SocketAddr,
        given: Option<OwnedFd>,
        switches: Switches,
    ) -> Result<Self, OperatorError> {
        let error = |error| OperatorError::Listen { address, error };
        let listener = match given {
            Some(socket) => std::net::TcpListener::from(socket),
            None => std::net::TcpListener::bind(address).map_err(error)?,
        };
        listener.set_nonblocking(true).map_err(error)?;
        let bound = listener.local_addr().map_err(error)?;
        let socket = Arc::new(OwnedFd::from(listener.try_clone().map_err(error)?));
        let followers = Arc::new(Semaphore::new(following::FOLLOWERS));
        let room = Arc::new(Room { role, panel: OnceLock::new(), switches, followers });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(error)?;
        let serving = room.clone();
        std::thread::Builder::new()
            .name("operator".into())
            .spawn(move || {
                runtime.block_on(async move {
                    match tokio::net::TcpListener::from_std(listener) {
                        Ok(listener) => serve(listener, serving).await,
                        Err(error) => tracing::error!(%error, "operator listener"),
                    }
                });
            })
            .map_err(error)?;
        Ok(Self { address: bound, socket, room })
    }

    /// Where it listens; the real port where 0 was asked for.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The listening socket, to hand it over.
    pub fn socket(&self) -> Arc<OwnedFd> {
        Arc::clone(&self.socket)
    }

    /// From now on the role answers. The first panel stays; a second is dropped and `false` said.
    pub fn open(&self, panel: Panel) -> bool {
        self.room.panel.set(panel).is_ok()
    }
}

async fn serve(listener: tokio::net::TcpListener, room: Arc<Room>) {
    let router = Router::new()
        .route("/", get(page::index))
        .route("/plain", get(page::plain))
        .route("/plain.css", get(page::style))
        .route("/assets/{name}", get(page::asset))
        .route("/livez", get(|| async { "alive\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .route("/status", get(status))
        .route("/admin/drain", post(drain))
        .route("/admin/ready", post(ready))
        .route("/admin/stop", post(stop))
        .route("/admin/reload", post(reload))
        .route("/admin/events", get(following::events))
        .fallback(admin)
        .layer(axum::middleware::from_fn(guard::same_site))
        .with_state(room.clone());
    let until = room.switches.stop.clone();
    tokio::select! {
        served = axum::serve(listener, router) => {
            if let Err(error) = served {
                tracing::error!(%error, "operator listener");
            }
        }
        // Short grace, so that whoever asked for the stop reads his answer.
        () = async { until.wait().await; tokio::time::sleep(std::time::Duration::from_millis(100)).await } => {}
    }
}

async fn readyz(State(room): State<Arc<Room>>) -> Response {
    let readiness = match room.panel.get() {
        Some(panel) => (panel.readiness)(),
        None => Readiness::NotFed("starting".into()),
    };
    match readiness {
        Readiness::Ready => (StatusCode::OK, "ready\n".to_owned()),
        Readiness::Draining(why) => (StatusCode::NOT_FOUND, format!("draining: {why}\n")),
        Readiness::NotFed(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("not fed: {why}\n")),
        Readiness::Lagging(why) => (StatusCode::SERVICE_UNAVAILABLE, format!("lagging: {why}\n")),
    }
    .into_response()
}

async fn metrics(State(room): State<Arc<Room>>) -> Response {
    let mut text = String::new();
    if let Some(panel) = room.panel.get() {
        let own = encode_registry(&mut text, &panel.registry);
        let all = own.and_then(|()| encode_registry(&mut text, &process::registry()));
        if all.and_then(|()| encode_eof(&mut text)).is_err() {
            return StatusCode::INTERNAL_SERVER_ERROR.into_response();
        }
    }
    ([(header::CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text)
        .into_response()
}

async fn status(State(room): State<Arc<Room>>) -> Response {
    axum::Json(status_of(&room)).into_response()
}

fn status_of(room: &Room) -> serde_json::Value {
    let mut value = match room.panel.get() {
        Some(panel) => (panel.status)(),
        None => serde_json::json!({ "state": "starting" }),
    };
    if let Some(object) = value.as_object_mut() {
        object.entry("role").or_insert_with(|| room.role.into());
        object.entry("draining").or_insert_with(|| room.switches.drain.is_draining().into());
        object.entry("version").or_insert_with(|| env!("CARGO_PKG_VERSION").into());
        object.insert("process".into(), process::Process::now().to_json());
        object.insert("events".into(), (*room.switches.events.latest().borrow()).into());
    }
    value
}

async fn drain(State(room): State<Arc<Room>>) -> &'static str {
    room.switches.drain.set(true);
    tracing::info!("told to drain");
    "draining\n"
}

async fn ready(State(room): State<Arc<Room>>) -> &'static str {
    room.switches.drain.set(false);
    tracing::info!("told to take viewers again");
    "ready\n"
}

async fn stop(State(room): State<Arc<Room>>) -> &'static str {
    tracing::info!("told to stop by the operator");
    room.switches.stop.signal();
    "stopping\n"
}

async fn reload(State(room): State<Arc<Room>>) -> Response {
    tracing::info!("told by the operator to read files again");
    let answers = room.switches.reload.signal();
    let has_failed = answers.iter().any(|answer| answer.result.is_err());
    let line = |Reloaded { what, result }: &Reloaded| match result {
        Ok(()) => format!("{what}: read again\n"),
        Err(why) => format!("{what}: stays as it was: {why}\n"),
    };
    let status = if has_failed { StatusCode::INTERNAL_SERVER_ERROR } else { StatusCode::OK };
    (status, answers.iter().map(line).collect::<String>()).into_response()
}

/// Everything else: the role's own routes under `/admin`.
async fn admin(State(room): State<Arc<Room>>, request: Request) -> Response {
    let Some(panel) = room.panel.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, "starting\n").into_response();
    };
    if !request.uri().path().starts_with("/admin/") {
        let known = "/ /plain /metrics /livez /readyz /status /admin/…";
        return (StatusCode::NOT_FOUND, format!("nothing here; there is {known}\n")).into_response();
    }
    let router = Router::new().nest("/admin", panel.admin.clone());
    let mut router = router.into_service::<axum::body::Body>();
    match axum_call(&mut router, request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

async fn axum_call<S>(service: &mut S, request: Request) -> Result<Response, S::Error>
where
    S: tower_service::Service<Request, Response = Response>,
{
    std::future::poll_fn(|context| service.poll_ready(context)).await?;
    service.call(request).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::{Happening, Kind};
    use crate::logs::Level;
    use std::io::{Read, Write};
    use std::net::TcpStream;

    fn asked(operator: &Operator, line: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(operator.address()).unwrap();
        write!(stream, "{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer[9..12].parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }

    fn listening() -> (Operator, Drain, Stop) {
        let (operator, switches) = switched();
        (operator, switches.drain, switches.stop)
    }

    fn switched() -> (Operator, Switches) {
        let (switches, any) = (Switches::default(), SocketAddr::from(([127, 0, 0, 1], 0)));
        (Operator::listen("edge", any, None, switches.clone()).unwrap(), switches)
    }

    #[test]
    fn a_reload_says_what_could_not_be_read_again() {
        let (operator, switches) = switched();
        switches.reload.on_reload("certificate", || Ok(()));
        assert_eq!(asked(&operator, "POST /admin/reload"), (200, "certificate: read again\n".into()));
        switches.reload.on_reload("key", || Err("https.key: no key".into()));
        let (status, said) = asked(&operator, "POST /admin/reload");
        assert_eq!(status, 500);
        assert_eq!(said, "certificate: read again\nkey: stays as it was: https.key: no key\n");
        switches.stop.signal();
    }

    #[test]
    fn it_answers_before_the_role_does() {
        let (operator, _, stop) = listening();
        assert_eq!(asked(&operator, "GET /livez").0, 200);
        assert_eq!(asked(&operator, "GET /readyz"), (503, "not fed: starting\n".into()));
        assert_eq!(asked(&operator, "GET /metrics"), (200, String::new()));
        stop.signal();
    }

    #[test]
    fn the_role_says_how_ready_it_is_and_what_it_counts() {
        let (operator, drain, stop) = listening();
        let mut registry = Registry::default();
        let viewers = prometheus_client::metrics::gauge::Gauge::<i64>::default();
        registry.register("viewers", "Open connections of viewers", viewers.clone());
        viewers.set(3);
        let readiness = {
            let drain = drain.clone();
            move || if drain.is_draining() { Readiness::Draining("told to".into()) } else { Readiness::Ready }
        };
        let opened = operator.open(Panel {
            registry,
            readiness: Box::new(readiness),
            status: Box::new(|| serde_json::json!({ "id": "edge1" })),
            admin: Router::new().route("/kick/{id}", post(|| async { "kicked" })),
        });
        assert!(opened);
        assert_eq!(asked(&operator, "GET /readyz"), (200, "ready\n".into()));
        assert!(asked(&operator, "GET /metrics").1.contains("viewers 3\n"));
        assert!(asked(&operator, "GET /metrics").1.contains("process_resident_memory_bytes "));
        let status = asked(&operator, "GET /status").1;
        assert!(status.contains("\"role\":\"edge\"") && status.contains("\"cpu_seconds\":"), "{status}");
        assert_eq!(asked(&operator, "POST /admin/kick/7"), (200, "kicked".into()));
        assert_eq!(asked(&operator, "POST /admin/nothing").0, 404);
        assert_eq!(asked(&operator, "GET /nothing").0, 404);
        assert_eq!(asked(&operator, "GET /").0, 200);
        let plain = asked(&operator, "GET /plain").1;
        assert!(
            plain.contains("<title>edge edge1</title>") && plain.contains("action=\"/admin/drain\""),
            "{plain}"
        );
        assert_eq!(asked(&operator, "POST /admin/drain").0, 200);
        assert_eq!(asked(&operator, "GET /readyz"), (404, "draining: told to\n".into()));
        assert_eq!(asked(&operator, "POST /admin/ready").0, 200);
        assert!(!drain.is_draining());
        stop.signal();
    }

    #[test]
    fn a_page_of_another_site_changes_nothing() {
        let (operator, drain, stop) = listening();
        let ours = format!("http://{}", operator.address());
        let from = |origin: &str, host: &str| {
            let mut stream = TcpStream::connect(operator.address()).unwrap();
            let fields =
                format!("Host: {host}\r\nOrigin: {origin}\r\nConnection: close\r\nContent-Length: 0");
            write!(stream, "POST /admin/drain HTTP/1.1\r\n{fields}\r\n\r\n").unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            answer[9..12].parse::<u16>().unwrap()
        };
        let here = operator.address().to_string();
        assert_eq!((from("http://evil.example", &here), drain.is_draining()), (403, false));
        assert_eq!((from("http://evil.example", "evil.example"), drain.is_draining()), (403, false));
        assert_eq!((from(&ours, &here), drain.is_draining()), (200, true));
        stop.signal();
    }

    #[test]
    fn what_happened_is_told_once_and_as_it_goes_on() {
        let (operator, switches) = switched();
        let tell = |text: &str| {
            switches.events.tell(Happening::new(Level::Info, Kind::EdgeReady, text));
        };
        tell("one");
        tell("two");
        let (_, told) = asked(&operator, "GET /admin/events?after=1");
        assert!(told.contains("\"latest\":2") && told.contains("two") && !told.contains("one"), "{told}");

        let mut stream = TcpStream::connect(operator.address()).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        write!(
            stream,
            "GET /admin/events HTTP/1.1\r\nHost: x\r\nAccept: text/event-stream\r\nLast-Event-ID: 1\r\n\r\n"
        )
        .unwrap();
        let mut read = String::new();
        let mut until = |part: &str| {
            while !read.contains(part) {
                let mut some = [0; 4096];
                let count = stream.read(&mut some).unwrap();
                assert!(count > 0, "it ended: {read}");
                read.push_str(std::str::from_utf8(&some[..count]).unwrap());
            }
            read.clone()
        };
        let first = until("two");
        assert!(first.contains("id: 2") && !first.contains("one"), "{first}");
        tell("three");
        until("id: 3");
        switches.stop.signal();
    }

    #[test]
    fn a_taken_address_is_named() {
        let (operator, switches) = switched();
        let error = Operator::listen("edge", operator.address(), None, switches.clone()).unwrap_err();
        assert!(error.to_string().contains(&operator.address().to_string()), "{error}");
        switches.stop.signal();
    }
}
