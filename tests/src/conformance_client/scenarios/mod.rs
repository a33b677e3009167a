//! The scenarios, by the names that the suite gives them.

mod custom_headers;
mod elicitation_defaults;
mod initialize;
mod input_required;
mod invalid_tool_headers;
mod request_metadata;
mod schema_preservation;
mod schema_reference;
mod sse_retry;
mod standard_headers;
mod tools_call;

use anyhow::Result;
use futures_util::FutureExt;
use futures_util::future::LocalBoxFuture;

use super::target::Target;

/// One of them.
pub struct Scenario {
    pub name: &'static str,
    /// What the gateway is told of the server's era.
    pub era: &'static str,
    play: for<'a> fn(&'a Target) -> LocalBoxFuture<'a, Result<()>>,
}

/// The gateway finds out.
const AUTO: &str = "auto";
/// For scenarios that judge every request by the newest revision. A gateway that has to find out asks a modern
/// server whether it has sessions as well, and that is a request of the older ones.
pub const MODERN: &str = "modern";

impl Scenario {
    /// # Errors
    /// The server did not behave as the scenario has it.
    pub async fn play(&self, target: &Target) -> Result<()> {
        (self.play)(target).await
    }
}

pub const SCENARIOS: &[Scenario] = &[
    Scenario { name: "initialize", era: AUTO, play: |target| initialize::play(target).boxed_local() },
    Scenario { name: "tools_call", era: AUTO, play: |target| tools_call::play(target).boxed_local() },
    Scenario {
        name: "elicitation-sep1034-client-defaults",
        era: AUTO,
        play: |target| elicitation_defaults::play(target).boxed_local(),
    },
    Scenario { name: "sse-retry", era: AUTO, play: |target| sse_retry::play(target).boxed_local() },
    Scenario {
        name: "request-metadata",
        era: MODERN,
        play: |target| request_metadata::play(target).boxed_local(),
    },
    Scenario {
        name: "sep-2322-client-request-state",
        era: AUTO,
        play: |target| input_required::play(target).boxed_local(),
    },
    Scenario {
        name: "http-standard-headers",
        era: MODERN,
        play: |target| standard_headers::play(target).boxed_local(),
    },
    Scenario {
        name: "http-custom-headers",
        era: AUTO,
        play: |target| custom_headers::play(target).boxed_local(),
    },
    Scenario {
        name: "http-invalid-tool-headers",
        era: AUTO,
        play: |target| invalid_tool_headers::play(target).boxed_local(),
    },
    Scenario {
        name: "json-schema-ref-no-deref",
        era: AUTO,
        play: |target| schema_reference::play(target).boxed_local(),
    },
    Scenario {
        name: "json-schema-2020-12-preservation",
        era: AUTO,
        play: |target| schema_preservation::play(target).boxed_local(),
    },
];
