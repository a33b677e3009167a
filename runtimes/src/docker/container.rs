//! [`Container`]: one container, which is removed whatever becomes of its owner.

use std::sync::Arc;
use std::time::Duration;

use bollard::container::AttachContainerResults;
use bollard::errors::Error;
use bollard::models::{ContainerCreateBody, ContainerState};
use bollard::query_parameters::{
    AttachContainerOptionsBuilder, CreateContainerOptionsBuilder, StopContainerOptionsBuilder,
};
use omcp_core::GatewayError;
use tokio::time::{Instant, sleep};

use super::engine::Engine;
use super::orphans::{self, Orphans};

/// How long an engine may take to note that a container has ended.
const END_WAIT: Duration = Duration::from_secs(5);
/// How often it is asked meanwhile.
const END_POLL: Duration = Duration::from_millis(20);
/// An exit status above it is 128 and the number of the signal.
const STATUS_SIGNAL: i64 = 128;
const STATUS_KILLED: i64 = STATUS_SIGNAL + 9;

/// A container on an engine.
pub struct Container {
    engine: Engine,
    orphans: Arc<Orphans>,
    name: String,
    memory_mib: u32,
    /// Deadline of each step.
    wait: Duration,
    /// Whether the engine has said that it exists.
    created: bool,
    removed: bool,
}

impl Container {
    /// Makes a container of this name.
    ///
    /// # Errors
    /// What the engine said.
    pub async fn create(
        engine: Engine,
        orphans: Arc<Orphans>,
        name: String,
        spec: ContainerCreateBody,
        limits: (u32, Duration),
    ) -> Result<Self, GatewayError> {
        let (memory_mib, wait) = limits;
        // Made first: whoever drops this future has a container all the same.
        let mut container = Self { engine, orphans, name, memory_mib, wait, created: false, removed: false };
        let image = spec.image.clone().unwrap_or_default();
        let options = CreateContainerOptionsBuilder::new().name(&container.name).build();
        let create = container.engine.client().create_container(Some(options), spec);
        container.engine.step(&format!("make a container of image {image}"), wait, create).await?;
        container.created = true;
        Ok(container)
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its three streams. Comes before the start, so that nothing it says is missed.
    ///
    /// # Errors
    /// What the engine said; some prepare the program already here and find it missing.
    pub async fn attach(&self) -> Result<AttachContainerResults, GatewayError> {
        let options = AttachContainerOptionsBuilder::new().stream(true).stdin(true).stdout(true).stderr(true);
        let attach = self.engine.client().attach_container(&self.name, Some(options.build()));
        Ok(self.engine.step(&format!("attach to container {}", self.name), self.wait, attach).await?)
    }

    /// # Errors
    /// What the engine said: a missing program, a mount that cannot be, a network it does not know.
    pub async fn start(&self) -> Result<(), GatewayError> {
        let start = self.engine.client().start_container(&self.name, None);
        Ok(self.engine.step(&format!("start container {}", self.name), self.wait, start).await?)
    }

    /// How it ended, once its streams have.
    pub fn end(&self) -> impl Future<Output = GatewayError> + Send + use<> {
        let (engine, name, wait, memory_mib) =
            (self.engine.clone(), self.name.clone(), self.wait, self.memory_mib);
        async move {
            let until = Instant::now() + END_WAIT;
            loop {
                let text = match look(&engine, &name, wait).await {
                    Ok(Found::Ended(state)) => describe(&name, &state, memory_mib),
                    Ok(Found::Nothing) => format!("container {name} was removed by somebody else"),
                    Ok(Found::Running) if Instant::now() < until => {
                        sleep(END_POLL).await;
                        continue;
                    }
                    Ok(Found::Running) => format!("container {name} runs but closed its output"),
                    Err(error) => {
                        let text = format!("the streams of container {name} broke");
                        return GatewayError::closed(text).with_source(error);
                    }
                };
                return GatewayError::closed(text);
            }
        }
    }

    /// Sends the stop signal, then kills.
    pub async fn stop(&self, grace: Duration) {
        let secs = i32::try_from(grace.as_millis().div_ceil(1000)).unwrap_or(i32::MAX);
        let options = StopContainerOptionsBuilder::new().t(secs).build();
        let stop = self.engine.client().stop_container(&self.name, Some(options));
        // The removal that follows kills what is left, and tells what fails.
        let _ = self.engine.step("stop a container", grace + self.wait, stop).await;
    }

    /// Removes it, running or not. May be called twice.
    ///
    /// # Errors
    /// What the engine said. It is tried again with the next connection to the engine.
    pub async fn remove(&mut self) -> Result<(), GatewayError> {
        if self.removed {
            return Ok(());
        }
        let removed = orphans::remove(&self.engine, &self.name, self.wait).await;
        self.removed = true;
        removed.map_err(|failure| {
            self.orphans.lost(&self.name);
            failure.into()
        })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if self.removed {
            return;
        }
        self.orphans.lost(&self.name);
        let Ok(executor) = tokio::runtime::Handle::try_current() else { return };
        let (engine, name, orphans) = (self.engine.clone(), self.name.clone(), self.orphans.clone());
        let (wait, created) = (self.wait, self.created);
        executor.spawn(async move {
            // One that the engine is still making may appear later: the next connection looks again.
            match orphans::remove(&engine, &name, wait).await {
                Ok(()) if created => orphans.gone(&name),
                Ok(()) => {}
                Err(error) => tracing::warn!(%error, "a container is left for later"),
            }
        });
    }
}

/// What an engine says of a container.
enum Found {
    Running,
    Ended(ContainerState),
    Nothing,
}

async fn look(engine: &Engine, name: &str, wait: Duration) -> Result<Found, GatewayError> {
    let inspect = async {
        match engine.client().inspect_container(name, None).await {
            // Podman has states on the way to the end that Docker does not know.
            Err(Error::JsonDataError { .. }) => Ok(None),
            inspected => inspected.map(|found| found.state),
        }
    };
    match engine.step(&format!("say how container {name} ended"), wait, inspect).await {
        Ok(Some(state)) if state.running == Some(false) => Ok(Found::Ended(state)),
        Ok(_) => Ok(Found::Running),
        Err(failure) if failure.is_missing() => Ok(Found::Nothing),
        Err(failure) => Err(failure.into()),
    }
}

fn describe(name: &str, state: &ContainerState, memory_mib: u32) -> String {
    let memory = format!("it needed more than {memory_mib} MiB; see memory_mib");
    match state.exit_code {
        _ if state.oom_killed == Some(true) => format!("container {name} was killed because {memory}"),
        // Not every engine notices that it was for memory.
        Some(STATUS_KILLED) => {
            format!(
                "container {name} exited with status {STATUS_KILLED} (signal 9): if nobody killed it, {memory}"
            )
        }
        Some(status) if status > STATUS_SIGNAL => {
            format!("container {name} exited with status {status} (signal {})", status - STATUS_SIGNAL)
        }
        Some(status) => format!("container {name} exited with status {status}"),
        None => format!("container {name} ended"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_are_told_apart() {
        for (exit_code, oom_killed, end) in [
            (Some(0), false, "c exited with status 0"),
            (Some(3), false, "c exited with status 3"),
            (Some(143), false, "c exited with status 143 (signal 15)"),
            (Some(137), true, "c was killed because it needed more than 64 MiB; see memory_mib"),
            (
                Some(137),
                false,
                "c exited with status 137 (signal 9): if nobody killed it, it needed more than 64 MiB; see memory_mib",
            ),
            (None, false, "c ended"),
        ] {
            let state = ContainerState { exit_code, oom_killed: Some(oom_killed), ..Default::default() };
            assert_eq!(describe("c", &state, 64), format!("container {end}"));
        }
    }
}
