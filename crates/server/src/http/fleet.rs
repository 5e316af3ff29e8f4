//! The fleet: how many vehicles are how, a table of any length page by page, and where they are on the map.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::{RawQuery, State as Shared};
use axum::response::Response;
use diagnosis::Priority;
use model::Timestamp;
use serde::Serialize;
use tokio::time::Instant;

use super::App;
use super::assets::parameters;
use super::error::ApiError;
use super::json;
use crate::alarms::open::Open;
use crate::config::FleetConfig;
use crate::fleet::coordinates;
use crate::fleet::follow::Follower;
use crate::fleet::page::{Filter, Order, Sort, page};
use crate::fleet::{Counts, Kept, LEVELS, Sight, State, Vehicle};

/// Counts are made anew at most this often, however many look at them.
const COUNTED_FOR: Duration = Duration::from_secs(1);
/// Of those that have been silent longest.
const SILENT_MAX: usize = 10;
const LIMIT_DEFAULT: usize = 100;
const LIMIT_MAX: usize = 500;
/// Positions of one answer.
const POSITIONS_MAX: usize = 200_000;
/// Steps of a degree that positions are told in: a step is 1.1 m at the most.
const STEPS_PER_DEGREE: f64 = 1e5;

/// What is known of the fleet, and the counts that were made of it last.
pub(crate) struct FleetView {
    pub(crate) follower: Arc<Follower>,
    config: FleetConfig,
    counted: Mutex<Option<(Instant, Arc<FleetJson>)>>,
}

impl FleetView {
    pub(crate) fn new(follower: Arc<Follower>, config: FleetConfig) -> Self {
        Self { follower, config, counted: Mutex::default() }
    }

    fn sight(&self, now: Timestamp, open: Arc<Open>) -> Sight {
        let offline_after_ns =
            i64::try_from(self.config.offline_secs).unwrap_or(i64::MAX).saturating_mul(1_000_000_000);
        Sight { now, offline_after_ns, system: self.config.coordinates, open }
    }

    fn counted(&self) -> Option<Arc<FleetJson>> {
        let counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        counted.as_ref().filter(|(at, _)| at.elapsed() < COUNTED_FOR).map(|(_, fleet)| Arc::clone(fleet))
    }
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Fleet)]
pub(crate) struct FleetJson {
    /// The server's present, to judge ages by.
    now: String,
    vehicles: usize,
    /// A vehicle that said nothing for longer is offline.
    offline_secs: u64,
    states: StatesJson,
    /// Vehicles by the highest level of their alarms: none, 1, 2, 3, and 4 for a thermal event.
    #[schema(value_type = Vec<usize>)]
    levels: [usize; LEVELS],
    /// Vehicles that never told a level.
    level_unknown: usize,
    /// Alarms of vehicles that want somebody.
    open: usize,
    /// Vehicles by the most urgent of these.
    priorities: BTreeMap<&'static str, usize>,
    /// The ten that have been offline longest.
    offline_longest: Vec<VehicleJson>,
}

/// Vehicles by what they do.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = FleetStates)]
struct StatesJson {
    driving: usize,
    charging: usize,
    /// Switched on and standing.
    parked: usize,
    off: usize,
    offline: usize,
    /// Logged in, and never reported.
    never: usize,
}

impl StatesJson {
    fn of(counts: &Counts) -> Self {
        let [driving, charging, parked, off, offline, never] = counts.states;
        Self { driving, charging, parked, off, offline, never }
    }
}

/// A vehicle, with the last values that a table shows. What is abnormal, invalid or was never told is null.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Vehicle)]
struct VehicleJson {
    /// Names it in the positions; it stays the same until the server ends.
    place: u32,
    asset: String,
    vin: String,
    /// The edition of the standard that it speaks: 2016 or 2025.
    edition: Option<u16>,
    /// `driving`, `charging`, `parked`, `off`, `offline` or `never`.
    #[schema(value_type = String)]
    state: &'static str,
    /// In %.
    soc: Option<f64>,
    /// In km/h.
    speed: Option<f64>,
    /// In km.
    odometer: Option<f64>,
    /// In V.
    voltage: Option<f64>,
    /// In A.
    current: Option<f64>,
    /// The highest level of its alarms, 0 to 4.
    level: Option<usize>,
    /// How many alarms of it want somebody.
    alarms: u32,
    /// The most urgent priority of these: `low`, `medium`, `high` or `critical`.
    #[schema(value_type = Option<String>)]
    priority: Option<&'static str>,
    /// When its last report came in.
    heard: Option<String>,
    /// The time of its newest report.
    time: Option<String>,
    /// Longitude and latitude in degrees, WGS-84.
    #[schema(value_type = Option<Vec<f64>>)]
    position: Option<[f64; 2]>,
    /// The same place in GCJ-02, as maps in China want it.
    #[schema(value_type = Option<Vec<f64>>)]
    position_gcj02: Option<[f64; 2]>,
    /// What last happened to its connection: `login`, `logout` or `lost`.
    #[schema(value_type = Option<String>)]
    session: Option<&'static str>,
    /// When that was.
    session_time: Option<String>,
}

impl VehicleJson {
    fn new(place: u32, vehicle: &Vehicle, sight: &Sight) -> Self {
        let told = |(longitude, latitude): (f64, f64)| {
            // Ten centimetres: more than a vehicle tells.
            [longitude, latitude].map(|degrees| (degrees * 1e6).round() / 1e6)
        };
        let (position, open) = (vehicle.position(sight), vehicle.open(sight));
        Self {
            place,
            asset: vehicle.asset.to_string(),
            vin: vehicle.vin().to_owned(),
            edition: vehicle.value(Kept::Edition).map(|edition| edition as u16),
            state: vehicle.state(sight).as_str(),
            soc: vehicle.value(Kept::Soc),
            speed: vehicle.value(Kept::Speed),
            odometer: vehicle.value(Kept::Odometer),
            voltage: vehicle.value(Kept::Voltage),
            current: vehicle.value(Kept::Current),
            level: vehicle.level(),
            alarms: open.map_or(0, |open| open.count),
            priority: open.map(|open| open.priority.as_str()),
            heard: vehicle.heard.map(|heard| heard.to_string()),
            time: vehicle.time.map(|time| time.to_string()),
            position: position.map(told),
            position_gcj02: position.map(coordinates::gcj02_of).map(told),
            session: vehicle.session.map(|(what, _)| what.as_str()),
            session_time: vehicle.session.map(|(_, time)| time.to_string()),
        }
    }
}

/// How many vehicles there are, by what they do and by their alarms, and which have been offline longest. From memory.
#[utoipa::path(get, path = "/api/v1/fleet", responses((status = 200, body = FleetJson, content_type = "application/json")))]
pub(crate) async fn fleet(Shared(app): Shared<Arc<App>>) -> Result<Response, ApiError> {
    let view = &app.fleet;
    if let Some(counted) = view.counted() {
        return json::answer(&*counted, app.limits.answer_bytes_max);
    }
    let open = app.alarms.open_by_asset();
    let fleet = view.follower.fleet().await;
    let sight = view.sight(app.clock.now(), open);
    let counts = fleet.counts(&sight);
    let silent = fleet.offline_longest(&sight, SILENT_MAX);
    let told = |place: u32| VehicleJson::new(place, &fleet.vehicles()[place as usize], &sight);
    let counted = Arc::new(FleetJson {
        now: sight.now.to_string(),
        vehicles: counts.vehicles,
        offline_secs: view.config.offline_secs,
        states: StatesJson::of(&counts),
        levels: counts.levels,
        level_unknown: counts.level_unknown,
        open: counts.open,
        priorities: Priority::ALL.map(Priority::as_str).into_iter().zip(counts.priorities).collect(),
        offline_longest: silent.into_iter().map(told).collect(),
    });
    drop(fleet);
    *view.counted.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), Arc::clone(&counted)));
    json::answer(&*counted, app.limits.answer_bytes_max)
}

#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct VehiclesJson {
    now: String,
    /// How many vehicles the filters admit.
    total: usize,
    /// The place of the first of `vehicles` among them.
    offset: usize,
    vehicles: Vec<VehicleJson>,
}

/// Vehicles with their last values, sorted and filtered, a page of them.
#[utoipa::path(
    get,
    path = "/api/v1/fleet/vehicles",
    params(
        (
            "sort" = Option<String>, Query,
            description = "`vin`, which is taken if left out, `edition`, `state`, `soc`, `speed`, `odometer`, `voltage`, \
                           `current`, `level`, `heard` or `alarms`; vehicles without a value stand last"
        ),
        ("order" = Option<String>, Query, description = "`ascending`, which is taken if left out, or `descending`"),
        ("state" = Option<Vec<String>>, Query, description = "Only those in one of these states; may be repeated"),
        ("level" = Option<Vec<usize>>, Query, description = "Only those with one of these levels of alarm; may be repeated"),
        (
            "priority" = Option<Vec<String>>, Query,
            description = "Only those the most urgent of whose alarms that want somebody is of this priority; may be repeated"
        ),
        ("search" = Option<String>, Query, description = "Only those whose VIN has this in it"),
        (
            "place" = Option<Vec<u32>>, Query,
            description = "Only the vehicles that the positions name so; may be repeated. Everything else is ignored then"
        ),
        ("offset" = Option<usize>, Query, description = "So many are left out before the page"),
        ("limit" = Option<usize>, Query, description = "Vehicles of the page: 1 to 500, 100 if left out"),
    ),
    responses((status = 200, body = VehiclesJson, content_type = "application/json"), (status = 400, body = ApiError))
)]
pub(crate) async fn vehicles(Shared(app): Shared<Arc<App>>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let query = query.as_deref();
    let (filter, sorted, offset, limit) = (filter(query)?, sorted(query)?, offset(query)?, limit(query)?);
    let wanted: Vec<u32> = numbers(query, "place")?;
    let open = app.alarms.open_by_asset();
    let fleet = app.fleet.follower.fleet().await;
    let sight = app.fleet.sight(app.clock.now(), open);
    let (total, places) = if wanted.is_empty() {
        page(&fleet, &sight, &filter, sorted, (offset, limit))
    } else {
        let known = wanted.into_iter().filter(|place| (*place as usize) < fleet.vehicles().len());
        let known: Vec<u32> = known.take(LIMIT_MAX).collect();
        (known.len(), known)
    };
    let told = |place: u32| VehicleJson::new(place, &fleet.vehicles()[place as usize], &sight);
    let vehicles = places.into_iter().map(told).collect();
    drop(fleet);
    let page = VehiclesJson { now: sight.now.to_string(), total, offset, vehicles };
    json::answer(&page, app.limits.answer_bytes_max)
}

/// Where the vehicles are, one array for each thing that is told.
#[derive(Debug, Default, Serialize, utoipa::ToSchema)]
pub(crate) struct PositionsJson {
    now: String,
    /// How many vehicles have a position, of those that the filters admit.
    total: usize,
    /// What `state` counts.
    #[schema(value_type = Vec<String>)]
    states: [&'static str; State::ALL.len()],
    /// What to ask `/api/v1/fleet/vehicles` for as `place`. At most 200,000 are told.
    place: Vec<u32>,
    /// WGS-84, in hundred thousandths of a degree.
    longitude: Vec<i32>,
    /// WGS-84, in hundred thousandths of a degree.
    latitude: Vec<i32>,
    /// The place of its state among `states`.
    state: Vec<u8>,
    /// The highest level of its alarms; 0 where it never told one.
    level: Vec<u8>,
}

/// Where the vehicles are, in WGS-84 whatever they speak.
#[utoipa::path(
    get,
    path = "/api/v1/fleet/positions",
    params(
        ("state" = Option<Vec<String>>, Query, description = "Only those in one of these states; may be repeated"),
        ("level" = Option<Vec<usize>>, Query, description = "Only those with one of these levels of alarm; may be repeated"),
        (
            "priority" = Option<Vec<String>>, Query,
            description = "Only those the most urgent of whose alarms that want somebody is of this priority; may be repeated"
        ),
        ("search" = Option<String>, Query, description = "Only those whose VIN has this in it"),
    ),
    responses((status = 200, body = PositionsJson, content_type = "application/json"), (status = 400, body = ApiError))
)]
pub(crate) async fn positions(Shared(app): Shared<Arc<App>>, RawQuery(query): RawQuery) -> Result<Response, ApiError> {
    let filter = filter(query.as_deref())?;
    let open = app.alarms.open_by_asset();
    let fleet = app.fleet.follower.fleet().await;
    let sight = app.fleet.sight(app.clock.now(), open);
    let states = State::ALL.map(State::as_str);
    let mut told = PositionsJson { now: sight.now.to_string(), states, ..PositionsJson::default() };
    for (place, vehicle) in (0..).zip(fleet.vehicles()) {
        if !filter.admits(vehicle, &sight) {
            continue;
        }
        let Some((longitude, latitude)) = vehicle.position(&sight) else { continue };
        told.total += 1;
        if told.place.len() < POSITIONS_MAX {
            let steps = |degrees: f64| (degrees * STEPS_PER_DEGREE).round() as i32;
            told.place.push(place);
            told.longitude.push(steps(longitude));
            told.latitude.push(steps(latitude));
            told.state.push(vehicle.state(&sight) as u8);
            told.level.push(vehicle.level().unwrap_or(0) as u8);
        }
    }
    drop(fleet);
    json::answer(&told, app.limits.answer_bytes_max)
}

fn invalid(name: &str, expected: &str, got: &str) -> ApiError {
    ApiError::bad_request("invalid_parameter", format!("{name}: expected {expected}, got `{got}`"))
}

fn numbers<T: std::str::FromStr>(query: Option<&str>, name: &str) -> Result<Vec<T>, ApiError> {
    let read = |text: String| text.parse().map_err(|_| invalid(name, "a whole number", &text));
    parameters(query, name).into_iter().map(read).collect()
}

fn filter(query: Option<&str>) -> Result<Filter, ApiError> {
    let state = |text: String| {
        let known = State::ALL.into_iter().find(|state| state.as_str() == text);
        known.ok_or_else(|| invalid("state", &State::ALL.map(State::as_str).join(", "), &text))
    };
    let states = parameters(query, "state").into_iter().map(state).collect::<Result<_, _>>()?;
    let levels: Vec<usize> = numbers(query, "level")?;
    if let Some(level) = levels.iter().find(|level| **level >= LEVELS) {
        return Err(invalid("level", "0 to 4", &level.to_string()));
    }
    let priority = |text: String| {
        Priority::of_word(&text).ok_or_else(|| invalid("priority", "low, medium, high or critical", &text))
    };
    let priorities: Vec<Priority> =
        parameters(query, "priority").into_iter().map(priority).collect::<Result<_, _>>()?;
    let filter = Filter::new(states, levels, &parameters(query, "search").pop().unwrap_or_default());
    Ok(filter.of_priorities(priorities))
}

fn sorted(query: Option<&str>) -> Result<(Sort, Order), ApiError> {
    let sort = match parameters(query, "sort").pop() {
        None => Sort::Vin,
        Some(text) => {
            let known = Sort::ALL.into_iter().find(|(word, _)| *word == text).map(|(_, sort)| sort);
            known.ok_or_else(|| invalid("sort", &Sort::ALL.map(|(word, _)| word).join(", "), &text))?
        }
    };
    let order = match parameters(query, "order").pop().as_deref() {
        None | Some("ascending") => Order::Ascending,
        Some("descending") => Order::Descending,
        Some(text) => return Err(invalid("order", "ascending or descending", text)),
    };
    Ok((sort, order))
}

fn offset(query: Option<&str>) -> Result<usize, ApiError> {
    Ok(numbers(query, "offset")?.pop().unwrap_or(0))
}

fn limit(query: Option<&str>) -> Result<usize, ApiError> {
    let limit = numbers(query, "limit")?.pop().unwrap_or(LIMIT_DEFAULT);
    match limit {
        1..=LIMIT_MAX => Ok(limit),
        _ => Err(invalid("limit", "1 to 500", &limit.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_checked() {
        let check = |query: &str, expected: &str| {
            let query = Some(query);
            let errors = [
                filter(query).err(),
                sorted(query).err(),
                offset(query).err(),
                limit(query).err(),
                numbers::<u32>(query, "place").err(),
            ];
            let error = format!("{:?}", errors.into_iter().flatten().collect::<Vec<_>>());
            assert!(error.contains(expected), "{query:?}: {error}");
        };
        check("state=flying", "state: expected driving, charging, parked, off, offline, never, got `flying`");
        check("priority=soon", "priority: expected low, medium, high or critical, got `soon`");
        check("level=5", "level: expected 0 to 4, got `5`");
        check("sort=colour", "sort: expected vin, edition, state,");
        check("order=up", "order: expected ascending or descending, got `up`");
        check("limit=501", "limit: expected 1 to 500, got `501`");
        check("offset=-1", "offset: expected a whole number, got `-1`");
        check("place=x", "place: expected a whole number, got `x`");
        check("state=off&state=driving&level=0&level=4&sort=heard&order=descending&limit=500&search=LTM", "[]");
    }
}
