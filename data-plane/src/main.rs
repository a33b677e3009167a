//! The node with the built-in runtime types.

fn main() -> std::process::ExitCode {
    omcp_data_plane::main(omcp_data_plane::builtin())
}
