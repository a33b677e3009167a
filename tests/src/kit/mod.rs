//! The conformance kit run over every runtime type: one file per type, one list.
//!
//! - [`program`]: the kit's peer as a program of its own
//! - [`http_peer`]: how that program carries it over HTTP
//! - [`local_process`], [`tcp`], [`http`], [`docker`], [`lambda`]: the built-in types
//! - [`plugin`]: the same served as a plugin, and the example plugins

pub mod docker;
pub mod http;
pub mod http_peer;
pub mod lambda;
pub mod local_process;
pub mod plugin;
pub mod program;
pub mod tcp;

use omcp_runtimes::conformance::Subject;

/// Every runtime that has to pass, in the order of the report.
pub fn subjects() -> Vec<Box<dyn Subject>> {
    vec![
        Box::new(local_process::LocalProcess),
        Box::new(tcp::Tcp::Token),
        Box::new(tcp::Tcp::Unix),
        Box::new(http::Http::Streamable),
        Box::new(http::Http::Sse),
        Box::new(docker::Docker::default()),
        Box::new(lambda::Lambda),
        Box::new(plugin::Served::new(local_process::LocalProcess)),
        Box::new(plugin::Example::rust()),
        Box::new(plugin::Example::python()),
    ]
}
