//! What each page says.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode, Uri};
use omcp_core::BackendName;
use omcp_proto::v1::{BackendStatus, Rejection, ResumeSource};
use serde_json::{Value, json};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::watch;
use tokio::time::Instant;

use super::metrics;
use crate::backends::BackendSet;
use crate::backends::stderr::StderrRing;
use crate::front::body::Body;
use crate::limits::Limit;
use crate::members::Members;
use crate::sync::view::View;

/// Log lines without a `lines` parameter: a screen or two.
const LINES_DEFAULT: usize = 100;
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const METRICS: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// What the pages are made of.
pub struct Admin {
    name: String,
    set: BackendSet,
    members: Arc<Members>,
    view: watch::Receiver<View>,
    stopping: watch::Receiver<bool>,
    limits: Vec<Limit>,
}

impl Admin {
    pub fn new(
        name: String,
        set: BackendSet,
        members: Arc<Members>,
        view: watch::Receiver<View>,
        stopping: watch::Receiver<bool>,
        limits: Vec<Limit>,
    ) -> Self {
        Self { name, set, members, view, stopping, limits }
    }

    /// Answers a GET.
    pub async fn answer(&self, uri: &Uri) -> Response<Body> {
        let parts: Vec<_> = uri.path().trim_matches('/').split('/').collect();
        match parts[..] {
            ["healthz"] => page(StatusCode::OK, TEXT, "ok\n"),
            ["readyz"] => self.ready(),
            ["config"] => self.config().await,
            ["metrics"] => self.metrics().await,
            ["backends", name, "logs"] => self.logs(name, uri.query().unwrap_or_default()).await,
            _ => page(
                StatusCode::NOT_FOUND,
                TEXT,
                "pages: /healthz /readyz /config /metrics /backends/NAME/logs\n",
            ),
        }
    }

    /// Ready means: something is loaded and the listeners are bound. The control plane may be away.
    fn ready(&self) -> Response<Body> {
        if *self.stopping.borrow() {
            return page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "stopping\n");
        }
        if self.view.borrow().drained {
            return page(StatusCode::SERVICE_UNAVAILABLE, TEXT, "drained\n");
        }
        if !self.view.borrow().is_loaded() {
            return page(
                StatusCode::SERVICE_UNAVAILABLE,
                TEXT,
                "no definitions yet: no last-good file, and no snapshot\n",
            );
        }
        page(StatusCode::OK, TEXT, "ready\n")
    }

    async fn config(&self) -> Response<Body> {
        let statuses = self.set.statuses(None).await.present;
        let rejections = self.set.rejections().borrow().clone();
        let view = self.view.borrow().clone();
        let all = view.misnamed.iter().chain(rejections.iter());
        let body = json!({
            "node": self.name,
            "build": env!("CARGO_PKG_VERSION"),
            "epoch": view.epoch.to_string(),
            "revision": view.revision,
            "digest": format!("{:?}", view.digest),
            "source": source(view.source),
            "persisted_revision": view.persisted_revision,
            "backends_held": view.backends,
            "held_mass_removal": view.held_mass_removal,
            "drained": view.drained,
            "limits": self.limits.iter().map(limit).collect::<Vec<_>>(),
            "control_plane": {
                "connected": view.connected,
                "silent_ms": view.heard.map(milliseconds),
                "last_error": view.last_error,
            },
            "rejections": all.map(rejection).collect::<Vec<_>>(),
            "backends": statuses.iter().map(status).collect::<Vec<_>>(),
        });
        page(StatusCode::OK, JSON, format!("{body:#}\n"))
    }

    async fn metrics(&self) -> Response<Body> {
        let statuses = self.set.statuses(None).await.present;
        let view = self.view.borrow().clone();
        let text = metrics::text(&view, &statuses, &self.set, &self.members);
        page(StatusCode::OK, METRICS, text)
    }

    async fn logs(&self, name: &str, query: &str) -> Response<Body> {
        let stderr = match name.parse::<BackendName>() {
            Ok(name) => self.set.stderr(name).await,
            Err(_) => None,
        };
        let Some(stderr) = stderr else {
            return page(StatusCode::NOT_FOUND, TEXT, format!("no backend {name:?} on this node\n"));
        };
        let count = parameter(query, "lines").and_then(|count| count.parse().ok()).unwrap_or(LINES_DEFAULT);
        if parameter(query, "follow") == Some("1") {
            return respond(StatusCode::OK, TEXT, follow(&stderr, count));
        }
        let lines: String = stderr.last(count).iter().flat_map(|line| [&**line, "\n"]).collect();
        page(StatusCode::OK, TEXT, lines)
    }
}

/// The newest lines, then each new one as it comes.
fn follow(stderr: &StderrRing, count: usize) -> Body {
    let (lines, news) = stderr.follow(count);
    let news = stream::unfold(news, |mut news| async move {
        let line = match news.recv().await {
            Ok(line) => Bytes::from(format!("{line}\n")),
            Err(RecvError::Lagged(missed)) => Bytes::from(format!("[{missed} lines left out]\n")),
            Err(RecvError::Closed) => return None,
        };
        Some((line, news))
    });
    let old = lines.into_iter().map(|line| Bytes::from(format!("{line}\n")));
    Body::Events(Box::pin(stream::iter(old).chain(news)))
}

fn parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value)
}

fn source(source: ResumeSource) -> &'static str {
    match source {
        ResumeSource::Disk => "disk",
        ResumeSource::Memory => "control-plane",
        ResumeSource::None | ResumeSource::Unspecified => "none",
    }
}

fn milliseconds(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn rejection(rejection: &Rejection) -> Value {
    json!({
        "backend": rejection.backend,
        "revision": rejection.revision,
        "code": rejection.code().as_str_name().trim_start_matches("REJECTION_CODE_"),
        "field": rejection.field,
        "message": rejection.message,
        "serving_revision": rejection.serving_revision,
    })
}

fn limit(limit: &Limit) -> Value {
    json!({
        "name": limit.name,
        "value": limit.value,
        "default": limit.default,
        "option": limit.option,
        "why": limit.why,
    })
}

fn status(status: &BackendStatus) -> Value {
    json!({
        "backend": status.backend,
        "state": metrics::state_name(status.state()),
        "revision": status.revision,
        "serving_revision": status.serving_revision,
        "since_ms": status.since_ms,
        "last_error": status.last_error,
        "stderr_tail": status.stderr_tail,
        "last_exit": status.last_exit,
        "failures": status.failures,
        "eras": status.eras,
        "tools": status.tools,
        "pids": status.pids,
        "sessions": status.sessions,
    })
}

/// Answers everything but GET and HEAD.
pub fn not_allowed() -> Response<Body> {
    let mut response = page(StatusCode::METHOD_NOT_ALLOWED, TEXT, "only GET\n");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

fn page(status: StatusCode, kind: HeaderValue, text: impl Into<String>) -> Response<Body> {
    respond(status, kind, Bytes::from(text.into()).into())
}

fn respond(status: StatusCode, kind: HeaderValue, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
