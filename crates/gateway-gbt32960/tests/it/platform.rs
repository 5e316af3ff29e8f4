//! Logins, reports and their answers; what is refused; what holds when the store is slow, and when it all ends.

use std::time::Duration;

use gateway_gbt32960::{PlatformAccount, Registry};

use crate::house::{House, frame, login, report};

const OK: u8 = 1;
const ERROR: u8 = 2;

fn open() -> Registry {
    Registry::open(Vec::new())
}

#[tokio::test]
async fn a_vehicle_logs_in_reports_and_is_answered_with_its_times() {
    let house = House::new(open()).await;
    let mut vehicle = house.connect().await;
    vehicle.say(&login(1)).await;
    assert_eq!(vehicle.hear().await, (1, OK, vec![0x1A, 7, 7, 0x12, 0, 0]));
    vehicle.say(&report(1, 5, 1_850)).await;
    assert_eq!(vehicle.hear().await, (2, OK, vec![0x1A, 7, 7, 0x12, 0, 5]));
    vehicle.say(&frame(0x23, 7, 1, "")).await;
    assert_eq!(vehicle.hear().await, (7, OK, Vec::new()));
    vehicle.say(&frame(0x23, 8, 1, "")).await;
    // The clock of the house says 2026-07-07T10:00:00Z.
    assert_eq!(vehicle.hear().await, (8, OK, vec![26, 7, 7, 18, 0, 0]));
    vehicle.say(&frame(0x23, 4, 1, "1a0707120106 0001")).await;
    assert_eq!(vehicle.hear().await.1, OK);
    assert_eq!(house.reports(), [("vehicle/LTMTEST0000000001".to_owned(), Some(1_850))]);
    let sessions: Vec<String> = house.sessions().into_iter().map(|(_, what)| what).collect();
    assert_eq!(sessions, ["login", "logout"]);
    assert_eq!(house.rejected(), []);
    house.stop().await;
}

#[tokio::test]
async fn frames_come_in_pieces_and_glued_and_with_noise_between_them() {
    for piece in [1, 3, 7, 24, 50, 10_000] {
        let house = House::new(open()).await;
        let mut vehicle = house.connect().await;
        let mut said = login(1);
        for second in 0..20 {
            said.extend(report(1, second, u16::from(second) + 1_000));
            if second == 7 {
                said.extend(b"noise");
            }
        }
        for piece in said.chunks(piece) {
            vehicle.say(piece).await;
            tokio::task::yield_now().await;
        }
        for _ in 0..21 {
            assert_eq!(vehicle.hear().await.1, OK);
        }
        let speeds: Vec<_> = house.reports().into_iter().filter_map(|(_, speed)| speed).collect();
        assert_eq!(speeds, (1_000..1_020).collect::<Vec<_>>(), "pieces of {piece}");
        assert!(house.rejected().iter().all(|(reason, _)| *reason == "no frame") && !house.rejected().is_empty());
        house.stop().await;
    }
}

#[tokio::test]
async fn an_answer_comes_when_what_it_acknowledges_is_durable_and_not_before() {
    let house = House::new(open()).await;
    let mut vehicle = house.connect().await;
    vehicle.say(&login(1)).await;
    vehicle.hear().await;
    house.shut();
    vehicle.say(&report(1, 1, 1_000)).await;
    assert!(vehicle.is_silent().await);
    // Others are not held up, but what they say waits too.
    let mut other = house.connect().await;
    other.say(&frame(0x23, 7, 2, "")).await;
    assert_eq!(other.hear().await.0, 7);
    other.say(&login(2)).await;
    assert!(other.is_silent().await && vehicle.is_silent().await);
    house.open();
    assert_eq!(vehicle.hear().await, (2, OK, vec![0x1A, 7, 7, 0x12, 0, 1]));
    assert_eq!(other.hear().await.1, OK);
    house.stop().await;
}

#[tokio::test]
async fn while_the_store_is_shut_no_more_is_taken_in_than_is_allowed_and_nothing_is_lost() {
    let house = House::new(open()).await;
    let mut vehicle = house.connect().await;
    vehicle.say(&login(1)).await;
    vehicle.hear().await;
    house.shut();
    let reports: Vec<u8> = (0..3_000_u16).flat_map(|speed| report(1, (speed % 60) as u8, speed)).collect();
    let (mut said, mut heard) = (false, 0);
    for round in 0..2 {
        if round == 1 {
            house.open();
        }
        while heard < 3_000 {
            tokio::select! {
                () = vehicle.say(&reports), if !said => said = true,
                () = tokio::time::sleep(Duration::from_millis(300)), if round == 0 => break,
                else => {}
            }
            if said && round == 1 {
                assert_eq!(vehicle.hear().await.1, OK);
                heard += 1;
            }
        }
        if round == 0 {
            assert!(house.reports().len() <= 1_024, "{} were taken in", house.reports().len());
        }
    }
    let speeds: Vec<_> = house.reports().into_iter().filter_map(|(_, speed)| speed).collect();
    assert_eq!(speeds, (0..3_000).collect::<Vec<_>>());
    house.stop().await;
}

#[tokio::test]
async fn a_new_connection_of_a_vehicle_closes_the_old_one() {
    let house = House::new(open()).await;
    let (mut old, mut new) = (house.connect().await, house.connect().await);
    old.say(&login(1)).await;
    old.hear().await;
    new.say(&login(1)).await;
    new.hear().await;
    assert!(old.is_closed().await);
    new.say(&report(1, 1, 900)).await;
    assert_eq!(new.hear().await.1, OK);
    house.stop().await;
}

#[tokio::test]
async fn what_is_not_allowed_is_refused_and_counted_and_the_rest_goes_on() {
    let registry = Registry::strict("LTMTEST0000000001\nLTMTEST0000000002,89860000000000000000\n", Vec::new()).unwrap();
    let house = House::new(registry).await;
    let mut vehicle = house.connect().await;
    let encrypted = {
        let mut frame = report(1, 1, 1);
        (frame[21], *frame.last_mut().unwrap()) = (3, frame[frame.len() - 1] ^ 1 ^ 3);
        frame
    };
    for (said, response, reason) in [
        (report(1, 1, 1_000), ERROR, "report without login"),
        (login(3), ERROR, "login refused"),
        (login(2), ERROR, "login refused"),
        (login(1), OK, ""),
        (report(2, 1, 1_000), ERROR, "report without login"),
        (frame(0x23, 2, 1, "1a0707120000 04 01"), ERROR, "too short"),
        (frame(0x23, 2, 1, "1a0d07120000"), ERROR, "invalid time"),
        (frame(0x24, 2, 1, "1a0707120000 04 01"), 6, "too short"),
        (encrypted, ERROR, "encrypted"),
        (frame(0x23, 0x55, 1, ""), ERROR, "unknown command"),
        (
            frame(0x23, 5, 1, &format!("1a0707120000 0001 {} {} 01", "41".repeat(12), "42".repeat(20))),
            ERROR,
            "unknown platform",
        ),
        (report(1, 2, 1_002), OK, ""),
    ] {
        let before = house.rejected().len();
        vehicle.say(&said).await;
        let (command, answered, _) = vehicle.hear().await;
        assert_eq!((command, answered), (said[2], response), "{reason}");
        let rejected: Vec<&str> = house.rejected()[before..].iter().map(|(reason, _)| *reason).collect();
        assert_eq!(rejected, if reason.is_empty() { vec![] } else { vec![reason] });
    }
    assert_eq!(house.reports().len(), 1);
    house.stop().await;
}

#[tokio::test]
async fn a_platform_speaks_for_its_vehicles() {
    let account = PlatformAccount { user: "AAAAAAAAAAAA".into(), password: "secret".into() };
    let house = House::new(Registry::open(vec![account])).await;
    let mut platform = house.connect().await;
    let password = "736563726574".to_owned() + &"00".repeat(14);
    platform.say(&frame(0x23, 5, 0, &format!("1a0707120000 0001 {} {password} 01", "41".repeat(12)))).await;
    assert_eq!(platform.hear().await.1, OK);
    for vehicle in 1..=50 {
        platform.say(&report(vehicle, 1, 1_000)).await;
    }
    for _ in 0..50 {
        assert_eq!(platform.hear().await.1, OK);
    }
    assert_eq!(house.reports().len(), 50);
    platform.say(&frame(0x23, 6, 0, "1a0707120000 0001")).await;
    assert_eq!(platform.hear().await.1, OK);
    assert!(platform.is_closed().await);
    house.stop().await;
}

#[tokio::test]
async fn what_was_said_before_the_end_is_made_durable_and_answered() {
    let house = House::new(open()).await;
    let mut vehicle = house.connect().await;
    vehicle.say(&login(1)).await;
    vehicle.hear().await;
    vehicle.say(&report(1, 1, 1_000)).await;
    vehicle.hear().await;
    house.stop().await;
    assert!(vehicle.is_closed().await);
}

#[tokio::test]
async fn a_connection_that_is_silent_or_one_too_many_is_closed() {
    let house = House::with(open(), |options| gateway_gbt32960::ListenerOptions {
        silence_max: Duration::from_millis(300),
        connections_max: 1,
        ..options
    })
    .await;
    let mut first = house.connect().await;
    first.say(&frame(0x23, 7, 1, "")).await;
    first.hear().await;
    let mut second = house.connect().await;
    assert!(second.is_closed().await);
    assert!(first.is_closed().await);
    let rejected = house.link.counters().tally().rejected;
    assert_eq!((rejected["too many connections"], rejected["silence"]), (1, 1));
    house.stop().await;
}
