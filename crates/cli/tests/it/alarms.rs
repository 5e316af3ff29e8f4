//! Alarms of a running server: raised once, whatever happens in between, the same as a replay finds; acknowledged, shelved, kept.
//! Must not know how rules are computed. `TONGMAI_KILLS` says how often the server is killed.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::http;
use crate::program::{run, setting};
use crate::served::{Served, wait_for};
use crate::vehicles::{Vehicle, configure, report};

/// Kills of a short run.
const KILLS: u64 = 10;

pub(crate) fn rule(id: &str, more: &str) -> String {
    let both = "{ zh = \"一\", en = \"one\" }";
    format!(
        "[[rule]]\nid = \"{id}\"\nversion = 1\nprofile = \"vehicle\"\npriority = \"high\"\ntitle = {both}\nadvice = {both}\n\
         rationale = {both}\nsource = \"a test\"\n{more}\n"
    )
}

/// Rules that remember all that rules can.
fn rules() -> String {
    rule("fast", "when = 'vehicle_speed > 50'\nclear = 'vehicle_speed < 45'\non_delay = '2s'")
        + &rule("often", "when = 'times_over(vehicle_speed > 50, \"1min\") >= 3'\noff_delay = '5s'")
        + &rule(
            "long",
            "when = 'lasts(vehicle_speed > 30) >= 5'\nlatched = true\nshows = { for = 'lasts(vehicle_speed > 30)' }",
        )
        + &rule("braking", "when = 'rate(vehicle_speed) < unit(-10, \"km/h/s\")'")
}

/// The configuration of a server that runs `rules`.
pub(crate) fn configured(folder: &Path, rules: &str, store: &str) -> (SocketAddr, std::path::PathBuf) {
    fs::write(folder.join("rules.toml"), rules).unwrap();
    configure(folder, &format!("[diagnosis]\nshipped_rules = false\nrules = [\"rules.toml\"]\n{store}"))
}

/// Up to 76 km/h and down again every twenty seconds, and sometimes not.
pub(crate) fn speeding(number: u32, second: u32) -> Vec<u8> {
    let mut data = report(number, second);
    let speed = if second % 170 < 60 { 0 } else { (second % 20) as u16 * 40 };
    data[10..12].copy_from_slice(&speed.to_be_bytes());
    data
}

/// What was raised and returned, by the table and by a replay of the reports.
fn found(data: &Path, rules: &Path, address: SocketAddr) -> (Vec<Value>, Vec<Value>) {
    let replayed = run(&[&"diagnose", &"replay", &"--data", &data, &"--rules", &rules]).text();
    let event = |line: &str| {
        let event: Value = serde_json::from_str(line).unwrap();
        json!([event["asset"], event["rule"], event["event"], event["time"]])
    };
    let mut replayed: Vec<Value> = replayed.lines().map(event).collect();
    let query = "SELECT asset, alarm_rule, alarm_event, time FROM alarm WHERE alarm_event IN ('raised', 'returned')";
    let mut kept: Vec<Value> = http::sql(address, query).into_iter().map(Value::Array).collect();
    for events in [&mut replayed, &mut kept] {
        events.sort_by_key(Value::to_string);
    }
    (kept, replayed)
}

fn act(address: SocketAddr, body: &Value) -> (u16, Value) {
    http::post(address, "/api/v1/alarms/deeds", body)
}

#[test]
fn alarms_survive_every_kill_once_and_are_those_that_a_replay_finds() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let store = "[store]\nhot_rows_max = 200\nseal_interval_secs = 1\n";
    let (address, config) = configured(folder.path(), &rules(), store);
    let mut random = StdRng::seed_from_u64(setting("TONGMAI_SEED", 7));
    let (mut second, mut unsure) = (0, Vec::new());
    for kill in 0..setting("TONGMAI_KILLS", KILLS).min(500) {
        let mut served = Served::start(&data, &config);
        let death = Instant::now() + Duration::from_millis(random.random_range(0..800));
        let mut vehicle = Vehicle::connect(address, 1);
        while Instant::now() < death {
            let Some(connected) = &mut vehicle else {
                vehicle = Vehicle::connect(address, 1);
                continue;
            };
            // Some reports come late, and what was not answered is sent again: both by 03.
            if second % 13 == 9 && unsure.is_empty() {
                assert!(connected.say(3, &speeding(1, second - 5)));
            }
            if let Some(missed) = unsure.pop() {
                assert!(connected.say(3, &speeding(1, missed)));
            } else {
                assert!(second % 13 == 4 || connected.say(2, &speeding(1, second)));
                second += 1;
            }
        }
        if kill % 3 == 1 {
            let body = json!({ "asset": "vehicle/LTMTEST0000000001", "rule": "fast", "deed": "comment", "by": "Li",
                "comment": format!("kill {kill}") });
            let (status, answer) = act(served.address(), &body);
            assert!(status == 200 || answer["code"] == "unknown_alarm", "{status} {answer}");
        }
        // One is on its way when the end comes.
        if let Some(connected) = &mut vehicle {
            let frame = speeding(1, second);
            let stream = connected.stream.try_clone().expect("a socket can be shared");
            std::thread::scope(|scope| {
                scope.spawn(|| connected.say(2, &frame));
                served.kill();
                let _ = stream.shutdown(std::net::Shutdown::Both);
            });
            unsure.push(second);
            second += 1;
        }
        served.kill();
    }
    let served = Served::start(&data, &config);
    let mut last = (Vec::new(), Vec::new());
    wait_for("the alarms that a replay finds", || {
        last = found(&data, &folder.path().join("rules.toml"), served.address());
        (last.0 == last.1).then_some(())
    });
    assert!(last.0.len() > second as usize / 20, "{} events in {second} s", last.0.len());
    let comments = http::sql(
        served.address(),
        "SELECT count(*), count(DISTINCT alarm_comment) FROM alarm WHERE alarm_event = 'commented'",
    );
    assert_eq!(comments[0][0], comments[0][1], "each deed is there once");
    // A proper end and another start change nothing.
    served.stop();
    let served = Served::start(&data, &config);
    assert_eq!(found(&data, &folder.path().join("rules.toml"), served.address()).0, last.0);
    served.stop();
}

#[test]
fn a_vehicle_that_falls_silent_is_told_of_and_a_replay_finds_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let rules = rule("lost", "when = 'vehicle_speed >= 0'\nsilent = '1min'");
    let (address, config) = configured(folder.path(), &rules, "");
    let mut served = Served::start(&data, &config);
    let mut vehicle = wait_for("a login", || Vehicle::connect(address, 1));
    assert!(vehicle.say(2, &speeding(1, 1)));
    // What was heard before a kill is silent after it.
    served.kill();
    let served = Served::start(&data, &config);
    let alarms = || http::get(served.address(), "/api/v1/alarms").1;
    std::thread::sleep(Duration::from_secs(40));
    assert_eq!(alarms()["total"], 0, "a minute is not over");
    let alarm = wait_for("the alarm", || alarms()["alarms"].as_array()?.first().cloned());
    assert_eq!((&alarm["rule"], &alarm["active"]), (&json!("lost"), &json!(true)));
    let mut vehicle = wait_for("a login", || Vehicle::connect(address, 1));
    assert!(vehicle.say(2, &speeding(1, 200)));
    wait_for("its end", || (alarms()["alarms"][0]["active"] == false).then_some(()));
    let (kept, replayed) = found(&data, &folder.path().join("rules.toml"), served.address());
    assert_eq!((kept.len(), &kept), (2, &replayed));
    served.stop();
}

#[test]
fn an_alarm_is_acknowledged_shelved_and_reset_and_all_of_it_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let latched = "when = 'vehicle_speed > 50'\nlatched = true\nshows = { speed = 'vehicle_speed' }\n\
                   explanation = { zh = \"{speed}\", en = \"at {speed}\" }";
    let (address, config) = configured(folder.path(), &rule("fast", latched), "");
    let served = Served::start(&data, &config);
    let mut vehicle = wait_for("a login", || Vehicle::connect(address, 1));
    assert!((75..80).all(|second| vehicle.say(2, &speeding(1, second))));
    let asked = |path: &str| http::get(served.address(), path).1;
    let alarm = wait_for("an alarm", || asked("/api/v1/alarms")["alarms"].as_array()?.first().cloned());
    assert_eq!(alarm["state"], "unacknowledged", "{alarm}");
    assert_eq!((&alarm["explanation"]["en"], &alarm["raised"]), (&json!("at 60 km/h"), &json!("2026-07-07T10:01:15Z")));
    let counted = asked("/api/v1/alarms?by=asset&limit=0&asset=vehicle/*");
    let of_asset = json!({ "vehicle/LTMTEST0000000001": { "alarms": 1, "priority": "high" } });
    assert_eq!((&counted["assets"], &counted["alarms"]), (&of_asset, &json!([])), "{counted}");
    wait_for("the vehicle with an open alarm", || {
        let high = asked("/api/v1/fleet/vehicles?priority=high&sort=alarms&order=descending");
        let vehicle = &high["vehicles"][0];
        (high["total"] == 1 && vehicle["alarms"] == 1 && vehicle["priority"] == "high").then_some(())
    });
    assert_eq!(asked("/api/v1/fleet/vehicles?priority=critical")["total"], 0);
    let deed = |more: &Value| {
        let mut body = json!({ "asset": "vehicle/LTMTEST0000000001", "rule": "fast", "by": "李" });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        act(served.address(), &body)
    };
    let state = |(status, alarm): (u16, Value)| {
        assert_eq!(status, 200, "{alarm}");
        alarm["state"].as_str().unwrap().to_owned()
    };
    let (status, error) = deed(&json!({ "deed": "reset" }));
    assert_eq!((status, &error["code"]), (409, &json!("not_allowed")), "{error}");
    let (status, error) = deed(&json!({ "deed": "acknowledge", "raised": "2026-07-07T10:00:00Z" }));
    assert!(status == 409 && error["message"].as_str().unwrap().contains("raised again at 2026-07-07T10:01:15Z"));
    let (status, error) = deed(&json!({ "deed": "acknowledge", "rule": "slow" }));
    assert_eq!((status, &error["code"]), (404, &json!("unknown_alarm")), "{error}");
    assert_eq!(state(deed(&json!({ "deed": "acknowledge", "raised": alarm["raised"] }))), "acknowledged");
    // It is over, and stays until it is reset.
    assert!(vehicle.say(2, &speeding(1, 80)));
    wait_for("the end", || {
        let alarms = asked("/api/v1/alarms?state=latched_acknowledged");
        (alarms["total"] == 1).then_some(())
    });
    let until = "2099-01-01T00:00:00Z";
    let (status, error) = deed(&json!({ "deed": "shelve", "until": until, "comment": "why" }));
    assert!(status == 400 && error["message"].as_str().unwrap().contains("30 days"), "{error}");
    assert_eq!(state(deed(&json!({ "deed": "reset" }))), "normal");
    assert_eq!(state(deed(&json!({ "deed": "out_of_service", "comment": "new sensor" }))), "out_of_service");
    // What happened is there after a restart, and so is the state.
    served.stop();
    let served = Served::start(&data, &config);
    let (_, alarms) = http::get(served.address(), "/api/v1/alarms?state=all");
    assert_eq!(alarms["states"], json!({ "out_of_service": 1 }), "{alarms}");
    let (_, records) = http::get(served.address(), "/api/v1/alarms/records?rule=fast");
    let events: Vec<&Value> = records["records"].as_array().unwrap().iter().map(|record| &record["event"]).collect();
    assert_eq!(events, ["out_of_service", "reset", "acknowledged", "returned", "raised"], "{records}");
    assert_eq!((&records["records"][0]["by"], &records["records"][0]["comment"]), (&json!("李"), &json!("new sensor")));
    served.stop();
}

#[test]
fn an_alarm_whose_rule_is_changed_ends_and_mistakes_are_told_while_others_run() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let fast = rule("fast", "when = 'vehicle_speed > 50'");
    let (address, config) = configured(folder.path(), &fast, "");
    let served = Served::start(&data, &config);
    let mut vehicle = wait_for("a login", || Vehicle::connect(address, 1));
    assert!((75..79).all(|second| vehicle.say(2, &speeding(1, second))));
    wait_for("an alarm", || (http::get(served.address(), "/api/v1/alarms").1["total"] == 1).then_some(()));
    served.stop();
    let changed =
        fast.replace("version = 1", "version = 2").replace("> 50", "> 75") + &rule("bad", "when = 'speed > 1'");
    fs::write(folder.path().join("rules.toml"), changed + &rule("worse", "when = 'vehicle_speed > 1'\nlatched = 7"))
        .unwrap();
    let served = Served::start(&data, &config);
    wait_for("its end", || {
        let alarms = http::get(served.address(), "/api/v1/alarms?state=returned_unacknowledged").1;
        (alarms["total"] == 1).then_some(())
    });
    let mut vehicle = wait_for("a login", || Vehicle::connect(address, 1));
    assert!((98..100).all(|second| vehicle.say(2, &speeding(1, second))));
    wait_for("the alarm of the new version", || {
        let alarms = http::get(served.address(), "/api/v1/alarms").1;
        (alarms["alarms"][0]["version"] == 2).then_some(())
    });
    let (_, told) = http::get(served.address(), "/api/v1/rules");
    let mistakes = told["mistakes"].to_string();
    assert!(mistakes.contains("rules.toml:") && mistakes.contains("expected a boolean"), "{told}");
    let problem = told["rules"].as_array().unwrap().iter().find(|rule| rule["id"] == "bad").unwrap();
    assert!(problem["problem"].as_str().unwrap().contains("has no signal `speed`"), "{told}");
    served.stop();
    // One that is switched off raises nothing, and what it has raised is over.
    let off = fast.replace("version = 1", "version = 2\nenabled = false").replace("> 50", "> 75");
    fs::write(folder.path().join("rules.toml"), off).unwrap();
    let served = Served::start(&data, &config);
    wait_for("its end", || {
        let records = http::get(served.address(), "/api/v1/alarms/records?rule=fast").1;
        let withdrawn = records["records"].as_array()?.iter().filter(|record| record["event"] == "withdrawn").count();
        (withdrawn == 2).then_some(())
    });
    served.stop();
}
