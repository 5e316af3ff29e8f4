//! Which profile the signals of a device are kept under. Knows names only.

use std::collections::HashSet;

use crate::device::Device;

/// The longest word that is made of a device's name, in characters.
const WORD_CHARACTERS_MAX: usize = 64;

/// The profile id of each of `devices`: `configured` for a lone device, that and its name for one of several, and a word
/// made of the device's own name where none is configured. It becomes the name of a table, so no two are the same.
pub fn profile_ids(devices: &[Device], configured: Option<&str>) -> Vec<String> {
    let mut taken = HashSet::new();
    let id = |device: &Device| {
        let word = plain_word(device.name.as_deref().unwrap_or(&device.uuid));
        let wanted = match configured {
            Some(profile) if devices.len() == 1 => profile.to_owned(),
            Some(profile) => format!("{profile}_{word}"),
            None if word.starts_with(|c: char| c.is_ascii_lowercase()) => word,
            None => format!("machine_{word}"),
        };
        let mut id = wanted.clone();
        let mut number = 2;
        while !taken.insert(id.clone()) {
            id = format!("{wanted}_{number}");
            number += 1;
        }
        id
    };
    devices.iter().map(id).collect()
}

fn plain_word(name: &str) -> String {
    let lower = name.chars().take(WORD_CHARACTERS_MAX).map(|c| c.to_ascii_lowercase());
    lower.map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::read_devices;

    #[test]
    fn profiles_are_named_after_the_configuration_or_the_device() {
        let check = |configured: Option<&str>, names: &[&str], expected: &[&str]| {
            let devices: String = names.iter().map(|name| format!("<Device uuid='u-{name}' name='{name}'/>")).collect();
            let devices = read_devices(format!("<Devices>{devices}</Devices>").as_bytes()).unwrap().devices;
            assert_eq!(profile_ids(&devices, configured), expected);
        };
        check(Some("lathe"), &["OKUMA"], &["lathe"]);
        check(Some("mill"), &["M-1", "M.1", "M2"], &["mill_m_1", "mill_m_1_2", "mill_m2"]);
        check(None, &["VF 2", "5axis", "铣床"], &["vf_2", "machine_5axis", "machine___"]);
    }
}
