//! Activation: a vehicle's security chip makes its public key known, signed with the private one (2025, command 0x09), and
//! is told whether it was accepted (0x0A). Knows nothing of which chips are known already.

use gbt32960::{Content, DecodeError, EncodeError, Header, Layout, Node, Unit, Vin, WireTime};
use rand_core::CryptoRng;

use crate::error::{BAD_KEY, SecurityError};
use crate::keys::{PrivateKey, PublicKey};
use crate::signature::{Signature, SignatureKind, Signed};

/// Characters of a chip's identifier; shorter ones are filled up with spaces.
const CHIP_BYTES: usize = 16;

/// What a vehicle says of its chip.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Activation {
    /// When.
    pub time: WireTime,
    /// Which chip, without what fills it up.
    pub chip: String,
    /// The vehicle that the chip is built into.
    pub vin: Vin,
    /// The public key as it travels.
    key: Box<[u8]>,
    code: u8,
    r: Box<[u8]>,
    s: Box<[u8]>,
    /// The bytes that the signature covers.
    covered: Box<[u8]>,
}

impl Activation {
    /// Reads the decrypted data unit `data` of a frame with `header`.
    ///
    /// # Errors
    /// When it is no activation; offsets are those of the frame.
    pub fn parse(layout: &Layout, header: &Header, data: &[u8]) -> Result<Self, DecodeError> {
        let content = Unit::parse(layout, header, data)?.content;
        let Content::Message(nodes) = content else { return Err(other("the fields of an activation")) };
        let nodes: [Node; 7] = nodes.try_into().map_err(|_| other("the fields of an activation"))?;
        let [
            Node::Bytes(time),
            Node::Bytes(chip),
            Node::Bytes(key),
            Node::Bytes(vin),
            Node::Number(code),
            Node::Bytes(r),
            Node::Bytes(s),
        ] = nodes
        else {
            return Err(other("the fields of an activation"));
        };
        let (Ok(time), Ok(vin)) = ((*time).try_into(), (*vin).try_into()) else {
            return Err(other("a time and a VIN"));
        };
        let covered = data.len() - (1 + 2 + r.len() + 2 + s.len());
        let chip = String::from_utf8_lossy(&chip).trim_matches(['\0', ' ']).to_owned();
        Ok(Self { time, chip, vin: Vin(vin), key, code: code as u8, r, s, covered: data[..covered].into() })
    }

    /// The vehicle's public key, when the signature is of the private key that belongs to it. SM2 mixes `user_id` in.
    ///
    /// # Errors
    /// When it is no key, or the signature is another one.
    pub fn verified_key(&self, user_id: &str) -> Result<PublicKey, SecurityError> {
        let kind = SignatureKind::of_code(self.code).ok_or_else(|| {
            SecurityError::new(BAD_KEY, "one of SM2, RSA or ECC", format!("the unknown kind {:#04x}", self.code))
        })?;
        let key = PublicKey::from_bytes(kind, &self.key)?.with_user_id(user_id)?;
        let signature = Signature { code: self.code, r: &self.r, s: &self.s };
        Signed { covered: &self.covered, signature }.verify(&key)?;
        Ok(key)
    }

    /// The data unit by which the vehicle `vin` makes the public half of `key` known.
    ///
    /// # Errors
    /// When `chip` is longer than 16 bytes, or the key cannot sign.
    pub fn write<R: CryptoRng>(
        time: WireTime,
        chip: &str,
        vin: Vin,
        key: &PrivateKey,
        rng: &mut R,
    ) -> Result<Vec<u8>, SecurityError> {
        if chip.len() > CHIP_BYTES {
            let expected = format!("an identifier of a chip of at most {CHIP_BYTES} bytes");
            return Err(SecurityError::new(BAD_KEY, expected, chip.len().to_string()));
        }
        let public = key.public().to_bytes();
        let mut data = Vec::new();
        data.extend(time);
        data.extend(format!("{chip:<CHIP_BYTES$}").into_bytes());
        data.extend((public.len() as u16).to_be_bytes());
        data.extend(public);
        data.extend(vin.0);
        let (r, s) = key.sign(rng, &data)?;
        data.push(key.kind() as u8);
        for number in [r, s] {
            data.extend((number.len() as u16).to_be_bytes());
            data.extend(number);
        }
        Ok(data)
    }
}

fn other(expected: &str) -> DecodeError {
    DecodeError {
        offset: 24,
        reason: "no activation",
        place: String::new(),
        expected: expected.into(),
        found: "others".into(),
    }
}

/// What a platform says to an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ActivationReply {
    /// The key is known from now on.
    Activated,
    /// The chip has been activated before, with another key or in another vehicle.
    ChipActivated,
    /// The vehicle has been activated with another chip.
    VinDuplicate,
}

impl ActivationReply {
    const ALL: [Self; 3] = [Self::Activated, Self::ChipActivated, Self::VinDuplicate];

    /// The data unit: status and information.
    pub fn to_bytes(self) -> [u8; 2] {
        match self {
            Self::Activated => [1, 0],
            Self::ChipActivated => [2, 1],
            Self::VinDuplicate => [2, 2],
        }
    }

    /// Reads a data unit.
    ///
    /// # Errors
    /// When it is none of them.
    pub fn parse(data: &[u8]) -> Result<Self, EncodeError> {
        let known = Self::ALL.into_iter().find(|reply| reply.to_bytes() == data);
        known.ok_or_else(|| EncodeError {
            place: "status".into(),
            expected: "01 00, 02 01 or 02 02".into(),
            found: crate::hex::to_hex(&data[..data.len().min(4)]),
        })
    }
}
