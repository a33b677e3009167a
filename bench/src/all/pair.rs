//! One endpoint of ours and one of a yardstick, measured in turns.

use std::net::SocketAddr;

use anyhow::{Context, Result};

use super::Effort;
use super::table::Table;
use crate::histogram::Histogram;
use crate::load::{self, Era, Measured, Target, Tool};

/// Where a program serves.
#[derive(Clone, Debug)]
pub struct Endpoint {
    /// Its address.
    pub address: SocketAddr,
    /// Path of its MCP endpoint.
    pub path: String,
    /// The process whose CPU time counts.
    pub pid: u32,
}

/// What is compared.
#[derive(Clone, Debug)]
pub struct Pair {
    /// Name of the mode, for the rows.
    pub mode: &'static str,
    /// The gateway.
    pub ours: Endpoint,
    /// The barest program that does the same work.
    pub yardstick: Endpoint,
    /// Whether legacy connections share one session.
    pub share_session: bool,
}

/// Calls to compare with.
#[derive(Clone, Copy, Debug)]
pub struct Calls {
    pub era: Era,
    pub tool: Tool,
    pub connections: usize,
    /// Whether the load never sleeps.
    pub awake: bool,
}

/// What all rounds measured, in the order of the rounds: ours and the yardstick.
#[derive(Debug)]
pub struct Rounds(Vec<(Measured, Measured)>);

impl Pair {
    /// Measures both in turns.
    ///
    /// # Errors
    /// If a call fails.
    pub fn compare(&self, calls: Calls, effort: Effort) -> Result<Rounds> {
        let measure = |what: &str, endpoint: &Endpoint| {
            let measured = load::measure(
                &self.target(calls, endpoint),
                calls.connections,
                effort.round,
                Some(endpoint.pid),
            );
            measured.with_context(|| format!("call {what} in {} with {calls:?}", self.mode))
        };
        let rounds = (0..effort.rounds)
            .map(|_| Ok((measure("the gateway", &self.ours)?, measure("the yardstick", &self.yardstick)?)));
        Ok(Rounds(rounds.collect::<Result<_>>()?))
    }

    fn target(&self, Calls { era, tool, awake, .. }: Calls, endpoint: &Endpoint) -> Target {
        let Endpoint { address, path, .. } = endpoint;
        Target { to: *address, path: path.clone(), era, tool, share_session: self.share_session, awake }
    }
}

impl Rounds {
    /// Adds the row of one property.
    pub fn row(&self, table: &mut Table, name: &str, property: Property, target: Option<f64>) {
        let (ours, yardstick, ratio) = match property {
            Property::Cpu => self.by_round(|measured| measured.cpu_micros),
            Property::Throughput => self.by_round(|measured| measured.calls_per_second),
            Property::P50 => self.by_round(|measured| micros(&measured.latency, 0.5)),
            Property::P99 => self.by_round(|measured| micros(&measured.latency, 0.99)),
            Property::P99OfAll => self.of_all(0.99),
        };
        table.ratio(name, ours, yardstick, ratio, property.unit(), target);
    }

    /// Medians of both, and the median of the ratios of the rounds: both sides of a round have met the same machine,
    /// which may be another one in the next round.
    fn by_round(&self, value: impl Fn(&Measured) -> f64) -> (f64, f64, f64) {
        let of = |pick: &dyn Fn(&(Measured, Measured)) -> f64| median(self.0.iter().map(pick));
        let ratio = of(&|(ours, yardstick)| value(ours) / value(yardstick));
        (of(&|(ours, _)| value(ours)), of(&|(_, yardstick)| value(yardstick)), ratio)
    }

    /// A quantile of the calls of all rounds together, microseconds, and the ratio: a high one is that of the slowest
    /// moment of the machine, on whichever side that fell.
    fn of_all(&self, share: f64) -> (f64, f64, f64) {
        let (mut ours, mut yardstick) = (Histogram::default(), Histogram::default());
        for (our, their) in &self.0 {
            ours.merge(&our.latency);
            yardstick.merge(&their.latency);
        }
        let (ours, yardstick) = (micros(&ours, share), micros(&yardstick, share));
        (ours, yardstick, ours / yardstick)
    }
}

fn micros(latency: &Histogram, share: f64) -> f64 {
    latency.quantile(share).as_secs_f64() * 1e6
}

/// What is compared of two runs.
#[derive(Clone, Copy, Debug)]
pub enum Property {
    /// CPU time of the process, per call.
    Cpu,
    /// Half of the calls are faster.
    P50,
    /// 99 of 100 calls are faster.
    P99,
    /// The same of all rounds together.
    P99OfAll,
    /// Calls per second.
    Throughput,
}

impl Property {
    fn unit(self) -> &'static str {
        match self {
            Self::Throughput => "/s",
            Self::Cpu | Self::P50 | Self::P99 | Self::P99OfAll => "us",
        }
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_an_outlier() {
        assert_eq!(median([1.0, 900.0, 2.0].into_iter()), 2.0);
        assert!(median([].into_iter()).is_nan());
    }
}
