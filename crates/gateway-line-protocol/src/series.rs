//! What is remembered from one body to the next: measurements, and the assets of tag sets. Everything has a bound; at a
//! bound lines that need more are refused, and those that do not are kept.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use foldhash::fast::RandomState;
use gateway::series::{SeriesNames, distinct_profile_id, profile_id};
use model::{AssetId, Profile};

use crate::fault::{self, Fault};
use crate::fields::Measurement;
use crate::scan;

/// The longest measurement with tags, as it stands in a line, that is kept for finding its asset again, in bytes.
/// Longer ones are taken apart each time.
const CACHED_BYTES_MAX: usize = 512;

/// How much a sender may name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeriesLimits {
    /// Measurements.
    pub measurements_max: usize,
    /// Fields of one measurement; at most 8,192.
    pub fields_max: usize,
    /// Assets.
    pub assets_max: usize,
}

impl Default for SeriesLimits {
    fn default() -> Self {
        Self { measurements_max: 1_000, fields_max: 1_024, assets_max: 100_000 }
    }
}

/// What the beginning of a line stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SeriesRef {
    pub(crate) measurement: u32,
    pub(crate) asset: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Series {
    limits: SeriesLimits,
    names: SeriesNames,
    pub(crate) measurements: Vec<Measurement>,
    by_name: HashMap<Box<str>, u32, RandomState>,
    /// Names of profiles that a new measurement cannot have.
    taken: HashSet<Box<str>, RandomState>,
    pub(crate) assets: Vec<AssetId>,
    by_asset: HashMap<AssetId, u32, RandomState>,
    /// Measurement and tags as they stand in lines.
    by_wire: HashMap<Box<[u8]>, SeriesRef, RandomState>,
    /// Lines read so far.
    pub(crate) lines: u64,
}

impl Series {
    /// Nothing is known yet. No measurement gets a profile of a name that is `taken`.
    pub fn new(limits: SeriesLimits, names: SeriesNames, taken: &[&str]) -> Self {
        Self {
            limits,
            names,
            measurements: Vec::new(),
            by_name: HashMap::default(),
            taken: taken.iter().map(|name| (*name).into()).collect(),
            assets: Vec::new(),
            by_asset: HashMap::default(),
            by_wire: HashMap::default(),
            lines: 0,
        }
    }

    /// Remembers what an earlier run made of a measurement; any other profile only has its name taken.
    pub fn remember(&mut self, profile: &Arc<Profile>) {
        self.taken.insert(profile.id().into());
        if let Some((measurement, name)) = Measurement::remembered(profile) {
            let place = self.measurements.len() as u32;
            self.by_name.insert((*name).into(), place);
            self.measurements.push(measurement);
        }
    }

    pub(crate) fn fields_max(&self) -> usize {
        self.limits.fields_max
    }

    /// What `bytes[begin..end]`, a measurement with its tags, stands for, if that is known.
    pub(crate) fn known(&self, wire: &[u8]) -> Option<SeriesRef> {
        self.by_wire.get(wire).copied()
    }

    /// The same for what is not known yet.
    pub(crate) fn learn(&mut self, bytes: &[u8], begin: usize, end: usize) -> Result<SeriesRef, Box<Fault>> {
        let wire = &bytes[begin..end];
        if let Err(error) = str::from_utf8(wire) {
            return Err(Fault::new(bytes, begin + error.valid_up_to(), fault::INVALID_UTF_8, "UTF-8"));
        }
        let mut parts = scan::split_unescaped(wire, b',');
        let (_, name) = parts.next().unwrap_or_default();
        if name.is_empty() {
            return Err(Fault::new(bytes, begin, fault::INVALID_MEASUREMENT, "a measurement"));
        }
        let name = plain(name, b", ");
        let mut tags = Vec::new();
        for (offset, part) in parts {
            tags.push(tag(bytes, begin + offset, part)?);
        }
        tags.sort_unstable();
        if tags.windows(2).any(|pair| pair[0].0 == pair[1].0) {
            return Err(Fault::new(bytes, begin, fault::INVALID_TAG, "every tag once"));
        }
        let labels: Vec<(&str, &str)> = tags.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        let asset = self.names.asset(&name, &labels);
        let known = self.by_asset.get(&asset).copied();
        if known.is_none() && self.assets.len() >= self.limits.assets_max {
            let expected = format!("at most {} assets (write.assets_max)", self.limits.assets_max);
            return Err(Fault::new(bytes, begin, fault::LIMIT, expected));
        }
        let measurement = self.measurement(bytes, begin, &name)?;
        let asset = known.unwrap_or_else(|| {
            let place = self.assets.len() as u32;
            self.assets.push(asset.clone());
            self.by_asset.insert(asset, place);
            place
        });
        let series = SeriesRef { measurement, asset };
        if wire.len() <= CACHED_BYTES_MAX {
            // One asset may be spelt in many ways, with its tags in another order: then the spellings begin anew.
            if self.by_wire.len() >= self.limits.assets_max {
                self.by_wire.clear();
            }
            self.by_wire.insert(wire.into(), series);
        }
        Ok(series)
    }

    fn measurement(&mut self, bytes: &[u8], at: usize, name: &str) -> Result<u32, Box<Fault>> {
        if let Some(place) = self.by_name.get(name) {
            return Ok(*place);
        }
        if self.measurements.len() >= self.limits.measurements_max {
            let expected = format!("at most {} measurements (write.measurements_max)", self.limits.measurements_max);
            return Err(Fault::new(bytes, at, fault::LIMIT, expected));
        }
        let plain = profile_id(name);
        let distinct = distinct_profile_id(&plain, name);
        let Some(id) = [plain, distinct].into_iter().find(|id| !self.taken.contains(id.as_str())) else {
            return Err(Fault::new(bytes, at, fault::NAME_TAKEN, "a measurement whose table has another name"));
        };
        let place = self.measurements.len() as u32;
        self.measurements.push(Measurement::new(&id, name));
        self.taken.insert(id.into());
        self.by_name.insert(name.into(), place);
        Ok(place)
    }
}

/// A name without escapes; it is part of what was found to be UTF-8.
fn plain(wire: &[u8], escapable: &[u8]) -> String {
    String::from_utf8_lossy(&scan::unescaped(wire, escapable)).into_owned()
}

/// Key and value of the tag `part`, which stands at `at`.
fn tag(bytes: &[u8], at: usize, part: &[u8]) -> Result<(String, String), Box<Fault>> {
    let mut halves = scan::split_unescaped(part, b'=');
    let (_, key) = halves.next().unwrap_or_default();
    if key.is_empty() {
        return Err(Fault::new(bytes, at, fault::INVALID_TAG, "a tag key"));
    }
    match (halves.next(), halves.next()) {
        (Some((_, value)), None) if !value.is_empty() => Ok((plain(key, b",= "), plain(value, b",= "))),
        (Some((offset, _)), None) => Err(Fault::new(bytes, at + offset, fault::INVALID_TAG, "a tag value")),
        (_, Some((offset, _))) => {
            Err(Fault::new(bytes, at + offset - 1, fault::INVALID_TAG, "`,`, a space, or a backslash before `=`"))
        }
        (None, None) => Err(Fault::new(bytes, at + part.len(), fault::INVALID_TAG, "`=` and a tag value")),
    }
}
