//! Whose reports are forwarded. Knows VINs, not where they stand.

use std::collections::HashSet;

/// A selection of vehicles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Vehicles {
    /// All of them.
    All,
    /// Those that are named, and those whose VIN begins so.
    Some {
        /// Whole VINs.
        vins: HashSet<Box<str>>,
        /// Beginnings of VINs.
        beginnings: Vec<Box<str>>,
    },
}

/// A line that selects no vehicle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: expected a VIN of 17 characters, or the beginning of one and `*`")]
pub struct InvalidPattern {
    /// Which line, from 1.
    pub line: usize,
}

const VIN_CHARACTERS: usize = 17;

impl Vehicles {
    /// Reads a line for each VIN, or for a beginning of VINs, which ends with `*`. Empty lines and those that begin with `#`
    /// do not count, nor does what stands behind a comma.
    ///
    /// # Errors
    /// When a line is none of these.
    pub fn read(lines: &str) -> Result<Self, InvalidPattern> {
        let (mut vins, mut beginnings) = (HashSet::new(), Vec::new());
        for (place, line) in lines.lines().enumerate() {
            let text = line.split(',').next().unwrap_or_default().trim();
            if text.is_empty() || text.starts_with('#') {
                continue;
            }
            let is_vin = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric());
            match text.strip_suffix('*') {
                Some(beginning) if is_vin(beginning) && beginning.len() < VIN_CHARACTERS => {
                    beginnings.push(beginning.into());
                }
                None if is_vin(text) && text.len() == VIN_CHARACTERS => drop(vins.insert(text.into())),
                _ => return Err(InvalidPattern { line: place + 1 }),
            }
        }
        Ok(Self::Some { vins, beginnings })
    }

    /// Whether the vehicle with the asset `asset` is one of them.
    pub fn contain(&self, asset: &str) -> bool {
        let Some(vin) = asset.strip_prefix("vehicle/") else { return false };
        match self {
            Self::All => true,
            Self::Some { vins, beginnings } => {
                vins.contains(vin) || beginnings.iter().any(|beginning| vin.starts_with(&**beginning))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vehicles_are_named_by_vin_or_by_its_beginning() {
        let vehicles =
            Vehicles::read("# ours\nLTMTEST0000000001\n\nLSV*\nLTMTEST0000000002,89860624400014310964\n").unwrap();
        for (asset, expected) in [
            ("vehicle/LTMTEST0000000001", true),
            ("vehicle/LTMTEST0000000002", true),
            ("vehicle/LTMTEST0000000003", false),
            ("vehicle/LSVFA49J232037048", true),
            ("machine/LSVFA49J232037048", false),
        ] {
            assert_eq!(vehicles.contain(asset), expected, "{asset}");
        }
        assert!(Vehicles::All.contain("vehicle/LSVFA49J232037048") && !Vehicles::All.contain("machine/m1"));
        assert_eq!(Vehicles::read("LTMTEST0000000001\nshort"), Err(InvalidPattern { line: 2 }));
    }
}
