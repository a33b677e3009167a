//! The gRPC API.
//!
//! - [`v1`]: types, clients and servers generated from `omcp/v1/*.proto`
//! - [`plugin`]: the same of `omcp/plugin/v1/plugin.proto`, between a node and a plugin
//! - [`convert`]: the one place where wire words become core nouns

pub mod convert;

/// Generated from `omcp/v1/*.proto`.
pub mod v1 {
    #![expect(
        unused_qualifications,
        clippy::allow_attributes,
        clippy::large_enum_variant,
        reason = "generated"
    )]
    tonic::include_proto!("omcp.v1");
}

/// Between a node and the plugins that bring it runtime types.
pub mod plugin {
    /// Generated from `omcp/plugin/v1/plugin.proto`.
    pub mod v1 {
        #![expect(unused_qualifications, clippy::allow_attributes, reason = "generated")]
        tonic::include_proto!("omcp.plugin.v1");
    }

    /// Version of the plugin protocol that this build speaks.
    pub const PROTOCOL: u32 = 1;
}

/// The encoded `FileDescriptorSet` of [`v1`], for gRPC reflection.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));

/// Version of the sync protocol that this build speaks.
pub const SYNC_PROTOCOL: u32 = 1;

/// Largest gRPC message either side accepts, bytes: an export of 10,000 backends of 1 KiB, with room.
pub const MESSAGE_LEN_MAX: usize = 64 * 1024 * 1024;
