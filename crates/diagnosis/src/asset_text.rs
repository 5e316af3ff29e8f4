//! Assets as they are written: their text. For `#[serde(with)]`.

use model::AssetId;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub(crate) fn serialize<S: Serializer>(asset: &AssetId, serializer: S) -> Result<S::Ok, S::Error> {
    asset.as_str().serialize(serializer)
}

pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<AssetId, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
}
