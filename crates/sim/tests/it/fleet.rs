//! The fleet as a platform sees it: determinism, balances of charge, bounds of the standard, faults that show, and networks
//! over which nothing is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use gbt32960::{
    BlockContent, Command, Content, Edition, Encryption, Group, Header, Node, Number, Response, Standard, Unit, What,
    from_wire,
};
use model::Timestamp;
use sim::fleet::{
    ConnectOptions, Counters, Fault, Fleet, FleetOptions, NetworkOptions, Parked, Patience, Replies, Report, Said,
    Vehicle, VehicleKind, connect,
};
use tokio_util::sync::CancellationToken;

use crate::platform::{Conduct, Platform};

/// Midnight in China, a Thursday.
const MIDNIGHT: &str = "2026-11-25T16:00:00Z";

fn begin() -> Timestamp {
    MIDNIGHT.parse().unwrap()
}

fn options(count: u32) -> FleetOptions {
    FleetOptions::new(7, count, begin())
}

fn fleet(options: &FleetOptions) -> Vec<Vehicle> {
    Fleet::new(options).unwrap().into_vehicles()
}

fn after(secs: i64) -> Timestamp {
    begin().plus_nanos(secs * 1_000_000_000)
}

fn said(vehicle: &mut Vehicle, secs: i64) -> Vec<Said> {
    let mut said = Vec::new();
    vehicle.advance(after(secs), &mut said);
    said
}

fn reports(vehicle: &mut Vehicle, secs: i64) -> Vec<Report> {
    reports_to(vehicle, after(secs))
}

fn reports_to(vehicle: &mut Vehicle, to: Timestamp) -> Vec<Report> {
    let mut said = Vec::new();
    vehicle.advance(to, &mut said);
    let reports = said.into_iter().filter_map(|said| match said {
        Said::Report(report) => Some(report),
        Said::Wakes(_) | Said::Sleeps(_) => None,
    });
    reports.collect()
}

fn fault(text: &str) -> Fault {
    text.parse().unwrap()
}

/// The physical values of a report, by field; each is checked against the bounds of the standard.
type Values = BTreeMap<String, Vec<f64>>;

struct Reader {
    standard: Arc<Standard>,
    /// What is outside of what the standard allows, or no number.
    bad: BTreeSet<String>,
}

impl Reader {
    fn new() -> Self {
        Self { standard: Arc::new(Standard::built_in()), bad: BTreeSet::new() }
    }

    /// Reads a report, strictly: the bytes that come out of it again are the same.
    fn read(&mut self, vehicle: &Vehicle, report: &Report) -> (i64, Values) {
        let (edition, command) = (vehicle.edition(), report.command);
        let (response, encryption) = (Response::COMMAND, Encryption::NONE);
        let header = Header { edition, command, response, vin: vehicle.vin(), encryption };
        let standard = Arc::clone(&self.standard);
        let layout = standard.layout(edition);
        let unit = Unit::parse(layout, &header, &report.data).unwrap_or_else(|error| panic!("{edition:?}: {error}"));
        assert_eq!(unit.content.write(layout, command).as_ref(), Ok(&report.data));
        let Content::Report { time, blocks } = unit.content else { panic!("no report") };
        let mut values = Values::new();
        for block in blocks {
            let known = layout.block(block.kind).expect("only blocks that the edition knows");
            let BlockContent::Fields(nodes) = &block.content else { panic!("only blocks with fields") };
            self.collect(&known.id, &known.group, nodes, &mut values);
        }
        let secs = (from_wire(time).unwrap().millis() - begin().millis()) / 1_000;
        (secs, values)
    }

    /// Reads reports; where cells take several of the same time, these become one.
    fn read_whole(&mut self, vehicle: &Vehicle, reports: &[Report]) -> Vec<(i64, Values)> {
        let mut whole: Vec<(i64, Values)> = Vec::new();
        for report in reports {
            let (secs, values) = self.read(vehicle, report);
            if values.contains_key("vehicle.voltage") {
                whole.push((secs, values));
                continue;
            }
            let (before, known) = whole.last_mut().expect("the vehicle's data come first");
            assert_eq!((*before, one(&values, FIRST) as usize), (secs, known[CELLS].len() + 1));
            assert_eq!(values.len(), known.keys().filter(|field| field.starts_with("cell_voltages.")).count());
            known.get_mut(CELLS).unwrap().extend(&values[CELLS]);
        }
        whole
    }

    fn collect(&mut self, place: &str, group: &Group, nodes: &[Node], values: &mut Values) {
        for (field, node) in group.fields.iter().zip(nodes) {
            let place = format!("{place}.{}", field.id);
            match (&field.what, node) {
                (What::Number(number), Node::Number(raw)) => self.take(&place, number, &[*raw], values),
                (What::Array(_, each, _), Node::Array(_, raw)) => self.take(&place, each, raw, values),
                (What::List(_, group), Node::List(_, items)) => {
                    items.iter().for_each(|item| self.collect(&place, group, item, values));
                }
                _ => panic!("a vehicle reports numbers only"),
            }
        }
    }

    fn take(&mut self, place: &str, number: &Number, raw: &[u64], values: &mut Values) {
        for raw in raw {
            let is_named = number.values.is_empty() || number.values.contains_key(&(raw & number.value_mask));
            let is_number = number.quality(*raw) == model::Quality::Good;
            if !is_named || !is_number || !number.is_in_range(*raw) {
                self.bad.insert(format!("{place} = {raw}"));
            }
            values.entry(place.to_owned()).or_default().push(number.physical(*raw, false));
        }
    }
}

fn one(values: &Values, place: &str) -> f64 {
    values[place][0]
}

const FIRST: &str = "cell_voltages.packs.first";
const CELLS: &str = "cell_voltages.packs.voltages";
const PROBES: &str = "cell_temperatures.packs.temperatures";

fn least(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::INFINITY, f64::min)
}

fn most(values: &[f64]) -> f64 {
    values.iter().copied().fold(f64::NEG_INFINITY, f64::max)
}

#[test]
fn the_same_seed_gives_the_same_reports_however_time_is_cut() {
    let mut options = options(8);
    options.parked = Parked::LogsOut;
    options.faults = vec![fault("short@4@+600:200"), fault("freeze@2@+900:3"), fault("insulation@8@+100:9")];
    let (from, to) = (7 * 3_600, 9 * 3_600);
    for place in 0..8 {
        let mut at_once = fleet(&options).remove(place);
        at_once.advance(after(from), &mut Vec::new());
        let at_once = said(&mut at_once, to);
        let mut vehicle = fleet(&options).remove(place);
        vehicle.advance(after(from), &mut Vec::new());
        let mut in_pieces = Vec::new();
        let mut piece_ms = 1;
        while vehicle.now() < after(to) {
            let at = vehicle.now().plus_nanos((piece_ms + 1_000) * 1_000_000);
            vehicle.advance(at.min(after(to)), &mut in_pieces);
            piece_ms = piece_ms * 7 % 61_003 + 1;
        }
        assert!(at_once == in_pieces, "vehicle {}", place + 1);
        let mut other = fleet(&FleetOptions { seed: 8, ..options.clone() }).remove(place);
        assert!(at_once != said(&mut other, to), "another seed is another fleet");
    }
}

#[test]
fn a_day_of_every_kind_keeps_within_the_bounds_of_the_standard() {
    for (season, midnight) in [("winter", "2026-01-19T16:00:00Z"), ("summer", "2026-07-19T16:00:00Z")] {
        let mut reader = Reader::new();
        let mut kinds = BTreeSet::new();
        let from: Timestamp = midnight.parse().unwrap();
        let options = FleetOptions { from, report_secs: 300, ..options(20) };
        for vehicle in &mut fleet(&options) {
            kinds.insert((format!("{:?}", vehicle.kind()), vehicle.edition()));
            let reports = reports_to(vehicle, from.plus_nanos(86_400_000_000_000));
            let mut levels = 0.0_f64;
            for (_, values) in reader.read_whole(vehicle, &reports) {
                levels = levels.max(one(&values, "alarm.level"));
                check_plausible(vehicle.kind(), &values);
            }
            assert!(levels < 3.0, "{season}: nobody has to stop at once when nothing goes wrong");
        }
        assert_eq!(kinds.len(), 8, "four kinds in two editions");
        assert_eq!(reader.bad, BTreeSet::new(), "{season}");
    }
}

/// What an engineer would look at first.
fn check_plausible(kind: VehicleKind, values: &Values) {
    let (volts, cells, probes) = (one(values, "vehicle.voltage"), &values[CELLS], &values[PROBES]);
    assert_eq!(cells.len() > 200, kind == VehicleKind::Truck, "a truck has more cells than a report of 2016 can tell");
    assert!((96..=216).contains(&cells.len()) && (24..=36).contains(&probes.len()));
    assert!((cells.iter().sum::<f64>() - volts).abs() < 0.3, "the cells add up to the pack");
    assert!(most(cells) - least(cells) < 0.2 && least(cells) > 2.5 && most(cells) < 4.25, "{cells:?}");
    assert!(least(probes) > -25.0 && most(probes) < 50.0 && most(probes) - least(probes) < 12.0, "{probes:?}");
    let (speed, amps) = (one(values, "vehicle.speed"), one(values, "vehicle.current"));
    assert!(speed < 130.0);
    let charging = one(values, "vehicle.charging") == 1.0;
    assert!(!charging || (speed == 0.0 && amps <= 0.0), "charging is negative");
    assert!(amps.abs() < if matches!(kind, VehicleKind::Bus | VehicleKind::Truck) { 900.0 } else { 400.0 });
    if let Some(highest) = values.get("extreme.voltage_max") {
        assert_eq!(highest[0], most(cells));
        let place = one(values, "extreme.voltage_min_cell") as usize - 1;
        assert_eq!(cells[place], least(cells));
        assert_eq!(one(values, "extreme.temperature_min"), least(probes));
    }
    let (longitude, latitude) = (one(values, "position.longitude"), one(values, "position.latitude"));
    assert!((103.0..122.5).contains(&longitude) && (22.0..41.0).contains(&latitude));
    if let Some(system) = values.get("position.coordinate_system") {
        assert_eq!(system[0], 1.0, "WGS-84");
    }
}

#[test]
fn what_flows_out_is_missing_in_the_pack() {
    let mut reader = Reader::new();
    let options = FleetOptions { report_secs: 1, ..options(5) };
    let mut fleet = fleet(&options);
    for number in [1, 2, 3, 5] {
        let vehicle = &mut fleet[number - 1];
        vehicle.advance(after(6 * 3_600), &mut Vec::new());
        let capacity = vehicle.amp_hours();
        let (mut first, mut amp_hours, mut way, mut seen) = (None, 0.0, 0.0, 0.0_f64);
        let reports = reports(vehicle, 10 * 3_600);
        for (_, values) in reader.read_whole(vehicle, &reports) {
            let (soc, amps) = (one(&values, "vehicle.soc"), one(&values, "vehicle.current"));
            let odometer = one(&values, "vehicle.odometer");
            let (first_soc, first_odometer) = *first.get_or_insert((soc, odometer));
            amp_hours += amps / 3_600.0;
            way += one(&values, "vehicle.speed") / 3_600.0;
            let error = (first_soc - soc) - 100.0 * amp_hours / capacity;
            assert!(error.abs() < 2.0, "{:?}: {error} % between current and SOC", vehicle.kind());
            assert!((odometer - first_odometer - way).abs() < 0.3 + 0.03 * way, "{:?}", vehicle.kind());
            seen = seen.max((first_soc - soc).abs());
        }
        assert!(seen > 2.0 && way > 3.0, "{:?} has done something: {seen} %, {way} km", vehicle.kind());
    }
}

#[test]
fn charging_is_constant_current_and_then_constant_voltage() {
    let mut reader = Reader::new();
    let options = FleetOptions { report_secs: 10, ..options(2) };
    let taxi = &mut fleet(&options)[1];
    assert_eq!(taxi.kind(), VehicleKind::Taxi);
    let night: Vec<_> = reports(taxi, 5 * 3_600).iter().map(|report| reader.read(taxi, report).1).collect();
    let charging: Vec<_> = night.iter().filter(|values| one(values, "vehicle.charging") == 1.0).collect();
    let amps: Vec<f64> = charging.iter().map(|values| one(values, "vehicle.current")).collect();
    assert!(amps.len() > 60, "{} reports while charging", amps.len());
    let (quarter, last) = (amps[amps.len() / 4], amps[amps.len() - 1]);
    assert!(quarter < -60.0 && last > quarter / 4.0, "{quarter} A, at the end {last} A");
    let end = &charging[amps.len() - 10..];
    assert!(end.iter().all(|values| (4.17..4.22).contains(&most(&values[CELLS]))), "the fullest cell is held");
    let after = &night[night.len() - 1];
    assert_eq!((one(after, "vehicle.charging"), one(after, "vehicle.current")), (4.0, 0.0), "charged");
}

#[test]
fn a_short_circuit_lets_its_cell_fall_behind_and_ends_in_a_stop() {
    let mut reader = Reader::new();
    let mut options = options(10);
    options.faults = vec![fault("short@4@+3600:4"), fault("short@6@+3600:4")];
    for number in [4, 6] {
        let vehicle = &mut fleet(&options)[number - 1];
        let reports = reports(vehicle, 20 * 3_600);
        let mut read = |secs: i64| {
            let report = reports.iter().find(|report| reader.read(vehicle, report).0 >= secs).unwrap();
            reader.read(vehicle, report).1
        };
        let place = |values: &Values| values[CELLS].iter().position(|volts| *volts == least(&values[CELLS]));
        let spread = |values: &Values| most(&values[CELLS]) - least(&values[CELLS]);
        let (before, later, last) = (read(3_500), read(8 * 3_600), read(20 * 3_600 - 60));
        assert!(spread(&before) < 0.05, "{}", spread(&before));
        assert!(spread(&later) > spread(&before) && spread(&last) > 0.5, "{} {}", spread(&later), spread(&last));
        assert_eq!(place(&later), place(&last), "it is one and the same cell");
        assert!(one(&last, "alarm.level") >= 3.0);
        assert!(reader.bad.is_empty(), "{:?}", reader.bad);
    }
}

#[test]
fn around_an_alarm_of_level_3_every_second_is_told_once() {
    let mut reader = Reader::new();
    let mut options = options(10);
    options.faults = vec![fault("insulation@4@+1200:9"), fault("insulation@6@+1200:9")];
    for number in [4, 6] {
        let vehicle = &mut fleet(&options)[number - 1];
        let reports: Vec<_> = reports(vehicle, 4 * 3_600)
            .iter()
            .map(|report| (report.command, reader.read(vehicle, report)))
            .map(|(command, (secs, values))| (secs, command, one(&values, "alarm.level")))
            .collect();
        let stop = reports.iter().find(|(_, command, level)| *command == Command::REALTIME && *level >= 3.0).unwrap().0;
        let told: BTreeMap<i64, Command> = reports.iter().map(|(secs, command, _)| (*secs, *command)).collect();
        assert_eq!(told.len(), reports.len(), "no second is told twice");
        assert!((stop - 30..=stop + 30).all(|secs| told.contains_key(&secs)));
        let reissued: Vec<_> = told.iter().filter(|(_, command)| **command == Command::REISSUED).collect();
        assert_eq!(reissued.len(), 29, "thirty seconds, one of which was reported in time");
        assert!(reissued.iter().all(|(secs, _)| (stop - 30..stop).contains(*secs)));
        let behind = told.range(stop + 31..stop + 91).count();
        // Of 2016 thirty seconds after it are told, of 2025 everything until it is over.
        assert_eq!(behind, if vehicle.edition() == Edition::E2016 { 2 } else { 60 });
    }
}

#[test]
fn frozen_cells_clocks_that_jump_and_missing_blocks_show() {
    let mut reader = Reader::new();
    let mut options = options(10);
    options.faults = ["freeze@2@+36000:3", "time-jump@3@+36000:90", "missing-cells@7@+36000:0.5"].map(fault).into();
    let mut fleet = fleet(&options);
    let mut of = |number: usize| -> Vec<(i64, Values)> {
        let vehicle = &mut fleet[number - 1];
        reports(vehicle, 11 * 3_600).iter().map(|report| reader.read(vehicle, report)).collect()
    };
    let frozen = of(2);
    let stays = |from: i64| {
        let after: Vec<_> = frozen.iter().filter(|(secs, _)| *secs > from).map(|(_, values)| &values[CELLS]).collect();
        (0..after[0].len()).filter(|cell| after.iter().all(|cells| cells[*cell] == after[0][*cell])).count()
    };
    assert_eq!((stays(36_060), stays(32_000)), (3, 0), "three cells stay what they are");
    let jumped = of(3);
    let steps: Vec<i64> = jumped.windows(2).map(|pair| pair[1].0 - pair[0].0).filter(|step| *step != 30).collect();
    assert_eq!(steps, [90 * 60 + 30]);
    let (before, after): (Vec<_>, Vec<_>) = of(7).into_iter().partition(|(secs, _)| *secs < 36_000);
    assert!(before.iter().all(|(_, values)| values.contains_key(CELLS)));
    let missing = after.iter().filter(|(_, values)| !values.contains_key(CELLS)).count();
    assert!((30..90).contains(&missing), "about half of 120: {missing}");
    assert!(after.iter().all(|(_, values)| values.contains_key(PROBES) && values.contains_key("alarm.level")));
    assert!(reader.bad.is_empty());
}

#[test]
fn vehicles_that_log_out_when_parked_say_nothing_until_they_wake() {
    let options = FleetOptions { parked: Parked::LogsOut, ..options(10) };
    for vehicle in &mut fleet(&options) {
        let mut awake = false;
        let mut turns = 0;
        for said in said(vehicle, 24 * 3_600) {
            match said {
                Said::Wakes(_) => assert!(!std::mem::replace(&mut awake, true)),
                Said::Sleeps(_) => assert!(std::mem::replace(&mut awake, false)),
                Said::Report(_) => assert!(awake),
            }
            turns += u32::from(!awake);
        }
        assert!(turns > 0, "{:?} parks at some time of the day", vehicle.kind());
    }
}

#[test]
fn options_that_make_no_fleet_are_told() {
    let refused = |options: FleetOptions| Fleet::new(&options).unwrap_err().to_string();
    assert_eq!(refused(options(0)), "expected 1 to 999999 vehicles, got 0");
    assert_eq!(
        refused(FleetOptions { faults: vec![fault("short@9@+1")], ..options(8) }),
        "expected a fault of one of 8 vehicles, got one of number 9"
    );
    assert_eq!(
        refused(FleetOptions { report_secs: 0, ..options(8) }),
        "expected 1 to 600 seconds between reports, got 0"
    );
}

/// Runs `secs` seconds of a fleet against `platform`; gives what was counted.
async fn run(options: &FleetOptions, connecting: ConnectOptions) -> sim::fleet::Counts {
    let counters = Arc::new(Counters::default());
    let running = connect(fleet(options), connecting, Arc::clone(&counters), CancellationToken::new());
    tokio::time::timeout(Duration::from_secs(120), running).await.expect("the story ends");
    counters.counts()
}

fn connecting(platform: &Platform, secs: u32) -> ConnectOptions {
    let patience = Patience { last: Duration::from_secs(60), ..Patience::default().shorter(100.0) };
    ConnectOptions { secs: Some(secs), speed: 200.0, patience, ..ConnectOptions::new(platform.address, begin()) }
}

#[tokio::test]
async fn over_a_good_network_every_report_is_sent_once() {
    let platform = Platform::start(Conduct::default()).await;
    let counts = run(&options(20), connecting(&platform, 600)).await;
    let held = platform.held();
    assert_eq!((counts.made, counts.acknowledged, counts.outstanding()), (420, 420, 0), "{counts:?}");
    assert_eq!((counts.logins, counts.logouts, counts.broken, counts.connected), (20, 20, 0, 0), "{counts:?}");
    // Twenty of each vehicle, and twenty with the cells for which a truck of 2016 has no place in the first.
    assert_eq!((held.reports.len(), held.received, held.garbage), (420, 420, 0));
    assert_eq!(counts.sent + counts.reissued, 420);
}

#[tokio::test]
async fn over_a_poor_network_every_report_ends_up_acknowledged_once() {
    let platform = Platform::start(Conduct::default()).await;
    let mut options = options(12);
    options.faults = vec![fault("insulation@4@+100:1000")];
    let network = NetworkOptions { drop: 0.08, cut: 0.08, pieces: 0.2, glue: 0.2, shuffle: 0.5 };
    let counts = run(&options, ConnectOptions { network, ..connecting(&platform, 900) }).await;
    let held = platform.held();
    assert!(counts.broken > 10 && counts.reissued > 20, "{counts:?}");
    assert!(held.received > counts.made - held.reports.len() as u64, "{counts:?}");
    assert_eq!((counts.acknowledged, counts.outstanding(), counts.forgotten), (counts.made, 0, 0), "{counts:?}");
    assert_eq!(held.reports.len() as u64, counts.made, "after duplicates are taken away");
    assert!(held.disorder > 0, "some came after later ones");
    assert_eq!(counts.logins, counts.connections);
}

#[tokio::test]
async fn what_is_refused_is_sent_three_times_more_and_then_given_up() {
    let platform = Platform::start(Conduct { refuses_reports: true, ..Conduct::default() }).await;
    let counts = run(&options(4), connecting(&platform, 60)).await;
    assert_eq!((counts.made, counts.acknowledged), (8, 0));
    assert_eq!((counts.refused, counts.given_up, counts.outstanding()), (32, 8, 0), "{counts:?}");
    assert_eq!(platform.held().received, 32);
}

#[tokio::test]
async fn a_login_that_is_refused_is_tried_again() {
    let platform = Platform::start(Conduct { refuses_logins: 2, ..Conduct::default() }).await;
    let counts = run(&options(3), connecting(&platform, 300)).await;
    assert_eq!((counts.logins_refused, counts.logins), (6, 3), "{counts:?}");
    assert_eq!((counts.outstanding(), platform.held().reports.len() as u64), (0, counts.made));
    assert!(counts.reissued > 0, "what was made before the login comes later");
}

#[tokio::test]
async fn a_platform_that_answers_no_reports_is_reported_to_all_the_same() {
    let platform = Platform::start(Conduct { is_silent: true, ..Conduct::default() }).await;
    let options = options(5);
    let connecting = ConnectOptions { replies: Replies::None, ..connecting(&platform, 300) };
    let counts = run(&options, connecting).await;
    assert_eq!((counts.broken, counts.acknowledged), (0, counts.made));
    assert_eq!(platform.held().reports.len() as u64, counts.made);
}

#[tokio::test]
async fn commands_of_the_platform_are_answered() {
    let order = |command: Command, data: &[u8]| (command, [&[26, 11, 26, 0, 0, 0][..], data].concat());
    // A period of ten seconds, a query of it, a reset.
    let platform = Platform::start(Conduct {
        orders: vec![
            order(Command::PARAMETER_SET, &[1, 2, 0, 10]),
            order(Command::PARAMETER_QUERY, &[1, 2]),
            order(Command::CONTROL, &[3]),
        ],
        ..Conduct::default()
    })
    .await;
    let options = FleetOptions { editions: vec![Edition::E2016], ..options(2) };
    let counts = run(&options, connecting(&platform, 600)).await;
    let held = platform.held();
    let answered: Vec<_> =
        held.answers.iter().map(|(command, response, data)| (command.0, response.0, &data[6..])).collect();
    let expected: [(u8, u8, &[u8]); 3] = [(0x81, 1, &[]), (0x80, 1, &[1, 2, 0, 10]), (0x82, 1, &[])];
    assert_eq!(answered.len(), 6);
    assert!(expected.iter().all(|answer| answered.iter().filter(|found| *found == answer).count() == 2));
    assert_eq!((counts.commands, counts.connections, counts.logins), (6, 4, 4), "a reset logs in again");
    assert!(counts.made > 80, "ten seconds between reports: {}", counts.made);
}
