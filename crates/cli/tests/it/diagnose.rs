//! Rules from the command line: those that ship make sense, mistakes are told with their place, and what is stored is looked at
//! as it came in. Must not know how expressions are read.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::program::run;
use crate::served::{Served, wait_for};
use crate::vehicles::{Vehicle, configure, report};

const RULE: &str = r#"
[[rule]]
id = "cell-behind"
version = 3
profile = "vehicle"
priority = "high"
title = { zh = "单体电压偏低", en = "A cell is far below the others" }
advice = { zh = "检查", en = "Look at it" }
rationale = { zh = "不应如此", en = "They do not differ that much" }
source = "a test"
when = 'median(cell_voltage) - min(cell_voltage) > unit(400, "mV")'
explanation = { zh = "第 {cell} 个单体", en = "cell {cell}" }
shows = { cell = "argmin(cell_voltage)" }
"#;

#[test]
fn the_rules_that_ship_make_sense_and_find_what_their_cases_say() {
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs/vehicle/rules");
    let said = run(&[&"diagnose", &"check", &packs]).text();
    assert!(said.starts_with("nothing is wrong with the rules: "), "{said}");
    let texts = |end: &str| -> String {
        let files = fs::read_dir(&packs).unwrap().map(|file| file.unwrap().path());
        let files = files.filter(|file| file.to_string_lossy().ends_with(".cases.toml") == (end == ".cases.toml"));
        files.map(|file| fs::read_to_string(file).unwrap()).collect()
    };
    let cases = texts(".cases.toml");
    let rules = texts(".toml");
    let ids = rules.lines().filter_map(|line| line.strip_prefix("id = "));
    let without: Vec<&str> = ids.filter(|id| !cases.contains(&format!("rule = {id}\n"))).collect();
    assert!(without.is_empty(), "rules without a case: {without:?}");
}

#[test]
fn rules_run_over_what_is_stored_and_mistakes_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let (data, rules) = (folder.path().join("data"), folder.path().join("rules.toml"));
    fs::write(&rules, RULE).unwrap();
    let (address, config) = configure(folder.path(), "");
    let served = Served::start(&data, &config);
    for number in [1, 2] {
        let mut vehicle = wait_for("a login", || Vehicle::connect(address, number));
        assert!((10..13).all(|second| vehicle.say(2, &report(number, second))));
    }
    served.stop();
    let replayed = run(&[&"diagnose", &"replay", &"--data", &data, &"--rules", &rules]).text();
    let events: Vec<Value> = replayed.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let [event] = &events[..] else { panic!("{replayed}") };
    assert_eq!((&event["asset"], &event["event"]), (&json!("vehicle/LTMTEST0000000001"), &json!("raised")), "{event}");
    assert_eq!((&event["time"], &event["version"]), (&json!("2026-07-07T10:00:10Z"), &json!(3)), "{event}");
    assert_eq!(
        (&event["shows"]["cell"]["value"], &event["explanation"]["en"]),
        (&json!(38.0), &json!("cell 38")),
        "{event}"
    );
    let with_rows_max =
        |rows: &str| run(&[&"diagnose", &"replay", &"--data", &data, &"--rules", &rules, &"--rows-max", &rows]);
    assert_eq!(with_rows_max("3").text(), replayed, "vehicle by vehicle it is the same");
    let refused = with_rows_max("2");
    assert!(refused.stderr.contains("LTMTEST0000000001 has more than 2 rows: allow"), "{}", refused.stderr);
    let later = run(&[&"diagnose", &"replay", &"--data", &data, &"--rules", &rules, &"--to", &"2026-07-07T10:00:10Z"]);
    assert_eq!(later.text(), "");
    let none = run(&[&"diagnose", &"check", &data]);
    assert!(none.code == Some(1) && none.stderr.contains("there are no rules in `"), "{}", none.stderr);
    fs::write(&rules, RULE.replace("unit(400, \"mV\")", "vehicle_speed")).unwrap();
    let refused = run(&[&"diagnose", &"check", &rules]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    let expected = "rules.toml:11: rule cell-behind: when: at `median(cell_voltage) - min(cell_voltage) > vehicle_speed`: \
                    km/h and V measure different things";
    assert!(refused.stderr.contains(expected), "{}", refused.stderr);
    fs::write(&rules, RULE).unwrap();
    let case =
        "[[case]]\ntitle = 'never'\nrule = 'cell-behind'\nrows = '''\ncell_voltage\n0s 3.6,3.1,3.6\n'''\nexpect = []\n";
    fs::write(folder.path().join("rules.cases.toml"), case).unwrap();
    let refused =
        run(&[&"diagnose", &"check", &folder.path().join("rules.toml"), &folder.path().join("rules.cases.toml")]);
    let expected = "rules.cases.toml:1: rule cell-behind: case \"never\": expected [], found [\"raised 0s\"]";
    assert!(refused.code == Some(1) && refused.stderr.contains(expected), "{}", refused.stderr);
}
