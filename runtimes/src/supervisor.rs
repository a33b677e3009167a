//! The supervisor of a process: a second, tiny process that outlives the node by as long as it takes to
//! leave nothing behind.
//!
//! A node starts its own program once more, under the name [`NAME`]: the spawner, from which one
//! supervisor is forked for each process. It has a session of its own, adopts whatever the process and its
//! children abandon, and holds a socket to the node whose end tells it that the node is gone, however it
//! died. The pipes of the process are the node's: no message passes through here.
//!
//! In reading order:
//!
//! - [`order`]: what is to be started
//! - [`word`]: what the two tell each other afterwards
//! - [`ladder`]: input closed, SIGTERM, SIGKILL: which step when
//! - [`tree`]: the descendants of a process
//! - [`request`], [`spawner`]: where supervisors come from
//! - [`keep`]: the supervisor's own life
//! - [`sys`]: calls for which there is no safe wrapper

#[cfg(target_os = "linux")]
mod keep;
pub mod ladder;
pub mod order;
#[cfg(target_os = "linux")]
pub mod request;
#[cfg(target_os = "linux")]
mod spawner;
#[cfg(target_os = "linux")]
pub(crate) mod sys;
#[cfg(target_os = "linux")]
pub mod tree;
pub mod word;

use std::sync::atomic::{AtomicBool, Ordering};

/// What a supervisor is called in lists of processes. The kernel keeps 15 bytes of it.
pub const NAME: &str = "omcp-supervisor";

/// Whether this program turns into a supervisor when it is started under that name.
static READY: AtomicBool = AtomicBool::new(false);

/// Belongs at the very start of `main`, before any thread: turns this program into a supervisor if that
/// is what a node started it for, and does not return then.
pub fn enter() {
    #[cfg(target_os = "linux")]
    if std::env::args_os().next().is_some_and(|name| name == NAME) {
        std::process::exit(spawner::run());
    }
    READY.store(true, Ordering::Relaxed);
}

/// The tests' own program is a supervisor as well: nobody of ours is at the start of its `main`.
#[cfg(all(test, target_os = "linux"))]
#[expect(unsafe_code, reason = "a function that runs before `main` is linked by the name of its section")]
mod before_main {
    // SAFETY: functions there are called once, with the C runtime and the arguments in place.
    #[used]
    #[unsafe(link_section = ".init_array")]
    static ENTER: extern "C" fn() = enter;

    extern "C" fn enter() {
        super::enter();
    }
}

/// Whether processes can be supervised: on Linux, by programs whose `main` begins with [`enter`].
pub fn is_ready() -> bool {
    cfg!(target_os = "linux") && READY.load(Ordering::Relaxed)
}
