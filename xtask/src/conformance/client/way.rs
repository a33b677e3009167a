//! [`Way`]: how the scripted client comes to a server of the suite.

use crate::folders;
use crate::stage::Stage;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Way {
    Direct,
    Gateway,
    /// In a session with the gateway, at a server that knows none.
    Session,
}

impl Way {
    /// The end of a step's name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Gateway => "through the gateway",
            Self::Session => "from a session",
        }
    }

    /// What the suite starts: words with spaces between.
    pub fn command(self, stage: &Stage) -> String {
        let program = folders::program("omcp-conformance-client");
        let mut words = vec![program.display().to_string()];
        if self != Self::Direct {
            let gateway = ["--control-plane", stage.control_plane(), "--node", stage.node()];
            words.extend(gateway.map(str::to_owned));
        }
        if self == Self::Session {
            words.push("--in-session".to_owned());
        }
        words.join(" ")
    }
}
