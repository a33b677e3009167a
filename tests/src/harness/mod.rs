//! What integration tests stand on: the real programs, and small MCP clients.
//!
//! Reading order:
//!
//! * [`wait`]: waiting for something, with a deadline;
//! * [`process`]: one program, its log and its end; [`processes`]: all that run on this machine;
//! * [`namespace`]: a network that can be cut; [`port`]: a port that is ours while nobody listens on it;
//! * [`control_plane`] and [`node`]: the two servers, which keep their addresses over restarts;
//! * [`omcp`]: the admin tool; [`cluster`]: all of them around one folder;
//! * [`balancer`]: which of them is next, and [`door`]: one address for that;
//! * [`server`], [`lambda`]: MCP servers to put behind them; [`manifest`]: how to ask for them;
//! * [`engine`]: a container engine with everything in one folder;
//! * [`client`]: MCP clients of both eras; [`load`]: many calls at once.

pub mod balancer;
pub mod client;
pub mod cluster;
pub mod control_plane;
pub mod door;
pub mod engine;
pub mod lambda;
pub mod load;
pub mod manifest;
pub mod namespace;
pub mod node;
pub mod omcp;
pub mod port;
pub mod process;
pub mod processes;
pub mod server;
pub mod wait;

pub use balancer::Balancer;
pub use cluster::Cluster;
