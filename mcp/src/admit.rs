//! The rules a request has to pass, in their order [2026-07-28 Streamable HTTP: Server Validation;
//! 2025-11-25 Transports]. The first one that fails answers.

mod headers;
mod legacy;
mod modern;
mod params;
#[cfg(test)]
mod tests;

pub use headers::HeaderView;
pub use legacy::{LegacyHeaders, admit_legacy, admit_legacy_delete, admit_legacy_stream};
pub use modern::{admit_modern, missing_envelope};
pub use params::{
    InvalidAnnotation, ParamHeader, ParamType, check_annotations, check_params, mcp_params, param_fields,
};
