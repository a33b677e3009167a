//! A node that offers everything the gateway's own node does, and `my-custom-runtime`.

fn main() -> std::process::ExitCode {
    omcp_data_plane::main(omcp_data_plane::builtin().with(custom_runtime::MyCustomRuntime))
}
