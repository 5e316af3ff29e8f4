//! Those who are told of alarms: a web hook, a mail server and a broker that others wrote, and what happens when they, or the
//! server, are not there. Must not know how alarms are found.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};

use crate::alarms::{configured, rule, speeding};
use crate::http;
use crate::program::{setting, skipped};
use crate::served::{Served, wait_for};
use crate::vehicles::{Vehicle, free_address};

const PEERS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/notify.py");
const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
/// Kills of a short run.
const KILLS: u64 = 9;
/// How long all may take until it is told, with the waits that a minute brings.
const TOLD_WAIT_MAX: Duration = Duration::from_secs(180);

/// Somebody who is told, as a process.
struct Peer(Child);

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn python() -> PathBuf {
    std::env::var_os("TONGMAI_PYTHON").unwrap_or_else(|| "python3".into()).into()
}

fn peer(arguments: &[&str]) -> Peer {
    Peer(Command::new(python()).arg(PEERS).args(arguments).stdin(Stdio::null()).spawn().expect("python starts"))
}

/// Whether Python has `modules`.
fn has(modules: &str) -> bool {
    let found = Command::new(python()).args(["-c", &format!("import {modules}")]).stderr(Stdio::null()).status();
    let has = found.is_ok_and(|status| status.success());
    if !has {
        skipped("those who are told of alarms", &format!("{modules} not installed: `cargo xtask test` does it"));
    }
    has
}

/// A certificate for loopback with its key in one file; none where nobody can make one.
fn certificate(folder: &Path) -> Option<PathBuf> {
    let (settings, path, key) = (folder.join("openssl.cnf"), folder.join("own.pem"), folder.join("key.pem"));
    let text = "[req]\ndistinguished_name = n\nx509_extensions = x\nprompt = no\n[n]\nCN = loopback\n[x]\n\
                subjectAltName = IP:127.0.0.1, DNS:localhost\nbasicConstraints = critical, CA:FALSE\n";
    fs::write(&settings, text).unwrap();
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-config"])
        .args([&settings, Path::new("-keyout"), &key, Path::new("-out"), &path])
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        skipped("those who are told of alarms under TLS", "openssl was not found");
        return None;
    }
    let both = [fs::read(&path).unwrap(), fs::read(&key).unwrap()].concat();
    fs::write(&path, both).unwrap();
    Some(path)
}

/// What was told so far.
fn told(log: &Path) -> Vec<Value> {
    let text = fs::read_to_string(log).unwrap_or_default();
    // The last line may be on its way.
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[track_caller]
fn wait_told(log: &Path, count: usize) -> Vec<Value> {
    wait_for(&format!("{count} messages"), || Some(told(log)).filter(|told| told.len() >= count))
}

/// A server that tells of an alarm, which is high and in Chinese as well.
fn house(folder: &Path, notify: &str) -> (SocketAddr, Served) {
    let fast = rule("fast", "when = 'vehicle_speed > 50'").replace('一', "车速过高");
    let (address, config) = configured(folder, &fast, notify);
    let served = Served::start(&folder.join("data"), &config);
    (address, served)
}

/// Has the alarm raised, and ended.
fn raise(address: SocketAddr) {
    let mut vehicle = wait_for("a login", || Vehicle::connect(address, 1));
    assert!((70..81).all(|second| vehicle.say(2, &speeding(1, second))));
}

fn target(served: &Served) -> Value {
    http::get(served.address(), "/api/v1/notify").1["targets"][0].clone()
}

#[test]
fn a_web_hook_is_told_in_order_signed_encrypted_and_again_until_it_takes_it() {
    let folder = tempfile::tempdir().unwrap();
    let Some(own) = certificate(folder.path()) else { return };
    let (hook, log) = (free_address(), folder.path().join("hook.log"));
    let port = hook.port().to_string();
    let _peer = peer(&["webhook", &port, log.to_str().unwrap(), "2", SECRET, own.to_str().unwrap()]);
    fs::write(folder.path().join("secret.txt"), format!("{SECRET}\n")).unwrap();
    let notify = format!(
        "[[notify]]\nname = \"hook\"\nca_file = \"own.pem\"\n[notify.webhook]\nurl = \"https://{hook}/alarms?to=us\"\n\
         secret_file = \"secret.txt\"\nheaders = {{ X-Plant = \"7\" }}\n"
    );
    let (address, served) = house(folder.path(), &notify);
    raise(address);
    let heard = wait_told(&log, 4);
    let of = |key: &str| heard.iter().map(|told| told[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("taken"), [false, false, true, true]);
    for told in &heard {
        assert_eq!((&told["signed"], &told["fresh"], &told["plant"]), (&json!(true), &json!(true), &json!("7")));
        assert_eq!((&told["id"], &told["path"]), (&told["key"], &json!("/alarms?to=us")));
        assert_eq!((&told["body"]["id"], &told["body"]["kind"]), (&told["id"], &json!("alarm")));
    }
    assert!(heard[0]["text"] == heard[1]["text"] && heard[0]["text"] == heard[2]["text"], "it stays the same");
    assert_ne!(heard[2]["id"], heard[3]["id"]);
    let [raised, returned] = [2, 3].map(|place: usize| heard[place]["body"]["alarms"][0].clone());
    assert_eq!((&raised["event"], &returned["event"]), (&json!("raised"), &json!("returned")));
    assert_eq!((&raised["title"]["zh"], &raised["priority"]), (&json!("车速过高"), &json!("high")));
    assert_eq!((&raised["raised"], &raised["time"]), (&returned["raised"], &raised["raised"]));
    // It stands in the history of the alarm, and changes nothing about it.
    let query = "SELECT alarm_event, alarm_by, alarm_comment FROM alarm WHERE alarm_by IS NOT NULL ORDER BY received";
    let kept = wait_for("two records", || Some(http::sql(served.address(), query)).filter(|kept| kept.len() == 2));
    assert_eq!(
        kept,
        [["notified", "hook", "3 attempts"], ["notified", "hook", "1 attempt"]]
            .map(|row| row.map(Value::from).to_vec())
    );
    let alarm = http::get(served.address(), "/api/v1/alarms").1["alarms"][0].clone();
    assert_eq!((&alarm["state"], &alarm["changed"]), (&json!("returned_unacknowledged"), &alarm["returned"]));
    // Whoever wants to know whether it works asks for a test.
    let (status, answer) = http::post(served.address(), "/api/v1/notify/hook/test", &json!({}));
    assert_eq!((status, &answer["taken"]), (200, &json!(true)), "{answer}");
    assert_eq!(wait_told(&log, 5)[4]["body"]["kind"], "test");
    let (status, answer) = http::post(served.address(), "/api/v1/notify/nobody/test", &json!({}));
    assert_eq!((status, &answer["code"]), (404, &json!("unknown_target")));
    let state = target(&served);
    assert_eq!(
        (&state["state"], &state["told"], &state["failures"]),
        (&json!("ready"), &json!(2), &json!(2)),
        "{state}"
    );
    assert!(state["last_error"].as_str().unwrap().contains("503"), "{state}");
    served.stop();
}

#[test]
fn a_mail_under_starttls_after_a_login_is_read_as_it_was_meant() {
    if !has("aiosmtpd") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(own) = certificate(folder.path()) else { return };
    let (post, log) = (free_address(), folder.path().join("mail.log"));
    let (port, [log_path, own]) = (post.port().to_string(), [&log, &own].map(|path| path.to_str().unwrap()));
    let _peer = peer(&["smtp", &port, log_path, own, "tongmai", "口令 7"]);
    fs::write(folder.path().join("mail.txt"), "口令 7\n").unwrap();
    let notify = format!(
        "[[notify]]\nname = \"shift\"\nca_file = \"own.pem\"\n[notify.smtp]\nhost = \"127.0.0.1\"\nport = {}\n\
         user = \"tongmai\"\npassword_file = \"mail.txt\"\n\
         from = \"通脉 <alarms@example.com>\"\nto = [\"li@example.com\", \"Wang <wang@example.com>\"]\n",
        post.port()
    );
    let (address, served) = house(folder.path(), &notify);
    raise(address);
    let heard = wait_told(&log, 2);
    let subjects = ["发生", "恢复"].map(|event| format!("[高] 车速过高 · vehicle/LTMTEST0000000001 · {event}"));
    for (told, subject) in heard.iter().zip(&subjects) {
        assert_eq!((&told["subject"], &told["from"]), (&json!(subject), &json!("通脉 <alarms@example.com>")));
        assert_eq!(told["recipients"], json!(["li@example.com", "wang@example.com"]));
        assert_eq!((&told["defects"], &told["encrypted"], &told["known"]), (&json!(0), &json!(true), &json!(true)));
        assert!(told["text"].as_str().unwrap().contains("规则: fast"), "{told}");
    }
    assert_ne!(heard[0]["id"], heard[1]["id"]);
    served.stop();
}

#[test]
fn a_broker_passes_on_what_it_is_told_encrypted() {
    if !has("amqtt, paho.mqtt.client") {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let Some(own) = certificate(folder.path()) else { return };
    let log = folder.path().join("mqtt.log");
    let [port, encrypted] = [free_address(), free_address()].map(|address| address.port().to_string());
    let _broker = peer(&["broker", &port, &encrypted, own.to_str().unwrap()]);
    let _subscriber = peer(&["subscriber", &port, log.to_str().unwrap()]);
    wait_told(&log, 1);
    let notify = format!(
        "[[notify]]\nname = \"bus\"\nca_file = \"own.pem\"\nevents = [\"raised\"]\n[notify.mqtt]\nhost = \"127.0.0.1\"\n\
         port = {encrypted}\ntls = true\n\
         topic = \"plant/{{priority}}/{{asset}}/{{rule}}/{{event}}\"\n"
    );
    let (address, served) = house(folder.path(), &notify);
    raise(address);
    let heard = wait_told(&log, 2);
    assert_eq!(heard[1]["topic"], "plant/high/vehicle/LTMTEST0000000001/fast/raised");
    assert_eq!((&heard[1]["qos"], &heard[1]["body"]["alarms"][0]["title"]["zh"]), (&json!(1), &json!("车速过高")));
    wait_for("that it was taken", || (target(&served)["told"] == 1).then_some(()));
    served.stop();
}

#[test]
fn an_escalation_waits_for_somebody_to_acknowledge() {
    let folder = tempfile::tempdir().unwrap();
    let (hook, log) = (free_address(), folder.path().join("hook.log"));
    let _peer = peer(&["webhook", &hook.port().to_string(), log.to_str().unwrap(), "0", SECRET]);
    let hook = format!("[notify.webhook]\nurl = \"http://{hook}/\"\nsecret = \"{SECRET}\"\n");
    let notify = format!("[[notify]]\nname = \"boss\"\nafter_secs = 4\n{hook}[[notify]]\nname = \"shift\"\n{hook}");
    let rules = rule("seen", "when = 'vehicle_speed > 50'") + &rule("unseen", "when = 'vehicle_speed > 50'");
    let (address, config) = configured(folder.path(), &rules, &notify);
    let served = Served::start(&folder.path().join("data"), &config);
    raise(address);
    // Both are raised and over; one of them is seen.
    wait_told(&log, 4);
    let deed = json!({ "asset": "vehicle/LTMTEST0000000001", "rule": "seen", "deed": "acknowledge", "by": "Li" });
    assert_eq!(http::post(served.address(), "/api/v1/alarms/deeds", &deed).0, 200);
    let heard = wait_told(&log, 5);
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(told(&log).len(), 5, "nothing else is told");
    let (last, entry) = (&heard[4]["body"], &heard[4]["body"]["alarms"][0]);
    assert_eq!(
        (&last["target"], &entry["rule"], &entry["event"]),
        (&json!("boss"), &json!("unseen"), &json!("raised"))
    );
    served.stop();
}

#[test]
fn what_nobody_takes_in_time_is_given_up_and_that_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let notify = format!(
        "[[notify]]\nname = \"nobody\"\ngive_up_secs = 3\n[notify.webhook]\nurl = \"http://{}/\"\n",
        free_address()
    );
    let (address, served) = house(folder.path(), &notify);
    raise(address);
    let query = "SELECT alarm_by, alarm_comment FROM alarm WHERE alarm_event = 'not_notified' ORDER BY received";
    let kept = wait_for("two records", || Some(http::sql(served.address(), query)).filter(|kept| kept.len() == 2));
    assert_eq!(kept[0][0], "nobody");
    let reason = kept[0][1].as_str().unwrap();
    assert!(reason.starts_with("too late after ") && reason.contains("no connection: "), "{reason}");
    let state = target(&served);
    assert!(state["given_up"] == 2 && state["failures"].as_u64() >= Some(2), "{state}");
    let (status, answer) = http::post(served.address(), "/api/v1/notify/nobody/test", &json!({}));
    assert_eq!((status, &answer["code"]), (503, &json!("not_taken")), "{answer}");
    served.stop();
}

/// Says seconds until `death`, from `second` on; what was not answered is said again.
fn drive(address: SocketAddr, mut second: u32, death: Instant) -> u32 {
    let mut vehicle = None;
    while Instant::now() < death {
        let Some(connected) = &mut vehicle else {
            vehicle = Vehicle::connect(address, 1);
            continue;
        };
        if connected.say(2, &speeding(1, second)) {
            second += 1;
        } else {
            vehicle = None;
        }
    }
    second
}

#[test]
fn every_alarm_is_told_whatever_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let (hook, log, data) = (free_address(), folder.path().join("hook.log"), folder.path().join("data"));
    let receiver = || peer(&["webhook", &hook.port().to_string(), log.to_str().unwrap(), "0", SECRET]);
    let notify = format!(
        "[[notify]]\nname = \"hook\"\nper_minute_max = 8\n[notify.webhook]\nurl = \"http://{hook}/\"\nsecret = \"{SECRET}\"\n\
         [[notify]]\nname = \"nobody\"\n[notify.webhook]\nurl = \"http://{}/\"\n\
         [store]\nhot_rows_max = 200\nseal_interval_secs = 1\n",
        free_address()
    );
    let rules: String = ["a", "b", "c"].map(|id| rule(id, "when = 'vehicle_speed > 50'")).concat();
    let (address, config) = configured(folder.path(), &rules, &notify);
    let mut random = StdRng::seed_from_u64(setting("TONGMAI_SEED", 7));
    let mut second = 0;
    for kill in 0..setting("TONGMAI_KILLS", KILLS).clamp(3, 200) {
        // Now and then it is there, and is killed as well.
        let peer = (kill % 3 == 2).then(receiver);
        let mut served = Served::start(&data, &config);
        second = drive(address, second, Instant::now() + Duration::from_millis(random.random_range(100..2_000)));
        served.kill();
        drop(peer);
    }
    let _receiver = receiver();
    let served = Served::start(&data, &config);
    let query = "SELECT alarm_rule, alarm_event, time FROM alarm WHERE alarm_event IN ('raised', 'returned')";
    let started = Instant::now();
    loop {
        let kept = http::sql(served.address(), query);
        let heard: Vec<Value> = told(&log).into_iter().filter(|told| told["taken"] == true).collect();
        let entries: Vec<&Value> = heard.iter().flat_map(|told| told["body"]["alarms"].as_array().unwrap()).collect();
        let is_told = |row: &Vec<Value>| {
            entries.iter().any(|entry| [&entry["rule"], &entry["event"], &entry["time"]] == [&row[0], &row[1], &row[2]])
        };
        if kept.len() > 20 && kept.iter().all(is_told) {
            check(&heard);
            break;
        }
        let missing = kept.iter().filter(|row| !is_told(row)).count();
        assert!(started.elapsed() < TOLD_WAIT_MAX, "{missing} of {} are not told: {}", kept.len(), target(&served));
        std::thread::sleep(Duration::from_millis(200));
    }
    served.stop();
}

/// What came twice is the same, what came once is in order, and there were no more messages than may be.
fn check(heard: &[Value]) {
    let (mut texts, mut ids) = (HashMap::new(), HashMap::new());
    let mut last = String::new();
    for told in heard {
        assert_eq!(told["signed"], true);
        let (id, text) = (told["id"].as_str().unwrap(), told["text"].as_str().unwrap());
        let is_new = !texts.contains_key(id);
        assert_eq!(texts.entry(id).or_insert(text), &text, "the same id, the same message");
        for entry in told["body"]["alarms"].as_array().unwrap() {
            let what = ["rule", "event", "time"].map(|key| entry[key].to_string());
            let (entry_id, message) = (entry["id"].to_string(), id);
            assert_eq!(
                ids.entry(what).or_insert((entry_id.clone(), message)),
                &(entry_id, message),
                "told in one message"
            );
            // Without the last letter, times compare as texts.
            let received = entry["received"].as_str().unwrap().trim_end_matches('Z').to_owned();
            assert!(!is_new || received >= last, "{received} after {last}");
            last = received.max(last);
        }
    }
    let summaries = heard.iter().filter(|told| told["body"]["kind"] == "summary").count();
    assert!(summaries > 0, "{} messages, and none sums up", heard.len());
}
