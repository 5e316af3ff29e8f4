//! Rules about made-up vans, run over what these say. Must not know how expressions are computed.

use std::slice;
use std::sync::Arc;

use model::{
    AssetId, Batch, Changes, Column, Condition, ConditionLevel, FrameException, Frames, Observation, Profile, Quality,
    Rows, Scale, Shape, Signal, Timestamp, Value, ValueKind, Vectors,
};

use super::*;

/// A rule about vans; what stands behind `when` is the rest of it.
fn rule_text(id: &str, when: &str, more: &str) -> String {
    let both = "{ zh = \"一\", en = \"one\" }";
    format!(
        "[[rule]]\nid = \"{id}\"\nversion = 1\nprofile = \"van\"\npriority = \"high\"\ntitle = {both}\nadvice = {both}\n\
         rationale = {both}\nsource = \"a test\"\nwhen = '{when}'\n{more}\n"
    )
}

fn rules(text: &str) -> Vec<Rule> {
    read("van.toml", text).unwrap().into_iter().map(|rule| rule.unwrap()).collect()
}

fn van(shape: Shape) -> Arc<Profile> {
    let scaled = |id: &str, unit: &str, divisor: f64| {
        let mut signal = Signal::new(id, &format!("test:{id}"), ValueKind::Integer).with_unit(unit);
        signal.scale.divisor = divisor;
        signal
    };
    let mut cells = Signal::new("cells", "test:cells", ValueKind::Vector).with_unit("V");
    cells.scale = Scale { divisor: 1_000.0, offset: 0.0 };
    let signals = vec![
        scaled("speed", "km/h", 10.0),
        scaled("engine_speed", "/min", 1.0),
        scaled("soc", "%", 1.0),
        scaled("inside", "Cel", 1.0),
        scaled("outside", "Cel", 1.0),
        Signal::new("mode", "test:mode", ValueKind::Text),
        cells,
    ];
    Arc::new(Profile::new("van", shape, signals).unwrap())
}

fn second(seconds: i64) -> Timestamp {
    Timestamp::from_nanos(seconds * 1_000_000_000)
}

/// What a van says at a second: speed in tenths, and its cells in millivolts.
#[derive(Clone)]
struct Said(u32, i64, Option<i64>, Vec<i64>);

fn speed(second: i64, speed: i64) -> Said {
    Said(1, second, Some(speed), vec![3_600, 3_601, 3_602])
}

fn frames(said: &[Said]) -> Batch {
    let assets: Vec<AssetId> = (1..=3).map(|number| format!("vehicle/V{number}").parse().unwrap()).collect();
    let mut cells = Vectors::default();
    said.iter().for_each(|said| cells.push(Some(said.3.iter().copied())));
    let exceptions = said.iter().enumerate().filter(|(_, said)| said.2.is_none());
    let exceptions = exceptions.map(|(row, _)| FrameException {
        row: row as u32,
        signal: 0,
        quality: Quality::Invalid,
        element: None,
    });
    let all = |value: i64| Column::Integers(vec![Some(value); said.len()]);
    let frames = Frames {
        assets,
        asset: said.iter().map(|said| said.0 as u16 - 1).collect(),
        time: said.iter().map(|said| second(said.1)).collect(),
        sequence: vec![0; said.len()],
        columns: vec![
            Column::Integers(said.iter().map(|said| said.2).collect()),
            all(1_200),
            all(50),
            all(30),
            all(20),
            Column::Texts(vec![Some("DRIVE".into()); said.len()]),
            Column::Vectors(cells),
        ],
        exceptions: exceptions.collect(),
    };
    Batch::frames(van(Shape::Frames), second(1_000_000), frames)
}

/// The same, of vans that say each signal by itself.
fn changes(said: &[Said]) -> Batch {
    let mut changes = Changes::default();
    for said in said {
        let asset = changes.intern(&format!("vehicle/V{}", said.0).parse().unwrap());
        let cells = said.3.iter().map(|raw| *raw as f64 / 1_000.0).collect();
        let values = [(0, Value::Integer(said.2.unwrap())), (6, Value::Vector(cells))];
        for (signal, value) in values {
            let (time, quality) = (second(said.1), Quality::Good);
            changes.push(asset, Observation { signal, time, sequence: 0, quality, value, statistic: None });
        }
    }
    Batch::changes(van(Shape::Changes), second(1_000_000), changes)
}

/// What `rules` say of `said`: rule, asset, second, whether it is raised.
fn events(rules: &str, said: &[Said]) -> Vec<String> {
    let mut engine = Engine::new(self::rules(rules));
    let events = engine.take(&frames(said));
    assert_eq!(engine.problems(), []);
    events.iter().map(told).collect()
}

fn told(event: &Event) -> String {
    let sign = match event.what {
        What::Raised => '+',
        What::Returned => '-',
        What::Suppressed => '(',
        What::Unsuppressed => ')',
    };
    let shows: Vec<String> =
        event.shows.iter().map(|shown| format!(" {}={:.3}{}", shown.name, shown.value, shown.unit)).collect();
    let seconds = event.time.nanos() / 1_000_000_000;
    format!("{sign}{} {} {seconds}{}", event.rule.id, event.asset, shows.concat())
}

#[test]
fn an_alarm_is_raised_and_returns_with_what_it_shows() {
    let more = "shows = { now = \"speed\", weakest = \"argmin(cells)\" }\n\
                explanation = { zh = \"第 {weakest} 个，{now}\", en = \"cell {weakest} at {now}\" }";
    let rules = rule_text("fast", "speed > unit(25, \"m/s\")", more);
    let said = [speed(0, 899), speed(1, 901), speed(2, 950), speed(3, 900), speed(4, 901)];
    assert_eq!(
        events(&rules, &said),
        [
            "+fast vehicle/V1 1 now=90.100km/h weakest=1.0001",
            "-fast vehicle/V1 3 now=90.000km/h weakest=1.0001",
            "+fast vehicle/V1 4 now=90.100km/h weakest=1.0001",
        ]
    );
    let event = &Engine::new(self::rules(&rules)).take(&frames(&said))[0];
    let expected = Text { zh: "第 1 个，90.1 km/h".into(), en: "cell 1 at 90.1 km/h".into() };
    assert_eq!(event.explanation(), expected);
    let nothing = Event { shows: vec![Shown { value: f64::NAN, ..event.shows[0].clone() }], ..event.clone() };
    assert_eq!(nothing.explanation().en, "cell {weakest} at –");
}

#[test]
fn delays_and_hysteresis_keep_it_calm() {
    let calm = rule_text("fast", "speed > 90", "clear = \"speed < 80\"\non_delay = \"10s\"\noff_delay = \"5s\"");
    let said: Vec<Said> = [
        (0, 950), // pending
        (5, 890), // over before its time
        (10, 950),
        (20, 950), // raised
        (25, 850), // not clear yet
        (30, 790),
        (32, 850), // not over after all
        (40, 790),
        (45, 790), // returned
    ]
    .map(|(second, value)| speed(second, value))
    .into();
    assert_eq!(events(&calm, &said), ["+fast vehicle/V1 20", "-fast vehicle/V1 45"]);
}

#[test]
fn what_is_not_known_raises_nothing_and_ends_nothing() {
    let rules = rule_text("fast", "speed > 90", "");
    let unknown = |second| Said(1, second, None, Vec::new());
    let said = [unknown(0), speed(1, 950), unknown(2), unknown(3), speed(4, 100)];
    assert_eq!(events(&rules, &said), ["+fast vehicle/V1 1", "-fast vehicle/V1 4"]);
    let rules = rule_text("silent", "!is_known(speed) && (true || speed > 1)", "");
    assert_eq!(events(&rules, &[unknown(0), speed(1, 0)]), ["+silent vehicle/V1 0", "-silent vehicle/V1 1"]);
    let rules = rule_text("never", "speed / (soc - 50) > 0 || speed > 1000", "");
    assert_eq!(events(&rules, &[speed(0, 100)]), Vec::<String>::new());
}

#[test]
fn assets_do_not_disturb_one_another_and_can_be_chosen() {
    let rules = rule_text("any", "speed > 90", "") + &rule_text("one", "speed > 90", "assets = \"vehicle/*2\"");
    let at = |asset, second, value| Said(asset, second, Some(value), Vec::new());
    let said = [at(1, 0, 950), at(2, 0, 950), at(1, 1, 0), at(3, 5, 950), at(2, 6, 0)];
    assert_eq!(
        events(&rules, &said),
        [
            "+any vehicle/V1 0",
            "+any vehicle/V2 0",
            "+one vehicle/V2 0",
            "-any vehicle/V1 1",
            "+any vehicle/V3 5",
            "-any vehicle/V2 6",
            "-one vehicle/V2 6",
        ]
    );
}

#[test]
fn lists_and_the_past_can_be_asked_about() {
    let cells = |second, low| Said(1, second, Some(0), vec![3_600, 3_600, low, 3_604, Vectors::MISSING]);
    let said = [cells(0, 3_600), cells(10, 3_590), cells(20, 3_570), cells(90, 3_569)];
    let shows = "shows = { cell = \"argmin(cells)\", lag = \"median(cells) - min(cells)\", size = \"size(cells)\" }";
    assert_eq!(
        events(&rule_text("weak", "median(cells) - min(cells) > unit(20, \"mV\")", shows), &said),
        ["+weak vehicle/V1 20 cell=3.0001 lag=0.030V size=4.0001"]
    );
    assert_eq!(events(&rule_text("falls", "rate(min(cells)) < unit(-1.5, \"mV/s\")", ""), &said).len(), 2);
    assert_eq!(
        events(&rule_text("fell", "change_over(min(cells), \"1min\") < unit(-15, \"mV\")", ""), &said),
        ["+fell vehicle/V1 20", "-fell vehicle/V1 90"]
    );
    assert_eq!(
        events(&rule_text("long", "lasts(min(cells) < 3.6) >= unit(1, \"min\")", ""), &said),
        ["+long vehicle/V1 90"]
    );
    assert_eq!(events(&rule_text("warm", "inside - outside > 9", ""), &said), ["+warm vehicle/V1 0"]);
    assert_eq!(
        events(&rule_text("mode", "mode in [\"DRIVE\", \"PARK\"] && mode != \"PARK\"", ""), &said),
        ["+mode vehicle/V1 0"]
    );
}

/// What an engine of `rules` says of `said`, each row of which is received at its second.
fn received(rules: &str, said: &[(i64, Said)]) -> (Vec<String>, Engine) {
    let mut engine = Engine::new(self::rules(rules));
    let mut events = Vec::new();
    for (at, said) in said {
        engine.tick([second(*at)]);
        let batch = Batch { received: second(*at), ..frames(slice::from_ref(said)) };
        events.extend(engine.take(&batch));
        events.extend(engine.advance());
    }
    (events.iter().map(told).collect(), engine)
}

#[test]
fn what_comes_late_is_read_by_itself_and_says_what_was_so_then() {
    let rules = rule_text("fast", "speed > 90", "") + &rule_text("falls", "rate(speed) < unit(-20, \"km/h/s\")", "");
    // What was said from second 11 to 14 comes after second 20; what is older than that as well is passed over.
    let said =
        [(10, 500), (20, 500), (11, 950), (12, 960), (13, 500), (21, 500), (9, 950), (14, 950), (22, 950), (15, 960)];
    let said: Vec<_> = (0..).zip(said).map(|(at, (second, tenths))| (at, speed(second, tenths))).collect();
    let (events, engine) = received(&rules, &said);
    assert_eq!(
        events,
        [
            "+fast vehicle/V1 11",
            "-fast vehicle/V1 13",
            "+falls vehicle/V1 13",
            "+fast vehicle/V1 14",
            "-falls vehicle/V1 14",
            "+fast vehicle/V1 22"
        ]
    );
    assert_eq!((engine.late(), engine.too_late()), (6, 1));
    // When no more of it comes, what was so at its end is over; a day later it begins anew.
    let mut engine = engine;
    let minutes = |minutes: i64| (0..=minutes * 6).map(|tick| second(tick * 10));
    engine.tick(minutes(9));
    assert_eq!(engine.advance(), []);
    let state = written_and_read(&engine.state());
    let mut restarted = Engine::new(self::rules(&rules));
    restarted.go_on(state.clone());
    assert!(restarted.watches(&van(Shape::Frames)));
    restarted.tick(minutes(11));
    let ended: Vec<String> = restarted.advance().iter().map(told).collect();
    assert_eq!(ended, ["-fast vehicle/V1 15"]);
    let active = |engine: &Engine| engine.active().iter().map(|(_, _, raised)| *raised).collect::<Vec<_>>();
    assert_eq!((active(&engine), active(&restarted)), (vec![second(22), second(14)], vec![second(22)]));
    // The same, found by the next row that comes late.
    let mut other = Engine::new(self::rules(&rules));
    other.go_on(state);
    let late = Batch { received: second(3_000), ..frames(&[speed(3, 100)]) };
    assert_eq!(other.take(&late).iter().map(told).collect::<Vec<_>>(), ["-fast vehicle/V1 15"]);
}

#[test]
fn what_came_late_is_told_unless_it_is_known() {
    let rules = rule_text("fast", "speed > 90", "suppressed_when = 'soc < 10'");
    let said = [(10, 950), (20, 950), (15, 950), (16, 0), (21, 0), (17, 950), (18, 0)];
    let said: Vec<_> = (0..).zip(said).map(|(at, (second, tenths))| (at, speed(second, tenths))).collect();
    let expected = ["+fast vehicle/V1 10", "-fast vehicle/V1 21", "+fast vehicle/V1 17", "-fast vehicle/V1 18"];
    assert_eq!(received(&rules, &said).0, expected);
    // All at once, in the order of time.
    let mut kept = said.clone();
    kept.sort_by_key(|(_, said)| said.1);
    let (receipts, said): (Vec<i64>, Vec<Said>) = kept.into_iter().unzip();
    let (batch, receipts) = (frames(&said), receipts.into_iter().map(second).collect::<Vec<_>>());
    let mut engine = Engine::new(self::rules(&rules));
    let events = engine.replay(&batch.profile, &batch.rows, &receipts);
    assert_eq!(events.iter().map(told).collect::<Vec<_>>(), expected);
}

#[test]
fn each_signal_that_comes_late_is_compared_with_others_that_did() {
    let rules = rule_text("weak", "min(cells) < 3.5 && speed > 90", "");
    let mut engine = Engine::new(self::rules(&rules));
    let weak = |second: i64, tenths: i64| Said(1, second, Some(tenths), vec![3_400, 3_600]);
    let events: Vec<String> = [speed(20, 950), weak(10, 500), weak(11, 950), speed(21, 950)]
        .iter()
        .flat_map(|said| engine.take(&changes(slice::from_ref(said))))
        .map(|event| told(&event))
        .collect();
    assert_eq!((events, engine.late()), (vec!["+weak vehicle/V1 11".to_owned()], 2));
}

#[test]
fn who_is_silent_for_long_is_told_of_unless_nobody_listened() {
    let rules = rule_text("lost", "speed > 0", "silent = \"5min\"");
    let mut engine = Engine::new(self::rules(&rules));
    let ticks = |from: i64, to: i64| (from / 10..=to / 10).map(|tick| second(tick * 10));
    let said = |engine: &mut Engine, at: i64, said: &[Said]| -> Vec<String> {
        engine.take(&Batch { received: second(at), ..frames(said) }).iter().map(told).collect()
    };
    let by_now = |engine: &mut Engine| -> Vec<String> { engine.advance().iter().map(told).collect() };
    engine.tick(ticks(0, 290));
    let parked = Said(2, 5, Some(0), Vec::new());
    assert_eq!(said(&mut engine, 5, &[speed(5, 100), parked]), Vec::<String>::new());
    assert_eq!(by_now(&mut engine), Vec::<String>::new());
    engine.tick(ticks(300, 310));
    let mut state = engine.state();
    assert_eq!(by_now(&mut engine), ["+lost vehicle/V1 305"]);
    assert_eq!(by_now(&mut engine), Vec::<String>::new());
    assert_eq!(said(&mut engine, 320, &[speed(4, 100)]), ["-lost vehicle/V1 320"]);
    // The same, where nobody looked in between; and after a restart, without a row.
    let mut again = Engine::new(self::rules(&rules));
    again.go_on(written_and_read(&state));
    assert_eq!(said(&mut again, 320, &[speed(4, 100)]), ["+lost vehicle/V1 305", "-lost vehicle/V1 320"]);
    let mut again = Engine::new(self::rules(&rules));
    again.go_on(state.clone());
    assert!(again.watches(&van(Shape::Frames)));
    assert_eq!(by_now(&mut again), ["+lost vehicle/V1 305"]);
    // Nobody listened from 320 to 1,000: that is no silence of a van. What came late is what it said last.
    engine.tick([second(320)]);
    engine.tick(ticks(1_000, 1_290));
    assert_eq!(by_now(&mut engine), Vec::<String>::new());
    engine.tick(ticks(1_300, 1_300));
    assert_eq!(by_now(&mut engine), ["+lost vehicle/V1 1300"]);
    assert_eq!(engine.active().len(), 1);
    // Another rule knows nothing of it.
    state = engine.state();
    let mut other = Engine::new(self::rules(&rule_text("lost", "speed > 0", "silent = \"6min\"")));
    other.go_on(state);
    assert_eq!(other.active().len(), 0);
}

#[test]
fn who_is_heard_again_before_the_clock_is_was_not_silent_while_nobody_listened() {
    let rules = rule_text("lost", "speed > 0", "silent = \"5min\"");
    let mut engine = Engine::new(self::rules(&rules));
    let ticks = |from: i64, to: i64| (from / 10..=to / 10).map(|tick| second(tick * 10));
    let said = |at: i64| Batch { received: second(at), ..frames(&[speed(at, 100)]) };
    engine.tick(ticks(0, 320));
    assert!(engine.take(&said(310)).is_empty() && engine.advance().is_empty());
    let state = engine.state();
    // The server was down until 1,000, and the van is back before the server says anything of itself.
    let rest = |engine: &mut Engine| {
        engine.tick(ticks(1_010, 1_400));
        engine.advance().iter().map(told).collect::<Vec<_>>()
    };
    assert_eq!(engine.take(&said(1_005)), []);
    assert_eq!(rest(&mut engine), ["+lost vehicle/V1 1310"]);
    // A replay knows from the beginning when the server listened.
    let mut replayed = Engine::new(self::rules(&rules));
    replayed.go_on(state);
    replayed.tick(ticks(1_010, 1_400));
    let batch = said(1_005);
    assert_eq!(replayed.replay(&batch.profile, &batch.rows, &[second(1_005)]), []);
    assert_eq!(rest(&mut replayed), ["+lost vehicle/V1 1310"]);
}

#[test]
fn silence_stands_alone() {
    for (more, problem) in [
        ("silent = \"5min\"\non_delay = \"1s\"", "silent: expected no `on_delay` beside it"),
        ("silent = \"5min\"\nshows = { speed = \"speed\" }", "silent: expected no `shows` beside it"),
        ("silent = \"59s\"", "and at least 1min"),
        ("silent = \"long\"", "got `long`, and at least 1min"),
    ] {
        let read = read("van.toml", &rule_text("lost", "speed > 0", more)).unwrap();
        let mistake = read[0].as_ref().unwrap_err().to_string();
        assert!(mistake.starts_with("van.toml:11: rule lost: silent: ") && mistake.ends_with(problem), "{mistake}");
    }
}

#[test]
fn however_rows_are_handed_over_the_events_are_the_same() {
    let rules = rule_text("fast", "mean_over(speed, \"30s\") > 60 && rate(speed) > 0", "on_delay = \"2s\"")
        + &rule_text("often", "times_over(speed > 90, \"1min\") >= 3", "off_delay = \"10s\"")
        + &rule_text("before", "previous(speed) > 95", "");
    // Batches of up to nine rows, in which some come late.
    let said: Vec<Said> = (0..600_i64)
        .map(|row| Said(1 + (row % 3) as u32, row / 3 - (row % 17) / 16 * 5, Some((row * 7_919) % 1_000), Vec::new()))
        .collect();
    let mut batches: Vec<&[Said]> = Vec::new();
    let mut rest = said.as_slice();
    while !rest.is_empty() {
        let (batch, others) = rest.split_at((batches.len() * 5 % 9 + 1).min(rest.len()));
        batches.push(batch);
        rest = others;
    }
    let mut engine = Engine::new(self::rules(&rules));
    let live: Vec<String> =
        batches.iter().flat_map(|said| engine.take(&frames(said))).map(|event| told(&event)).collect();
    assert!(live.len() > 30 && engine.late() > 5, "{} {}", live.len(), engine.late());
    // All at once, vehicle by vehicle, in the order of time, as a store has them.
    let received = batches.iter().enumerate().flat_map(|(number, said)| vec![second(number as i64); said.len()]);
    let mut kept: Vec<(Said, Timestamp)> = said.iter().cloned().zip(received).collect();
    kept.sort_by_key(|(said, _)| (said.0, said.1));
    let mut engine = Engine::new(self::rules(&rules));
    let mut replayed = Vec::new();
    for vehicle in kept.chunk_by(|(one, _), (other, _)| one.0 == other.0) {
        let (said, received): (Vec<Said>, Vec<Timestamp>) = vehicle.iter().cloned().unzip();
        let batch = frames(&said);
        replayed.extend(engine.replay(&batch.profile, &batch.rows, &received).iter().map(told));
    }
    let sorted = |mut events: Vec<String>| {
        events.sort();
        events
    };
    assert_eq!(sorted(replayed), sorted(live.clone()));
    // With a restart after each batch.
    let mut state = State::default();
    let mut restarted = Vec::new();
    for batch in &batches {
        let mut engine = Engine::new(self::rules(&rules));
        engine.go_on(written_and_read(&state));
        assert_eq!(engine.state(), state, "it is there before it is needed");
        restarted.extend(engine.take(&frames(batch)).iter().map(told));
        state = engine.state();
    }
    assert_eq!(restarted, live);
}

fn written_and_read(state: &State) -> State {
    postcard::from_bytes(&postcard::to_allocvec(state).unwrap()).unwrap()
}

#[test]
fn another_rule_knows_nothing_and_steps_that_stay_are_remembered() {
    let fast = rule_text("fast", "speed > 90", "");
    let mut engine = Engine::new(rules(&(fast.clone() + &rule_text("long", "lasts(speed > 80) > 60", ""))));
    assert_eq!(engine.take(&frames(&[speed(0, 950)])).len(), 1);
    let mut other = Engine::new(rules(
        &(rule_text("longer", "lasts(speed > 80) >= 20", "") + &fast.replace("version = 1", "version = 2")),
    ));
    other.go_on(written_and_read(&engine.state()));
    let events = other.take(&frames(&[speed(20, 950), speed(25, 0)]));
    assert_eq!(
        events.iter().map(told).collect::<Vec<_>>(),
        ["+longer vehicle/V1 20", "+fast vehicle/V1 20", "-longer vehicle/V1 25", "-fast vehicle/V1 25"]
    );
    assert!(events.iter().all(|event| event.raised == second(20)));
}

#[test]
fn of_changes_what_was_said_last_counts() {
    let profile = van(Shape::Changes);
    let mut changes = Changes::default();
    let asset = changes.intern(&"vehicle/V1".parse().unwrap());
    let mut say = |seconds: i64, signal: u16, value: Value| {
        let quality = if value == Value::Absent { Quality::Unavailable } else { Quality::Good };
        let time = second(seconds);
        changes.push(asset, Observation { signal, time, sequence: 0, quality, value, statistic: None });
    };
    say(0, 0, Value::Integer(950));
    say(1, 5, Value::Text("DRIVE".into()));
    say(5, 1, Value::Integer(900));
    say(9, 5, Value::Text("PARK".into()));
    say(9, 0, Value::Integer(10));
    say(12, 5, Value::Text("DRIVE".into()));
    say(13, 0, Value::Integer(960));
    say(14, 0, Value::Absent);
    say(15, 5, Value::Text("PARK".into()));
    let batch = Batch::changes(Arc::clone(&profile), second(100), changes);
    let mut engine = Engine::new(rules(&rule_text("fast", "mode == \"DRIVE\" && speed > 90", "")));
    let events: Vec<String> = engine.take(&batch).iter().map(told).collect();
    assert_eq!(events, ["+fast vehicle/V1 1", "-fast vehicle/V1 9", "+fast vehicle/V1 13", "-fast vehicle/V1 15"]);
    // What was said last is known after a restart.
    let mut changes = Changes::default();
    let asset = changes.intern(&"vehicle/V1".parse().unwrap());
    let value = Value::Integer(990);
    let (time, quality) = (second(16), Quality::Good);
    changes.push(asset, Observation { signal: 0, time, sequence: 0, quality, value, statistic: None });
    let mut again = Engine::new(rules(&rule_text("parked", "mode == \"PARK\" && speed > 90", "")));
    again.go_on(written_and_read(&engine.state()));
    let events: Vec<String> = again.take(&Batch::changes(profile, second(101), changes)).iter().map(told).collect();
    assert_eq!(events, ["+parked vehicle/V1 16"]);
}

#[test]
fn rules_that_make_no_sense_are_refused_with_file_line_and_reason() {
    for (when, expected) in [
        ("speed > engine_speed", "at `speed > engine_speed`: /min and km/h measure different things"),
        ("speed > unit(5, \"/min\")", "measure different things"),
        ("sped > 5", "at `sped`: the profile van has no signal `sped`; is it `speed`?"),
        ("speed", "when: expected a condition, got a number"),
        ("speed / 0 > 1", "at `speed / 0`: this divides by zero"),
        ("mean_over(speed, \"forever\") > 1", "mean_over: expected a stretch of time of at most 31 days"),
        ("mean_over(speed, \"2000d\") > 1", "at most 31 days"),
        ("mode > 5", "at `mode`: expected a number, got words: compare them with one"),
        ("cells > 5", "expected a number, got a list: use min"),
        ("argmin(speed) == 1", "argmin: expected a list, got a number"),
        ("max(cells - soc) > 1", "V and % measure different things"),
        ("mean_during(speed, soc) > 1", "at `soc`: expected a condition, got a number"),
        ("mean_during(speed, soc > 1, 9) > 1", "how many times before the last one, from 0 to 7"),
        ("max(correlation_over(cells, speed, \"99d\")) > 1", "correlation_over: expected a stretch of time"),
        ("the(\"test:none\") > 1", "the profile van has no signal that means `test:none` of `*`"),
        ("to(speed, \"V\") > 1", "to: km/h and V measure different things"),
        ("usual(speed, [cells]) > 1", "expected a number or words"),
        ("[speed, mode] > 1", "expected a number, got several things in brackets"),
        ("usual(speed, [mode], soc) > 1", "expected a condition, got a number"),
        ("max(speed, soc) > 1", "km/h and % measure different things"),
        ("inside + outside > 5", "of two temperatures only the difference makes sense"),
        ("inside - outside > inside", "measure different things"),
        ("speed > 5 &&", "column "),
        ("foo(speed) > 1", "`foo` of 1 is not known"),
        ("speed > \"fast\"", "a text can only be compared"),
        ("[1, 2].exists(x, x > 1)", "have no meaning here"),
        ("bit(soc, 99)", "bit: expected its number from 0 to 52"),
        ("speed > unit(1, \"parsec\")", "`parsec` is no unit"),
    ] {
        let errors = check(&rules(&rule_text("wrong", when, "")), &van(Shape::Frames));
        let [error] = &errors[..] else { panic!("{when}: {errors:?}") };
        let error = error.to_string();
        assert!(error.starts_with("van.toml:10: rule wrong: when: ") && error.contains(expected), "{when}: {error}");
    }
    for (lets, expected) in [
        ("a = \"b\", b = \"a\"", "let: at `b`: let: at `a`: let: `a` stands for itself"),
        ("a = \"speed +\"", "at `a`: let: column "),
        ("a = \"a\"", "`a` stands for itself"),
    ] {
        let errors = check(&rules(&rule_text("wrong", "a > 1", &format!("let = {{ {lets} }}"))), &van(Shape::Frames));
        assert!(errors.len() == 1 && errors[0].to_string().contains(expected), "{lets}: {errors:?}");
    }
    let refused = |when: &str| check(&rules(&rule_text("deep", when, "")), &van(Shape::Frames)).len();
    assert_eq!(refused(&format!("{}speed{} > 1", "(".repeat(16), ")".repeat(16))), 0);
    assert_eq!(refused(&format!("{}speed{} > 1", "(".repeat(17), ")".repeat(17))), 1);
    assert_eq!(refused(&format!("speed{} > 1", "+1".repeat(500))), 0);
    assert_eq!(refused(&format!("{}speed > 1", "!(speed > 1) || ".repeat(60))), 0);
    assert_eq!(refused(&format!("{}(speed > 1)", "!".repeat(900))), 0);
    assert_eq!(refused(&format!("0 < {}", "speed > 1 ? 1 : ".repeat(40) + "1")), 1);
    assert_eq!(refused(&format!("speed{} > 1", "+1".repeat(2_000))), 1);
}

#[test]
fn a_profile_that_gets_a_signal_keeps_what_was_known_and_lets_more_rules_run() {
    let text = rule_text("humid", "humidity > 80 && rate(humidity) >= 0", "")
        + &rule_text("long", "lasts(speed > 90) >= 20", "")
        + &rule_text("fast", "speed > 90", "");
    let mut engine = Engine::new(rules(&text));
    let before = engine.take(&frames(&[speed(0, 950), speed(10, 950)]));
    assert_eq!(before.iter().map(told).collect::<Vec<_>>(), ["+fast vehicle/V1 0"]);
    assert_eq!(engine.problems().len(), 1);
    let Batch { profile, received, rows } = frames(&[speed(20, 950), speed(30, 0)]);
    let mut signals = profile.signals().to_vec();
    signals.push(Signal::new("humidity", "test:humidity", ValueKind::Integer).with_unit("%"));
    let wider = Arc::new(Profile::new("van", Shape::Frames, signals).unwrap());
    let Rows::Frames(mut frames) = rows else { panic!("frames") };
    frames.columns.push(Column::Integers(vec![Some(70), Some(90)]));
    let after = engine.take(&Batch::frames(wider, received, frames));
    // It has lasted since before the signal came, and what was raised then returns.
    let expected = ["+long vehicle/V1 20", "+humid vehicle/V1 30", "-long vehicle/V1 30", "-fast vehicle/V1 30"];
    assert_eq!(after.iter().map(told).collect::<Vec<_>>(), expected);
    assert_eq!(engine.problems(), []);
}

#[test]
fn a_mistake_in_the_form_of_one_rule_leaves_the_others() {
    let text =
        rule_text("one", "speed > 1", "") + &rule_text("two", "speed > 1", "latched = 7") + &rule_text("three", "", "");
    let read = read("van.toml", &text).unwrap();
    let told: Vec<String> =
        read.iter().map(|rule| rule.as_ref().map_or_else(ToString::to_string, |rule| rule.id.clone())).collect();
    assert_eq!(told, ["one", "van.toml:22: invalid type: integer `7`, expected a boolean", "three"]);
    let places: Vec<usize> = read.iter().flatten().map(|rule| rule.place.line).collect();
    assert_eq!(places, [1, 23]);
    assert!(super::read("van.toml", "rule = 5").is_err() && super::read("van.toml", &(text + "[other]\n")).is_ok());
    assert!(super::read("van.toml", &("x = 1\n".to_owned() + &rule_text("one", "speed > 1", ""))).is_err());
}

#[test]
fn conditions_of_sources_are_raised_by_code_and_return() {
    let signal = Signal::new("spindle_load", "mtconnect:LOAD", ValueKind::Condition);
    let profile = Arc::new(Profile::new("lathe", Shape::Changes, vec![signal]).unwrap());
    let said = |all: &[(i64, ConditionLevel, &str)]| {
        let mut changes = Changes::default();
        let asset = changes.intern(&"machine/M1".parse().unwrap());
        for (seconds, level, code) in all {
            let native_code = Some(*code).filter(|code| !code.is_empty()).map(Into::into);
            let message = Some(format!("spindle {code}").into());
            let value =
                Value::Condition(Box::new(Condition { level: *level, native_code, message, ..Condition::default() }));
            let (time, quality) = (second(*seconds), Quality::Good);
            changes.push(asset, Observation { signal: 0, time, sequence: 0, quality, value, statistic: None });
        }
        Batch::changes(Arc::clone(&profile), second(100), changes)
    };
    let told = |events: &[Event]| -> Vec<String> {
        let told = |event: &Event| {
            let word = if event.what == What::Raised { event.rule.priority.as_str() } else { "-" };
            format!("{word} {} {}/{}", event.rule.id, event.raised.millis() / 1_000, event.time.millis() / 1_000)
        };
        events.iter().map(told).collect()
    };
    use ConditionLevel::{Fault, Normal, Unavailable, Warning};
    assert_eq!(Engine::default().take(&said(&[(0, Fault, "1")])), []);
    let mut engine = Engine::default().with_natives();
    let first = engine.take(&said(&[
        (0, Normal, ""),
        (1, Warning, "101"),
        (2, Warning, "101"),
        (3, Fault, "101"),
        (4, Fault, "7"),
    ]));
    assert_eq!(
        told(&first),
        [
            "medium condition:spindle_load:101 1/1",
            "high condition:spindle_load:101 3/3",
            "high condition:spindle_load:7 4/4"
        ]
    );
    assert_eq!(
        (first[0].rule.title.en.as_str(), first[0].rule.explanation.zh.as_str()),
        ("spindle 101", "spindle_load · 101")
    );
    let mut again = Engine::default().with_natives();
    again.go_on(written_and_read(&engine.state()));
    assert_eq!(again.active().len(), 2);
    // What is older says nothing of now, and what is not known ends nothing.
    let more = said(&[(2, Normal, ""), (5, Unavailable, ""), (6, Normal, "7"), (7, Warning, ""), (8, Normal, "")]);
    let received = [200, 201, 202, 203, 204].map(second);
    let rest = again.replay(&profile, &more.rows, &received);
    assert_eq!(
        told(&rest),
        [
            "- condition:spindle_load:7 4/6",
            "medium condition:spindle_load 7/7",
            "- condition:spindle_load 7/8",
            "- condition:spindle_load:101 3/8"
        ]
    );
    assert_eq!(again.active(), []);
}

#[test]
fn a_cell_that_falls_behind_its_neighbours_is_found_from_one_charge_to_the_next() {
    let away = "cells - median(cells)";
    let charging = "speed == 0";
    let lost = format!("mean_during({away}, {charging}, 1, 3) - mean_during({away}, {charging}, 0, 3)");
    let when = "most > unit(3, \"mV\") && most > 5 * abs(second_max(lost))";
    let more = format!(
        "let = {{ lost = \"{lost}\", most = \"max(lost)\" }}\n\
         shows = {{ cell = \"argmax(lost)\", lost = \"most\", others = \"second_max(lost)\", \
         here = \"at(cells, argmax(lost))\" }}"
    );
    let charge = |from: i64, cells: [i64; 5]| (from..from + 4).map(move |at| Said(1, at, Some(0), cells.to_vec()));
    let drive = |at: i64| [Said(1, at, Some(500), vec![3_500; 5])];
    let mut said: Vec<Said> = Vec::new();
    said.extend(charge(0, [3_700, 3_701, 3_700, 3_699, 3_702]));
    said.extend(drive(10));
    said.extend(charge(20, [3_750, 3_751, 3_750, 3_749, 3_752]));
    said.extend(drive(30));
    said.extend(charge(40, [3_720, 3_721, 3_720, 3_712, 3_722]));
    said.extend(drive(50));
    said.extend(charge(60, [3_720, 3_721, 3_720, 3_712, 3_722]));
    said.extend(drive(70));
    let rules = rule_text("falls", when, &more);
    let expected = [
        "+falls vehicle/V1 50 cell=4.0001 here=3.500V lost=0.007V others=0.000V",
        "-falls vehicle/V1 70 cell=1.0001 here=3.500V lost=0.000V others=0.000V",
    ];
    assert_eq!(events(&rules, &said), expected);
    // It is the same row by row, with all that is known written and read in between.
    let mut found = Vec::new();
    let mut engine = Engine::new(self::rules(&rules));
    for row in &said {
        found.extend(engine.take(&frames(slice::from_ref(row))).iter().map(told));
        let state = written_and_read(&engine.state());
        engine = Engine::new(self::rules(&rules));
        engine.go_on(state);
    }
    assert_eq!(found, expected);
}

#[test]
fn what_is_unusual_under_its_circumstances_is_found() {
    let more = "let = { load = \"the('test:speed')\", now = \"so_far(load, here)\", known = \"usual(load, here)\", \
                count = \"usual_count(load, here)\", here = \"[mode, floor(at(cells, 1) * 1000)]\" }\n\
                shows = { now = \"now\", known = \"known\" }"
        .replace("'test:speed'", "\\\"test:speed\\\"");
    let rules = rule_text("light", "count >= 3 && now < known * 0.5", &more);
    // Two operations, again and again; the fifth time, nothing is cut in the second one.
    let part = |part: i64, second: i64| {
        (0..20).map(move |at| {
            let operation = at / 10;
            let load = if operation == 0 { 200 } else { second };
            Said(1, part * 100 + at, Some(load), vec![operation])
        })
    };
    let said: Vec<Said> =
        [800, 790, 810, 800, 100, 800].into_iter().zip(0..).flat_map(|(load, number)| part(number, load)).collect();
    let expected =
        ["+light vehicle/V1 411 known=80.000km/h now=10.000km/h", "-light vehicle/V1 500 known=20.000km/h now=NaNkm/h"];
    assert_eq!(events(&rules, &said)[..1], expected[..1]);
    let mut found = Vec::new();
    let mut engine = Engine::new(self::rules(&rules));
    for row in &said {
        found.extend(engine.take(&frames(slice::from_ref(row))).iter().map(told));
        let state = written_and_read(&engine.state());
        engine = Engine::new(self::rules(&rules));
        engine.go_on(state);
    }
    assert_eq!(found, events(&rules, &said));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn rules_about_some_assets_look_at_these_alone() {
    let about = |id: &str, assets: &str, when: &str| rule_text(id, when, &format!("assets = \"{assets}\""));
    let text = about("all", "*", "speed > 90")
        + &about("one", "vehicle/V2", "speed > 50 && spread(cells) > unit(1, \"mV\")")
        + &about("none", "vehicle/W*", "speed > 50")
        + &about("some", "*V3", "change_over(speed, \"10s\") > 20");
    let vans = [1, 2, 3].map(|van| {
        [(0, 300), (1, 950), (2, 600)].map(|(second, speed)| Said(van, second, Some(speed), vec![3_600, 3_602]))
    });
    let mut said: Vec<Said> = vans.into_iter().flatten().collect();
    said.sort_by_key(|said| said.1);
    let expected = [
        "+all vehicle/V1 1",
        "+all vehicle/V2 1",
        "+one vehicle/V2 1",
        "+all vehicle/V3 1",
        "+some vehicle/V3 1",
        "-all vehicle/V1 2",
        "-all vehicle/V2 2",
        "-all vehicle/V3 2",
    ];
    assert_eq!(events(&text, &said), expected);
    for shape in [Shape::Frames, Shape::Changes] {
        // Row by row, and with what is known written and read, it is the same.
        let mut engine = Engine::new(rules(&text));
        let mut found = Vec::new();
        for row in &said {
            let batch =
                if shape == Shape::Frames { frames(slice::from_ref(row)) } else { changes(slice::from_ref(row)) };
            found.extend(engine.take(&batch).iter().map(told));
            let state = written_and_read(&engine.state());
            engine = Engine::new(rules(&text));
            engine.go_on(state);
        }
        found.sort();
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(found, expected, "{shape:?}");
    }
}

#[test]
fn a_van_is_compared_with_the_others() {
    let rules = rule_text("slow", "median(siblings(speed)) - speed > 30", "assets = \"vehicle/V*\"");
    let mut said: Vec<Said> = Vec::new();
    for second in 0..4 {
        said.extend(
            [1, 2, 3].map(|van| Said(van, second, Some(if van == 2 && second > 1 { 400 } else { 800 }), vec![])),
        );
    }
    assert_eq!(events(&rules, &said), ["+slow vehicle/V2 2"]);
    said.reverse();
    assert_eq!(events(&rules, &said), ["+slow vehicle/V2 2"], "in whatever order they stand in a batch");
}

#[test]
fn siblings_are_those_that_a_rule_is_about_also_after_a_restart() {
    let about = |id: &str, assets: &str| {
        rule_text(id, "median(siblings(speed)) - speed > 30", &format!("assets = \"{assets}\""))
    };
    let text = about("line", "vehicle/V*") + &about("all", "*");
    let said = |second: i64| [1, 2].map(|van| Said(van, second, Some(if van == 2 { 400 } else { 800 }), vec![]));
    let mut whole = Engine::new(rules(&text));
    let mut batch = frames(&[1, 2].map(|van| Said(van, 0, Some(400), vec![])));
    let Rows::Frames(rows) = &mut batch.rows else { panic!("frames") };
    // A van of another line, as slow as the one that is to be found.
    rows.assets[0] = "vehicle/W1".parse().unwrap();
    whole.take(&batch);
    let mut again = Engine::new(rules(&text));
    again.go_on(written_and_read(&whole.state()));
    let found: Vec<String> = again.take(&frames(&said(1))).iter().map(told).collect();
    assert_eq!(found, ["+line vehicle/V2 1"]);
    assert_eq!(whole.take(&frames(&said(1))).iter().map(told).collect::<Vec<_>>(), found);
}

#[test]
fn a_case_holds_or_tells_what_is_found_instead() {
    let rule = &rules(&rule_text(
        "fast",
        "speed > 90 && max(cells) > unit(3610, \"mV\") && mode == \"DRIVE\"",
        "on_delay = \"20s\"\nshows = { now = \"speed\" }\nexplanation = { zh = \"{now}\", en = \"at {now}\" }",
    ))[0];
    let text = "[[case]]\ntitle = 'a car that drives'\nrule = 'fast'\nexpect = ['raised 60s', 'returned 2min']\n\
                says = 'at 95 km/h'\nrows = '''\nspeed cells mode\n0s..30s/10s 80 3.6*3,3.65 DRIVE\n\
                40s..1min/10s 95 3.6*3,3.65 DRIVE\n70s 95 - -\n2min - 3.6 DRIVE\n'''\n";
    for shape in [Shape::Frames, Shape::Changes] {
        let hold =
            |text: &str| read_cases("van.cases.toml", text).and_then(|read| read.cases[0].hold(rule, &van(shape)));
        assert_eq!(hold(text), Ok(()), "{shape:?}");
        for (from, to, expected) in [
            (
                "2min']",
                "1min']",
                "expected [\"raised 60s\", \"returned 60s\"], found [\"raised 60s\", \"returned 120s\"]",
            ),
            ("at 95 km/h", "at 96 km/h", "expected it to say \"at 96 km/h\", it says \"at 95 km/h\""),
            ("speed cells", "sped cells", "rows: the profile van has no signal `sped`"),
            ("70s 95 - -", "70s 95", "van.cases.toml:10: rule fast: rows: expected a time and 3 values, got 1"),
            ("70s 95", "50s 95", "expected times that rise"),
            ("70s 95", "70 95", "expected `90s` or"),
            ("70s 95", "70s fast", "speed: expected a number or `-`, got `fast`"),
            ("raised 60s", "raised", "expected such as \"raised 90s\", got `raised`"),
            ("title", "headline", "unknown field `headline`"),
        ] {
            assert!(text.contains(from), "{from}");
            let error = hold(&text.replace(from, to)).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}

#[test]
fn a_rule_about_any_profile_is_about_those_that_have_its_signals() {
    let rule =
        |when: &str| rules(&rule_text("any", when, "").replace("profile = \"van\"", "profile = \"v*\"")).remove(0);
    let profile = van(Shape::Frames);
    assert_eq!(fits(&rule("speed > 1"), &profile), Ok(true));
    assert_eq!(fits(&rule("load > 1"), &profile), Ok(false));
    assert!(fits(&rule("speed > soc"), &profile).unwrap_err().to_string().contains("measure different things"));
    let mut engine = Engine::new([rule("the(\"test:speed\") > 90"), rule("load > 1")]);
    assert!(engine.watches(&profile));
    assert_eq!(engine.take(&frames(&[speed(1, 901)])).len(), 1);
    assert_eq!(engine.problems(), []);
    // A profile without its signals costs nothing, until it gets them.
    let mut engine = Engine::new([rule("load > 1")]);
    assert!(!engine.watches(&profile));
    assert_eq!(engine.take(&frames(&[speed(1, 901)])), []);
    let load = Signal::new("load", "test:load", ValueKind::Integer);
    let more: Vec<Signal> = profile.signals().iter().cloned().chain([load]).collect();
    assert!(engine.watches(&Arc::new(Profile::new("van", Shape::Frames, more).unwrap())));
}

#[test]
fn an_alarm_is_suppressed_by_design_while_its_rule_says_so() {
    let rules = rule_text("fast", "speed > 90", "suppressed_when = \"speed > 120\"");
    let said = [(0, 950), (1, 1_250), (2, 1_260), (3, 950), (4, 800), (5, 1_300), (6, 0)];
    let said = said.map(|(second, value)| speed(second, value));
    let expected = [
        "+fast vehicle/V1 0",
        "(fast vehicle/V1 1",
        ")fast vehicle/V1 3",
        "-fast vehicle/V1 4",
        "+fast vehicle/V1 5",
        "(fast vehicle/V1 5",
        "-fast vehicle/V1 6",
    ];
    assert_eq!(events(&rules, &said), expected);
}

#[test]
fn an_element_that_goes_its_own_way_is_found() {
    let rules = rule_text("loose", "min(correlation_over(cells, median(cells), \"60s\")) < 0.5", "");
    let said: Vec<Said> = (0..200)
        .map(|at: i64| {
            let all = 3_600 + (at * 7 % 40);
            let loose = if at < 120 { all } else { 3_600 + (at * 13 % 31) };
            Said(1, at, Some(100), vec![all, all + 1, loose, all])
        })
        .collect();
    let found = events(&rules, &said);
    assert!(found.first().is_some_and(|first| first == "+loose vehicle/V1 166"), "{found:?}");
}

#[test]
fn a_rule_that_cannot_run_is_told_and_the_others_go_on() {
    let mut engine =
        Engine::new(rules(&(rule_text("wrong", "nothing > 1", "") + &rule_text("fast", "speed > 90", ""))));
    assert_eq!(engine.take(&frames(&[speed(0, 950)])).len(), 1);
    assert_eq!(engine.problems().len(), 1);
    assert!(engine.problems()[0].to_string().contains("has no signal `nothing`"));
}
