//! The node with the built-in runtime types.

/// A call allocates some twenty small things: this allocator takes a tenth off its cost. Without huge
/// pages, because an idle node should stay small.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    omcp_data_plane::main(Ok(omcp_data_plane::builtin()))
}
