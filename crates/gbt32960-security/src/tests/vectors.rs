//! Examples that standards publish: FIPS 197, GM/T 0002, 0003 and 0004.

use sm3::Digest;

use super::*;

#[test]
fn block_ciphers_give_what_their_standards_give() {
    for (cipher, key, plain, expected) in [
        (
            BlockCipher::Aes128,
            "000102030405060708090a0b0c0d0e0f",
            "00112233445566778899aabbccddeeff",
            "69c4e0d86a7b0430d8cdb78070b4c55a",
        ),
        (
            BlockCipher::Sm4,
            "0123456789abcdeffedcba9876543210",
            "0123456789abcdeffedcba9876543210",
            "681edf34d206965e86b3e94f536e4246",
        ),
    ] {
        let (plain, expected) = (unhex(plain), unhex(expected));
        // A whole block is followed by one that fills up.
        let ecb = BlockKey::from_hex(cipher, Mode::Ecb, key).unwrap().encrypt(&plain);
        assert_eq!((&ecb[..16], ecb.len()), (&expected[..], 32), "{cipher:?}");
        let zero = Mode::Cbc([0; 16]);
        let cbc = BlockKey::from_hex(cipher, zero, key).unwrap().encrypt(&plain);
        assert_eq!(&cbc[..16], expected, "{cipher:?}");
        assert_ne!(cbc[16..], ecb[16..], "{cipher:?}");
    }
}

#[test]
fn sm3_gives_what_its_standard_gives() {
    let expected = unhex("66c7f0f462eeedd9d1f2d46bdc10e4e24167c4875cf2f7a2297da02b8f4ba8e0");
    assert_eq!(sm3::Sm3::digest(b"abc").to_vec(), expected);
}

#[test]
fn the_signature_and_the_message_of_gm_t_0003_5_are_those_of_its_key() {
    let key = PrivateKey::from_hex(SignatureKind::Sm2, SM2).unwrap();
    let point = "04 09F9DF311E5421A150DD7D161E4BC5C672179FAD1833FC076BB08FF356F35020
        CCEA490CE26775A52DC6EA718CC1AA600AED05FBF35E084A6632F6072DA9AD13";
    let point = point.replace(char::is_whitespace, "");
    assert_eq!(key.public().to_bytes(), unhex(&point));
    let r = unhex("F5A03B0648D2C4630EEAC513E1BB81A15944DA3827D5B74143AC7EACEEE720B3");
    let s = unhex("B1B6AA29DF212FD8763182BC0D421CA1BB9038FD1F7F42D4840B69C485BBC1AA");
    let signature = Signature { code: 1, r: &r, s: &s };
    key.public().verify(b"message digest", &signature).unwrap();
    let other = key.public().with_user_id("ALICE123@YAHOO.COM").unwrap();
    assert!(other.verify(b"message digest", &signature).is_err());
    let c1 = "0404EBFC718E8D17986204322 68E77FEB6415E2EDE0E073C0F4F640ECD2E149A73
        E858F9D81E5430A57B36DAAB8F950A3C64E6EE6A63094D99283AFF767E124DF0";
    let (c2, c3) =
        ("21886CA989CA9C7D58087307CA93092D651EFA", "59983C18F809E262923C53AEC295D30383B54E39D609D160AFCB1908D0BD8766");
    let message = unhex(&format!("{c1}{c3}{c2}").replace(char::is_whitespace, ""));
    assert_eq!(key.decrypt(&mut rng(), &message).unwrap(), b"encryption standard");
    // Some write the point without the byte that says which form it has.
    assert_eq!(key.decrypt(&mut rng(), &message[1..]).unwrap(), b"encryption standard");
}
