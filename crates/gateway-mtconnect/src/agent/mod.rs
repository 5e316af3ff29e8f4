//! The client of an MTConnect agent: probe, current, then `sample` streaming or polling (MTConnect part 1).
//!
//! What an agent holds is read from the position that is durable: instance id and next sequence become durable in one
//! step with the observations before them, so nothing is missed or doubled whichever side is restarted. What the
//! buffer of the agent no longer holds is recorded as a gap. The pieces, in the order of the data:
//!
//! * `http` asks and bounds, `multipart` cuts streams into documents, `document` reads these;
//! * `align` decides where to go on, `position` is what becomes durable;
//! * `value` and `decode` make batches, `session` puts all to work.
//!
//! This module must not know of the store, of SHDR or of other gateways.

mod align;
mod decode;
mod document;
mod http;
mod multipart;
mod position;
mod session;
mod value;

use futures::FutureExt;
use futures::future::BoxFuture;
use gateway::{Gateway, GatewayError, Link};

use session::Session;

/// Where an agent is, and how it should be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AgentOptions {
    /// The address of the agent, such as `http://10.0.0.5:5000`.
    pub url: String,
    /// The one device to read, by uuid or name; all of the agent's devices where none is named.
    pub device: Option<String>,
    /// The id of the profile; with several devices each one's name is added. Names of devices where it is missing.
    pub profile: Option<String>,
    /// The least time between two documents of a stream, and between two polls.
    pub interval_ms: u32,
    /// The most observations in one document.
    pub count_max: u32,
    /// How often an agent with nothing to tell says so; after twice that time of silence it is connected to anew.
    pub heartbeat_ms: u32,
    /// Decides the jitter of the waits between attempts.
    pub seed: u64,
}

impl AgentOptions {
    /// The agent at `url`, read as suits most.
    pub fn new(url: &str) -> Self {
        Self {
            url: url.to_owned(),
            device: None,
            profile: None,
            interval_ms: 100,
            count_max: 5_000,
            heartbeat_ms: 10_000,
            seed: 0,
        }
    }
}

/// A gateway that reads one agent.
#[derive(Debug)]
pub struct AgentGateway {
    options: AgentOptions,
}

impl AgentGateway {
    /// A gateway that reads the agent of `options`.
    pub fn new(options: AgentOptions) -> Self {
        Self { options }
    }
}

impl Gateway for AgentGateway {
    fn run<'a>(&'a self, link: &'a Link) -> BoxFuture<'a, Result<(), GatewayError>> {
        async move {
            let mut session = Session::new(link, &self.options)?;
            let outcome = tokio::select! {
                outcome = session.run() => Some(outcome),
                () = link.stop().cancelled() => None,
            };
            if let Some(outcome) = outcome {
                return outcome.map(|never| match never {});
            }
            // What was decoded before the end is still delivered; the position goes with it.
            session.settle().await
        }
        .boxed()
    }
}
