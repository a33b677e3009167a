//! TLS towards the server: whom to trust, and how to prove who we are.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use omcp_core::GatewayError;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::WantsClientCert;
use tokio_rustls::rustls::crypto::aws_lc_rs::default_provider;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, ConfigBuilder, RootCertStore};

use super::endpoint::Endpoint;

/// `false`, `true`, or an object of [`TlsSettings`].
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum Tls {
    Switch(bool),
    Custom(TlsSettings),
}

impl Default for Tls {
    fn default() -> Self {
        Self::Switch(false)
    }
}

impl JsonSchema for Tls {
    fn schema_name() -> Cow<'static, str> {
        "Tls".into()
    }

    fn inline_schema() -> bool {
        true
    }

    /// One schema with both types, so that the settings below it can be found by name.
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = TlsSettings::json_schema(generator);
        schema.insert("type".to_owned(), json!(["boolean", "object"]));
        schema
    }
}

/// TLS with other than the well-known authorities, name or identity.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TlsSettings {
    /// PEM file of the authorities that may have signed the server's certificate, on every node. Default:
    /// the public ones.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The name that the server's certificate has to be for. Default: the host of `endpoint`.
    #[serde(default)]
    #[schemars(length(min = 1, max = 253))]
    pub server_name: Option<String>,
    /// PEM file of our own certificate and its chain, on every node, for servers that ask for one. Together
    /// with `key_file`.
    #[serde(default)]
    pub cert_file: Option<PathBuf>,
    /// PEM file of the private key of `cert_file`, on every node.
    #[serde(default)]
    pub key_file: Option<PathBuf>,
}

/// TLS for one endpoint, ready to use.
#[derive(Clone)]
pub struct TlsClient {
    pub connector: TlsConnector,
    pub server_name: ServerName<'static>,
}

/// Reads the files that the settings name. `None` is plain TCP.
///
/// # Errors
/// `InvalidSettings` naming the field.
pub fn client(tls: &Tls, endpoint: &Endpoint) -> Result<Option<TlsClient>, GatewayError> {
    let settings = match tls {
        Tls::Switch(false) => return Ok(None),
        Tls::Switch(true) => Cow::Owned(TlsSettings::default()),
        Tls::Custom(settings) => Cow::Borrowed(settings),
    };
    let host = endpoint.host().ok_or_else(|| invalid("tls", "a Unix socket needs none; leave it out"))?;
    let name = settings.server_name.as_deref().unwrap_or(host).to_owned();
    let server_name = ServerName::try_from(name)
        .map_err(|_| invalid("tls.server_name", "is neither a host name nor an address"))?;
    let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| invalid("tls", "cannot be used").with_source(error))?
        .with_root_certificates(authorities(settings.ca_file.as_deref())?);
    let config = identified(builder, &settings)?;
    Ok(Some(TlsClient { connector: TlsConnector::from(Arc::new(config)), server_name }))
}

fn authorities(file: Option<&Path>) -> Result<RootCertStore, GatewayError> {
    let Some(file) = file else {
        return Ok(RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() });
    };
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls.ca_file", file)? {
        roots.add(certificate).map_err(|error| {
            invalid("tls.ca_file", "holds a certificate that is no authority's").with_source(error)
        })?;
    }
    Ok(roots)
}

fn identified(
    builder: ConfigBuilder<ClientConfig, WantsClientCert>,
    settings: &TlsSettings,
) -> Result<ClientConfig, GatewayError> {
    let (cert_file, key_file) = match (&settings.cert_file, &settings.key_file) {
        (None, None) => return Ok(builder.with_no_client_auth()),
        (Some(cert_file), Some(key_file)) => (cert_file, key_file),
        (Some(_), None) => return Err(invalid("tls.key_file", "is missing; cert_file needs it")),
        (None, Some(_)) => return Err(invalid("tls.cert_file", "is missing; key_file needs it")),
    };
    let chain = certificates("tls.cert_file", cert_file)?;
    let key = PrivateKeyDer::from_pem_file(key_file)
        .map_err(|error| unreadable("tls.key_file", key_file, error))?;
    builder
        .with_client_auth_cert(chain, key)
        .map_err(|error| invalid("tls.key_file", "is not the key of cert_file").with_source(error))
}

fn certificates(field: &str, file: &Path) -> Result<Vec<CertificateDer<'static>>, GatewayError> {
    let read = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = read.map_err(|error| unreadable(field, file, error))?;
    if found.is_empty() {
        return Err(invalid(field, &format!("{} holds no certificate in PEM form", file.display())));
    }
    Ok(found)
}

fn unreadable(
    field: &str,
    file: &Path,
    error: impl std::error::Error + Send + Sync + 'static,
) -> GatewayError {
    invalid(field, &format!("{} could not be read on this node", file.display())).with_source(error)
}

fn invalid(field: &str, why: &str) -> GatewayError {
    GatewayError::invalid_settings(format!("{field}: {why}"))
}
