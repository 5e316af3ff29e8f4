//! Rules from the command line: those that ship make sense, mistakes are told with their place, and what is stored is looked at
//! as it came in. Must not know how expressions are read.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::http;
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
    let packs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../packs");
    let folders = ["vehicle/rules", "machine-tool/rules"].map(|folder| packs.join(folder));
    for folder in &folders {
        let said = run(&[&"diagnose", &"check", folder]).text();
        assert!(said.starts_with("nothing is wrong with the rules: "), "{said}");
    }
    let texts = |end: &str| -> String {
        let files = folders.iter().flat_map(|folder| fs::read_dir(folder).unwrap()).map(|file| file.unwrap().path());
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
    assert_eq!(with_rows_max("1").text(), replayed, "and row by row");
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

/// Rows of two vehicles, of which the first has what [`RULE`] is about; and the file of that rule.
fn driven(folder: &Path, more: &str) -> (std::path::PathBuf, std::path::PathBuf, Served) {
    let (data, rules) = (folder.join("data"), folder.join("rules.toml"));
    fs::write(&rules, RULE).unwrap();
    let (address, config) = configure(folder, more);
    let served = Served::start(&data, &config);
    for number in [1, 2] {
        let mut vehicle = wait_for("a login", || Vehicle::connect(address, number));
        assert!((10..13).all(|second| vehicle.say(2, &report(number, second))));
    }
    (data, rules, served)
}

#[test]
fn alarms_are_compared_with_what_really_was_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let (data, rules, served) = driven(folder.path(), "");
    served.stop();
    let labels = folder.path().join("labels.csv");
    let replay = |more: &[&str]| {
        let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"diagnose", &"replay", &"--data", &data];
        arguments.extend([&"--rules" as &dyn AsRef<std::ffi::OsStr>, &rules, &"--labels", &labels]);
        arguments.extend(more.iter().map(|one| one as &dyn AsRef<std::ffi::OsStr>));
        run(&arguments)
    };
    fs::write(
        &labels,
        "asset,from,to,label\nvehicle/LTMTEST0000000001,2026-07-07T10:00:05Z,2026-07-07T10:00:20Z,cell 38\n\
         vehicle/LTMTEST0000000002,2026-07-07T10:00:05Z,2026-07-07T10:00:20Z,\n\
         vehicle/LTMTEST0000000002,2026-07-08,2026-07-09,\n",
    )
    .unwrap();
    let replayed = replay(&["--report", "-", "--base-rate", "0.0006", "--to", "2026-07-08"]);
    let told: Value = serde_json::from_slice(&replayed.stdout).unwrap();
    let figures = &told["rules"][0];
    assert_eq!(
        (&figures["rule"], &figures["alarms"], &figures["active"]),
        (&json!("cell-behind"), &json!(1), &json!(1))
    );
    assert_eq!((&figures["assets_heard"], &told["labels"]), (&json!(2), &json!(2)), "{told}");
    let scores = &figures["scores"];
    assert_eq!((&scores["found"], &scores["missed"], &scores["recall"]), (&json!(1), &json!(1), &json!(0.5)), "{told}");
    assert_eq!((&scores["precision"], &scores["delay_secs_max"]), (&json!(1.0), &json!(5.0)), "{told}");
    assert_eq!(scores["at_base_rate"]["true_positive_rate"], json!(0.5), "{told}");
    assert_eq!((&told["cost"]["rows"], &told["cost"]["rule_rows"]), (&json!(6), &json!(6)), "{told}");
    assert!(told["cost"]["state_bytes"].as_u64() > Some(10), "{told}");
    let said = &replayed.stderr;
    assert!(said.contains("labels outside of the time that is looked at: 1\n"), "{said}");
    assert!(
        said.contains("cell-behind: 1 alarms of 1 of 2 assets, 1 true and 0 false; 1 labels found, 1 missed"),
        "{said}"
    );
    fs::write(&labels, r#"{"asset": "vehicle/LTMTEST0000000009", "from": "2026-07-07", "to": "2026-07-08"}"#).unwrap();
    let refused = replay(&[]);
    let expected = "line 1: asset: there are no rows of `vehicle/LTMTEST0000000009`";
    assert!(refused.code == Some(1) && refused.stderr.contains(expected), "{}", refused.stderr);
}

#[test]
fn rules_are_tried_through_a_server_also_those_that_are_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let off = RULE.replace("version = 3", "version = 3\nenabled = false") + "# the end\n";
    fs::write(folder.path().join("off.toml"), &off).unwrap();
    let (data, rules, served) = driven(folder.path(), "[diagnosis]\nshipped_rules = false\nrules = [\"off.toml\"]\n");
    let address = served.address();
    let (_, listed) = http::get(address, "/api/v1/rules");
    let rule = &listed["rules"][0];
    assert_eq!((&rule["enabled"], &rule["open"]), (&json!(false), &json!(0)), "{listed}");
    assert_eq!(rule["text"], json!(off.trim_start().replace("# the end\n", "")), "as it is written");
    let times = json!({ "from": "2026-07-07T00:00:00Z", "to": "2026-07-08T00:00:00Z" });
    let ask = |more: Value| {
        let mut body = times.clone();
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        http::post(address, "/api/v1/rules/backtest", &body)
    };
    let (status, found) = ask(json!({ "rule": "cell-behind" }));
    assert_eq!((status, &found["total"], &found["bucket_secs"]), (200, &json!(1), &json!(3_600)), "{found}");
    let alarm = &found["alarms"][0];
    assert_eq!(
        (&alarm["asset"], &alarm["raised"]),
        (&json!("vehicle/LTMTEST0000000001"), &json!("2026-07-07T10:00:10Z"))
    );
    assert_eq!(alarm["explanation"]["en"], "cell 38", "{found}");
    assert_eq!(found["counts"]["cell-behind"][10], 1, "in the eleventh hour: {found}");
    assert_eq!(found["covered"], json!({ "assets": 2, "assets_in_all": 2 }), "{found}");
    assert!(found["limit"].is_null() && found["cost"]["rows"] == 6, "{found}");
    let (_, nothing) = ask(json!({ "text": RULE.replace("400", "4000"), "assets": "*2" }));
    assert_eq!((&nothing["total"], &nothing["figures"][0]["assets_heard"]), (&json!(0), &json!(1)), "{nothing}");
    let (status, wrong) = ask(json!({ "text": RULE.replace("unit(400, \"mV\")", "vehicle_speed") }));
    assert_eq!(
        (status, &wrong["problems"][0]["line"], &wrong["cost"]["rows"]),
        (200, &json!(11), &json!(0)),
        "{wrong}"
    );
    let (_, wrong) = ask(json!({ "text": RULE.replace("\"high\"", "\"soon\"") }));
    assert!(wrong["problems"][0]["problem"].as_str().unwrap().contains("unknown variant `soon`"), "{wrong}");
    assert_eq!(wrong["problems"][0]["line"], 6, "{wrong}");
    let (status, unknown) = ask(json!({ "rule": "none" }));
    assert_eq!((status, &unknown["code"]), (404, &json!("unknown_rule")));
    let (_, alarms) = http::get(address, "/api/v1/alarms?state=all");
    assert_eq!(alarms["total"], 0, "it does not run");
    served.stop();
    let off = folder.path().join("off.toml");
    let replay = |more: &[&str]| {
        let mut arguments: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"diagnose", &"replay", &"--data", &data];
        arguments.extend([&"--rules" as &dyn AsRef<std::ffi::OsStr>, &off]);
        arguments.extend(more.iter().map(|one| one as &dyn AsRef<std::ffi::OsStr>));
        run(&arguments)
    };
    assert_eq!(replay(&[]).text(), "", "nor here");
    assert_eq!(replay(&["--rule", "cell-behind"]).text().lines().count(), 1, "unless it is named");
    assert!(replay(&["--rule", "none"]).stderr.contains("there is no rule `none` in these files"));
    drop(rules);
}
