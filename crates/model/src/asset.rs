//! Who speaks: the identity of an asset. Knows nothing of where assets are kept or how they are grouped.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest identifier behind the kind, in bytes.
const IDENTIFIER_BYTES_MAX: usize = 128;

/// What kind of thing an asset is; the first part of its [`AssetId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AssetKind {
    /// A machine tool or other piece of production equipment; identified by its MTConnect `uuid`.
    Machine,
    /// A road vehicle; identified by its VIN.
    Vehicle,
    /// A person under care.
    Person,
    /// A medical device; identified by its UDI.
    Device,
    /// A place, or an installation of Tongmai itself.
    Site,
}

impl AssetKind {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::Machine, Self::Vehicle, Self::Person, Self::Device, Self::Site];

    /// The word that stands before the slash of an [`AssetId`].
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Machine => "machine",
            Self::Vehicle => "vehicle",
            Self::Person => "person",
            Self::Device => "device",
            Self::Site => "site",
        }
    }

    /// The kind that `word` stands for.
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == word)
    }
}

/// Kind and identifier of an asset in its own standard, for example `machine/OKUMA.123456`.
///
/// Cheap to clone: many observations share one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AssetId(Arc<str>);

impl AssetId {
    /// Joins `kind` and `identifier`.
    ///
    /// # Errors
    /// When the identifier is empty, longer than 128 bytes, or holds white space or control characters.
    pub fn new(kind: AssetKind, identifier: &str) -> Result<Self, InvalidAssetId> {
        let problem = if identifier.is_empty() {
            "the identifier is empty"
        } else if identifier.len() > IDENTIFIER_BYTES_MAX {
            "the identifier is longer than 128 bytes"
        } else if identifier.chars().any(|c| c.is_whitespace() || c.is_control()) {
            "the identifier holds white space or control characters"
        } else {
            return Ok(Self(format!("{}/{identifier}", kind.as_str()).into()));
        };
        Err(InvalidAssetId { text: identifier.chars().take(IDENTIFIER_BYTES_MAX).collect(), problem })
    }

    /// The whole identity, as it is stored and shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What kind of thing it is.
    ///
    /// # Panics
    /// Never: only a kind can stand before the slash.
    pub fn kind(&self) -> AssetKind {
        let word = self.0.split_once('/').map_or("", |(word, _)| word);
        AssetKind::named(word).expect("an asset begins with its kind")
    }

    /// The identifier behind the slash.
    pub fn identifier(&self) -> &str {
        self.0.split_once('/').map_or("", |(_, identifier)| identifier)
    }
}

impl FromStr for AssetId {
    type Err = InvalidAssetId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let known =
            text.split_once('/').and_then(|(word, identifier)| AssetKind::named(word).map(|kind| (kind, identifier)));
        match known {
            Some((kind, identifier)) => Self::new(kind, identifier),
            None => Err(InvalidAssetId {
                text: text.chars().take(IDENTIFIER_BYTES_MAX).collect(),
                problem: "expected machine/…, vehicle/…, person/…, device/… or site/…",
            }),
        }
    }
}

impl fmt::Display for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AssetId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AssetId({})", self.0)
    }
}

/// A text that names no asset.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not an asset: {problem}")]
pub struct InvalidAssetId {
    text: String,
    problem: &'static str,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identity_is_kind_and_identifier() {
        let asset = AssetId::new(AssetKind::Machine, "OKUMA.123456").unwrap();
        assert_eq!(asset.as_str(), "machine/OKUMA.123456");
        assert_eq!(asset.identifier(), "OKUMA.123456");
        assert_eq!("machine/OKUMA.123456".parse(), Ok(asset));
    }

    #[test]
    fn what_names_no_asset_is_refused_with_the_reason() {
        for (text, reason) in [
            ("lathe/7", "expected machine/…"),
            ("machine", "expected machine/…"),
            ("machine/", "is empty"),
            ("machine/a b", "white space"),
            (&format!("machine/{}", "x".repeat(129)), "longer than 128"),
        ] {
            let error = text.parse::<AssetId>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }
}
