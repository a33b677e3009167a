//! Compiles the protos with protox, so that nobody needs protoc.

use std::path::PathBuf;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FILES: [&str; 4] =
        ["omcp/v1/backend.proto", "omcp/v1/fleet.proto", "omcp/v1/manifest.proto", "omcp/v1/sync.proto"];
    let descriptors = protox::compile(FILES, ["."])?;
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(out.join("descriptors.bin"), prost::Message::encode_to_vec(&descriptors))?;
    tonic_prost_build::configure()
        .btree_map(".")
        .bytes(".omcp.v1.Change.put")
        .bytes(".omcp.v1.SnapshotChunk.zstd")
        .compile_fds(descriptors)?;
    println!("cargo:rerun-if-changed=omcp");
    Ok(())
}
