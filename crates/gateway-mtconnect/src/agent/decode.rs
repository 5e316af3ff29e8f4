//! From the observations of a document to batches: which signal each one is, the how-manieth at its time, and what
//! has to be refused. Knows the device models of one agent; must not know of HTTP or of where reading goes on.

use std::collections::HashSet;
use std::ops::Range;

use gateway::Rejection;
use model::{AssetId, Batch, Changes, Entry, Observation, Quality, SignalIndex, Timestamp, Value};

use super::AgentOptions;
use super::align::Gap;
use super::document::{DeviceStream, Said, Streams};
use super::position::Repeats;
use super::value::{self, Refusal};
use crate::device::{Device, DeviceModelError, read_devices};
use crate::mapping::{Form, Mapping, MappingError};
use crate::naming::profile_ids;

/// The most unknown data items that are remembered, so that each costs one further look at the device models.
const UNKNOWN_MAX: usize = 10_000;
/// The most asset documents that are fetched for one answer.
const ASSETS_MAX: usize = 64;

/// Why the device models of an agent cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum DecoderError {
    #[error("failed to read the device models")]
    Read(#[source] DeviceModelError),
    #[error("failed to map a device")]
    Map(#[source] MappingError),
    #[error("the agent has no device `{wanted}`, but {known}")]
    Device { wanted: String, known: String },
}

/// The devices of one agent.
#[derive(Debug)]
pub(super) struct Decoder {
    mappings: Vec<Mapping>,
    warnings: Vec<String>,
    unknown: HashSet<Box<str>>,
}

/// What was taken from one document: by device, and what is still to be asked for or to be told.
#[derive(Debug, Default)]
pub(super) struct Taken {
    changes: Vec<Changes>,
    pub(super) observations: u64,
    pub(super) assets_wanted: Vec<AssetWish>,
    pub(super) refusals: Vec<(Refusal, Range<usize>)>,
}

/// A changed asset whose document is still to be fetched.
#[derive(Debug)]
pub(super) struct AssetWish {
    device: usize,
    asset: AssetId,
    signal: SignalIndex,
    sequence: u32,
    said: Said,
}

impl AssetWish {
    /// The id to ask for.
    pub(super) fn asset_id(&self) -> &str {
        &self.said.text
    }
}

impl Taken {
    fn push(&mut self, device: usize, asset: &AssetId, observation: Observation) {
        if self.changes.len() <= device {
            self.changes.resize_with(device + 1, Changes::default);
        }
        let place = self.changes[device].intern(asset);
        self.changes[device].push(place, observation);
    }

    /// Adds the changed asset that was asked for, with its document where that could be had.
    pub(super) fn add_asset(&mut self, wish: &AssetWish, document: Option<&str>) {
        let observation = Observation {
            signal: wish.signal,
            time: wish.said.time,
            sequence: wish.sequence,
            quality: Quality::Good,
            value: value::asset(&wish.said, document),
            statistic: None,
        };
        self.push(wish.device, &wish.asset, observation);
    }
}

impl Decoder {
    /// Reads the answer to `probe`.
    ///
    /// # Errors
    /// When it is no document of device models, or one that cannot be mapped.
    pub(super) fn new(xml: &[u8], options: &AgentOptions) -> Result<Self, DecoderError> {
        let mut devices = read_devices(xml).map_err(DecoderError::Read)?;
        if let Some(wanted) = &options.device {
            let found = devices.find(wanted).cloned();
            let known = || devices.devices.iter().take(20).map(|device| format!("`{}`", called(device)));
            devices.devices = vec![found.ok_or_else(|| DecoderError::Device {
                wanted: wanted.clone(),
                known: known().collect::<Vec<_>>().join(", "),
            })?];
        }
        let mut warnings: Vec<String> = devices.warnings.iter().map(ToString::to_string).collect();
        let profile_ids = profile_ids(&devices.devices, options.profile.as_deref());
        let mut mappings = Vec::new();
        for (device, profile_id) in devices.devices.iter().zip(profile_ids) {
            let mapping = Mapping::new(device, &profile_id).map_err(DecoderError::Map)?;
            warnings.extend_from_slice(mapping.warnings());
            mappings.push(mapping);
        }
        Ok(Self { mappings, warnings, unknown: HashSet::new() })
    }

    /// The machines.
    pub(super) fn assets(&self) -> Vec<AssetId> {
        self.mappings.iter().map(|mapping| mapping.asset().clone()).collect()
    }

    /// What had to be put up with.
    pub(super) fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The data items that newer models than `former`'s did not know either.
    #[must_use]
    pub(super) fn succeeding(mut self, former: Option<Self>) -> Self {
        self.unknown = former.map(|former| former.unknown).unwrap_or_default();
        self
    }

    fn mapping_of(&self, device: &DeviceStream) -> Option<usize> {
        let called = |name: &str| self.mappings.iter().position(|mapping| mapping.is_called(name));
        // A lone device needs no name: some agents leave it out.
        called(&device.uuid).or_else(|| called(&device.name)).or((self.mappings.len() == 1).then_some(0))
    }

    /// Whether `streams` speaks of a data item that is met for the first time and not in the device models.
    pub(super) fn meets_unknown(&mut self, streams: &Streams, wanted: &Range<u64>) -> bool {
        let mut is_met = false;
        for device in &streams.devices {
            let mapping = self.mapping_of(device).map(|place| &self.mappings[place]);
            for said in device.said.iter().filter(|said| wanted.contains(&said.sequence)) {
                let is_known = mapping.is_some_and(|mapping| mapping.signal_of_id(&said.data_item_id).is_some());
                if !is_known && self.unknown.len() < UNKNOWN_MAX {
                    is_met |= self.unknown.insert(said.data_item_id.clone());
                }
            }
        }
        is_met
    }

    /// Takes the observations of `streams` whose agent's numbers are in `wanted`, in the order of these numbers: the
    /// order in a document is by component, and would count repeats differently when the same observations come in
    /// other documents.
    pub(super) fn take(&self, streams: &Streams, wanted: &Range<u64>, repeats: &mut Repeats) -> Taken {
        let mut taken = Taken::default();
        let mut all = Vec::new();
        for device in &streams.devices {
            let place = self.mapping_of(device);
            all.extend(device.said.iter().filter(|said| wanted.contains(&said.sequence)).map(|said| (place, said)));
        }
        all.sort_by_key(|(_, said)| said.sequence);
        for (device, said) in all {
            if let Err(refusal) = self.take_one(device, said, repeats, &mut taken) {
                taken.refusals.push((refusal, said.place.clone()));
            }
        }
        for problem in &streams.problems {
            let refusal = Refusal { reason: problem.reason, detail: problem.detail.clone() };
            taken.refusals.push((refusal, problem.place.clone()));
        }
        taken
    }

    fn take_one(
        &self,
        device: Option<usize>,
        said: &Said,
        repeats: &mut Repeats,
        taken: &mut Taken,
    ) -> Result<(), Refusal> {
        let unknown = || Refusal {
            reason: "unknown data item",
            detail: format!("offset {}: `{:.128}` is not in the device model", said.place.start, said.data_item_id),
        };
        let device = device.ok_or_else(unknown)?;
        let mapping = &self.mappings[device];
        let signal = mapping.signal_of_id(&said.data_item_id).ok_or_else(unknown)?;
        let wire = mapping.wire(signal);
        let (quality, value) = value::value_of(said, wire).map_err(|refusal| Refusal {
            detail: format!("offset {}: {}", said.place.start, refusal.detail),
            ..refusal
        })?;
        let asset = mapping.asset();
        let sequence = repeats.count(asset.identifier(), &mapping.profile().signal(signal).id, said.time);
        taken.observations += 1;
        let is_changed_asset =
            wire.form == Form::Asset && quality == Quality::Good && signal == mapping.asset_changed();
        if is_changed_asset && taken.assets_wanted.len() < ASSETS_MAX {
            taken.assets_wanted.push(AssetWish { device, asset: asset.clone(), signal, sequence, said: said.clone() });
            return Ok(());
        }
        let end = value::end_of_alarm(said, wire, &value);
        let statistic = value::statistic_of(said, wire);
        let first = Observation { signal, time: said.time, sequence, quality, value, statistic };
        if let Some(value) = end {
            let sequence = repeats.count(asset.identifier(), &mapping.profile().signal(signal).id, said.time);
            taken.observations += 1;
            taken.push(device, asset, first.clone());
            taken.push(device, asset, Observation { sequence, value, ..first });
        } else {
            taken.push(device, asset, first);
        }
        Ok(())
    }

    /// Adds an observation of `gap` to every device: nobody knows whose observations were lost.
    pub(super) fn record_gap(
        &self,
        gap: &Gap,
        instance_id: &str,
        now: Timestamp,
        taken: &mut Taken,
        repeats: &mut Repeats,
    ) {
        let text = |key: &str, text: &str| (key.into(), Entry::Text(text.into()));
        let number = |key: &str, number: u64| (key.into(), Entry::Number(number as f64));
        let mut entries: Vec<(Box<str>, Entry)> = vec![text("reason", gap.reason), text("instance_id", instance_id)];
        if let Some(previous) = &gap.previous {
            entries.push(text("previous_instance_id", &previous.instance_id));
            entries.push(number("previous_next_sequence", previous.next));
        }
        if !gap.sequences.is_empty() {
            entries.push(number("from_sequence", gap.sequences.start));
            entries.push(number("to_sequence", gap.sequences.end - 1));
        }
        entries.push(number("lost", gap.lost(taken.observations)));
        for (device, mapping) in self.mappings.iter().enumerate() {
            let signal = mapping.gap();
            let id = &mapping.profile().signal(signal).id;
            let observation = Observation {
                signal,
                time: now,
                sequence: repeats.count(mapping.asset().identifier(), id, now),
                quality: Quality::Good,
                value: Value::Entries(entries.clone().into()),
                statistic: None,
            };
            taken.push(device, mapping.asset(), observation);
        }
    }

    /// One batch per device that spoke, and at least one, if need be without rows, to carry the position.
    pub(super) fn batches(&self, taken: Taken, received: Timestamp) -> Vec<Batch> {
        let spoken = self.mappings.iter().zip(taken.changes).filter(|(_, changes)| !changes.is_empty());
        let batch = |mapping: &Mapping, changes| Batch::changes(mapping.profile().clone(), received, changes);
        let mut batches: Vec<Batch> = spoken.map(|(mapping, changes)| batch(mapping, changes)).collect();
        if batches.is_empty() {
            batches.extend(self.mappings.first().map(|mapping| batch(mapping, Changes::default())));
        }
        batches
    }
}

impl Refusal {
    /// As it is counted and kept, with the bytes it is about.
    pub(super) fn rejection<'r>(&'r self, bytes: &'r [u8]) -> Rejection<'r> {
        Rejection { reason: self.reason, detail: &self.detail, bytes }
    }
}

fn called(device: &Device) -> &str {
    device.name.as_deref().unwrap_or(&device.uuid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_models_that_cannot_be_used_are_told() {
        let check = |xml: &str, device: Option<&str>, expected: &str| {
            let options = AgentOptions { device: device.map(Into::into), ..AgentOptions::new("http://h") };
            assert_eq!(Decoder::new(xml.as_bytes(), &options).unwrap_err().to_string(), expected, "{xml}");
        };
        let two = "<Devices><Device uuid='u' name='a'/><Device uuid='v'/></Devices>";
        check(two, Some("b"), "the agent has no device `b`, but `a`, `v`");
        check("<html/>", None, "failed to read the device models");
        check("<Devices><Device uuid='u'/></Devices>", Some("u "), "the agent has no device `u `, but `u`");
    }
}
