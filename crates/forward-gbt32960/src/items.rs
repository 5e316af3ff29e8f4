//! Rows of both tables on their way into frames, in one order: a vehicle's login before what it reports at that time, its
//! logout behind.

use std::sync::Arc;

use futures::FutureExt;
use futures::future::{BoxFuture, try_join};
use gbt32960::{Command, PROFILE, ReportRow, Vin};
use model::{Changes, Frames, Profile, Rows, Timestamp, Value};

use crate::cursor::{Gap, Positions};
use crate::express::{Express, SessionEvent, Unit, vin_of};
use crate::reports::{Part, Place, ReadError, Reports, Wanted};
use crate::status::Telling;
use crate::vehicles::Vehicles;

/// Rows that are read at once.
const ROWS_MAX: usize = 1_024;
/// The table of logins and logouts.
const SESSIONS: &str = "vehicle_session";

/// Stands for an asset that is no vehicle; nothing is sent of it.
const NO_VIN: Vin = Vin([0; 17]);

/// Which of the two tables a row is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Table {
    Reports,
    Sessions,
}

/// One row, as it is to be sent: as no frame at all where nothing of it can be said. Without a place, the end of a gap.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) gap: u64,
    pub(crate) table: Table,
    pub(crate) place: Option<Place>,
    pub(crate) received: Timestamp,
    pub(crate) vin: Vin,
    /// `None` for reports: realtime or reissued is told when it is sent.
    pub(crate) command: Option<Command>,
    pub(crate) units: Vec<Unit>,
}

impl Item {
    /// Behind the last row of a gap.
    pub(crate) fn end(gap: u64) -> Self {
        let (table, received, vin) = (Table::Reports, Timestamp::MIN, NO_VIN);
        Self { gap, table, place: None, received, vin, command: None, units: Vec::new() }
    }
}

/// Rows of a gap that have been read.
pub(crate) struct Chunk {
    pub(crate) gap: u64,
    reports: Option<Part>,
    sessions: Option<Part>,
}

/// Reads what comes next in `gap`.
pub(crate) fn read(
    reports: &Arc<dyn Reports>,
    vehicles: &Arc<Vehicles>,
    gap: &Gap,
) -> BoxFuture<'static, Result<Chunk, ReadError>> {
    let (id, Positions { reports: reported, sessions: announced }) = (gap.id, gap.read.clone());
    let wanted = |table, behind| {
        let (after, until, vehicles) = (gap.after, gap.until, Arc::clone(vehicles));
        Wanted { table, after, until, behind, vehicles, rows_max: ROWS_MAX }
    };
    let both = try_join(reports.read(wanted(PROFILE, reported)), reports.read(wanted(SESSIONS, announced)));
    both.map(move |read| read.map(|(reports, sessions)| Chunk { gap: id, reports, sessions })).boxed()
}

/// Where a row stands among those of both tables.
type Order = (Place, u8);

impl Chunk {
    /// The items of this chunk in their order. Moves `read` behind them; says whether the gap has no more.
    ///
    /// # Errors
    /// When the rows are of another make than those of this program.
    pub(crate) fn items(
        self,
        express: &Express,
        telling: &mut Telling,
        read: &mut Positions,
    ) -> Result<(Vec<Item>, bool), ReadError> {
        let mut items: Vec<(Order, Item)> = Vec::new();
        let mut last_of_all: Option<(Arc<str>, Timestamp)> = None;
        let mut limit = |part: &Part| {
            let last = if part.is_all { None } else { last_place(&part.rows) };
            if let Some(place) = last {
                let last = (place.asset, place.time);
                last_of_all = Some(last_of_all.take().map_or(last.clone(), |known| known.min(last)));
            }
        };
        self.reports.iter().chain(&self.sessions).for_each(&mut limit);
        if let Some(part) = &self.reports {
            items.extend(report_items(self.gap, part, express, telling)?);
        }
        if let Some(part) = &self.sessions {
            items.extend(session_items(self.gap, part, express, telling));
        }
        let before = items.len();
        if let Some((asset, time)) = &last_of_all {
            // What stands behind may have something before it in the table that has more.
            items.retain(|((place, _), _)| (&place.asset, place.time) <= (asset, *time));
        }
        items.sort_by(|(one, _), (other, _)| order(one).cmp(&order(other)));
        for ((place, _), item) in &items {
            let position = match item.table {
                Table::Reports => &mut read.reports,
                Table::Sessions => &mut read.sessions,
            };
            if position.as_ref().is_none_or(|known| known < place) {
                *position = Some(place.clone());
            }
        }
        let is_all = last_of_all.is_none() && before == items.len();
        Ok((items.into_iter().map(|(_, item)| item).collect(), is_all))
    }
}

fn order((place, rank): &Order) -> (&Arc<str>, Timestamp, u8, u32) {
    (&place.asset, place.time, *rank, place.sequence)
}

fn last_place(rows: &Rows) -> Option<Place> {
    match rows {
        Rows::Frames(frames) => frames.len().checked_sub(1).map(|row| frame_place(frames, row)),
        Rows::Changes(changes) => changes.len().checked_sub(1).map(|row| change_place(changes, row)),
    }
}

fn frame_place(frames: &Frames, row: usize) -> Place {
    let asset = frames.assets[usize::from(frames.asset[row])].as_str().into();
    Place { asset, time: frames.time[row], sequence: frames.sequence[row] }
}

fn change_place(changes: &Changes, row: usize) -> Place {
    let asset = changes.asset_of(row).as_str().into();
    Place { asset, time: changes.time[row], sequence: changes.sequence[row] }
}

fn report_items(
    gap: u64,
    part: &Part,
    express: &Express,
    telling: &mut Telling,
) -> Result<Vec<(Order, Item)>, ReadError> {
    let Rows::Frames(frames) = &part.rows else { return Ok(Vec::new()) };
    let frames = express.standard().adopted(&part.profile, frames).map_err(|error| ReadError(error.to_string()))?;
    let item = |row: usize| {
        let (place, report) = (frame_place(&frames, row), ReportRow::new(&frames, row));
        let vin = report.vin().unwrap_or(NO_VIN);
        let mut units = express.report(&report, &mut |lost| telling.miss(lost, vin.as_str(), place.time));
        if vin == NO_VIN {
            units.clear();
        }
        telling.left_out += u64::from(units.is_empty());
        let received = part.received[row];
        let item = Item { gap, table: Table::Reports, place: Some(place.clone()), received, vin, command: None, units };
        ((place, 1), item)
    };
    Ok((0..frames.len()).map(item).collect())
}

fn session_items(gap: u64, part: &Part, express: &Express, telling: &mut Telling) -> Vec<(Order, Item)> {
    let Rows::Changes(changes) = &part.rows else { return Vec::new() };
    let places: Vec<Place> = (0..changes.len()).map(|row| change_place(changes, row)).collect();
    let (mut items, mut row) = (Vec::new(), 0);
    for same in places.chunk_by(|one, next| one == next) {
        let rows = row..row + same.len();
        row = rows.end;
        let (place, received) = (&same[0], part.received[rows.start]);
        let vin = vin_of(&place.asset).unwrap_or(NO_VIN);
        let event = event(&part.profile, changes, rows);
        let said = express.session(&event, place.time, &mut |lost| telling.miss(lost, vin.as_str(), place.time));
        let (command, units) = said.map_or((None, Vec::new()), |(command, unit)| (Some(command), vec![unit]));
        // Several at one time stay in their order.
        let is_same_time = |other: &(Order, Item)| (&other.0.0.asset, other.0.0.time) == (&place.asset, place.time);
        let before: &mut [(Order, Item)] = &mut items;
        let same_time = before.last_mut().filter(|last| is_same_time(last));
        let is_alone = same_time.map(|last| last.0.1 = 0).is_none();
        let rank = if is_alone && command == Some(Command::VEHICLE_LOGOUT) { 2 } else { 0 };
        let (table, item_place) = (Table::Sessions, Some(place.clone()));
        let item = Item { gap, table, place: item_place, received, vin, command, units };
        items.push(((place.clone(), rank), item));
    }
    items
}

/// What the changes at `rows` say together.
fn event(profile: &Profile, changes: &Changes, rows: std::ops::Range<usize>) -> SessionEvent {
    let mut event = SessionEvent::default();
    for row in rows {
        match (&*profile.signal(changes.signal[row]).id, &changes.value[row]) {
            ("session", Value::Text(what)) => event.what.clone_from(what),
            ("iccid", Value::Text(iccid)) => event.iccid = Some(iccid.clone()),
            ("login_serial", Value::Integer(serial)) => event.serial = Some(*serial),
            _ => {}
        }
    }
    event
}
