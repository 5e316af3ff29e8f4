//! Recorded files into the store, by the same decoders as live sources.

use std::collections::BTreeMap;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use gateway::{Quarantine, Rejection};
use gateway_mtconnect::device::{self, DeviceModelError};
use gateway_mtconnect::shdr::{Counts, ShdrDecoder};
use model::{Batch, Clock, Timestamp};
use store::{Receipt, Store, SubmitError};
use tokio::task::JoinHandle;

use crate::SystemClock;
use crate::sources::mappings;

/// As much as is read at a time.
const READ_BYTES: usize = 256 << 10;
/// Batches on their way into the log while the next is decoded.
const UNDER_WAY_MAX: usize = 8;

/// A recorded file of SHDR that is ready to be imported.
pub struct ShdrImport {
    log: PathBuf,
    file: File,
    bytes: u64,
    /// The file's own date: the time of lines that carry none.
    date: Timestamp,
    /// When it is imported.
    received: Timestamp,
    decoder: ShdrDecoder,
    summary: ImportSummary,
}

/// What became of a file.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ImportSummary {
    /// What was decoded.
    pub counts: Counts,
    /// What is now durable.
    pub receipt: Receipt,
    /// What was rejected, by reason.
    pub rejected: BTreeMap<&'static str, u64>,
    /// What is doubtful in the device model.
    pub warnings: Vec<String>,
}

/// Why an import ended before its file.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// A file does not read.
    #[error("failed to read the {what} `{path}`")]
    Read {
        /// What it is to the import.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The device model is none.
    #[error("in the device model `{path}`")]
    DeviceModel {
        /// The file.
        path: PathBuf,
        /// Where and why.
        source: DeviceModelError,
    },
    /// No profile can be made of the device model.
    #[error("in the device model `{path}`: {reason}")]
    Mapping {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// The store does not take it.
    #[error("failed to keep what was read; {rows} rows are safe, and importing the file again goes on there")]
    Submit {
        /// Rows that are durable.
        rows: u64,
        /// Why.
        source: SubmitError,
    },
}

impl ShdrImport {
    /// Opens the recorded lines `log` and the device model `devices`. The signals are kept under `profile`, or under a name
    /// made of the device's own.
    ///
    /// # Errors
    /// When one of the files does not read, or is no device model.
    pub fn open(log: &Path, devices: &Path, profile: Option<&str>) -> Result<Self, ImportError> {
        let xml = std::fs::read(devices).map_err(unreadable("device model", devices))?;
        let model = device::read_devices(&xml)
            .map_err(|source| ImportError::DeviceModel { path: devices.to_owned(), source })?;
        let mappings = mappings(&model.devices, profile)
            .map_err(|reason| ImportError::Mapping { path: devices.to_owned(), reason })?;
        let file = File::open(log).map_err(unreadable(RECORDED, log))?;
        let metadata = file.metadata().map_err(unreadable(RECORDED, log))?;
        let warnings = model.warnings.iter().map(ToString::to_string).collect();
        Ok(Self {
            log: log.to_owned(),
            file,
            bytes: metadata.len(),
            date: date_of(metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)),
            received: SystemClock.now(),
            decoder: ShdrDecoder::new(mappings),
            summary: ImportSummary { warnings, ..ImportSummary::default() },
        })
    }

    /// Imports the file into `store`; `progress` is told the bytes read so far, and of how many.
    ///
    /// Lines that carry no absolute time are told apart by the file's own date, so that importing it again adds nothing.
    ///
    /// # Errors
    /// See [`ImportError`]. What was imported before the error stays.
    pub async fn run(
        mut self,
        store: &Store,
        quarantine: &dyn Quarantine,
        mut progress: impl FnMut(u64, u64),
    ) -> Result<ImportSummary, ImportError> {
        let mut under_way = UnderWay::default();
        let mut bytes = vec![0; READ_BYTES];
        let mut bytes_read = 0;
        let name = self.log.file_name().map_or_else(String::new, |name| name.to_string_lossy().into_owned());
        loop {
            let count = self.file.read(&mut bytes).map_err(unreadable(RECORDED, &self.log))?;
            let rejected = &mut self.summary.rejected;
            let mut reject = |rejection: Rejection<'_>| {
                *rejected.entry(rejection.reason).or_insert(0) += 1;
                quarantine.keep(&name, rejection);
            };
            if count == 0 {
                self.decoder.finish(self.date, &mut reject);
            } else {
                self.decoder.decode(&bytes[..count], self.date, &mut reject);
            }
            let (batches, counts) = self.decoder.take();
            self.summary.counts.add(&counts);
            for batch in batches {
                let batch = Batch { received: self.received, ..batch };
                under_way.submit(store, batch, &mut self.summary.receipt).await?;
            }
            bytes_read += count as u64;
            progress(bytes_read, self.bytes);
            if count == 0 {
                break;
            }
        }
        under_way.settle(0, &mut self.summary.receipt).await?;
        Ok(self.summary)
    }
}

/// What a file that does not read is called.
const RECORDED: &str = "recorded lines";

fn unreadable(what: &'static str, path: &Path) -> impl FnOnce(io::Error) -> ImportError {
    let path = path.to_owned();
    move |source| ImportError::Read { what, path, source }
}

fn date_of(time: SystemTime) -> Timestamp {
    let nanos = time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_nanos());
    Timestamp::from_nanos(i64::try_from(nanos).unwrap_or(i64::MAX))
}

/// Batches that are not yet acknowledged, in their order.
#[derive(Default)]
struct UnderWay(VecDeque<JoinHandle<Result<Receipt, SubmitError>>>);

impl UnderWay {
    async fn submit(&mut self, store: &Store, batch: Batch, receipt: &mut Receipt) -> Result<(), ImportError> {
        self.settle(UNDER_WAY_MAX - 1, receipt).await?;
        self.0.push_back(tokio::spawn(store.submit(Arc::new(batch), None)));
        Ok(())
    }

    /// Waits until at most `left` are under way.
    async fn settle(&mut self, left: usize, receipt: &mut Receipt) -> Result<(), ImportError> {
        while self.0.len() > left
            && let Some(oldest) = self.0.pop_front()
        {
            let settled = oldest.await.unwrap_or(Err(SubmitError::Closed));
            let settled = settled.map_err(|source| ImportError::Submit { rows: receipt.accepted, source })?;
            receipt.accepted += settled.accepted;
            receipt.duplicates += settled.duplicates;
        }
        Ok(())
    }
}
