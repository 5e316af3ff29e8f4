//! Frames of GB/T 32960 on the command line: decoded, encoded, dumped, and compared with what another program makes of
//! them. Must not know how they are decoded.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::program::{finish, run, skipped, tongmai};

/// A report of 2016: an engine that runs at 1850 r/min, and a position in the south.
const ENGINE: &str = "232302fe4c544d54455354303030303030303030310100161a07071200000401073affff050209032100020545e017";

#[test]
fn a_frame_is_shown_in_full_and_becomes_the_same_bytes_again() {
    let shown = run(&[&"decode", &"gbt32960", &ENGINE]).text();
    let shown: Value = serde_json::from_str(&shown).unwrap();
    let fields = &shown["data"]["blocks"][0]["fields"];
    assert_eq!(fields["speed"], json!({ "raw": 1850, "value": 1850, "unit": "/min", "at": 32 }));
    assert_eq!(fields["consumption"]["quality"], "invalid");
    assert_eq!(shown["data"]["blocks"][1]["fields"]["latitude"]["value"], -33.9);
    let folder = tempfile::tempdir().unwrap();
    let (file, binary) = (folder.path().join("frame.json"), folder.path().join("frames.bin"));
    fs::write(&file, format!("{shown}\n{shown}\n")).unwrap();
    assert_eq!(run(&[&"encode", &"gbt32960", &file]).text(), format!("{ENGINE}\n{ENGINE}\n"));
    let bytes = run(&[&"encode", &"gbt32960", &"--binary", &file]);
    assert_eq!(bytes.stdout.len(), ENGINE.len());
    fs::write(&binary, &bytes.stdout).unwrap();
    assert_eq!(run(&[&"decode", &"gbt32960", &binary]).text().lines().count(), 2);
    let dump = run(&[&"decode", &"gbt32960", &"--bytes", &ENGINE]).text();
    assert!(dump.contains("   32  07 3a"), "{dump}");
    assert!(dump.lines().any(|line| line.ends_with("Crankshaft speed: 1850 /min")), "{dump}");
}

#[test]
fn bad_frames_are_told_with_their_place_and_the_others_are_decoded() {
    let mut child = tongmai(&[&"decode", &"gbt32960", &"-"]).stdin(Stdio::piped()).spawn().unwrap();
    let input = format!("{ENGINE}\n{}00\nxyz\n\n{}0\n{ENGINE}\n", &ENGINE[..ENGINE.len() - 2], &ENGINE[..40]);
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let outcome = finish(child);
    assert_eq!(outcome.code, Some(1));
    assert_eq!(String::from_utf8_lossy(&outcome.stdout).lines().count(), 2);
    for expected in [
        "line 2: byte 46: wrong check byte: expected 17, got 00",
        "line 3: expected hexadecimal digits",
        "line 5: 41 hexadecimal digits, expected an even number",
        "error: 3 of 5 frames cannot be decoded",
    ] {
        assert!(outcome.stderr.contains(expected), "{}\n{expected}", outcome.stderr);
    }
    let nowhere = run(&[&"decode", &"gbt32960", &"no/such/file"]);
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.stderr.contains("failed to open `no/such/file`"), "{}", nowhere.stderr);
}

/// rtm_con is an implementation that we had no part in. It differs in what its own texts show to be mistakes, and in that
/// it knows no abnormal and invalid where the tables of 2016 do not name them; no valid number is that high.
#[test]
fn another_implementation_reads_the_same_values() {
    let python = std::env::var_os("TONGMAI_PYTHON").unwrap_or_else(|| "python3".into());
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/gbt32960.py");
    let mut command = Command::new(python);
    command.args([script, env!("CARGO_BIN_EXE_tongmai"), "500", "20261125"]).env("TZ", "Asia/Shanghai");
    let output = match command.output() {
        Ok(output) => output,
        Err(error) => return skipped("frames read by rtm_con", &format!("python3 does not start: {error}")),
    };
    let (said, told) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    if !output.status.success() {
        assert!(said.contains("ModuleNotFoundError"), "{said}");
        return skipped("frames read by rtm_con", "rtm_con is not installed");
    }
    let lines: Vec<Value> = told.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let (compared, disagreements) = lines.split_last().expect("it tells how much it compared");
    assert!(compared["compared"].as_u64().is_some_and(|compared| compared > 30_000), "{compared}");
    for one in disagreements {
        let field = one["field"].as_str().unwrap();
        let known = match (one["edition"].as_u64(), field) {
            // The offset of 3000 A is that of 2025.
            (Some(2016), "cell_voltages.packs.current") => {
                let (ours, theirs) = (one["ours"].as_f64().unwrap(), one["theirs"].as_f64().unwrap());
                (ours - theirs - 2_000.0).abs() < 1e-6
            }
            (Some(2016), "vehicle.insulation" | "cell_voltages.packs.first") | (_, "motor.motors.number") => {
                matches!(one["ours"].as_str(), Some("abnormal" | "invalid"))
            }
            _ => false,
        };
        assert!(known, "{one}");
    }
}
