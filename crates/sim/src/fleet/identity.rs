//! Who a vehicle says it is: VIN, ICCID, code of its pack; and its login and logout. All made up, and recognisably so.

use gbt32960::{Command, Content, Edition, Layout, Node, Vin, What, WireTime};

use super::kind::VehicleKind;
use super::noise::Noise;

/// What the numbers of no maker begin with; a VIN has no I, O and Q.
const MAKER: &str = "LTMFLEET";
/// The highest serial number of a login.
pub(super) const SERIAL_MAX: u16 = 65_531;

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Identity {
    pub(super) vin: Vin,
    iccid: String,
    pack_code: String,
}

impl Identity {
    /// Of the vehicle `number`, counted from 1.
    pub(super) fn new(edition: Edition, kind: VehicleKind, number: u32, seed: u64) -> Self {
        // The tenth character of a VIN is the year of the model.
        let year = if edition == Edition::E2016 { 'G' } else { 'S' };
        let text = format!("{MAKER}0{year}{}{:06}", kind.letter(), number % 1_000_000);
        let check = check_character(&text);
        let text = format!("{}{check}{}", &text[..8], &text[9..]);
        let mut noise = Noise::of(seed, 8);
        Self {
            vin: Vin::new(&text).expect("17 characters of ASCII"),
            iccid: format!("898600{:014}", noise.bits() % 100_000_000_000_000),
            pack_code: format!("TMPACK{:018}", noise.bits() % 1_000_000_000_000_000_000),
        }
    }

    /// The data unit of a login.
    pub(super) fn login(&self, layout: &Layout, time: WireTime, serial: u16) -> Vec<u8> {
        self.session(layout, Command::VEHICLE_LOGIN, time, serial)
    }

    /// The data unit of a logout.
    pub(super) fn logout(&self, layout: &Layout, time: WireTime, serial: u16) -> Vec<u8> {
        self.session(layout, Command::VEHICLE_LOGOUT, time, serial)
    }

    fn session(&self, layout: &Layout, command: Command, time: WireTime, serial: u16) -> Vec<u8> {
        let message = layout.message(command).expect("both editions have it");
        let text = |text: &str| Node::Bytes(text.as_bytes().into());
        let node = |id: &str, what: &What| match (id, what) {
            ("time", _) => Node::Bytes(time.into()),
            ("serial", _) => Node::Number(u64::from(serial)),
            ("iccid", _) => text(&self.iccid),
            ("subsystems", _) => Node::Number(1),
            ("code_bytes", _) => Node::Number(self.pack_code.len() as u64),
            // One system with one pack.
            ("packs_of_bms", _) => Node::Array(1, vec![1]),
            ("codes", _) => Node::List(1, vec![vec![text(&self.pack_code)]]),
            _ => unreachable!("a login has no field `{id}`"),
        };
        let nodes = message.group.fields.iter().map(|field| node(&field.id, &field.what)).collect();
        Content::Message(nodes).write(layout, command).expect("a login fits its layout")
    }
}

/// The ninth character of a VIN (ISO 3779): weighted sum of the others, modulo 11.
fn check_character(vin: &str) -> char {
    const WEIGHTS: [u32; 17] = [8, 7, 6, 5, 4, 3, 2, 10, 0, 9, 8, 7, 6, 5, 4, 3, 2];
    let value = |character: char| match character {
        'A'..='H' => character as u32 - 'A' as u32 + 1,
        'J'..='R' => character as u32 - 'J' as u32 + 1,
        'S'..='Z' => character as u32 - 'S' as u32 + 2,
        digit => digit.to_digit(10).unwrap_or(0),
    };
    let sum: u32 = vin.chars().zip(WEIGHTS).map(|(character, weight)| value(character) * weight).sum();
    char::from_digit(sum % 11, 10).unwrap_or('X')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_check_character_is_that_of_the_standard() {
        // The example that ISO 3779's readers know: seventeen ones.
        assert_eq!(check_character("11111111111111111"), '1');
        assert_eq!(check_character("1M8GDM9AXKP042788"), 'X');
    }
}
