//! What the series of other systems are called here: a name with labels becomes an asset, a name becomes a profile.
//!
//! Every name is made in one way only, from what was sent and nothing else, so that it is the same after a restart and
//! in another house. Knows no wire format.

use std::fmt::Write as _;

use model::AssetId;

/// The longest identifier of an asset, in bytes; longer ones are cut and get a hash.
const IDENTIFIER_BYTES_MAX: usize = 128;
/// The longest part of a profile's name that is taken over, in bytes: there has to be room for a hash.
const PROFILE_BYTES_MAX: usize = 100;
/// The identifier of a series that has neither name nor labels.
const NAMELESS: &str = "nameless";

/// How the assets of labelled series are named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SeriesNames {
    /// The label whose value names the asset.
    pub asset_label: Option<Box<str>>,
    /// Labels that say nothing of which asset it is.
    pub ignored_labels: Vec<Box<str>>,
}

impl SeriesNames {
    /// The asset of the series `name` with `labels`, which are in the order of their keys, each key once.
    ///
    /// It is `device/name,key=value,…`. Where there is an asset label its value stands instead of the name, and is the
    /// whole identity where it is one, such as `vehicle/LSVFA49J232037048`. White space, control characters and what
    /// separates the parts are percent-escaped. What is longer than an identifier may be is cut and ends with `~` and
    /// 16 hexadecimal digits that stand for the whole.
    pub fn asset(&self, name: &str, labels: &[(&str, &str)]) -> AssetId {
        let asset_label = self.asset_label.as_deref();
        let named = labels.iter().find(|(key, _)| Some(*key) == asset_label).map(|(_, value)| *value);
        let (kind, mut identifier) = match named.map(|value| (value, value.parse::<AssetId>())) {
            Some((_, Ok(asset))) => (kind_of(&asset).to_owned(), asset.identifier().to_owned()),
            Some((value, Err(_))) => ("device".to_owned(), escaped(value)),
            None => ("device".to_owned(), escaped(name)),
        };
        for (key, value) in labels {
            if Some(*key) == asset_label || self.ignored_labels.iter().any(|ignored| **ignored == **key) {
                continue;
            }
            let separator = if identifier.is_empty() { "" } else { "," };
            let _ = write!(identifier, "{separator}{}={}", escaped(key), escaped(value));
        }
        if identifier.is_empty() {
            identifier.push_str(NAMELESS);
        }
        let identity = format!("{kind}/{}", shortened(identifier));
        identity.parse().expect("what an asset may not hold is escaped, and what is too long is cut")
    }
}

fn kind_of(asset: &AssetId) -> &str {
    asset.as_str().split_once('/').map_or("device", |(kind, _)| kind)
}

/// `text` without what separates the parts of an identifier, and without what an identifier may not hold.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_whitespace() || character.is_control() || matches!(character, ',' | '=' | '%') {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                let _ = write!(escaped, "%{byte:02X}");
            }
        } else {
            escaped.push(character);
        }
    }
    escaped
}

fn shortened(mut identifier: String) -> String {
    if identifier.len() > IDENTIFIER_BYTES_MAX {
        let digits = format!("~{:016x}", stable_hash(identifier.as_bytes()));
        identifier.truncate(identifier.floor_char_boundary(IDENTIFIER_BYTES_MAX - digits.len()));
        identifier.push_str(&digits);
    }
    identifier
}

/// The name of the profile of what another system calls `name`: lower-case letters, digits and `_`, beginning with a
/// letter. Names that lose more than case and punctuation in this get a hash, so that they stay apart.
pub fn profile_id(name: &str) -> String {
    let mut id = if name.starts_with(|first: char| first.is_ascii_alphabetic()) { String::new() } else { "m_".into() };
    for character in name.chars().filter(char::is_ascii) {
        id.push(if character.is_ascii_alphanumeric() { character.to_ascii_lowercase() } else { '_' });
    }
    if name.is_ascii() && id.len() <= PROFILE_BYTES_MAX {
        return id;
    }
    id.truncate(PROFILE_BYTES_MAX);
    distinct_profile_id(id.trim_end_matches('_'), name)
}

/// The name of the profile of `name` where `id` stands for something else already.
pub fn distinct_profile_id(id: &str, name: &str) -> String {
    format!("{}_{:08x}", &id[..id.len().min(PROFILE_BYTES_MAX)], stable_hash(name.as_bytes()) as u32)
}

/// FNV-1a of 64 bits: the same on every machine and in every version, which the hashes of maps are not.
fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_asset_is_named_after_its_series() {
        let plain = SeriesNames::default();
        for (name, labels, expected) in [
            ("weather", &[][..], "device/weather"),
            ("cpu", &[("cpu", "cpu0"), ("host", "a")][..], "device/cpu,cpu=cpu0,host=a"),
            ("a,b", &[("k=", "two words")][..], "device/a%2Cb,k%3D=two%20words"),
            ("车间", &[("line", "50%")][..], "device/车间,line=50%25"),
            ("", &[("job", "node")][..], "device/job=node"),
            ("", &[][..], "device/nameless"),
            ("a\u{3000}b\n", &[][..], "device/a%E3%80%80b%0A"),
        ] {
            assert_eq!(plain.asset(name, labels).as_str(), expected);
        }
    }

    #[test]
    fn a_label_can_name_the_asset() {
        let names = SeriesNames { asset_label: Some("vehicle".into()), ignored_labels: vec!["region".into()] };
        for (labels, expected) in [
            (&[("region", "north"), ("vehicle", "v0001")][..], "device/v0001"),
            (&[("vehicle", "vehicle/LSVFA49J232037048")][..], "vehicle/LSVFA49J232037048"),
            (&[("cell", "3"), ("vehicle", "v 1")][..], "device/v%201,cell=3"),
            (&[("region", "north")][..], "device/wide"),
        ] {
            assert_eq!(names.asset("wide", labels).as_str(), expected);
        }
    }

    #[test]
    fn a_long_name_is_cut_and_stays_distinct() {
        let names = SeriesNames::default();
        let long = "路".repeat(60);
        let (first, second) = (names.asset("m", &[("k", &long)]), names.asset("m", &[("k", &format!("{long}x"))]));
        assert_ne!(first, second);
        for asset in [&first, &second] {
            assert!(asset.identifier().starts_with("m,k=路路") && asset.identifier().len() <= 128, "{asset}");
            assert_eq!(asset.identifier().rsplit_once('~').map(|(_, digits)| digits.len()), Some(16), "{asset}");
        }
        let fits = "x".repeat(126);
        assert_eq!(names.asset(&fits, &[]).identifier(), fits);
    }

    #[test]
    fn a_profile_is_named_after_its_measurement() {
        for (name, expected) in [
            ("cpu", "cpu"),
            ("Win CPU-Load", "win_cpu_load"),
            ("9", "m_9"),
            ("_internal", "m__internal"),
            ("温度", "m_b6193675"),
            ("°C", "m_c_22f79824"),
        ] {
            assert_eq!(profile_id(name), expected);
        }
        let long = "a".repeat(200);
        assert!(profile_id(&long).len() <= 128 && profile_id(&long) != profile_id(&long[1..]));
    }
}
