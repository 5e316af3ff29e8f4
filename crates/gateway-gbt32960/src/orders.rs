//! Orders to vehicles, and what becomes of each: it waits for its vehicle, is sent, and is answered, fails or expires. Every
//! step is kept, and durable before the next one: nothing is sent that there would be no proof of.
//!
//! A vehicle has one order at a time. What has been sent is never sent again: whether a vehicle that did not answer has done
//! what it was told is not known. Must not know of sockets.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldhash::fast::RandomState;
use gateway::{IngestError, Link};
use gbt32960::{EncodeError, Frame, Header, Request, Response, Standard, Vin, frame_to_json, to_wire};
use model::{AssetId, AssetKind, Batch, Column, Frames, Profile, Shape, Signal, Timestamp, ValueKind};

use crate::live::Live;

/// The profile that orders are kept in.
pub const ORDER_PROFILE: &str = "vehicle_order";
/// Orders that have not come to an end, of all vehicles.
const ORDERS_MAX: usize = 100_000;
/// Orders that have not come to an end, of one vehicle.
const ORDERS_OF_VEHICLE_MAX: usize = 16;
/// How long an order may wait for its vehicle.
pub const EXPIRES_AFTER_MAX: Duration = Duration::from_secs(30 * 24 * 3_600);
/// How long a vehicle may take to answer.
const ANSWER_WAIT_MAX: Duration = Duration::from_secs(60);
/// How often it is looked for orders whose time is over.
const TICK: Duration = Duration::from_secs(1);

static PROFILE: LazyLock<Arc<Profile>> = LazyLock::new(|| {
    let signal = |id: &str, kind, description: &str| Signal {
        description: Some(description.into()),
        ..Signal::new(id, &format!("gbt32960:{id}"), kind)
    };
    let signals = vec![
        signal("order_id", ValueKind::Integer, "编号 Which order: the microsecond in which it was given"),
        signal("order_state", ValueKind::Text, "状态 waiting, sent, answered, failed or expired"),
        signal("order_request", ValueKind::Text, "命令 What is asked, as JSON"),
        signal("order_answer", ValueKind::Text, "应答 What the vehicle answered, as JSON"),
        signal("order_reason", ValueKind::Text, "原因 Why it failed"),
        signal("order_expires", ValueKind::Integer, "有效期至 Until when it may be sent, in milliseconds of Unix time"),
    ];
    Arc::new(Profile::new(ORDER_PROFILE, Shape::Frames, signals).expect("the list above is a profile"))
});

/// How far an order has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderState {
    /// The vehicle is not connected, or has another order.
    Waiting,
    /// The vehicle has not answered yet.
    Sent,
    /// The vehicle has done it.
    Answered,
    /// The vehicle has refused it, or did not answer.
    Failed,
    /// The vehicle did not come in time.
    Expired,
}

impl OrderState {
    const ALL: [Self; 5] = [Self::Waiting, Self::Sent, Self::Answered, Self::Failed, Self::Expired];

    /// The word that is kept and shown.
    pub fn as_str(self) -> &'static str {
        ["waiting", "sent", "answered", "failed", "expired"][self as usize]
    }

    /// The state whose word is `word`.
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == word)
    }
}

/// An order to a vehicle.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// The microsecond in which it was given; no two have the same.
    pub id: i64,
    /// Whose it is.
    pub vin: Vin,
    /// What is asked.
    pub request: Request,
    /// Until when it may be sent.
    pub expires: Timestamp,
    /// How far it has come.
    pub state: OrderState,
    /// When it came so far.
    pub changed: Timestamp,
    /// What the vehicle answered, as JSON.
    pub answer: Option<String>,
    /// Why it failed.
    pub reason: Option<String>,
}

/// Why an order is not taken.
#[derive(Debug, thiserror::Error)]
pub enum OrderError {
    /// No edition has it.
    #[error("{0}")]
    Invalid(EncodeError),
    /// Too many orders have not come to an end.
    #[error("{what} {max} orders that have not come to an end already: ask again later")]
    TooMany {
        /// Who has them.
        what: &'static str,
        /// As many as there may be.
        max: usize,
    },
    /// It cannot be kept at present.
    #[error("the order could not be kept: {0}")]
    NotKept(IngestError),
}

/// See the module.
pub struct Orders {
    standard: Arc<Standard>,
    link: Link,
    live: Live,
    book: Mutex<Book>,
}

/// The orders that have not come to an end.
#[derive(Default)]
struct Book {
    orders: BTreeMap<i64, Order>,
    of: HashMap<Vin, OfVehicle, RandomState>,
    /// The last times that were given to an order and to a change, so that none comes twice.
    last_id: i64,
    last_change: Timestamp,
}

/// The orders of one vehicle.
#[derive(Default)]
struct OfVehicle {
    waiting: VecDeque<i64>,
    sent: Option<i64>,
}

impl Orders {
    /// No orders yet; keeps what becomes of them through `link`.
    pub fn new(standard: Arc<Standard>, link: Link) -> Self {
        Self { standard, link, live: Live::default(), book: Mutex::default() }
    }

    /// Which connections vehicles have.
    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes up `orders` that had not come to an end when the program ended. What was sent has failed: nobody heard the answer.
    ///
    /// # Errors
    /// When the program is ending again.
    pub async fn restore(&self, orders: Vec<Order>) -> Result<(), IngestError> {
        for mut order in orders {
            if order.state == OrderState::Sent {
                let reason = "the platform was stopped before the answer came: whether it was carried out is not known";
                order = self.changed(order, OrderState::Failed, Some(reason.to_owned()));
                self.keep(&order).await?;
            } else {
                let vin = order.vin;
                self.book().add(order);
                self.live.wake(&vin);
            }
        }
        Ok(())
    }

    /// Gives the vehicle `vin` an order that may be sent within `expires_after`; returns when that is durable.
    ///
    /// # Errors
    /// See [`OrderError`].
    pub async fn give(&self, vin: Vin, request: Request, expires_after: Duration) -> Result<Order, OrderError> {
        self.check(&request).map_err(OrderError::Invalid)?;
        let order = {
            let mut book = self.book();
            if book.orders.len() >= ORDERS_MAX {
                return Err(OrderError::TooMany { what: "there are", max: ORDERS_MAX });
            }
            let of_vehicle = book.of.get(&vin).map_or(0, |of| of.waiting.len() + usize::from(of.sent.is_some()));
            if of_vehicle >= ORDERS_OF_VEHICLE_MAX {
                return Err(OrderError::TooMany { what: "the vehicle has", max: ORDERS_OF_VEHICLE_MAX });
            }
            let now = self.link.clock().now();
            let nanos = expires_after.min(EXPIRES_AFTER_MAX).as_nanos() as i64;
            let id = (now.nanos() / 1_000).max(book.last_id + 1);
            book.last_id = id;
            let (state, changed) = (OrderState::Waiting, book.next_change(now));
            let expires = now.plus_nanos(nanos);
            Order { id, vin, request, expires, state, changed, answer: None, reason: None }
        };
        self.keep(&order).await.map_err(OrderError::NotKept)?;
        self.book().add(order.clone());
        self.live.wake(&vin);
        Ok(order)
    }

    /// Whether there is an edition that has it.
    fn check(&self, request: &Request) -> Result<(), EncodeError> {
        let [old, new] =
            gbt32960::Edition::ALL.map(|edition| request.data_unit(self.standard.layout(edition), [0; 6]).map(drop));
        old.or_else(|error| new.map_err(|_| error))
    }

    /// The next order of the vehicle that logged in with `login`, as it is from now on, and header and data unit of the frame
    /// that asks for it. It is to be kept before the frame goes out.
    pub(crate) fn next(&self, login: &Header) -> Option<(Order, Header, Vec<u8>)> {
        let now = self.link.clock().now();
        loop {
            let order = self.book().take_waiting(&login.vin)?;
            if order.expires <= now {
                self.end(order, OrderState::Expired, None);
                continue;
            }
            let time = to_wire(now).unwrap_or_default();
            match order.request.data_unit(self.standard.layout(login.edition), time) {
                Ok(data) => {
                    let order = self.changed(order, OrderState::Sent, None);
                    let mut book = self.book();
                    book.of.entry(order.vin).or_default().sent = Some(order.id);
                    book.orders.insert(order.id, order.clone());
                    let (command, response) = (order.request.command(), Response::COMMAND);
                    return Some((order, Header { command, response, ..*login }, data));
                }
                Err(error) => self.end(order, OrderState::Failed, Some(error.to_string())),
            }
        }
    }

    /// Takes in what a vehicle answered. False if it was not asked that.
    pub(crate) fn answered(&self, frame: &Frame<'_>) -> bool {
        let Some(mut order) =
            self.book().take_sent(&frame.header.vin, |order| order.request.command() == frame.header.command)
        else {
            return false;
        };
        let shown = frame_to_json(&self.standard, frame);
        let shown = shown.ok().and_then(|shown| Some(serde_json::to_value(shown).ok()?["data"].to_string()));
        order.answer = shown;
        if frame.header.response == Response::OK {
            self.end(order, OrderState::Answered, None);
        } else {
            let word = frame.header.response.word().unwrap_or("unknown");
            let reason = format!("the vehicle refused it: response {:#04x} ({word})", frame.header.response.0);
            self.end(order, OrderState::Failed, Some(reason));
        }
        self.live.wake(&frame.header.vin);
        true
    }

    /// The connection of `vin` has ended.
    pub(crate) fn lost(&self, vin: &Vin) {
        let sent = self.book().take_sent(vin, |_| true);
        if let Some(order) = sent {
            let reason = "the connection ended before the answer came: whether it was carried out is not known";
            self.end(order, OrderState::Failed, Some(reason.to_owned()));
        }
    }

    /// Ends orders whose time is over, until the program ends.
    pub async fn run(&self) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(TICK) => self.sweep(),
                () = self.link.stop().cancelled() => return,
            }
        }
    }

    fn sweep(&self) {
        let now = self.link.clock().now();
        let unanswered = now.plus_nanos(-(ANSWER_WAIT_MAX.as_nanos() as i64));
        let is_over = |order: &&Order| match order.state {
            OrderState::Sent => order.changed <= unanswered,
            _ => order.expires <= now,
        };
        let over: Vec<Order> = self.book().orders.values().filter(is_over).cloned().collect();
        for order in over {
            // It may have been answered meanwhile.
            if !self.book().remove(&order) {
                continue;
            }
            if order.state == OrderState::Sent {
                let reason = format!("no answer within {} s", ANSWER_WAIT_MAX.as_secs());
                let vin = order.vin;
                self.end(order, OrderState::Failed, Some(reason));
                self.live.wake(&vin);
            } else {
                self.end(order, OrderState::Expired, None);
            }
        }
    }

    fn changed(&self, order: Order, state: OrderState, reason: Option<String>) -> Order {
        let changed = self.book().next_change(self.link.clock().now());
        Order { state, changed, reason, ..order }
    }

    /// Keeps that `order`, which is in the book no more, has come to its end. Nobody waits for that.
    fn end(&self, order: Order, state: OrderState, reason: Option<String>) {
        let order = self.changed(order, state, reason);
        let (link, batch) = (self.link.clone(), batch(&order, &self.link));
        tokio::spawn(async move { link.deliver(batch, None).await });
    }

    /// Makes durable what has become of `order`.
    pub(crate) async fn keep(&self, order: &Order) -> Result<(), IngestError> {
        self.link.deliver(batch(order, &self.link), None).await
    }
}

impl Book {
    fn add(&mut self, order: Order) {
        self.last_id = self.last_id.max(order.id);
        self.of.entry(order.vin).or_default().waiting.push_back(order.id);
        self.orders.insert(order.id, order);
    }

    fn next_change(&mut self, now: Timestamp) -> Timestamp {
        self.last_change = now.max(self.last_change.plus_nanos(1));
        self.last_change
    }

    /// Takes the oldest order of `vin` that waits, unless the vehicle is busy with another one.
    fn take_waiting(&mut self, vin: &Vin) -> Option<Order> {
        let of = self.of.get_mut(vin).filter(|of| of.sent.is_none())?;
        let id = of.waiting.pop_front()?;
        self.forget_idle(vin);
        self.orders.remove(&id)
    }

    /// Takes the order that `vin` is busy with, if it is the one meant.
    fn take_sent(&mut self, vin: &Vin, is_meant: impl FnOnce(&Order) -> bool) -> Option<Order> {
        let id = self.of.get(vin)?.sent?;
        let order = self.orders.get(&id).filter(|order| is_meant(order))?.clone();
        self.remove(&order);
        Some(order)
    }

    /// Takes `order` out, if it still is as far as it says.
    fn remove(&mut self, order: &Order) -> bool {
        if self.orders.get(&order.id).is_none_or(|known| known.state != order.state) {
            return false;
        }
        self.orders.remove(&order.id);
        if let Some(of) = self.of.get_mut(&order.vin) {
            of.waiting.retain(|id| *id != order.id);
            of.sent = of.sent.filter(|id| *id != order.id);
        }
        self.forget_idle(&order.vin);
        true
    }

    fn forget_idle(&mut self, vin: &Vin) {
        if self.of.get(vin).is_some_and(|of| of.waiting.is_empty() && of.sent.is_none()) {
            self.of.remove(vin);
        }
    }
}

fn batch(order: &Order, link: &Link) -> Batch {
    let asset = AssetId::new(AssetKind::Vehicle, order.vin.as_str()).expect("whoever gives an order has checked that");
    let integer = |value: i64| Column::Integers(vec![Some(value)]);
    let text = |value: Option<&str>| Column::Texts(vec![value.map(Into::into)]);
    let request = serde_json::to_string(&order.request).expect("a request is JSON");
    let columns = vec![
        integer(order.id),
        text(Some(order.state.as_str())),
        text(Some(&request)),
        text(order.answer.as_deref()),
        text(order.reason.as_deref()),
        integer(order.expires.millis()),
    ];
    let (asset, assets, time, sequence) = (vec![0], vec![asset], vec![order.changed], vec![0]);
    let frames = Frames { assets, asset, time, sequence, columns, exceptions: Vec::new() };
    Batch::frames(Arc::clone(&PROFILE), link.clock().now(), frames)
}
