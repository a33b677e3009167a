//! `my-custom-runtime` passes the conformance kit.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use custom_runtime::MyCustomRuntime;
use omcp_core::{RuntimeConfig, RuntimeRegistry};
use omcp_runtimes::conformance::peer::{Machine, lines};
use omcp_runtimes::conformance::{self, BadSettings, Fault, Peer, Subject};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

const TOKEN: &str = "kit-token";

#[tokio::test]
async fn passes_the_kit() {
    let report = conformance::run(&Custom).await;
    assert!(report.is_passed(), "{report}");
}

struct Custom;

#[async_trait]
impl Subject for Custom {
    fn type_name(&self) -> &str {
        "my-custom-runtime"
    }

    fn registry(&self) -> RuntimeRegistry {
        RuntimeRegistry::new().with(MyCustomRuntime).expect("it is the only type")
    }

    fn bad_settings(&self) -> Vec<BadSettings> {
        vec![
            BadSettings::new(json!({}), "endpoint"),
            BadSettings::new(json!({ "endpoint": "nowhere" }), "endpoint"),
            BadSettings::new(json!({ "endpoint": "localhost:1", "timeout_seconds": 0 }), "timeout_seconds"),
            BadSettings::new(json!({ "endpoint": "localhost:1", "options": { "a": 1 } }), "options.a"),
        ]
    }

    async fn start(&self) -> Result<Box<dyn Peer>, Fault> {
        let mut server = Server { address: "127.0.0.1:0".parse()?, tasks: JoinSet::new() };
        server.restart().await?;
        Ok(Box::new(server))
    }
}

/// The kit's peer behind a TCP listener.
struct Server {
    address: SocketAddr,
    tasks: JoinSet<()>,
}

#[async_trait]
impl Peer for Server {
    fn config(&self) -> RuntimeConfig {
        let settings = json!({ "endpoint": self.address.to_string(), "auth_token": TOKEN });
        RuntimeConfig::new("my-custom-runtime", settings.to_string())
    }

    async fn kill(&mut self, _: Option<u32>) -> Result<(), Fault> {
        self.tasks.shutdown().await;
        Ok(())
    }

    async fn restart(&mut self) -> Result<(), Fault> {
        self.tasks.shutdown().await;
        let listener = TcpListener::bind(self.address).await?;
        self.address = listener.local_addr()?;
        self.tasks.spawn(serve(listener));
        Ok(())
    }
}

/// Ends, and with it every conversation, when one of them is to die as a program would.
async fn serve(listener: TcpListener) {
    let died = Arc::new(Notify::new());
    let mut conversations = JoinSet::new();
    loop {
        tokio::select! {
            () = died.notified() => return,
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { return };
                let (died, (reader, writer)) = (Arc::clone(&died), stream.into_split());
                conversations.spawn(async move {
                    if let Ok(lines::End::Died) = lines::serve(reader, writer, Machine::guarded(TOKEN)).await {
                        died.notify_one();
                    }
                });
            }
        }
    }
}

use omcp_core::runtime::NoStderr;
use omcp_runtimes::plugin::settings::Limits;
use omcp_runtimes::plugin::{OfferedType, Provider, Source};

#[tokio::test]
async fn passes_the_kit_as_a_plugin() {
    let command = env!("CARGO_BIN_EXE_custom-plugin");
    let plugin = Source::parse(command, Arc::new(NoStderr)).expect("it is a command");
    let plugin = Arc::new(Provider::new(plugin, Limits::default()));
    plugin.link().await.expect("it starts and says what it offers");
    let report = conformance::run(&Behind { plugin }).await;
    assert!(report.is_passed(), "{report}");
}

/// The type of a plugin, with the same peer behind it.
struct Behind {
    plugin: Arc<Provider>,
}

#[async_trait]
impl Subject for Behind {
    fn type_name(&self) -> &str {
        "my-custom-runtime"
    }

    fn registry(&self) -> RuntimeRegistry {
        let offered = OfferedType::new(self.type_name(), Arc::clone(&self.plugin));
        RuntimeRegistry::new().with(offered).expect("it is the only type")
    }

    /// Those that the schema refuses: the rest shows when the plugin connects.
    fn bad_settings(&self) -> Vec<BadSettings> {
        let mut bad = Custom.bad_settings();
        bad.retain(|bad| bad.settings["endpoint"] != "nowhere");
        bad
    }

    async fn start(&self) -> Result<Box<dyn Peer>, Fault> {
        Custom.start().await
    }
}
