//! From a body to batches, piece by piece, so that memory stays bounded whatever the lines say.

use std::collections::BTreeMap;

use model::{Batch, Timestamp};

use crate::Precision;
use crate::fault::{self, ERRORS_MAX, Fault, LineError};
use crate::fields::Measurement;
use crate::rows::{Line, Rows};
use crate::scan::{self, LINE_BYTES_MAX, Scalar};
use crate::series::Series;

/// Bytes of one piece, but for the end of its last line.
const PIECE_BYTES_MAX: usize = 32 << 20;
/// Rows times columns of one piece.
const PIECE_CELLS_MAX: usize = 4 << 20;

/// How far a body has been decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Bytes.
    pub offset: usize,
    /// Line ends.
    pub lines: u64,
}

/// What was in one piece of a body.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The good lines.
    pub batches: Vec<Batch>,
    /// Lines with content, good and bad.
    pub lines: u64,
    /// Values of good lines.
    pub fields: u64,
    /// What is wrong with the first bad lines.
    pub errors: Vec<LineError>,
    /// How many bad lines there are, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
}

impl Decoded {
    /// How many lines are bad.
    pub fn rejected_lines(&self) -> u64 {
        self.rejected.values().sum()
    }
}

/// One piece while it is decoded.
struct Piece<'a> {
    bytes: &'a [u8],
    received: Timestamp,
    precision: Precision,
    rows: Vec<Option<Rows>>,
    values: Vec<(u16, Scalar)>,
    cells: usize,
    decoded: Decoded,
}

impl Series {
    /// Decodes the next piece of `bytes`, a whole body, from `position` on, and moves `position` behind it. Lines without
    /// a time stamp are of the time `received`.
    ///
    /// Lines of the same asset and time become one row where they are in one piece: a piece ends at 32 MiB, or earlier
    /// where most lines have few of many fields.
    ///
    /// # Panics
    /// When the body has 4 GiB or more.
    pub fn decode(
        &mut self,
        bytes: &[u8],
        position: &mut Position,
        received: Timestamp,
        precision: Precision,
    ) -> Decoded {
        assert!(u32::try_from(bytes.len()).is_ok(), "a body has less than 4 GiB");
        let (rows, values) = (Vec::new(), Vec::new());
        let mut piece = Piece { bytes, received, precision, rows, values, cells: 0, decoded: Decoded::default() };
        let begin = position.offset;
        while position.offset < bytes.len()
            && position.offset - begin < PIECE_BYTES_MAX
            && piece.cells < PIECE_CELLS_MAX
        {
            piece.take_line(self, position);
        }
        piece.finish(self)
    }
}

impl Piece<'_> {
    /// Takes the line at `position`, whatever it is.
    fn take_line(&mut self, series: &mut Series, position: &mut Position) {
        let begin = position.offset;
        let content = scan::skip_spaces(self.bytes, begin);
        let end;
        let mut line_ends = 0;
        if let Some(blank_end) = scan::nothing_until(self.bytes, content) {
            end = blank_end;
        } else {
            self.decoded.lines += 1;
            let mut texts = true;
            match self.line(series, content) {
                Ok(good_end) => {
                    end = good_end;
                    self.decoded.fields += self.values.len() as u64;
                    texts = self.values.iter().any(|(_, value)| matches!(value, Scalar::Text { .. }));
                }
                Err(fault) => {
                    end = scan::bad_line_end(self.bytes, content);
                    self.reject(*fault, position.lines + 1, begin, end);
                }
            }
            if texts {
                // These may hold line ends of their own.
                line_ends = scan::line_ends(&self.bytes[begin..end]);
            }
        }
        position.lines += line_ends;
        position.lines += 1;
        position.offset = (end + 1).min(self.bytes.len());
    }

    /// Takes the line whose content begins at `begin`; returns where it ends.
    fn line(&mut self, series: &mut Series, begin: usize) -> Result<usize, Box<Fault>> {
        let bytes = self.bytes;
        let limit = bytes.len().min(begin + LINE_BYTES_MAX);
        let series_end = scan::series_end(bytes, begin)?;
        let fields_begin = scan::skip_spaces(bytes, series_end);
        let found = match series.known(&bytes[begin..series_end]) {
            Some(found) => found,
            None => {
                // A bad line must not use up what a bound leaves for good ones.
                check_fields(bytes, fields_begin, limit)?;
                series.learn(bytes, begin, series_end)?
            }
        };
        series.lines += 1;
        let (fields_max, line) = (series.fields_max(), series.lines);
        let measurement = &mut series.measurements[found.measurement as usize];
        let fields_before = measurement.len();
        let read = measurement
            .read(bytes, fields_begin, limit, line, fields_max, &mut self.values)
            .and_then(|fields_end| self.time(fields_end, limit))
            .and_then(|(time, end)| {
                let place = found.measurement as usize;
                if self.rows.len() <= place {
                    self.rows.resize_with(place + 1, || None);
                }
                let rows = self.rows[place].get_or_insert_default();
                let line = Line { bytes, asset: found.asset, time, values: &self.values };
                let added = rows.add(&line, measurement, &series.assets);
                self.cells += added.map_err(|_| too_many_repeats(bytes, begin))?;
                Ok(end)
            });
        if read.is_err() {
            self.values.clear();
            measurement.forget_after(fields_before);
        }
        read
    }

    /// The time behind the fields that end at `at`, in nanoseconds, and the end of the line.
    fn time(&self, at: usize, limit: usize) -> Result<(i64, usize), Box<Fault>> {
        let (time, end) = time(self.bytes, at, limit)?;
        let nanos = match time {
            None => Some(self.received.nanos()),
            Some(time) => time.checked_mul(self.precision.nanos()),
        };
        let out_of_range = || {
            let begin = scan::skip_spaces(self.bytes, at);
            Fault::new(self.bytes, begin, fault::INVALID_TIME, "a time between the years 1677 and 2262: see precision")
        };
        Ok((nanos.ok_or_else(out_of_range)?, end))
    }

    fn reject(&mut self, fault: Fault, line: u64, begin: usize, end: usize) {
        let Fault { reason, at, expected, found } = fault;
        *self.decoded.rejected.entry(reason).or_insert(0) += 1;
        if self.decoded.errors.len() < ERRORS_MAX {
            let byte = at.saturating_sub(begin) + 1;
            self.decoded.errors.push(LineError { line, bytes: begin..end, reason, byte, expected, found });
        }
    }

    fn finish(mut self, series: &mut Series) -> Decoded {
        for (place, rows) in self.rows.into_iter().enumerate() {
            if let Some(rows) = rows {
                rows.finish(&mut series.measurements[place], self.received, &mut self.decoded.batches);
            }
        }
        self.decoded
    }
}

/// The time stamp behind the fields that end at `at`, if there is one, and the end of the line.
fn time(bytes: &[u8], at: usize, limit: usize) -> Result<(Option<i64>, usize), Box<Fault>> {
    let mut end = scan::skip_spaces(bytes, at);
    let mut time = None;
    if !scan::is_line_end(bytes, end) {
        let (found, found_end) = scan::time(bytes, end)?;
        (time, end) = (Some(found), scan::skip_spaces(bytes, found_end));
    }
    if !scan::is_line_end(bytes, end) {
        return Err(Fault::new(bytes, end, fault::INVALID_TIME, "the end of the line"));
    }
    if end > limit {
        return Err(Fault::new(bytes, limit, fault::LIMIT, "a line of at most 1 MiB"));
    }
    Ok((time, end + usize::from(bytes.get(end) == Some(&b'\r'))))
}

/// Whether fields and time would be read, of whatever measurement.
fn check_fields(bytes: &[u8], at: usize, limit: usize) -> Result<(), Box<Fault>> {
    let mut any = Measurement::new("any", "any");
    let end = any.read(bytes, at, limit, 1, usize::from(u16::MAX), &mut Vec::new())?;
    time(bytes, end, limit).map(|_| ())
}

fn too_many_repeats(bytes: &[u8], begin: usize) -> Box<Fault> {
    let expected = "fewer lines that contradict one another at one time, or time stamps that tell them apart";
    Fault::new(bytes, begin, fault::LIMIT, expected)
}
