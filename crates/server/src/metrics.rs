//! Metrics for Prometheus, read from the typed counters when somebody asks. Counts and states, never contents.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeLabelSet, EncodeMetric, text::encode};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::{Registry, Unit};
use store::StoreStats;

use crate::forwards::ForwardReport;
use crate::notify::NotifyReport;
use crate::sources::SourceReport;

/// What one answer is made of.
#[derive(Debug)]
pub(crate) struct Reading {
    pub(crate) stats: StoreStats,
    pub(crate) sources: Vec<SourceReport>,
    pub(crate) forwards: Vec<ForwardReport>,
    pub(crate) notified: Vec<NotifyReport>,
    pub(crate) watchers: usize,
    pub(crate) resident_bytes: Option<i64>,
}

/// The metrics of `reading`, in the text format.
pub(crate) fn text(reading: Reading) -> Result<String, fmt::Error> {
    let mut registry = Registry::with_prefix("tongmai");
    registry.register_collector(Box::new(reading));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(text)
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct GatewayLabel {
    gateway: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ForwardLabel {
    forward: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TargetLabel {
    target: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RejectedLabels {
    gateway: String,
    reason: &'static str,
}

impl Collector for Reading {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let stats = &self.stats;
        for (name, help, count) in [
            ("store_rows_accepted", "Rows that were new", stats.accepted),
            ("store_rows_duplicate", "Rows that were there already", stats.duplicates),
            ("store_log_syncs", "Syncs of the log", stats.syncs),
            ("store_log_bytes", "Bytes written to the log", stats.log_bytes),
            ("store_damages", "Segments that were found damaged", stats.damages),
        ] {
            one(&mut encoder, name, help, None, &ConstCounter::new(count))?;
        }
        for (name, help, count) in [
            ("store_queued_batches", "Batches waiting to be written", stats.queued_batches as i64),
            ("store_hot_rows", "Rows in memory that are in no segment yet", stats.hot_rows as i64),
            ("store_segments", "Segments", stats.segments as i64),
            ("store_healthy", "1 while log and segments can be written", i64::from(stats.trouble.is_none())),
            ("live_watchers", "Clients that watch changes", self.watchers as i64),
        ] {
            one(&mut encoder, name, help, None, &ConstGauge::new(count))?;
        }
        one(
            &mut encoder,
            "store_segments_size",
            "Size of all segments",
            Some(&Unit::Bytes),
            &ConstGauge::new(stats.segment_bytes as i64),
        )?;
        if let Some(bytes) = self.resident_bytes {
            let gauge = ConstGauge::new(bytes);
            one(&mut encoder, "resident_memory", "Memory in use", Some(&Unit::Bytes), &gauge)?;
        }
        self.encode_sources(&mut encoder)?;
        self.encode_forwards(&mut encoder)?;
        self.encode_notified(&mut encoder)
    }
}

/// How one counter of a gateway is read.
type Count = fn(&SourceReport) -> u64;

/// How one number of somebody who is told of alarms is read.
type Told = fn(&NotifyReport) -> u64;

/// How one number of an upstream is read.
type Figure = fn(&ForwardReport) -> u64;

impl Reading {
    fn encode_forwards(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counts: [(&str, &str, Figure); 4] = [
            ("forward_sent", "Frames sent", |forward| forward.status.sent),
            ("forward_acknowledged", "Frames that the upstream has", |forward| forward.status.acknowledged),
            ("forward_refused", "Frames that were given up", |forward| forward.status.refused),
            ("forward_left_out", "Reports of which nothing could be said", |forward| forward.status.left_out),
        ];
        let label = |forward: &ForwardReport| ForwardLabel { forward: forward.name.clone() };
        for (name, help, count) in counts {
            let counter = ConstCounter::new(0_u64);
            let mut metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            for forward in &self.forwards {
                ConstCounter::new(count(forward)).encode(metric.encode_family(&label(forward))?)?;
            }
        }
        let figures: [(&str, &str, Figure); 3] = [
            ("forward_connected", "1 while logged in at the upstream", |forward| {
                u64::from(forward.status.state == forward_gbt32960::State::Connected)
            }),
            ("forward_lag_rows", "About how many rows wait", |forward| forward.status.lag_rows),
            ("forward_lag_milliseconds", "How long the oldest of them waits", |forward| forward.status.lag_ms),
        ];
        for (name, help, figure) in figures {
            let gauge = ConstGauge::new(0_i64);
            let mut metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            for forward in &self.forwards {
                let number = i64::try_from(figure(forward)).unwrap_or(i64::MAX);
                ConstGauge::new(number).encode(metric.encode_family(&label(forward))?)?;
            }
        }
        Ok(())
    }

    fn encode_notified(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let label = |target: &NotifyReport| TargetLabel { target: target.name.clone() };
        let counts: [(&str, &str, Told); 3] = [
            ("notify_told", "Messages about alarms that were taken", |target| target.told),
            ("notify_given_up", "Messages about alarms that were given up", |target| target.given_up),
            ("notify_failures", "Attempts to tell of alarms that failed", |target| target.failures),
        ];
        for (name, help, count) in counts {
            let counter = ConstCounter::new(0_u64);
            let mut metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            for target in &self.notified {
                ConstCounter::new(count(target)).encode(metric.encode_family(&label(target))?)?;
            }
        }
        let figures: [(&str, &str, Told); 2] = [
            ("notify_ready", "1 while the target takes what it is told", |target| u64::from(target.state == "ready")),
            ("notify_waiting_records", "About how many records of alarms wait", |target| target.waiting),
        ];
        for (name, help, figure) in figures {
            let gauge = ConstGauge::new(0_i64);
            let mut metric = encoder.encode_descriptor(name, help, None, gauge.metric_type())?;
            for target in &self.notified {
                let number = i64::try_from(figure(target)).unwrap_or(i64::MAX);
                ConstGauge::new(number).encode(metric.encode_family(&label(target))?)?;
            }
        }
        Ok(())
    }

    fn encode_sources(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let counts: [(&str, &str, Count); 5] = [
            ("gateway_bytes", "Bytes read", |source| source.tally.bytes),
            ("gateway_messages", "Lines, documents or frames read", |source| source.tally.messages),
            ("gateway_observations", "Observations decoded", |source| source.tally.observations),
            ("gateway_accepted", "Rows that are durable and new", |source| source.tally.accepted),
            ("gateway_connections", "Connections made", |source| source.tally.connections),
        ];
        for (name, help, count) in counts {
            let counter = ConstCounter::new(0_u64);
            let mut metric = encoder.encode_descriptor(name, help, None, counter.metric_type())?;
            for source in &self.sources {
                let label = GatewayLabel { gateway: source.name.clone() };
                ConstCounter::new(count(source)).encode(metric.encode_family(&label)?)?;
            }
        }
        let counter = ConstCounter::new(0_u64);
        let help = "Messages or parts of them that were rejected";
        let mut metric = encoder.encode_descriptor("gateway_rejected", help, None, counter.metric_type())?;
        for source in &self.sources {
            for (reason, count) in &source.tally.rejected {
                let labels = RejectedLabels { gateway: source.name.clone(), reason };
                ConstCounter::new(*count).encode(metric.encode_family(&labels)?)?;
            }
        }
        let gauge = ConstGauge::new(0_i64);
        let help = "1 while the source is connected";
        let mut metric = encoder.encode_descriptor("gateway_connected", help, None, gauge.metric_type())?;
        for source in &self.sources {
            let connected = source.status.connection == gateway::Connection::Connected;
            let label = GatewayLabel { gateway: source.name.clone() };
            ConstGauge::new(i64::from(connected)).encode(metric.encode_family(&label)?)?;
        }
        Ok(())
    }
}

fn one(
    encoder: &mut DescriptorEncoder<'_>,
    name: &str,
    help: &str,
    unit: Option<&Unit>,
    metric: &impl EncodeMetric,
) -> fmt::Result {
    metric.encode(encoder.encode_descriptor(name, help, unit, metric.metric_type())?)
}
