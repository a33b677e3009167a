//! Compiles the protos with protox, so that nobody needs protoc.

use std::path::PathBuf;

type Failed = Box<dyn std::error::Error>;

const API: [&str; 4] =
    ["omcp/v1/backend.proto", "omcp/v1/fleet.proto", "omcp/v1/manifest.proto", "omcp/v1/sync.proto"];
const PLUGIN: [&str; 1] = ["omcp/plugin/v1/plugin.proto"];

fn main() -> Result<(), Failed> {
    let descriptors = protox::compile(API, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        .btree_map(".")
        .bytes(".omcp.v1.Change.put")
        .bytes(".omcp.v1.SnapshotChunk.zstd")
        .compile_fds(descriptors)?;
    // Apart from the API, whose servers list what they serve by its descriptors.
    tonic_prost_build::configure()
        .btree_map(".")
        .bytes(".omcp.plugin.v1")
        .compile_fds(protox::compile(PLUGIN, ["."])?)?;
    println!("cargo:rerun-if-changed=omcp");
    Ok(())
}
