//! The client of an agent against `tests/agent/fake_agent.py`, an agent in a process of its own.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use gateway::{Connection, Gateway, Link};
use gateway_mtconnect::{AgentGateway, AgentOptions};
use model::{Condition, ConditionLevel, Entry, Quality, Statistic, Value};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use crate::memory::{Disk, Life, Row};

/// How long something may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// An agent, ended when dropped.
struct Agent {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl Agent {
    /// `None`, said plainly, where there is no Python.
    fn start(script: &str, seed: u32) -> Option<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/agent").join(script);
        // `cargo xtask test` names a Python that has the packages.
        let python = std::env::var_os("TONGMAI_PYTHON").unwrap_or_else(|| "python3".into());
        let spawned =
            Command::new(python).arg(script).arg(seed.to_string()).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let Ok(mut process) = spawned else {
            say_skipped("there is no python3");
            return None;
        };
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut agent = Self { process, input, output: BufReader::new(output), port: 0 };
        match agent.line().parse() {
            Ok(port) => agent.port = port,
            Err(_) => {
                assert_eq!(agent.process.wait().unwrap().code(), Some(77), "the agent did not start");
                say_skipped("the Python package mtconnect is not installed: pip install mtconnect==0.3.3");
                return None;
            }
        }
        Some(agent)
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Gives one command and returns what the agent says to it.
    fn tell(&mut self, command: &str) -> String {
        writeln!(self.input, "{command}").unwrap();
        let answer = self.line();
        answer.strip_prefix("ok ").unwrap_or_else(|| panic!("{command}: {answer:?}")).to_owned()
    }

    fn add(&mut self, count: u64) -> u64 {
        self.tell(&format!("add {count}")).parse().unwrap()
    }

    fn options(&self) -> AgentOptions {
        AgentOptions {
            interval_ms: 5,
            count_max: 200,
            heartbeat_ms: 1_000,
            ..AgentOptions::new(&format!("http://127.0.0.1:{}", self.port))
        }
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[allow(clippy::print_stderr, reason = "a skipped test has to say so")]
fn say_skipped(why: &str) {
    eprintln!("SKIPPED: {why}");
}

/// A gateway at work.
struct Running {
    life: Life,
    link: Link,
    task: JoinHandle<()>,
}

impl Running {
    fn start(disk: &Disk, options: AgentOptions) -> Self {
        let (life, link) = Life::begin(disk);
        let own = link.clone();
        let task = tokio::spawn(async move {
            let gateway = Arc::new(AgentGateway::new(options));
            gateway::supervise(&*gateway, &own).await;
        });
        Self { life, link, task }
    }

    /// Ends it in the middle of whatever it does.
    fn kill(self) {
        self.life.kill();
        self.task.abort();
    }

    /// Ends it as asked for.
    async fn stop(self) {
        self.link.stop().cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap();
        assert_eq!(self.link.status().connection, Connection::Stopped);
    }

    async fn wait_for(&self, what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < PATIENCE, "waited for {what} in vain: {:?}", self.link.status());
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

/// The number that `fake_agent.py` put into a value.
fn number_in(value: &Value) -> Option<u64> {
    let digits = |text: &str| text.chars().filter(char::is_ascii_digit).collect::<String>().parse().ok();
    match value {
        Value::Number(number) => Some(*number as u64),
        Value::Text(text) => digits(text.split(' ').next()?),
        Value::Vector(numbers) => numbers.first().map(|number| *number as u64),
        Value::Condition(condition) => digits(condition.native_code.as_deref()?),
        Value::Entries(entries) => match entries.first()? {
            (key, Entry::Number(number)) if key.starts_with('v') => Some(*number as u64),
            (_, Entry::Row(cells)) => match cells.first()? {
                (_, Entry::Number(number)) => Some(*number as u64),
                _ => None,
            },
            _ => None,
        },
        Value::Absent | Value::Integer(_) | Value::Integers(_) => None,
    }
}

/// How often each number was kept.
fn numbers(disk: &Disk) -> BTreeMap<u64, u32> {
    let kept = disk.lock().unwrap();
    let mut numbers = BTreeMap::new();
    for row in kept.rows.values() {
        if let Some(number) = number_in(&row.value) {
            *numbers.entry(number).or_insert(0) += 1;
        }
    }
    numbers
}

fn count(disk: &Disk) -> u64 {
    numbers(disk).len() as u64
}

/// Whether everything before the position `instance:next` is durable.
fn is_read_to(disk: &Disk, position: &str) -> bool {
    let kept = disk.lock().unwrap();
    kept.cursor.as_deref().and_then(|cursor| cursor.lines().next()) == Some(position)
}

/// Every number from 1 to `last` is there, once, but for `missing` ones.
fn assert_each_once(disk: &Disk, last: u64, missing: u64) {
    let numbers = numbers(disk);
    let doubled: Vec<_> = numbers.iter().filter(|(_, times)| **times != 1).collect();
    assert!(doubled.is_empty(), "not once: {doubled:?}");
    let absent: Vec<u64> = (1..=last).filter(|number| !numbers.contains_key(number)).collect();
    assert_eq!(absent.len() as u64, missing, "absent: {absent:?}");
    assert!(numbers.keys().all(|number| (1..=last).contains(number)));
    let kept = disk.lock().unwrap();
    assert!(kept.conflicts.is_empty(), "{} rows lost to others, such as {:?}", kept.conflicts.len(), kept.conflicts[0]);
}

/// The entries of all gaps of one machine, in order of time.
fn gaps(disk: &Disk, asset: &str) -> Vec<BTreeMap<String, String>> {
    let kept = disk.lock().unwrap();
    let rows = kept.rows.iter().filter(|((machine, signal, ..), _)| machine.as_str() == asset && &**signal == "gap");
    rows.map(|(_, row)| {
        let Value::Entries(entries) = &row.value else { panic!("{row:?}") };
        let text = |entry: &Entry| match entry {
            Entry::Number(number) => number.to_string(),
            Entry::Text(text) => text.to_string(),
            other => panic!("{other:?}"),
        };
        entries.iter().map(|(key, entry)| (key.to_string(), text(entry))).collect()
    })
    .collect()
}

fn rejections(disk: &Disk, reason: &str) -> Vec<(String, Vec<u8>)> {
    let kept = disk.lock().unwrap();
    kept.rejections
        .iter()
        .filter(|(r, ..)| *r == reason)
        .map(|(_, detail, bytes)| (detail.clone(), bytes.clone()))
        .collect()
}

/// Reads everything that an agent with `settings` says, before and after the gateway came.
async fn check_everything_is_read(settings: &[&str]) -> Option<()> {
    let mut agent = Agent::start("fake_agent.py", 1)?;
    for setting in settings {
        agent.tell(&format!("set {setting}"));
    }
    agent.tell("restart");
    agent.add(300);
    let disk = Disk::default();
    let running = Running::start(&disk, agent.options());
    running.wait_for("what was there before", || count(&disk) == 300).await;
    assert_eq!(running.link.status().connection, Connection::Connected);
    for _ in 0..20 {
        agent.add(7);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.wait_for("what came after", || count(&disk) == 440).await;
    let tally = running.link.counters().tally();
    running.stop().await;
    assert_each_once(&disk, 440, 0);
    let kept = disk.lock().unwrap();
    assert_eq!(kept.duplicates, 0);
    assert_eq!(tally.rejected, BTreeMap::new());
    assert_eq!(tally.accepted, kept.rows.len() as u64);
    assert_eq!(tally.observations, tally.accepted);
    assert!(tally.bytes > 20_000 && tally.messages > 2, "{tally:?}");
    Some(())
}

#[tokio::test]
async fn streams_are_read_in_whatever_way_they_are_cut() {
    for settings in [
        &["version 1.3"][..],
        &["version 2.7", "chunk 7"],
        &["stream open"],
        &["stream open", "chunk 100", "boundary --MTConnect"],
        &["boundary \"quoted-b\"", "repeat 1000"],
    ] {
        check_everything_is_read(settings).await;
    }
}

#[tokio::test]
async fn an_agent_that_does_not_stream_is_polled() {
    for settings in [&["stream refused"][..], &["stream ignored"], &["stream refused", "picky 1"]] {
        check_everything_is_read(settings).await;
    }
}

#[tokio::test]
async fn an_agent_that_calls_the_next_sequence_out_of_range_is_streamed_all_the_same() {
    let Some(mut agent) = Agent::start("fake_agent.py", 15) else { return };
    agent.tell("set picky 1");
    let disk = Disk::default();
    let mut last = agent.add(20);
    let running = Running::start(&disk, agent.options());
    running.wait_for("the begin", || count(&disk) == last).await;
    running.kill();
    // Nothing is new at first.
    let running = Running::start(&disk, agent.options());
    tokio::time::sleep(Duration::from_millis(500)).await;
    last = agent.add(20);
    running.wait_for("the rest", || count(&disk) == last).await;
    running.stop().await;
    assert_each_once(&disk, last, 0);
    assert_eq!(gaps(&disk, "machine/test-1"), []);
    assert_eq!(requests(&mut agent, "sample"), 0, "never polled");
}

/// The first row of `signal` of the first machine whose quality is as wanted.
fn first_row(disk: &Disk, signal: &str, quality: Quality) -> Row {
    let kept = disk.lock().unwrap();
    let found = kept.rows.iter().find(|((asset, name, ..), row)| {
        asset.as_str() == "machine/test-1" && &**name == signal && row.quality == quality
    });
    found.unwrap_or_else(|| panic!("no {quality:?} row of {signal}")).1.clone()
}

#[tokio::test]
async fn every_form_of_value_arrives_as_it_was_said() {
    let Some(mut agent) = Agent::start("fake_agent.py", 2) else { return };
    agent.add(200);
    let disk = Disk::default();
    let running = Running::start(&disk, agent.options());
    running.wait_for("all", || count(&disk) == 200).await;
    let assets: Vec<String> = running.link.status().assets.iter().map(ToString::to_string).collect();
    assert_eq!(assets, ["machine/test-1", "machine/test-2"]);
    running.stop().await;
    for signal in ["x", "load", "place", "prog", "vars", "offs", "changed"] {
        assert_eq!(first_row(&disk, signal, Quality::Unavailable).value, Value::Absent, "{signal}");
    }
    let unavailable = Value::Condition(Box::default());
    assert_eq!(first_row(&disk, "sys", Quality::Unavailable).value, unavailable);
    let good = |signal: &str| {
        let row = first_row(&disk, signal, Quality::Good);
        (number_in(&row.value).unwrap(), row)
    };
    let (n, row) = good("x");
    assert_eq!(row.value, Value::Number(n as f64));
    let (n, row) = good("load");
    assert_eq!(row.value, Value::Vector([n as f64, 1.5, -0.002].into()));
    assert_eq!(row.statistic, Some(Statistic { sample_rate_hz: Some(100.0), ..Statistic::default() }));
    let (n, row) = good("place");
    assert_eq!(row.value, Value::Vector([n as f64, 0.5, -7.0].into()));
    let (n, row) = good("prog");
    assert_eq!(row.value, Value::Text(format!("O{n} & co").into()));
    let (n, row) = good("vars");
    let entries = [(format!("v{n}").into(), Entry::Number(n as f64)), ("gone".into(), Entry::Removed)];
    assert_eq!(row.value, Value::Entries(entries.into()));
    let (n, row) = good("offs");
    let cells = [("X".into(), Entry::Number(n as f64)), ("N".into(), Entry::Text("n".into()))];
    assert_eq!(row.value, Value::Entries([("G54".into(), Entry::Row(cells.into()))].into()));
    let (n, row) = good("sys");
    let levels = [ConditionLevel::Normal, ConditionLevel::Warning, ConditionLevel::Fault];
    let condition = Condition {
        level: levels[n as usize % 3],
        native_code: Some(n.to_string().into()),
        native_severity: Some((n % 7).to_string().into()),
        qualifier: Some("HIGH".into()),
        message: Some(format!("Spindle <{n}> zu heiß 主轴过热").into()),
    };
    assert_eq!(row.value, Value::Condition(Box::new(condition)));
}

/// Kills the gateway at random moments while the agent speaks, its streams breaking off as well.
async fn check_nothing_is_missed_or_doubled(seed: u64, settings: &[&str]) -> Option<()> {
    let mut agent = Agent::start("fake_agent.py", seed as u32)?;
    for setting in settings.iter().chain(&["buffer 100000"]) {
        agent.tell(&format!("set {setting}"));
    }
    let mut random = StdRng::seed_from_u64(seed);
    let disk = Disk::default();
    let mut last = 0;
    for _ in 0..40 {
        let count_max = random.random_range(1..60);
        let running = Running::start(&disk, AgentOptions { count_max, ..agent.options() });
        for _ in 0..random.random_range(1..6) {
            last = agent.add(random.random_range(1..40));
            tokio::time::sleep(Duration::from_millis(random.random_range(0..25))).await;
        }
        running.kill();
    }
    agent.tell("set cut 0");
    let running = Running::start(&disk, agent.options());
    running.wait_for("the rest", || count(&disk) == last).await;
    running.stop().await;
    assert_each_once(&disk, last, 0);
    assert_eq!(gaps(&disk, "machine/test-1"), []);
    Some(())
}

#[tokio::test]
async fn nothing_is_missed_or_doubled_when_the_gateway_is_killed_at_random_moments() {
    check_nothing_is_missed_or_doubled(11, &["repeat 3"]).await;
    check_nothing_is_missed_or_doubled(12, &["repeat 50", "chunk 500", "cut 0.3", "reversed 1"]).await;
    check_nothing_is_missed_or_doubled(13, &["repeat 20", "stream open", "cut 0.3"]).await;
    check_nothing_is_missed_or_doubled(14, &["repeat 20", "stream refused"]).await;
}

#[tokio::test]
async fn a_new_life_of_the_agent_is_a_gap_and_is_read_from_its_begin() {
    let Some(mut agent) = Agent::start("fake_agent.py", 3) else { return };
    let disk = Disk::default();
    let mut last = agent.add(100);
    let running = Running::start(&disk, agent.options());
    running.wait_for("the first life", || count(&disk) == last).await;
    // While we read.
    assert_eq!(agent.tell("restart"), "1002");
    last = agent.add(50);
    running.wait_for("the second life", || count(&disk) == last).await;
    running.kill();
    // While we do not.
    assert_eq!(agent.tell("restart"), "1003");
    last = agent.add(50);
    let running = Running::start(&disk, agent.options());
    running.wait_for("the third life", || count(&disk) == last).await;
    // With a number that it had before.
    assert_eq!(agent.tell("restart same"), "1003");
    last = agent.add(5);
    running.wait_for("the fourth life", || count(&disk) == last).await;
    running.stop().await;
    assert_each_once(&disk, last, 0);
    for asset in ["machine/test-1", "machine/test-2"] {
        let gaps = gaps(&disk, asset);
        let told = |key: &str| gaps.iter().map(|gap| gap.get(key).cloned().unwrap_or_default()).collect::<Vec<_>>();
        assert_eq!(told("instance_id"), ["1002", "1003", "1003"]);
        assert_eq!(told("previous_instance_id"), ["1001", "1002", "1003"]);
        assert_eq!(told("lost"), ["0", "0", "0"]);
        assert_eq!(told("from_sequence"), ["", "", ""]);
        assert_eq!(told("reason")[0], "the agent began anew");
        assert_eq!(told("reason")[2], "the agent counts lower than before, without a new instance");
    }
}

#[tokio::test]
async fn what_the_buffer_no_longer_holds_is_a_gap_with_its_size() {
    let Some(mut agent) = Agent::start("fake_agent.py", 4) else { return };
    agent.tell("set buffer 500");
    // Before the first reading nothing is a gap, and `current` gives what is older than the buffer.
    let before = agent.add(600);
    let disk = Disk::default();
    let running = Running::start(&disk, agent.options());
    running.wait_for("the buffer", || is_read_to(&disk, "1001:617")).await;
    running.kill();
    assert_eq!(gaps(&disk, "machine/test-1"), []);
    let first = count(&disk);
    assert!((500..=514).contains(&first), "{first}");
    let last = agent.add(1_200);
    let running = Running::start(&disk, agent.options());
    running.wait_for("the buffer", || is_read_to(&disk, "1001:1817")).await;
    running.stop().await;
    let gap = &gaps(&disk, "machine/test-2")[..];
    assert_eq!(gap.len(), 1, "{gap:?}");
    // 16 observations that are UNAVAILABLE begin a life.
    let (from, to) = (before + 17, last + 16 - 500);
    assert_eq!(gap[0]["from_sequence"], from.to_string());
    assert_eq!(gap[0]["to_sequence"], to.to_string());
    let lost: u64 = gap[0]["lost"].parse().unwrap();
    assert!(lost <= to - from + 1 && lost >= to - from + 1 - 14, "{lost}");
    assert_each_once(&disk, last, before - first + lost);
}

#[tokio::test]
async fn falling_behind_while_streaming_is_a_gap_too() {
    let Some(mut agent) = Agent::start("fake_agent.py", 5) else { return };
    agent.tell("set buffer 300");
    let disk = Disk::default();
    let running = Running::start(&disk, agent.options());
    running.wait_for("the begin", || is_read_to(&disk, "1001:17")).await;
    let mut last = 0;
    for _ in 0..10 {
        last = agent.add(400);
        running.wait_for("the newest", || is_read_to(&disk, &format!("1001:{}", last + 17))).await;
    }
    running.stop().await;
    let gaps = gaps(&disk, "machine/test-1");
    assert!(gaps.len() >= 5, "{gaps:?}");
    let lost: u64 = gaps.iter().map(|gap| gap["lost"].parse::<u64>().unwrap()).sum();
    // Some of the lost ones are the first UNAVAILABLE ones, which bear no number.
    let absent = last - count(&disk);
    assert!(lost >= absent && lost <= absent + 16, "{lost} told, {absent} absent");
    assert_each_once(&disk, last, absent);
}

#[tokio::test]
async fn an_observation_that_cannot_be_read_costs_no_other() {
    for stream in ["sized", "refused"] {
        let Some(mut agent) = Agent::start("fake_agent.py", 6) else { return };
        agent.tell(&format!("set stream {stream}"));
        agent.tell("set bad 117");
        let last = agent.add(300);
        let disk = Disk::default();
        let running = Running::start(&disk, AgentOptions { count_max: 64, ..agent.options() });
        running.wait_for("all others", || count(&disk) == last - 1).await;
        running.stop().await;
        assert_each_once(&disk, last, 1);
        let gaps = gaps(&disk, "machine/test-1");
        assert_eq!(gaps.len(), 1, "{gaps:?}");
        assert_eq!((&*gaps[0]["from_sequence"], &*gaps[0]["to_sequence"], &*gaps[0]["lost"]), ("117", "117", "1"));
        let malformed = rejections(&disk, "malformed document");
        assert!(!malformed.is_empty());
        for (detail, bytes) in malformed {
            assert!(detail.starts_with("offset "), "{detail}");
            assert!(String::from_utf8_lossy(&bytes).contains("</Oops>"), "the excerpt shows the mistake");
        }
    }
}

#[tokio::test]
async fn silence_beyond_twice_the_heartbeat_is_answered_by_a_new_connection() {
    let Some(mut agent) = Agent::start("fake_agent.py", 7) else { return };
    let disk = Disk::default();
    let mut last = agent.add(10);
    let running = Running::start(&disk, AgentOptions { heartbeat_ms: 150, ..agent.options() });
    running.wait_for("all", || count(&disk) == last).await;
    // Heartbeats alone keep a stream alive.
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(running.link.status().connection, Connection::Connected);
    assert_eq!(running.link.counters().tally().connections, 1);
    agent.tell("set silent 1");
    let silent = Connection::Waiting("nothing came within 300 ms, twice the heartbeat".into());
    running.wait_for("the silence to be noticed", || running.link.status().connection == silent).await;
    agent.tell("set silent 0");
    last = agent.add(10);
    running.wait_for("all", || count(&disk) == last).await;
    running.stop().await;
    assert_each_once(&disk, last, 0);
}

fn requests(agent: &mut Agent, request: &str) -> u64 {
    let counts = agent.tell("counts");
    let place = counts.find(&format!("\"{request}\": ")).map(|place| place + request.len() + 4);
    place.map_or(0, |place| counts[place..].split([',', '}']).next().unwrap().parse().unwrap())
}

#[tokio::test]
async fn an_unknown_data_item_costs_one_look_at_the_device_models() {
    let Some(mut agent) = Agent::start("fake_agent.py", 8) else { return };
    let disk = Disk::default();
    let mut last = agent.add(50);
    let running = Running::start(&disk, agent.options());
    running.wait_for("all", || count(&disk) == last).await;
    assert_eq!(requests(&mut agent, "probe"), 1);
    // A data item that the models have by now: nothing is refused.
    agent.tell("set extra 1");
    last = agent.add(100);
    running.wait_for("all", || count(&disk) == last).await;
    assert_eq!(requests(&mut agent, "probe"), 2);
    assert_eq!(rejections(&disk, "unknown data item"), []);
    assert!(disk.lock().unwrap().rows.keys().any(|(_, signal, ..)| &**signal == "more"));
    // One that is in no model: refused, each with its text, and not asked for again.
    agent.tell("set ghost 1");
    agent.add(100);
    let ghosts = || rejections(&disk, "unknown data item");
    running.wait_for("ghosts", || ghosts().len() >= 3).await;
    agent.tell("set ghost 0");
    last = agent.add(10);
    running.wait_for("the newest", || numbers(&disk).contains_key(&last)).await;
    let tally = running.link.counters().tally();
    running.stop().await;
    assert_eq!(requests(&mut agent, "probe"), 3);
    assert_eq!(tally.rejected, BTreeMap::from([("unknown data item", ghosts().len() as u64)]));
    assert_each_once(&disk, last, ghosts().len() as u64);
    for (detail, bytes) in ghosts() {
        assert!(detail.ends_with("`d2_ghost` is not in the device model"), "{detail}");
        assert!(bytes.starts_with(b"<Block dataItemId=\"d2_ghost\"") && bytes.ends_with(b"</Block>"));
    }
}

#[tokio::test]
async fn one_device_of_several_can_be_read() {
    let Some(mut agent) = Agent::start("fake_agent.py", 9) else { return };
    agent.tell("set buffer 100000");
    agent.add(400);
    for name in ["mill-2", "test-2"] {
        let disk = Disk::default();
        let options =
            AgentOptions { device: Some(name.into()), profile: Some("mill".into()), count_max: 30, ..agent.options() };
        let running = Running::start(&disk, options);
        running.wait_for("the end", || is_read_to(&disk, "1001:417")).await;
        running.stop().await;
        let numbers = count(&disk);
        assert!((150..250).contains(&numbers), "{numbers}");
        assert_each_once(&disk, 400, 400 - numbers);
        assert!(disk.lock().unwrap().rows.keys().all(|(asset, ..)| asset.as_str() == "machine/test-2"));
    }
    let disk = Disk::default();
    let running = Running::start(&disk, AgentOptions { device: Some("lathe".into()), ..agent.options() });
    let reason = "the agent refused `probe`: NO_DEVICE Could not find the device 'lathe'";
    let refused = || running.link.status().connection == Connection::Waiting(reason.into());
    running.wait_for("the refusal", refused).await;
    running.stop().await;
}

#[tokio::test]
async fn changed_assets_come_with_their_documents_where_these_can_be_had() {
    let Some(mut agent) = Agent::start("fake_agent.py", 10) else { return };
    let disk = Disk::default();
    let running = Running::start(&disk, agent.options());
    agent.tell("asset T/1");
    agent.tell("asset T2 lost");
    let last = agent.add(20);
    running.wait_for("all", || count(&disk) == last).await;
    let of_asset = |wanted: &str| {
        let kept = disk.lock().unwrap();
        let entries = kept.rows.values().find_map(|row| match &row.value {
            Value::Entries(entries) if entries[0] == ("assetId".into(), Entry::Text(wanted.into())) => {
                Some(entries.clone())
            }
            _ => None,
        });
        entries.unwrap_or_else(|| panic!("no asset {wanted}"))
    };
    let with = of_asset("T/1");
    assert_eq!(with[1], ("type".into(), Entry::Text("CuttingTool".into())));
    assert!(
        matches!(&with[2], (key, Entry::Text(text)) if &**key == "document" && text.contains("<CuttingTool assetId=\"T/1\""))
    );
    assert_eq!(of_asset("T2").len(), 2);
    assert_eq!(
        rejections(&disk, "asset not fetched"),
        [("the agent answered with HTTP status 404".into(), b"T2".to_vec())]
    );
    running.stop().await;
    assert_each_once(&disk, last, 0);
}

#[tokio::test]
async fn an_agent_that_is_not_there_or_cannot_be_asked_is_told() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let disk = Disk::default();
    let running = Running::start(&disk, AgentOptions::new(&format!("http://{free}")));
    let is_told = || match running.link.status().connection {
        Connection::Waiting(reason) => reason.starts_with("failed to ask for `/probe`") && reason.contains("refused"),
        _ => false,
    };
    running.wait_for("the refusal", is_told).await;
    running.stop().await;
    let (_, link) = Life::begin(&disk);
    let error = AgentGateway::new(AgentOptions::new("https://h")).run(&link).await.unwrap_err().to_string();
    assert_eq!(error, "`https://h` is no address of an agent: https is not supported yet, expected http://");
}

#[tokio::test]
async fn an_agent_of_another_make_is_read_across_restarts() {
    let Some(mut agent) = Agent::start("pypi_agent.py", 1) else { return };
    let mut random = StdRng::seed_from_u64(21);
    let disk = Disk::default();
    let running = Running::start(&disk, agent.options());
    running.wait_for("the begin", || disk.lock().unwrap().cursor.is_some()).await;
    running.kill();
    let mut last = 0;
    // Its times have a resolution of one second, so nearly every life ends in the middle of equal times.
    for _ in 0..30 {
        let running = Running::start(&disk, AgentOptions { count_max: random.random_range(1..40), ..agent.options() });
        for _ in 0..random.random_range(1..5) {
            last = agent.add(random.random_range(1..20));
            tokio::time::sleep(Duration::from_millis(random.random_range(0..60))).await;
        }
        running.kill();
    }
    let running = Running::start(&disk, agent.options());
    running.wait_for("the rest", || count(&disk) == last).await;
    assert_eq!(running.link.status().assets[0].as_str(), "machine/pypi-1");
    assert_eq!(running.link.counters().tally().rejected, BTreeMap::new());
    running.stop().await;
    assert_each_once(&disk, last, 0);
    assert_eq!(gaps(&disk, "machine/pypi-1"), []);
    let kept = disk.lock().unwrap();
    let levels = kept.rows.values().filter(|row| matches!(row.value, Value::Condition(_)));
    assert!(levels.count() > 30, "each `add` says a condition, whose level stands in the text");
}

/// The agent of the tests must be one after the standard, or it would prove nothing.
#[test]
fn the_documents_of_the_agent_of_these_tests_are_valid() {
    let schemas = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data/mtconnect/schemas");
    if !schemas.is_dir() {
        return say_skipped("../shared/data/mtconnect/schemas is not there");
    }
    if Command::new("xmllint").arg("--version").stderr(Stdio::null()).status().is_err() {
        return say_skipped("there is no xmllint");
    }
    let Some(mut agent) = Agent::start("fake_agent.py", 1) else { return };
    for version in ["1.3", "2.0", "2.7"] {
        agent.tell(&format!("set version {version}"));
        agent.tell("restart");
        agent.add(300);
        for (request, kind) in [
            ("probe", "Devices"),
            ("current", "Streams"),
            ("sample", "Streams"),
            ("error", "Error"),
            ("asset", "Assets"),
        ] {
            let schema: PathBuf = schemas.join(format!("MTConnect{kind}_{version}_1.0.xsd"));
            let document = agent.tell(&format!("render {request}"));
            let mut xmllint = Command::new("sh")
                .args(["-c", "base64 -d | xmllint --nonet --noout --schema \"$0\" -"])
                .arg(&schema)
                .stdin(Stdio::piped())
                .stderr(Stdio::piped())
                .spawn()
                .unwrap();
            xmllint.stdin.take().unwrap().write_all(document.as_bytes()).unwrap();
            let output = xmllint.wait_with_output().unwrap();
            assert!(output.status.success(), "{version} {request}: {}", String::from_utf8_lossy(&output.stderr));
        }
    }
}
