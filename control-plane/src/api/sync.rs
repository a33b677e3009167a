//! SyncService: a stream whose response body is ours, so that frames are shared.

use std::convert::Infallible;
use std::future::{Ready, ready};
use std::task::{Context, Poll};

use http::{HeaderValue, Request, Response, header};
use omcp_proto::v1::SyncRequest;
use tonic::body::Body;
use tonic::codec::{BufferSettings, Streaming};
use tonic::server::NamedService;
use tonic::{Status, metadata::GRPC_CONTENT_TYPE};
use tonic_prost::ProstDecoder;
use tower::Service;

use crate::api::status;
use crate::sync::{FrameBody, Session, SessionContext};

/// Largest message of a node, bytes: a full status report of 10,000 backends.
const MESSAGE_LEN_MAX: usize = 4 * 1024 * 1024;
/// First size of a stream's read buffer: acks are small, and there may be thousands of streams.
const READ_BUFFER_LEN: usize = 1024;
const PATH: &str = "/omcp.v1.SyncService/Sync";

/// The service.
#[derive(Clone, Debug)]
pub struct SyncApi {
    pub context: SessionContext,
}

impl NamedService for SyncApi {
    const NAME: &'static str = "omcp.v1.SyncService";
}

impl Service<Request<Body>> for SyncApi {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let answer = match check(&request) {
            Ok(()) => self.open(request),
            Err(status) => status.into_http(),
        };
        ready(Ok(answer))
    }
}

impl SyncApi {
    fn open(&self, request: Request<Body>) -> Response<Body> {
        let settings = BufferSettings::new(READ_BUFFER_LEN, READ_BUFFER_LEN);
        let decoder = ProstDecoder::<SyncRequest>::new(settings);
        let inbound = Streaming::new_request(decoder, request.into_body(), None, Some(MESSAGE_LEN_MAX));
        let (sink, body) = FrameBody::new();
        let session = Session::run(self.context.clone(), inbound, sink.frames);
        tokio::spawn(async move {
            let end = session.await;
            // A peer that is gone does not need the status.
            let _ = sink.status.send(status::of_stream(&end));
        });
        let mut response = Response::new(Body::new(body));
        response.headers_mut().insert(header::CONTENT_TYPE, GRPC_CONTENT_TYPE);
        response
    }
}

fn check(request: &Request<Body>) -> Result<(), Status> {
    if request.uri().path() != PATH {
        return Err(Status::unimplemented(format!("there is no method {}", request.uri().path())));
    }
    let encoding = request.headers().get("grpc-encoding");
    if encoding.is_some_and(|encoding| encoding != HeaderValue::from_static("identity")) {
        return Err(Status::unimplemented(
            "compressed requests are not accepted: send them with encoding identity",
        ));
    }
    Ok(())
}
