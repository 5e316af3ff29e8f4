//! Profiles as they are written down, in log files and in the manifest. Format 1; fields may be added, never changed.

use model::{InvalidProfile, Profile, Scale, Shape, Signal, ValueKind};
use serde::{Deserialize, Serialize};

/// See [`Profile`].
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct StoredProfile {
    id: String,
    shape: String,
    signals: Vec<StoredSignal>,
}

/// See [`Signal`].
#[derive(Debug, Clone, Serialize, Deserialize)]
struct StoredSignal {
    id: String,
    meaning: String,
    kind: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    unit: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale_divisor: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    scale_offset: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    description: Option<String>,
}

impl From<&Profile> for StoredProfile {
    fn from(profile: &Profile) -> Self {
        let signals = profile.signals().iter().map(|signal| StoredSignal {
            id: signal.id.to_string(),
            meaning: signal.meaning.to_string(),
            kind: signal.kind.as_str().to_owned(),
            unit: signal.unit.as_deref().map(str::to_owned),
            scale_divisor: (signal.scale != Scale::ONE).then_some(signal.scale.divisor),
            scale_offset: (signal.scale != Scale::ONE).then_some(signal.scale.offset),
            description: signal.description.as_deref().map(str::to_owned),
        });
        Self { id: profile.id().to_owned(), shape: profile.shape().as_str().to_owned(), signals: signals.collect() }
    }
}

/// A stored profile that is none.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StoredProfileError {
    #[error("unknown word `{0}`")]
    Word(String),
    #[error("stored profile cannot be")]
    Invalid(#[source] InvalidProfile),
}

impl TryFrom<StoredProfile> for Profile {
    type Error = StoredProfileError;

    fn try_from(stored: StoredProfile) -> Result<Self, Self::Error> {
        let shape = [Shape::Changes, Shape::Frames].into_iter().find(|shape| shape.as_str() == stored.shape);
        let shape = shape.ok_or(StoredProfileError::Word(stored.shape))?;
        let mut signals = Vec::with_capacity(stored.signals.len());
        for signal in stored.signals {
            let kind = ValueKind::ALL.into_iter().find(|kind| kind.as_str() == signal.kind);
            signals.push(Signal {
                id: signal.id.into(),
                meaning: signal.meaning.into(),
                kind: kind.ok_or(StoredProfileError::Word(signal.kind))?,
                unit: signal.unit.map(Into::into),
                scale: Scale {
                    divisor: signal.scale_divisor.unwrap_or(1.0),
                    offset: signal.scale_offset.unwrap_or(0.0),
                },
                description: signal.description.map(Into::into),
            });
        }
        Self::new(&stored.id, shape, signals).map_err(StoredProfileError::Invalid)
    }
}
