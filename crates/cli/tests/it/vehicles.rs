//! Vehicles that report to a running server: what was answered is there, in physical values, also after kills; cells that
//! deviate are found in SQL. Must not know how frames are decoded: they are put together here.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use crate::http;
use crate::program::{run, setting};
use crate::served::{Served, wait_for};

/// Cells of each vehicle.
const CELLS: u32 = 104;
/// Kills of a short run.
const KILLS: u64 = 10;

/// A port that is free at present.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a port is free")
}

pub(crate) fn configure(folder: &Path, store: &str) -> (SocketAddr, std::path::PathBuf) {
    let (address, config) = (free_address(), folder.join("tongmai.toml"));
    let gateway = format!("[[gateways]]\nkind = \"gbt32960\"\nname = \"fleet\"\nlisten = \"{address}\"\n");
    fs::write(&config, format!("{store}\n{gateway}")).unwrap();
    (address, config)
}

/// A vehicle that is connected.
pub(crate) struct Vehicle {
    number: u32,
    pub(crate) stream: TcpStream,
}

impl Vehicle {
    /// Connects and logs in; none if the server is not there, or goes away meanwhile.
    pub(crate) fn connect(address: SocketAddr, number: u32) -> Option<Self> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(30))).ok()?;
        let mut vehicle = Self { number, stream };
        let mut data = vec![26, 7, 7, 18, 0, 0, 0, 1];
        data.extend([b'8'; 20]);
        data.extend([0, 0]);
        vehicle.say(1, &data).then_some(vehicle)
    }

    /// Says `data` by `command`; whether it was answered.
    pub(crate) fn say(&mut self, command: u8, data: &[u8]) -> bool {
        let mut frame = vec![0x23, 0x23, command, 0xFE];
        frame.extend(format!("LTMTEST{:010}", self.number).into_bytes());
        frame.push(1);
        frame.extend((data.len() as u16).to_be_bytes());
        frame.extend(data);
        frame.push(frame[2..].iter().fold(0, |all, byte| all ^ byte));
        let mut answer = [0; 31];
        let length = 25 + data.len().min(6);
        let heard = self.stream.write_all(&frame).and_then(|()| self.stream.read_exact(&mut answer[..length]));
        if heard.is_ok() {
            assert_eq!((answer[2], answer[3]), (command, 1), "it is answered with ok");
            assert_eq!(answer[24..length - 1], data[..length - 25], "and with its time");
        }
        heard.is_ok()
    }

    /// Reports the second `second`: speed, current, position, cells. Whether it was answered.
    fn report(&mut self, second: u32) -> bool {
        self.say(2, &report(self.number, second))
    }
}

/// Speed is `second / 10` km/h, the current −5 A, cell 37 of vehicle 1 half a volt below the others.
pub(crate) fn report(vehicle: u32, second: u32) -> Vec<u8> {
    let (hours, minutes) = (18 + second / 3600, second / 60 % 60);
    let mut data = vec![26, 7, 7 + (hours / 24) as u8, (hours % 24) as u8, minutes as u8, (second % 60) as u8];
    data.extend([1, 1, 3, 1]);
    data.extend((second as u16).to_be_bytes());
    data.extend(123_456_u32.to_be_bytes());
    data.extend([3_817_u16, 9_950].map(u16::to_be_bytes).concat());
    data.extend([80, 1, 0x0E, 0x13, 0x88, 0xFE, 0xFF]);
    data.extend([5, 2]);
    data.extend([151_200_000_u32, 33_900_000].map(u32::to_be_bytes).concat());
    data.extend([8, 1, 1]);
    data.extend([3_817_u16, 9_950, CELLS as u16, 1].map(u16::to_be_bytes).concat());
    data.push(CELLS as u8);
    for cell in 0..CELLS {
        let low = if cell == 37 && vehicle == 1 { 500 } else { 0 };
        let voltage = if cell == 3 { 0xFFFF } else { 3_600 + (cell % 3) as u16 - low };
        data.extend(voltage.to_be_bytes());
    }
    data
}

#[test]
fn a_simulated_fleet_says_everything_also_through_a_poor_network() {
    let folder = tempfile::tempdir().unwrap();
    let (address, config) = configure(folder.path(), "");
    let served = Served::start(&folder.path().join("data"), &config);
    let to = address.to_string();
    let told = run(&[
        &"sim",
        &"vehicles",
        &"--count",
        &"20",
        &"--seconds",
        &"900",
        &"--speed",
        &"300",
        &"--from",
        &"2026-07-08T08:00:00Z",
        &"--poor-network",
        &"0.5",
        &"--to",
        &to,
    ])
    .text();
    let last = told.lines().last().expect("it tells how it went");
    let (_, acknowledged) = last.split_once("acknowledged ").expect(last);
    let (acknowledged, rest) = acknowledged.split_once(',').expect(last);
    assert!(last.starts_with("connected 0, ") && rest.starts_with(" refused 0, outstanding 0,"), "{last}");
    assert!(!last.contains("(0 reissued)"), "connections broke: {last}");
    let reports = json!(acknowledged.parse::<u64>().unwrap());
    // Each reports twice a minute, and each report is there once.
    assert!(reports.as_u64() >= Some(20 * 30), "{last}");
    let kept = http::sql(served.address(), "SELECT count(*), count(DISTINCT asset) FROM vehicle");
    assert_eq!(kept, [[reports, json!(20)]], "{last}");
}

#[test]
fn reports_become_rows_with_cells_that_can_be_asked_about() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (address, config) = configure(folder.path(), "");
    let served = Served::start(&data, &config);
    let connect = |number| wait_for("a login", || Vehicle::connect(address, number));
    let (mut one, mut two) = (connect(1), connect(2));
    for second in 0..30 {
        assert!(one.report(second) && two.report(second));
    }
    // The same again, reissued, adds nothing.
    assert!(one.say(3, &report(1, 7)));
    let fleet = served.gateway("fleet");
    assert_eq!((&fleet["state"], &fleet["kind"]), (&json!("connected"), &json!("gbt32960")), "{fleet}");
    let ask = |query: &str| http::sql(served.address(), query);
    let rows = ask(
        "SELECT asset, count(*), max(vehicle_speed), min(vehicle_current), min(position_latitude), max(vehicle_brake) \
         FROM vehicle GROUP BY asset ORDER BY asset",
    );
    let row = |number: u32| {
        vec![
            json!(format!("vehicle/LTMTEST{number:010}")),
            json!(30),
            json!(2.9),
            json!(-5.0),
            json!(-33.9),
            json!(null),
        ]
    };
    assert_eq!(rows, [row(1), row(2)]);
    let quality = ask(
        "SELECT signal, quality, count(*) FROM observations WHERE signal IN ('vehicle_brake', 'vehicle_accelerator') \
         GROUP BY signal, quality ORDER BY signal",
    );
    assert_eq!(
        quality,
        [
            [json!("vehicle_accelerator"), json!("abnormal"), json!(60)],
            [json!("vehicle_brake"), json!("invalid"), json!(60)]
        ]
    );
    let deviating = ask("SELECT asset, cell['index'], round(avg(cell['value']), 3) AS v FROM \
         (SELECT asset, unnest(indexed(cell_voltage)) AS cell FROM vehicle) GROUP BY 1, 2 ORDER BY v LIMIT 2");
    assert_eq!(deviating[0], [json!("vehicle/LTMTEST0000000001"), json!(38), json!(3.101)]);
    assert_eq!(deviating[1][2], json!(3.6));
    let sessions = ask("SELECT signal, count(*) FROM vehicle_session GROUP BY signal ORDER BY signal");
    assert_eq!(sessions, [[json!("iccid"), json!(2)], [json!("login_serial"), json!(2)], [json!("session"), json!(2)]]);
    let (status, current) = http::get(served.address(), "/api/v1/current?asset=vehicle/LTMTEST0000000001");
    assert_eq!(status, 200);
    let observations = current["observations"].as_array().unwrap();
    let cells = observations.iter().find(|one| one["signal"] == "cell_voltage").expect("the latest cells");
    assert_eq!(cells["vector"].as_array().map(Vec::len), Some(CELLS as usize), "{cells}");
    assert_eq!((&cells["vector"][3], &cells["vector"][37]), (&json!(null), &json!(3.101)));
    served.stop();
}

/// Cells from `first` on of a pack of 350, each with its number in millivolts above 3 V; cell 300 is half a volt too low.
fn cells_from(first: u16, count: u8, with_vehicle: bool) -> Vec<u8> {
    let mut data = report(1, 0);
    data.truncate(if with_vehicle { 6 + 21 } else { 6 });
    data.extend([8, 1, 1]);
    data.extend([11_000_u16, 9_950, 350, first].map(u16::to_be_bytes).concat());
    data.push(count);
    let millivolts = |cell: u16| 3_000 + cell - if cell == 300 { 500 } else { 0 };
    (first..).take(count.into()).for_each(|cell| data.extend(millivolts(cell).to_be_bytes()));
    data
}

#[test]
fn a_pack_that_takes_two_reports_is_whole_again() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (address, config) = configure(folder.path(), "[store]\nseal_interval_secs = 1\n");
    let parts = [cells_from(1, 200, true), cells_from(201, 150, false)];
    let ask = |served: &Served| {
        let rows = http::sql(served.address(), "SELECT time, sequence FROM vehicle ORDER BY sequence");
        let cells = "SELECT asset, time, unnest(grouped(cell_voltage, cell_voltage_count, pack_number, pack_first_cell)) \
                     AS cell FROM vehicle";
        let worst = format!(
            "SELECT cell['group'], cell['index'], round(cell['value'] - mean, 3) AS deviation, count(*) OVER () FROM \
             (SELECT *, avg(cell['value']) OVER (PARTITION BY asset, time) AS mean FROM ({cells})) \
             ORDER BY abs(deviation) DESC LIMIT 1"
        );
        (rows.len(), http::sql(served.address(), &worst))
    };
    // The mean of 3.001 to 3.350 V, less what cell 300 lacks.
    let whole = (2, vec![vec![json!(1), json!(300), json!(-0.374), json!(350)]]);
    for order in [[0, 1], [1, 0]] {
        let _ = fs::remove_dir_all(&data);
        let served = Served::start(&data, &config);
        let mut vehicle = wait_for("a login", || Vehicle::connect(address, 1));
        assert!(order.iter().all(|part| vehicle.say(2, &parts[*part])));
        assert_eq!(ask(&served), whole);
        // Said again, by 03 and in the other order, nothing is added, in memory or on disk.
        assert!(order.iter().rev().all(|part| vehicle.say(3, &parts[*part])));
        assert_eq!(ask(&served), whole);
        served.stop();
        let served = Served::start(&data, &config);
        let mut vehicle = wait_for("a login", || Vehicle::connect(address, 1));
        assert!(order.iter().all(|part| vehicle.say(3, &parts[*part])));
        assert_eq!(ask(&served), whole);
        served.stop();
    }
}

#[test]
fn what_was_answered_survives_every_kill_once() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (address, config) = configure(folder.path(), "[store]\nhot_rows_max = 200\nseal_interval_secs = 1\n");
    let mut random = StdRng::seed_from_u64(setting("TONGMAI_SEED", 7));
    let (mut second, mut unsure) = (0, Vec::new());
    for _ in 0..setting("TONGMAI_KILLS", KILLS).min(500) {
        let mut served = Served::start(&data, &config);
        let death = Instant::now() + Duration::from_millis(random.random_range(0..800));
        let mut vehicle = Vehicle::connect(address, 1);
        while Instant::now() < death {
            let Some(connected) = &mut vehicle else {
                vehicle = Vehicle::connect(address, 1);
                continue;
            };
            // What was not answered is sent again, as a vehicle would: by 03.
            if let Some(missed) = unsure.pop() {
                assert!(connected.say(3, &report(1, missed)));
            } else {
                assert!(connected.report(second));
                second += 1;
            }
        }
        // One is on its way when the end comes.
        if let Some(connected) = &mut vehicle {
            let frame = report(1, second);
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
    let mut vehicle = wait_for("a login", || Vehicle::connect(address, 1));
    assert!(unsure.iter().all(|missed| vehicle.say(3, &report(1, *missed))));
    let found = http::sql(served.address(), "SELECT count(*), count(DISTINCT time), max(vehicle_speed) FROM vehicle");
    // In two bytes, of which the last two values are no numbers, the speed begins anew after 65,535 reports.
    let speed = f64::from(second.saturating_sub(1).min(0xFFFD)) / 10.0;
    assert_eq!(found, [[json!(second), json!(second), json!(speed)]]);
    assert!(second > 10, "hardly anything was said: {second}");
    served.stop();
}
