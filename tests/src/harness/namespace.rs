//! A network namespace behind a pair of virtual interfaces, where the machine allows it.

use std::process::{Command, Stdio};

/// What it takes: `ip` and the right to use it. Deleted with this value.
pub struct Namespace {
    name: String,
    /// The address of its inside, and that of ours.
    pub inside: String,
    outside: String,
}

/// Which packets are dropped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Those to the inside.
    In,
    /// Those from the inside.
    Out,
    Both,
}

impl Namespace {
    /// None if the machine has no such thing to offer.
    pub fn create() -> Option<Self> {
        let pid = std::process::id();
        let (name, near, far) = (format!("omcp-{pid}"), format!("omn{pid}"), format!("omf{pid}"));
        // A subnet of its own for each process that tests.
        let net = format!("10.213.{}", pid % 250);
        let (inside, outside) = (format!("{net}.2"), format!("{net}.1"));
        let new = Self { name: name.clone(), inside, outside };
        let (near_ip, far_ip) = (format!("{}/30", new.outside), format!("{}/30", new.inside));
        let steps: [&[&str]; 7] = [
            &["netns", "add", &name],
            &["link", "add", &near, "type", "veth", "peer", "name", &far, "netns", &name],
            &["address", "add", &near_ip, "dev", &near],
            &["link", "set", &near, "up"],
            &["-n", &name, "address", "add", &far_ip, "dev", &far],
            &["-n", &name, "link", "set", &far, "up"],
            &["-n", &name, "link", "set", "lo", "up"],
        ];
        steps.into_iter().all(ip).then_some(new)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// From now on packets are dropped.
    ///
    /// # Panics
    /// The route cannot be set.
    pub fn cut(&self, cut: Cut) {
        if cut != Cut::Out {
            assert!(ip(&["route", "replace", "blackhole", &self.inside]), "a route can be set");
        }
        if cut != Cut::In {
            let set = ip(&["-n", &self.name, "route", "replace", "blackhole", &self.outside]);
            assert!(set, "a route can be set");
        }
    }

    /// Nothing is dropped any more.
    pub fn heal(&self) {
        // Only what was cut has such a route.
        ip(&["route", "delete", "blackhole", &self.inside]);
        ip(&["-n", &self.name, "route", "delete", "blackhole", &self.outside]);
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        self.heal();
        ip(&["netns", "delete", &self.name]);
    }
}

/// Whether it worked.
fn ip(arguments: &[&str]) -> bool {
    let mut command = Command::new("ip");
    let command = command.args(arguments).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}
