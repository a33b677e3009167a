//! [`provide`]: the image has to be on the engine before a container can be made of it.

use std::time::Duration;

use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::TryStreamExt;
use omcp_core::GatewayError;
use tokio::time::{sleep, timeout};

use super::engine::{Engine, Failure};
use super::settings::{DockerSettings, PullPolicy};

/// Attempts of one pull: registries do hiccup, but not for long.
const ATTEMPTS_MAX: u32 = 3;
/// Wait before the second attempt; it doubles.
const RETRY_FIRST: Duration = Duration::from_secs(1);

/// Pulls the image if the policy asks for it. `fresh` is false once that was done for this definition.
///
/// # Errors
/// It is missing and must not be pulled, or cannot be pulled; the text says which.
pub async fn provide(engine: &Engine, settings: &DockerSettings, fresh: bool) -> Result<(), GatewayError> {
    match settings.pull_policy {
        PullPolicy::Always if fresh => pull(engine, settings).await,
        policy => match is_present(engine, settings).await? {
            true => Ok(()),
            false if policy == PullPolicy::Never => Err(absent(engine, &settings.image)),
            false => pull(engine, settings).await,
        },
    }
}

async fn is_present(engine: &Engine, settings: &DockerSettings) -> Result<bool, GatewayError> {
    let look = engine.client().inspect_image(&settings.image);
    match engine.step("look for the image", settings.engine_timeout_ms.duration(), look).await {
        Ok(_) => Ok(true),
        Err(failure) if failure.is_missing() => Ok(false),
        Err(failure) => Err(failure.into()),
    }
}

fn absent(engine: &Engine, image: &str) -> GatewayError {
    let address = engine.address();
    let text = format!(
        "image {image} is not on the container engine at {address}, and pull_policy is never: load or pull it there, or set pull_policy to missing"
    );
    GatewayError::unreachable(text)
}

async fn pull(engine: &Engine, settings: &DockerSettings) -> Result<(), GatewayError> {
    let what = format!("pull image {}", settings.image);
    let wait = settings.pull_timeout_ms.duration();
    let attempts = async {
        let mut pause = RETRY_FIRST;
        for _ in 1..ATTEMPTS_MAX {
            match attempt(engine, &settings.image, &what).await {
                Err(failure) if failure.is_passing() => {
                    tracing::debug!(error = %failure, "will pull again");
                }
                ended => return ended,
            }
            sleep(pause).await;
            pause *= 2;
        }
        attempt(engine, &settings.image, &what).await
    };
    match timeout(wait, attempts).await {
        Ok(pulled) => Ok(pulled?),
        Err(_) => Err(engine.late(&what, wait).into()),
    }
}

async fn attempt(engine: &Engine, image: &str, what: &str) -> Result<(), Failure> {
    let (name, tag) = split(image);
    let options = CreateImageOptionsBuilder::new().from_image(name).tag(tag).build();
    let mut progress = engine.client().create_image(Some(options), None, None);
    while progress.try_next().await.map_err(|error| engine.failure(what, error))?.is_some() {}
    Ok(())
}

/// Name and tag; without a tag the engine would pull every one there is. A digest stays with the name.
fn split(image: &str) -> (&str, &str) {
    if image.contains('@') {
        return (image, "");
    }
    match image.rsplit_once(':') {
        // What follows the colon of a port holds a slash.
        Some((name, tag)) if !tag.contains('/') => (name, tag),
        _ => (image, "latest"),
    }
}

#[cfg(test)]
mod tests {
    use super::split;

    #[test]
    fn an_image_has_one_tag() {
        for (image, parts) in [
            ("a", ("a", "latest")),
            ("a/b:1", ("a/b", "1")),
            ("localhost:5000/a", ("localhost:5000/a", "latest")),
            ("localhost:5000/a:2", ("localhost:5000/a", "2")),
            ("a@sha256:00", ("a@sha256:00", "")),
            ("a:1@sha256:00", ("a:1@sha256:00", "")),
        ] {
            assert_eq!(split(image), parts);
        }
    }
}
