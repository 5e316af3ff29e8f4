//! Orders to vehicles from the command line to the wire and back, across a kill; newcomers that are accepted. Must not know
//! how frames are decoded.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use serde_json::json;

use crate::http;
use crate::program::run;
use crate::served::{Served, wait_for};
use crate::vehicles::{Vehicle, configure};

/// Whether `tongmai order` succeeds, and what it says.
fn order(served: &Served, words: &[&str]) -> (bool, String) {
    order_at(served.address(), words)
}

fn order_at(address: SocketAddr, words: &[&str]) -> (bool, String) {
    let server = format!("http://{address}");
    let mut all: Vec<&dyn AsRef<std::ffi::OsStr>> = vec![&"order", &"--server", &server];
    all.extend(words.iter().map(|word| word as &dyn AsRef<std::ffi::OsStr>));
    let outcome = run(&all);
    (outcome.code == Some(0), String::from_utf8_lossy(&outcome.stdout).into_owned() + &outcome.stderr)
}

/// Hears a command of the platform and answers it with ok and `data` behind its time.
fn obey(vehicle: &mut Vehicle, data: &[u8]) -> Vec<u8> {
    let mut head = [0; 24];
    vehicle.stream.read_exact(&mut head).expect("a command comes");
    let mut asked = vec![0; usize::from(u16::from_be_bytes([head[22], head[23]])) + 1];
    vehicle.stream.read_exact(&mut asked).expect("all of it");
    let said = [&asked[..6], data].concat();
    let mut answer = head[..22].to_vec();
    answer[3] = 1;
    answer.extend((said.len() as u16).to_be_bytes());
    answer.extend(said);
    answer.push(answer[2..].iter().fold(0, |all, byte| all ^ byte));
    vehicle.stream.write_all(&answer).unwrap();
    asked.pop();
    [&[head[2], head[3]], &asked[6..]].concat()
}

#[test]
fn orders_go_out_come_back_and_are_still_there_after_a_kill() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (address, config) = configure(folder.path(), "");
    let mut served = Served::start(&data, &config);
    let vin = "LTMTEST0000000001";
    let (refused, said) = order(&served, &["set", vin, "report_period=601"]);
    assert!(!refused && said.contains("parameters.report_period: expected 1 to 600, got 601"), "{said}");
    let (taken, said) = order(&served, &["control", "LTMTEST0000000009", "reset", "--no-wait"]);
    assert!(taken && said.contains(" vehicle/LTMTEST0000000009 waiting control reset"), "{said}");
    let mut vehicle = wait_for("a login", || Vehicle::connect(address, 1));
    let (done, said) = std::thread::scope(|scope| {
        let server = served.address();
        let asking = scope.spawn(move || order_at(server, &["query", vin, "report_period", "host"]));
        // Three parameters: what tells the length of the host comes with it.
        assert_eq!(obey(&mut vehicle, &[3, 2, 0, 30, 4, 4, 5, b'a', b'.', b'c', b'n']), [0x80, 0xFE, 3, 2, 4, 5]);
        asking.join().unwrap()
    });
    assert!(
        done && said.contains("answered query report_period host: report_period=30 host_bytes=4 host=a.cn"),
        "{said}"
    );
    // Another waits for its answer when the server is killed.
    let (_, said) = order(&served, &["set", vin, "report_period=10", "--no-wait"]);
    assert!(said.contains(" waiting set report_period=10"), "{said}");
    let mut head = [0; 24];
    vehicle.stream.read_exact(&mut head).expect("it is sent");
    served.kill();
    let served = Served::start(&data, &config);
    let list = wait_for("the end of what was sent", || {
        let (_, list) = order(&served, &["list"]);
        list.contains("failed set report_period=10: the platform was stopped before").then_some(list)
    });
    assert_eq!(list.lines().count(), 3, "{list}");
    let mut other = wait_for("a login", || Vehicle::connect(address, 9));
    assert_eq!(obey(&mut other, &[]), [0x82, 0xFE, 3]);
    let (_, list) = wait_for("its end", || {
        let (fine, list) = order(&served, &["list", "LTMTEST0000000009"]);
        list.contains(" answered control reset").then_some((fine, list))
    });
    assert_eq!(list.lines().count(), 1, "{list}");
    let steps = http::sql(
        served.address(),
        "SELECT order_state FROM vehicle_order WHERE asset = 'vehicle/LTMTEST0000000009' ORDER BY time",
    );
    assert_eq!(steps, [[json!("waiting")], [json!("sent")], [json!("answered")]]);
    served.stop();
}

#[test]
fn a_vehicle_that_is_not_registered_is_let_in_when_it_is_accepted() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let (address, config) = configure(folder.path(), "");
    fs::write(folder.path().join("vehicles.txt"), "LTMTEST0000000001\n").unwrap();
    let text = fs::read_to_string(&config).unwrap() + "vehicles = \"vehicles.txt\"\n";
    fs::write(&config, text).unwrap();
    let served = Served::start(&data, &config);
    let refused = |number: u32| {
        let mut stream = wait_for("a connection", || TcpStream::connect(address).ok());
        let mut data = vec![26, 7, 7, 18, 0, 0, 0, 1];
        data.extend([b'8'; 20]);
        data.extend([0, 0]);
        let mut frame = vec![0x23, 0x23, 1, 0xFE];
        frame.extend(format!("LTMTEST{number:010}").into_bytes());
        frame.extend([1, 0, data.len() as u8]);
        frame.extend(data);
        frame.push(frame[2..].iter().fold(0, |all, byte| all ^ byte));
        stream.write_all(&frame).unwrap();
        let mut answer = [0; 31];
        stream.read_exact(&mut answer).unwrap();
        answer[3] == 2
    };
    assert!(refused(2) && !refused(1));
    let (_, newcomers) = http::get(served.address(), "/api/v1/newcomers");
    let newcomer = &newcomers["newcomers"][0];
    assert_eq!((&newcomer["vin"], &newcomer["gateway"]), (&json!("LTMTEST0000000002"), &json!("fleet")), "{newcomers}");
    assert_eq!(http::put(served.address(), "/api/v1/newcomers/LTMTEST0000000003"), 404);
    assert_eq!(http::put(served.address(), "/api/v1/newcomers/LTMTEST0000000002"), 204);
    assert!(!refused(2) && refused(3));
    served.stop();
    // It stays so.
    let served = Served::start(&data, &config);
    assert!(!refused(2) && !refused(1) && refused(3));
    served.stop();
}
