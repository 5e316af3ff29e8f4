//! The profiles that a store knows, each the union of all that came under its name. Knows no rows.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arrow::array::StringArray;
use foldhash::fast::RandomState;
use model::{AssetId, Profile, Shape, SignalIndex, ValueKind};

/// The most assets of one profile.
const ASSETS_MAX: usize = 1 << 20;
/// Columns that frames have besides their signals.
const RESERVED: [&str; 5] = ["asset", "time", "received", "sequence", "exceptions"];

/// Why a batch cannot be kept, now or later.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unacceptable {
    /// The name is taken by a profile of another shape.
    #[error("profile `{profile}` holds {kept}, the batch holds {given}")]
    Shape {
        /// The profile.
        profile: String,
        /// The shape in the store.
        kept: &'static str,
        /// The shape of the batch.
        given: &'static str,
    },
    /// A signal is something else than what is kept under its id.
    #[error(
        "signal `{signal}` of profile `{profile}` is kept as {kept}, the batch has it as {given}: give one of them another profile name"
    )]
    Signal {
        /// The profile.
        profile: String,
        /// The signal.
        signal: String,
        /// Kind, unit, scale and meaning in the store.
        kept: String,
        /// Kind, unit, scale and meaning in the batch.
        given: String,
    },
    /// The id of a signal is that of a column which every table has.
    #[error("signal `{signal}` of profile `{profile}` has the name of a column that every table has")]
    Reserved {
        /// The profile.
        profile: String,
        /// The signal.
        signal: String,
    },
    /// The union of the profiles is none.
    #[error("profile `{profile}` cannot grow: {reason}")]
    Profile {
        /// The profile.
        profile: String,
        /// What is in the way.
        reason: String,
    },
    /// There are too many assets.
    #[error("profile `{profile}` has more than 1,048,576 assets")]
    Assets {
        /// The profile.
        profile: String,
    },
}

/// What `given` adds to `kept`: the union, or `None` when there is nothing new.
///
/// # Errors
/// When one id stands for two different things.
pub(crate) fn union(kept: &Profile, given: &Profile) -> Result<Option<Profile>, Unacceptable> {
    let profile = || kept.id().to_owned();
    if kept.shape() != given.shape() {
        let (kept, given) = (kept.shape().as_str(), given.shape().as_str());
        return Err(Unacceptable::Shape { profile: profile(), kept, given });
    }
    let mut signals = kept.signals().to_vec();
    for signal in given.signals() {
        let Some(index) = kept.signal_index(&signal.id) else {
            signals.push(signal.clone());
            continue;
        };
        let known = kept.signal(index);
        let differs = (known.kind, &known.unit, known.scale, &known.meaning)
            != (signal.kind, &signal.unit, signal.scale, &signal.meaning);
        if differs {
            let describe = |signal: &model::Signal| {
                let unit = signal.unit.as_deref().map_or_else(String::new, |unit| format!(" in {unit}"));
                let (kind, meaning) = (signal.kind.as_str(), &signal.meaning);
                format!("{kind}{unit}, scale 1/{} {:+}, {meaning}", signal.scale.divisor, signal.scale.offset)
            };
            return Err(Unacceptable::Signal {
                profile: profile(),
                signal: signal.id.to_string(),
                kept: describe(known),
                given: describe(signal),
            });
        }
    }
    if signals.len() == kept.signals().len() {
        return Ok(None);
    }
    let grown = Profile::new(kept.id(), kept.shape(), signals);
    grown.map(Some).map_err(|error| Unacceptable::Profile { profile: profile(), reason: error.to_string() })
}

/// Whether a table can be made of `profile`.
///
/// # Errors
/// When a frame has a signal that would hide a column, or a kind of value that frames do not have.
pub(crate) fn check(profile: &Profile) -> Result<(), Unacceptable> {
    if profile.shape() == Shape::Changes {
        return Ok(());
    }
    for signal in profile.signals() {
        let (profile, id) = (profile.id().to_owned(), signal.id.to_string());
        if RESERVED.contains(&&*id) {
            return Err(Unacceptable::Reserved { profile, signal: id });
        }
        if !matches!(signal.kind, ValueKind::Integer | ValueKind::Number | ValueKind::Text | ValueKind::Vector) {
            let reason = format!("signal `{id}` is of kind {}, which frames do not have", signal.kind.as_str());
            return Err(Unacceptable::Profile { profile, reason });
        }
    }
    Ok(())
}

/// The codes that stand for the assets of one profile. A code never changes while the store is open.
#[derive(Debug)]
pub(crate) struct Assets {
    ids: Vec<AssetId>,
    codes: HashMap<AssetId, u32, RandomState>,
    texts: Arc<StringArray>,
}

impl Default for Assets {
    fn default() -> Self {
        Self { ids: Vec::new(), codes: HashMap::default(), texts: Arc::new(StringArray::from_iter_values([""; 0])) }
    }
}

impl Assets {
    /// The code of `asset`, which is made known if it was not.
    pub(crate) fn code(&mut self, asset: &AssetId) -> u32 {
        if let Some(code) = self.codes.get(asset) {
            return *code;
        }
        let code = self.ids.len() as u32;
        self.ids.push(asset.clone());
        self.codes.insert(asset.clone(), code);
        code
    }

    /// The code of `asset`, if it is known.
    pub(crate) fn known(&self, asset: &AssetId) -> Option<u32> {
        self.codes.get(asset).copied()
    }

    /// Whether `assets` could be made known.
    pub(crate) fn has_room_for(&self, assets: &[AssetId]) -> bool {
        if self.ids.len() + assets.len() <= ASSETS_MAX {
            return true;
        }
        let unknown: HashSet<&AssetId> = assets.iter().filter(|asset| !self.codes.contains_key(asset)).collect();
        self.ids.len() + unknown.len() <= ASSETS_MAX
    }

    pub(crate) fn ids(&self) -> &[AssetId] {
        &self.ids
    }

    /// All assets by their code, as a dictionary.
    pub(crate) fn texts(&mut self) -> Arc<StringArray> {
        use arrow::array::Array;
        if self.texts.len() != self.ids.len() {
            self.texts = Arc::new(StringArray::from_iter_values(self.ids.iter().map(AssetId::as_str)));
        }
        Arc::clone(&self.texts)
    }
}

/// Where the signals of other profiles of the same name stand in the union.
#[derive(Debug, Default)]
pub(crate) struct Places(Vec<(Arc<Profile>, Arc<[SignalIndex]>)>);

impl Places {
    /// The place in `union` of each signal of `given`, which is part of it.
    pub(crate) fn of(&mut self, given: &Arc<Profile>, union: &Profile) -> Arc<[SignalIndex]> {
        if let Some((_, places)) = self.0.iter().find(|(known, _)| Arc::ptr_eq(known, given)) {
            return Arc::clone(places);
        }
        // Profiles that nobody sends any more are forgotten.
        self.0.retain(|(known, _)| Arc::strong_count(known) > 1);
        let place = |signal: &model::Signal| union.signal_index(&signal.id).expect("the union has every signal");
        let places: Arc<[SignalIndex]> = given.signals().iter().map(place).collect();
        self.0.push((Arc::clone(given), Arc::clone(&places)));
        places
    }

    pub(crate) fn knows(&self, given: &Arc<Profile>) -> bool {
        self.0.iter().any(|(known, _)| Arc::ptr_eq(known, given))
    }
}

#[cfg(test)]
mod tests {
    use model::Signal;

    use super::*;

    fn profile(shape: Shape, signals: &[(&str, ValueKind, &str)]) -> Profile {
        let signals = signals.iter().map(|(id, kind, unit)| Signal::new(id, "x:Y", *kind).with_unit(unit));
        Profile::new("lathe", shape, signals.collect()).unwrap()
    }

    #[test]
    fn profiles_of_one_name_grow_together() {
        let kept = profile(Shape::Changes, &[("a", ValueKind::Number, "mm")]);
        let given = profile(Shape::Changes, &[("b", ValueKind::Number, "%"), ("a", ValueKind::Number, "mm")]);
        let union = union(&kept, &given).unwrap().unwrap();
        let ids: Vec<&str> = union.signals().iter().map(|signal| &*signal.id).collect();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(&*Places::default().of(&Arc::new(given), &union), [1, 0]);
    }

    #[test]
    fn one_id_never_stands_for_two_things() {
        let kept = profile(Shape::Changes, &[("a", ValueKind::Number, "mm")]);
        for (given, expected) in [
            (profile(Shape::Frames, &[]), "holds changes, the batch holds frames"),
            (profile(Shape::Changes, &[("a", ValueKind::Text, "mm")]), "is kept as number in mm"),
            (profile(Shape::Changes, &[("a", ValueKind::Number, "um")]), "the batch has it as number in um"),
            (
                Profile::new("lathe", Shape::Changes, vec![Signal::new("a", "x:Z", ValueKind::Number).with_unit("mm")])
                    .unwrap(),
                "x:Z: give one of them another profile name",
            ),
        ] {
            let error = union(&kept, &given).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn frames_hide_no_column() {
        let error = check(&profile(Shape::Frames, &[("time", ValueKind::Number, "s")])).unwrap_err();
        assert!(error.to_string().contains("signal `time`"), "{error}");
    }
}
