//! Plugins that misbehave, each in its manner.

use std::pin::Pin;

use futures_util::{Stream, StreamExt, stream};
use omcp_proto::plugin::v1::open_response::Body;
use omcp_proto::plugin::v1::plugin_service_server::{PluginService, PluginServiceServer};
use omcp_proto::plugin::v1::{
    DescribeRequest, DescribeResponse, OpenRequest, OpenResponse, Opened, RuntimeType,
};
use tokio::net::UnixListener;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::{Request, Response, Status, Streaming};

use super::PING;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    /// Oldest and newest version of the protocol.
    Protocol(u32, u32),
    NotServing,
    NeverOpens,
    /// Pings once, and takes no message.
    NeverReads,
    /// Says what is no message, then pings, then says something long.
    Babbles,
    /// Says that its backends can do no more than answer.
    OnlyAnswers,
}

pub struct Odd(pub Manner);

impl Odd {
    pub async fn serve(self, listener: UnixListener) {
        let (reporter, health) = tonic_health::server::health_reporter();
        if self.0 == Manner::NotServing {
            reporter.set_not_serving::<PluginServiceServer<Self>>().await;
        }
        let incoming = UnixListenerStream::new(listener);
        let router = tonic::transport::Server::builder().add_service(PluginServiceServer::new(self));
        router.add_service(health).serve_with_incoming(incoming).await.unwrap();
    }
}

#[tonic::async_trait]
impl PluginService for Odd {
    async fn describe(&self, _: Request<DescribeRequest>) -> Result<Response<DescribeResponse>, Status> {
        let (protocol_min, protocol_max) = match self.0 {
            Manner::Protocol(min, max) => (min, max),
            _ => (1, 1),
        };
        Ok(Response::new(DescribeResponse {
            name: "odd".to_owned(),
            version: "9.9".to_owned(),
            protocol_min,
            protocol_max,
            runtime_types: vec![RuntimeType { name: "odd".to_owned(), settings_schema_json: String::new() }],
        }))
    }

    type OpenStream = Pin<Box<dyn Stream<Item = Result<OpenResponse, Status>> + Send>>;

    async fn open(
        &self,
        requests: Request<Streaming<OpenRequest>>,
    ) -> Result<Response<Self::OpenStream>, Status> {
        let said = match self.0 {
            Manner::NeverOpens => Vec::new(),
            Manner::Babbles => vec![
                Body::Opened(Opened::default()),
                Body::Message("no json".into()),
                Body::Message("{}".into()),
                Body::Message(PING.into()),
                Body::Message(PING.replace("ping", &"x".repeat(10_000)).into()),
            ],
            Manner::OnlyAnswers => {
                vec![Body::Opened(Opened { only_answers: true, ..Opened::default() })]
            }
            _ => vec![Body::Opened(Opened::default()), Body::Message(PING.into())],
        };
        let said = stream::iter(said).map(|body| Ok(OpenResponse { body: Some(body) }));
        let silence = stream::once(until_closed(requests.into_inner(), self.0)).filter_map(async |()| None);
        Ok(Response::new(Box::pin(said.chain(silence))))
    }
}

async fn until_closed(mut requests: Streaming<OpenRequest>, manner: Manner) {
    if manner == Manner::NeverReads {
        std::future::pending::<()>().await;
    }
    while let Ok(Some(_)) = requests.message().await {}
}
