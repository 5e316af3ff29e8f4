//! Any bytes as a stream of GB/T 32960 frames: nothing panics, and what is understood comes back byte for byte.

#![no_main]

use std::sync::LazyLock;

use gbt32960::{Found, find_frame, Standard, Unit, dump, frame_from_json, frame_to_json};
use libfuzzer_sys::fuzz_target;

static STANDARD: LazyLock<Standard> = LazyLock::new(Standard::built_in);

fuzz_target!(|stream: &[u8]| {
    let mut rest = stream;
    loop {
        let frame = match find_frame(rest) {
            Found::Incomplete => return,
            Found::Garbage { bytes, .. } => {
                assert!(!bytes.is_empty());
                rest = &rest[bytes.len()..];
                continue;
            }
            Found::Frame(frame) => frame,
        };
        rest = &rest[frame.bytes.len()..];
        let layout = STANDARD.layout(frame.header.edition);
        let Ok(unit) = Unit::parse(layout, &frame.header, frame.data) else { continue };
        let data = unit.content.write(layout, frame.header.command).expect("what was read can be written");
        assert_eq!(data, frame.data);
        let shown = frame_to_json(&STANDARD, &frame).expect("what was read can be shown");
        let shown = serde_json::to_value(shown).expect("it is JSON");
        if !shown.to_string().contains("secret_bytes") {
            assert_eq!(frame_from_json(&STANDARD, &shown).expect("what was shown can be read"), frame.bytes);
        }
        dump(&STANDARD, &frame).expect("what was read can be dumped");
    }
});
