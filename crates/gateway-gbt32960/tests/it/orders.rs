//! Orders on their way to vehicles and back: kept step by step, sent once, answered, refused, unanswered, too late.

use std::time::Duration;

use gateway_gbt32960::{Order, OrderError, OrderState, Registry};
use gbt32960::{Control, Request, Vin};
use model::Timestamp;
use serde_json::Value;

use crate::house::{House, frame, login, report};

const HOUR: Duration = Duration::from_secs(3_600);

fn vin(vehicle: u32) -> Vin {
    Vin::new(&format!("LTMTEST{vehicle:010}")).unwrap()
}

fn query() -> Request {
    Request::QueryParameters { parameters: vec!["report_period".to_owned()] }
}

fn reset() -> Request {
    Request::Control { control: Control { kind: "reset".to_owned(), arguments: Value::Null } }
}

/// The answer of `vehicle` to `command`, with the response flag `response`.
fn answer(command: u8, vehicle: u32, response: u8, data: &str) -> Vec<u8> {
    let mut answer = frame(0x23, command, vehicle, data);
    let last = answer.len() - 1;
    answer[last] ^= answer[3] ^ response;
    answer[3] = response;
    answer
}

/// The states of all orders as they were kept, once there are `count`.
async fn states(house: &House, count: usize) -> Vec<String> {
    for _ in 0..3_000 {
        if house.orders().len() >= count {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    house.orders().into_iter().map(|(_, state, _)| state).collect()
}

fn reason(house: &House) -> String {
    house.orders().pop().unwrap().2.unwrap()
}

#[tokio::test]
async fn an_order_waits_for_its_vehicle_is_sent_and_answered() {
    let house = House::new(Registry::open(Vec::new())).await;
    let order = house.orders.give(vin(1), query(), HOUR).await.unwrap();
    assert_eq!(states(&house, 1).await, ["waiting"]);
    let mut vehicle = house.connect().await;
    vehicle.say(&login(1)).await;
    assert_eq!(vehicle.hear().await.0, 1);
    // The clock of the house says 2026-07-07T10:00:00Z.
    assert_eq!(vehicle.hear().await, (0x80, 0xFE, vec![26, 7, 7, 18, 0, 0, 1, 2]));
    assert_eq!(states(&house, 2).await, ["waiting", "sent"]);
    // Reports go on meanwhile.
    vehicle.say(&report(1, 5, 1_850)).await;
    assert_eq!(vehicle.hear().await.0, 2);
    vehicle.say(&answer(0x80, 1, 1, "1a0707120001 01 02001e")).await;
    assert_eq!(states(&house, 3).await, ["waiting", "sent", "answered"]);
    assert!(house.orders().iter().all(|(id, _, _)| *id == order.id));
    assert_eq!(house.rejected(), []);
    house.stop().await;
}

#[tokio::test]
async fn a_vehicle_has_one_order_at_a_time_in_the_order_they_were_given() {
    let house = House::new(Registry::open(Vec::new())).await;
    let mut vehicle = house.connect().await;
    vehicle.say(&login(1)).await;
    vehicle.hear().await;
    house.orders.give(vin(1), query(), HOUR).await.unwrap();
    house.orders.give(vin(1), reset(), HOUR).await.unwrap();
    // That of another vehicle goes to nobody here.
    house.orders.give(vin(2), reset(), HOUR).await.unwrap();
    assert_eq!(vehicle.hear().await.0, 0x80);
    assert!(vehicle.is_silent().await);
    // An answer to something else is none.
    vehicle.say(&answer(0x82, 1, 1, "1a0707120001")).await;
    assert!(vehicle.is_silent().await);
    vehicle.say(&answer(0x80, 1, 2, "1a0707120001")).await;
    assert_eq!(vehicle.hear().await, (0x82, 0xFE, vec![26, 7, 7, 18, 0, 0, 3]));
    vehicle.say(&answer(0x82, 1, 1, "1a0707120001")).await;
    let mut states = states(&house, 7).await;
    states.sort();
    assert_eq!(states, ["answered", "failed", "sent", "sent", "waiting", "waiting", "waiting"]);
    let refused = house.orders().into_iter().find(|(_, state, _)| state == "failed").unwrap();
    assert_eq!(refused.2.unwrap(), "the vehicle refused it: response 0x02 (error)");
    house.stop().await;
}

#[tokio::test]
async fn nothing_is_sent_before_it_is_kept_that_it_was() {
    let house = House::new(Registry::open(Vec::new())).await;
    let mut vehicle = house.connect().await;
    vehicle.say(&login(1)).await;
    vehicle.hear().await;
    house.shut();
    let orders = house.orders.clone();
    let given = tokio::spawn(async move { orders.give(vin(1), reset(), HOUR).await });
    assert!(vehicle.is_silent().await && !given.is_finished());
    house.open();
    given.await.unwrap().unwrap();
    assert_eq!(vehicle.hear().await.0, 0x82);
    house.stop().await;
}

#[tokio::test]
async fn an_order_whose_vehicle_goes_fails_and_is_not_sent_again() {
    let house = House::new(Registry::open(Vec::new())).await;
    let mut vehicle = house.connect().await;
    vehicle.say(&login(1)).await;
    vehicle.hear().await;
    house.orders.give(vin(1), reset(), HOUR).await.unwrap();
    assert_eq!(vehicle.hear().await.0, 0x82);
    // It comes back on another connection, before the end of the first is noticed.
    let mut again = house.connect().await;
    again.say(&login(1)).await;
    assert_eq!(again.hear().await.0, 1);
    assert_eq!(states(&house, 3).await, ["waiting", "sent", "failed"]);
    assert!(reason(&house).starts_with("the connection ended before the answer came"), "{}", reason(&house));
    assert!(again.is_silent().await && vehicle.is_closed().await);
    house.stop().await;
}

#[tokio::test]
async fn what_is_not_answered_or_not_fetched_in_time_comes_to_an_end() {
    let house = House::new(Registry::open(Vec::new())).await;
    let orders = house.orders.clone();
    let sweeping = tokio::spawn(async move { orders.run().await });
    house.orders.give(vin(2), reset(), HOUR).await.unwrap();
    let mut vehicle = house.connect().await;
    vehicle.say(&login(1)).await;
    vehicle.hear().await;
    house.orders.give(vin(1), reset(), HOUR).await.unwrap();
    assert_eq!(vehicle.hear().await.0, 0x82);
    let now = house.link.clock().now();
    house.clock.set(now.plus_nanos(61_000_000_000));
    assert_eq!(states(&house, 4).await, ["waiting", "waiting", "sent", "failed"]);
    assert_eq!(reason(&house), "no answer within 60 s");
    house.clock.set(now.plus_nanos(3_600_000_000_000));
    assert_eq!(states(&house, 5).await.pop().unwrap(), "expired");
    let mut late = house.connect().await;
    late.say(&login(2)).await;
    assert_eq!(late.hear().await.0, 1);
    assert!(late.is_silent().await);
    house.stop().await;
    sweeping.await.unwrap();
}

#[tokio::test]
async fn what_no_edition_has_and_what_is_too_much_is_refused_at_once() {
    let house = House::new(Registry::open(Vec::new())).await;
    let unknown = Request::QueryParameters { parameters: vec!["colour".to_owned()] };
    let error = house.orders.give(vin(1), unknown, HOUR).await.unwrap_err();
    assert!(error.to_string().contains("got `colour`"), "{error}");
    for _ in 0..16 {
        house.orders.give(vin(1), reset(), HOUR).await.unwrap();
    }
    let error = house.orders.give(vin(1), reset(), HOUR).await.unwrap_err();
    assert!(matches!(error, OrderError::TooMany { max: 16, .. }), "{error}");
    let ids: std::collections::BTreeSet<i64> = house.orders().iter().map(|(id, _, _)| *id).collect();
    assert_eq!(ids.len(), 16, "no two have the same number");
    house.stop().await;
}

#[tokio::test]
async fn after_a_restart_what_waited_is_sent_and_what_was_sent_has_failed() {
    let house = House::new(Registry::open(Vec::new())).await;
    let expires = house.link.clock().now().plus_nanos(1_000_000_000);
    let order = |id, state| {
        let changed = Timestamp::from_millis(0);
        Order { id, vin: vin(1), request: reset(), expires, state, changed, answer: None, reason: None }
    };
    let mut vehicle = house.connect().await;
    vehicle.say(&login(1)).await;
    vehicle.hear().await;
    house.orders.restore(vec![order(7, OrderState::Sent), order(8, OrderState::Waiting)]).await.unwrap();
    assert_eq!(vehicle.hear().await.0, 0x82);
    let kept = house.orders();
    assert_eq!((kept[0].0, kept[0].1.as_str()), (7, "failed"));
    assert_eq!((kept[1].0, kept[1].1.as_str()), (8, "sent"));
    house.stop().await;
}
