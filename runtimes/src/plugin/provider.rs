//! [`Provider`]: a plugin as its node sees it: how to get at it, and what it said of itself last.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use omcp_core::{ErrorKind, GatewayError, StderrSink};
use tokio::sync::watch;
use tonic::transport::Channel;

use super::describe::describe;
use super::description::Description;
use super::place::Place;
use super::program::{Program, Run};
use super::settings::Limits;
use crate::process::{ProcessSpec, StopGrace};
use crate::program;

/// How to get at a plugin.
pub enum Source {
    /// Somebody else runs it.
    Listening(Place),
    Program(Box<Program>),
}

impl Source {
    /// `unix:/path`, `http://host:port`, or the words of a command: a program that the node starts, whose
    /// output goes to `output`.
    ///
    /// # Errors
    /// `InvalidSettings`: the address is none. Whether there is such a program shows when it is started.
    pub fn parse(text: &str, output: Arc<dyn StderrSink>) -> Result<Self, GatewayError> {
        let invalid = |reason: String| GatewayError::invalid_settings(format!("plugin {text:?}: {reason}"));
        if text.starts_with("unix:") || text.contains("://") {
            return text.parse().map(Self::Listening).map_err(invalid);
        }
        let mut words = text.split_whitespace().map(str::to_owned);
        let command = words.next().unwrap_or_default();
        let env = BTreeMap::new();
        let found = program::find(&command, Path::new("."), &program::search_path(&env));
        let program = found.unwrap_or_else(|_| command.into());
        let spec = ProcessSpec { program, args: words.collect(), env, working_dir: None, private_dir: None };
        Ok(Self::Program(Box::new(Program::new(spec, StopGrace::default(), output))))
    }
}

pub struct Provider {
    source: Source,
    limits: Limits,
    described: watch::Sender<Option<Arc<Description>>>,
}

/// One HTTP/2 connection to a plugin that has introduced itself.
pub struct Link {
    pub channel: Channel,
    pub description: Arc<Description>,
    /// The program behind it, if the node started it.
    pub run: Option<Arc<Run>>,
    /// Whether it runs on this machine.
    pub local: bool,
}

impl Provider {
    pub fn new(source: Source, limits: Limits) -> Self {
        Self { source, limits, described: watch::Sender::new(None) }
    }

    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// What it said of itself last.
    pub fn described(&self) -> watch::Receiver<Option<Arc<Description>>> {
        self.described.subscribe()
    }

    /// Connects and lets the plugin introduce itself: each time, since it may have become another one.
    ///
    /// # Errors
    /// It is not reached, or is none that this node can use.
    pub async fn link(&self) -> Result<Link, GatewayError> {
        let (channel, run, local) = match &self.source {
            Source::Listening(place) => (place.dial(self.limits.connect).await?, None, place.is_local()),
            Source::Program(program) => {
                let (channel, run) = program.dial(&self.limits).await?;
                (channel, Some(run), true)
            }
        };
        let known = self.described.borrow().clone();
        match describe(&channel, self.limits.describe, known).await {
            Ok(description) => {
                self.learn(&description);
                Ok(Link { channel, description, run, local })
            }
            Err(error) => Err(self.undescribed(run, error).await),
        }
    }

    fn learn(&self, description: &Arc<Description>) {
        self.described.send_if_modified(|known| {
            let new = !known.as_ref().is_some_and(|known| Arc::ptr_eq(known, description));
            if new {
                *known = Some(Arc::clone(description));
            }
            new
        });
    }

    /// The exit of its program says more than a broken connection.
    async fn undescribed(&self, run: Option<Arc<Run>>, error: GatewayError) -> GatewayError {
        let (Source::Program(program), Some(run)) = (&self.source, run) else { return error };
        let timed_out = error.kind() == ErrorKind::Timeout;
        match run.ended() {
            _ if timed_out => program.give_up(run).await,
            Some(_) => {}
            None => {
                if let Some(how) = run.end().await {
                    return GatewayError::unreachable(format!("{how} before it described itself"));
                }
            }
        }
        error
    }
}
