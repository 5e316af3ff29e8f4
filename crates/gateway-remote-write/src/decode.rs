//! From a request to batches, piece by piece, so that memory stays bounded whatever the request says.

use std::collections::{BTreeMap, HashMap};

use foldhash::fast::RandomState;
use model::{AssetId, Batch, Changes, Observation, Quality, SignalIndex, Timestamp, Value};
use prost::Message;

use crate::error::{self, ERRORS_MAX, RequestError, SeriesError};
use crate::series::RemoteSeries;
use crate::wire::{self, Sample, TimeSeries};

/// Rows of one batch, unless one series has more.
const BATCH_ROWS_MAX: usize = 10_000;
/// Rows of one piece, unless one series has more.
const PIECE_ROWS_MAX: usize = 200_000;
/// The NaN that says that a series has ended: its source is gone, or no longer has it.
const STALE_MARKER: u64 = 0x7ff0_0000_0000_0002;

/// One request, decompressed.
#[derive(Debug)]
pub struct Request {
    bytes: Vec<u8>,
    offset: usize,
    series: u64,
}

/// What was in one piece of a request.
#[derive(Debug, Default)]
pub struct Decoded {
    /// The good series.
    pub batches: Vec<Batch>,
    /// Bytes of the request that it took.
    pub bytes: usize,
    /// Series, good and bad.
    pub series: u64,
    /// Samples of good series.
    pub samples: u64,
    /// What is wrong with the first bad series.
    pub errors: Vec<SeriesError>,
    /// How much was rejected, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
}

/// Changes that become one batch.
#[derive(Default)]
struct Rows {
    changes: Changes,
    places: HashMap<AssetId, u16, RandomState>,
}

impl Request {
    /// Decompresses `body`, if that gives at most `bytes_max` bytes.
    ///
    /// # Errors
    /// When it is not in snappy's block format, or too large.
    pub fn new(body: &[u8], bytes_max: usize) -> Result<Self, RequestError> {
        let bytes = snap::raw::decompress_len(body).map_err(|_| RequestError::Compression)?;
        if bytes > bytes_max {
            return Err(RequestError::TooLarge { bytes, bytes_max });
        }
        let bytes = snap::raw::Decoder::new().decompress_vec(body).map_err(|_| RequestError::Compression)?;
        Ok(Self { bytes, offset: 0, series: 0 })
    }

    /// All of it, without compression.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Decodes the next piece; `None` when there is no more.
    ///
    /// # Errors
    /// When the rest is no write request. What came before it is good.
    pub fn decode(&mut self, known: &mut RemoteSeries, received: Timestamp) -> Result<Option<Decoded>, RequestError> {
        if self.offset >= self.bytes.len() {
            return Ok(None);
        }
        let mut decoded = Decoded::default();
        let mut rows = Rows::default();
        let begin_of_piece = self.offset;
        while decoded.samples < PIECE_ROWS_MAX as u64 {
            let next = match wire::next_series(&self.bytes, &mut self.offset) {
                Ok(next) => next,
                // First what is good before it, then the error.
                Err(_) if decoded.series > 0 => break,
                Err(error) => return Err(error),
            };
            let Some((begin, series)) = next else { break };
            self.series += 1;
            decoded.series += 1;
            let taken = rows.take(series, known, &mut decoded);
            if let Err(error) = taken {
                decoded.reject(SeriesError { series: self.series, bytes: begin..self.offset, ..error });
            }
            if rows.changes.len() >= BATCH_ROWS_MAX {
                rows.finish(known, received, &mut decoded);
            }
        }
        rows.finish(known, received, &mut decoded);
        decoded.bytes = self.offset - begin_of_piece;
        Ok(Some(decoded))
    }
}

impl Decoded {
    fn reject(&mut self, error: SeriesError) {
        *self.rejected.entry(error.reason).or_insert(0) += 1;
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }
}

fn refused(reason: &'static str, detail: String) -> SeriesError {
    SeriesError { series: 0, bytes: 0..0, reason, detail }
}

impl Rows {
    /// Takes one series; what is good in it stays even when this fails.
    fn take(&mut self, bytes: &[u8], known: &mut RemoteSeries, decoded: &mut Decoded) -> Result<(), SeriesError> {
        if bytes.len() > wire::SERIES_BYTES_MAX {
            return Err(refused(error::LIMIT, format!("expected at most 1 MiB, got {} bytes", bytes.len())));
        }
        let series = TimeSeries::decode(bytes).map_err(|error| refused(error::INVALID_SERIES, error.to_string()))?;
        let times: Vec<_> = series.samples.iter().map(|sample| sample.timestamp.checked_mul(1_000_000)).collect();
        let out_of_range = times.iter().filter(|time| time.is_none()).count();
        // What brings no row is not to be remembered either: an asset without rows would never end a batch.
        if out_of_range < times.len() {
            self.push(&series, &times, known)?;
            decoded.samples += (times.len() - out_of_range) as u64;
        }
        if out_of_range > 0 {
            let detail = format!("expected times between the years 1677 and 2262, got {out_of_range} others");
            return Err(refused(error::INVALID_TIME, detail));
        }
        if !series.histograms.is_empty() {
            let detail = format!("expected samples, got {} native histograms", series.histograms.len());
            return Err(refused(error::HISTOGRAM, detail));
        }
        Ok(())
    }

    /// Takes the samples of `series` that have a time, of which there is at least one.
    fn push(
        &mut self,
        series: &TimeSeries,
        times: &[Option<i64>],
        known: &mut RemoteSeries,
    ) -> Result<(), SeriesError> {
        let (signal, asset) = known.find(&series.labels)?;
        let asset = self.place(&asset);
        let mut previous = None;
        for (sample, nanos) in series.samples.iter().zip(times) {
            let Some(nanos) = *nanos else { continue };
            // Two values at one time are two observations; the same twice is one.
            let sequence = match previous {
                Some((time, sequence, value)) if time == nanos && value != sample.value.to_bits() => sequence + 1,
                Some((time, sequence, _)) if time == nanos => sequence,
                _ => 0,
            };
            previous = Some((nanos, sequence, sample.value.to_bits()));
            self.changes.push(asset, observation(signal, Timestamp::from_nanos(nanos), sequence, *sample));
        }
        Ok(())
    }

    fn place(&mut self, asset: &AssetId) -> u16 {
        *self.places.entry(asset.clone()).or_insert_with_key(|asset| {
            self.changes.assets.push(asset.clone());
            let place = self.changes.assets.len() - 1;
            u16::try_from(place).expect("each asset has a row, and a batch ends long before so many")
        })
    }

    fn finish(&mut self, known: &mut RemoteSeries, received: Timestamp, decoded: &mut Decoded) {
        let Self { changes, .. } = std::mem::take(self);
        if !changes.is_empty() {
            decoded.batches.push(Batch::changes(known.profile(), received, changes));
        }
    }
}

fn observation(signal: SignalIndex, time: Timestamp, sequence: u32, sample: Sample) -> Observation {
    let (quality, value) = if sample.value.to_bits() == STALE_MARKER {
        (Quality::Unavailable, Value::Absent)
    } else {
        (Quality::Good, Value::Number(sample.value))
    };
    Observation { signal, time, sequence, quality, value, statistic: None }
}
