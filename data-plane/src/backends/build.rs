//! [`Builder`]: from a spec's bytes to a served definition, or the reason why not.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use bytes::Bytes;
use omcp_core::redaction::{Recording, Redaction};
use omcp_core::reference::{Resolve, resolve_json, resolve_text};
use omcp_core::{
    Backend, BackendName, ErrorKind, GatewayError, NodeIdentity, Revision, Runtime, RuntimeContext,
    RuntimeRegistry,
};
use omcp_proto::v1::{BackendSpec, RejectionCode};
use prost::Message;

use super::health::{ERROR_LEN_MAX, bounded};
use super::redacted;
use super::served::{Served, Shared};
use super::stderr::StderrRing;
use crate::upstream::Upstream;

/// Why a definition cannot be served here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: RejectionCode,
    /// Path of the bad field, if it is one.
    pub field: String,
    /// For people, without secrets.
    pub message: String,
}

impl Refusal {
    pub fn new(code: RejectionCode, field: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, field: field.into(), message: bounded(message.into(), ERROR_LEN_MAX) }
    }
}

impl From<&GatewayError> for Refusal {
    fn from(error: &GatewayError) -> Self {
        let code = match error.kind() {
            ErrorKind::UnknownRuntime => RejectionCode::UnknownType,
            ErrorKind::InvalidSettings => RejectionCode::Invalid,
            ErrorKind::MissingReference => RejectionCode::MissingReference,
            ErrorKind::Limit => RejectionCode::Limit,
            _ => RejectionCode::BuildFailed,
        };
        let field = match code {
            RejectionCode::UnknownType => "runtime.type".to_owned(),
            RejectionCode::Invalid | RejectionCode::MissingReference => setting(&error.to_string()),
            _ => String::new(),
        };
        Self::new(code, field, error.chain())
    }
}

/// The path of the setting that an error begins with, as runtimes and references write it.
fn setting(text: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-' | b'.' | b'[' | b']');
    match text.split_once(": ") {
        Some((path, _)) if !path.is_empty() && path.bytes().all(plain) => format!("runtime.{path}"),
        _ => String::new(),
    }
}

/// What a node needs to build runtimes.
pub struct Builder {
    registry: RuntimeRegistry,
    resolve: Box<dyn Resolve>,
    node: NodeIdentity,
    shared: Arc<Shared>,
}

impl Builder {
    pub fn new(
        registry: RuntimeRegistry,
        resolve: impl Resolve + 'static,
        node: NodeIdentity,
        shared: Arc<Shared>,
    ) -> Self {
        Self { registry, resolve: Box::new(resolve), node, shared }
    }

    /// Reads what was asked.
    ///
    /// # Errors
    /// `DECODE` for bytes that are no spec, `INVALID` for a spec that breaks a rule.
    pub fn read(name: &BackendName, spec: &Bytes) -> Result<Backend, Refusal> {
        let spec = BackendSpec::decode(spec.clone()).map_err(|error| {
            Refusal::new(RejectionCode::Decode, "", format!("the spec cannot be read: {error}"))
        })?;
        omcp_proto::convert::backend(name.as_str(), &spec).map_err(|found| {
            let field = found.first().map(|first| first.field.clone()).unwrap_or_default();
            let reasons: Vec<_> = found.iter().map(ToString::to_string).collect();
            Refusal::new(RejectionCode::Invalid, field, reasons.join("; "))
        })
    }

    /// Builds its runtime. No I/O beyond the local file system; foreign code may panic in it.
    ///
    /// # Errors
    /// Why it cannot be built on this node.
    pub fn build(
        &self,
        backend: Backend,
        revision: Revision,
        stderr: &Arc<StderrRing>,
    ) -> Result<Arc<Served>, Refusal> {
        let resolve = Recording::new(&*self.resolve);
        let env = environment(&backend, &resolve)
            .map_err(|(field, error)| Refusal { field, ..Refusal::from(&error) })?;
        // The sink for standard error has to know every value before there is a runtime. What cannot be
        // resolved is told when the runtime is made.
        drop(resolve_json(backend.runtime.settings(), &resolve));
        let redaction = resolve.redaction();
        let stderr = redacted::stderr(stderr.clone(), &redaction);
        let context = RuntimeContext { backend: backend.name.clone(), env, stderr, node: self.node.clone() };
        let (runtime, upstream) = self
            .runtime(&backend, &redaction, context)
            .map_err(|error| Refusal::from(&redaction.error(error)))?;
        Ok(Served::new(
            backend,
            revision,
            runtime.into(),
            upstream.map(Arc::new),
            redaction,
            self.shared.clone(),
        ))
    }

    fn runtime(
        &self,
        backend: &Backend,
        redaction: &Redaction,
        context: RuntimeContext,
    ) -> Result<(Box<dyn Runtime>, Option<Upstream>), GatewayError> {
        let create = || {
            let runtime = self.registry.create_runtime(&backend.runtime, &*self.resolve, context)?;
            let calls_max = self.shared.limits.calls_max;
            let upstream = |http| Upstream::new(http, calls_max, redaction.clone());
            let upstream = runtime.http().map(upstream).transpose()?;
            Ok((redacted::runtime(runtime, redaction), upstream))
        };
        catch_unwind(AssertUnwindSafe(create)).unwrap_or_else(|_| {
            let name = backend.runtime.type_name();
            Err(GatewayError::new(
                ErrorKind::Internal,
                format!("runtime type {name} panicked while it was built"),
            ))
        })
    }
}

fn environment(
    backend: &Backend,
    resolve: &dyn Resolve,
) -> Result<BTreeMap<String, String>, (String, GatewayError)> {
    let resolved = |(name, value): (&String, &String)| match resolve_text(value, resolve) {
        Ok(value) => Ok((name.clone(), value)),
        Err(error) => Err((format!("env.{name}"), error)),
    };
    backend.env.iter().map(resolved).collect()
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;
    use omcp_core::{BackendConnection, HttpUpstream, RuntimeType};
    use schemars::JsonSchema;
    use serde::Deserialize;

    use super::*;
    use crate::host::secrets::Secrets;

    struct Rude;

    #[derive(Deserialize, JsonSchema)]
    struct Nothing {}

    impl RuntimeType for Rude {
        const NAME: &'static str = "rude";
        type Settings = Nothing;

        fn create(&self, _: Nothing, _: RuntimeContext) -> Result<Box<dyn Runtime>, GatewayError> {
            Ok(Box::new(Self))
        }
    }

    #[async_trait]
    impl Runtime for Rude {
        async fn connect(&self) -> Result<Box<dyn BackendConnection>, GatewayError> {
            Err(GatewayError::unreachable("rude"))
        }

        fn http(&self) -> Option<&HttpUpstream> {
            panic!("rude")
        }
    }

    #[test]
    fn foreign_code_that_panics_is_a_refusal() {
        let registry = RuntimeRegistry::new().with(Rude).unwrap();
        let builder = Builder::new(registry, Secrets::default(), NodeIdentity::default(), Arc::default());
        let spec = BackendSpec {
            runtime_type: "rude".to_owned(),
            settings_json: "{}".to_owned(),
            ..Default::default()
        };
        let backend = Builder::read(&"a".parse().unwrap(), &spec.encode_to_vec().into()).unwrap();
        let refusal = builder.build(backend, 1, &Arc::default()).err().unwrap();
        assert_eq!(refusal.code, RejectionCode::BuildFailed);
    }

    #[test]
    fn the_field_of_an_error_is_told() {
        for (kind, text, field) in [
            (ErrorKind::InvalidSettings, "command: no file /x", "runtime.command"),
            (ErrorKind::MissingReference, "args[0]: ${X} has no value: set X", "runtime.args[0]"),
            (ErrorKind::InvalidSettings, "settings do not fit runtime type x: line 1 column 2", ""),
            (ErrorKind::UnknownRuntime, "runtime type \"x\" is not offered", "runtime.type"),
            (ErrorKind::Internal, "runtime: panicked", ""),
        ] {
            assert_eq!(Refusal::from(&GatewayError::new(kind, text)).field, field, "{text}");
        }
    }
}
