//! The one thread that writes: takes what is queued, logs it with one sync, applies it, answers. What becomes of rows
//! afterwards is the keeper's, whose jobs run beside it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use model::{Batch, Column, Condition, Cursor, Entry, Profile, Rows, Statistic, Timestamp, Value};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use crate::codec::Encoder;
use crate::disk::Disk;
use crate::keeper::{self, Copyable, Keeper, Wake};
use crate::log::{self, LogWriter, RECORD_BYTES_MAX};
use crate::manifest::Manifest;
use crate::plan::Plan;
use crate::record::{self, VALUES_MAX};
use crate::store::{Receipt, Shared, StoreOptions, StoreStats, SubmitError};

/// Bytes that are written with one sync at most, unless one batch has more.
const GROUP_BYTES_MAX: usize = 4 << 20;
/// While segments cannot be written, the log may grow to so many times the size that makes them due.
const LOG_GROWTH_MAX: u64 = 8;
/// How long to wait before rows that could not be written to segments are written again; doubled with every failure.
const RETRY_WAIT_MIN: Duration = Duration::from_millis(250);
/// The longest such wait.
const RETRY_WAIT_MAX: Duration = Duration::from_secs(30);

/// What the writer is asked to do.
pub(crate) enum Command {
    Append {
        batch: Arc<Batch>,
        cursor: Option<Cursor>,
        answer: oneshot::Sender<Result<Receipt, SubmitError>>,
    },
    Seal {
        answer: oneshot::Sender<Result<(), SubmitError>>,
    },
    Maintain {
        now: Timestamp,
        plan: Plan,
        answer: oneshot::Sender<Result<(), SubmitError>>,
    },
    Compact {
        answer: oneshot::Sender<Result<(), SubmitError>>,
    },
    Copy {
        answer: oneshot::Sender<Copyable>,
    },
    Quarantine {
        path: PathBuf,
        answer: keeper::Answer,
    },
    /// A job of the keeper has ended.
    JobEnded,
}

/// What the writer tells about itself.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Why the log cannot be written.
    log: Option<Arc<str>>,
    /// Why segments cannot be written.
    seal: Option<Arc<str>>,
    /// Why segments cannot be merged.
    merge: Option<Arc<str>>,
    /// What was last found damaged, and how often something was.
    damage: Option<Arc<str>>,
    damages: u64,
    accepted: u64,
    duplicates: u64,
    unmentioned: u64,
    syncs: u64,
    log_bytes: u64,
}

impl Health {
    /// Says why the log cannot be written, or that it can.
    pub(crate) fn set_log_trouble(&mut self, reason: Option<Arc<str>>) {
        self.log = reason;
    }

    /// Says why segments cannot be written, or that they can.
    pub(crate) fn set_seal_trouble(&mut self, reason: Option<Arc<str>>) {
        self.seal = reason;
    }

    /// Says why segments cannot be merged, or that they can.
    pub(crate) fn set_merge_trouble(&mut self, reason: Option<Arc<str>>) {
        self.merge = reason;
    }

    /// Says what was found damaged, and what was lost.
    pub(crate) fn add_damage(&mut self, what: Arc<str>) {
        self.damage = Some(what);
        self.damages += 1;
    }

    pub(crate) fn stats(&self) -> StoreStats {
        StoreStats {
            trouble: self.log.clone().or_else(|| self.seal.clone()).or_else(|| self.merge.clone()),
            damage: self.damage.clone(),
            damages: self.damages,
            accepted: self.accepted,
            duplicates: self.duplicates,
            unmentioned: self.unmentioned,
            syncs: self.syncs,
            log_bytes: self.log_bytes,
            ..StoreStats::default()
        }
    }
}

/// Tells when the writer breaks down, so that nobody takes its silence for health.
struct BreakdownGuard(Arc<Shared>);

impl Drop for BreakdownGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.health().log = Some("the writer broke down; nothing is kept until the program is restarted".into());
        }
    }
}

struct Append {
    batch: Arc<Batch>,
    cursor: Option<Cursor>,
    answer: oneshot::Sender<Result<Receipt, SubmitError>>,
}

/// When rows that could not be written to segments are tried again.
struct Retry {
    wait: Duration,
    at: Instant,
}

/// See the module.
pub(crate) struct Writer {
    options: StoreOptions,
    log: LogWriter,
    keeper: Keeper,
    shared: Arc<Shared>,
    /// The profiles that the current log file defines; their place is their number.
    defined: Vec<Arc<Profile>>,
    /// Bytes in log files that no seal has taken up.
    log_bytes: u64,
    framed: Vec<u8>,
    record: Encoder,
    retry: Option<Retry>,
    /// Tells time while a retry is waited for.
    timer: Runtime,
}

impl Writer {
    /// A writer that the commands in `queue` are for; `wake` has to send [`Command::JobEnded`].
    pub(crate) fn new(
        options: StoreOptions,
        disk: Arc<dyn Disk>,
        manifest: Manifest,
        damaged: Vec<PathBuf>,
        shared: Arc<Shared>,
        wake: Wake,
    ) -> io::Result<Self> {
        let dir = options.dir.join("log");
        let files = log::files(&dir)?;
        let last = files.last().map_or(0, |(number, _)| *number);
        let log = LogWriter::new(Arc::clone(&disk), dir, manifest.log_first.max(last + 1));
        let kept = files.iter().filter(|(number, _)| *number >= manifest.log_first);
        let log_bytes = kept.filter_map(|(_, path)| Some(path.metadata().ok()?.len())).sum();
        let keeper = Keeper::new(&options, disk, manifest, damaged, Arc::clone(&shared), wake);
        // Files that the manifest no longer needs may be left from a stop right after it was written.
        keeper.clean_log(&log);
        let (defined, framed, record) = (Vec::new(), Vec::new(), Encoder::default());
        let timer = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        Ok(Self { options, log, keeper, shared, defined, log_bytes, framed, record, retry: None, timer })
    }

    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let _guard = BreakdownGuard(Arc::clone(&self.shared));
        let (mut group, mut bytes): (Vec<Append>, usize) = (Vec::new(), 0);
        while let Some(mut next) = self.wait_for_command(&mut queue) {
            while let Some(command) = next {
                match command {
                    Command::Append { batch, cursor, answer } => {
                        let more = bytes_of(&batch);
                        if bytes + more > GROUP_BYTES_MAX {
                            self.append(std::mem::take(&mut group));
                            bytes = 0;
                        }
                        bytes += more;
                        group.push(Append { batch, cursor, answer });
                    }
                    other => {
                        self.append(std::mem::take(&mut group));
                        bytes = 0;
                        self.obey(other);
                    }
                }
                // Not all of the bound is waited for: sealing has its turn between groups, also where no group is ever full.
                next = if bytes >= GROUP_BYTES_MAX / 2 { None } else { queue.try_recv().ok() };
            }
            self.append(std::mem::take(&mut group));
            bytes = 0;
            self.seal_if_due();
            self.retry_if_due();
        }
        self.keeper.stop(&self.log);
    }

    /// Waits for the next command, or until rows have to be tried again: then it gives none. `None` at the end of all.
    fn wait_for_command(&self, queue: &mut mpsc::Receiver<Command>) -> Option<Option<Command>> {
        match self.retry.as_ref().filter(|_| self.keeper.is_stuck()) {
            None => queue.blocking_recv().map(Some),
            Some(retry) => {
                let received = self.timer.block_on(async { timeout_at(retry.at, queue.recv()).await });
                received.map_or(Some(None), |command| command.map(Some))
            }
        }
    }

    /// Does what is asked besides appending.
    fn obey(&mut self, command: Command) {
        match command {
            Command::Append { .. } => unreachable!("appends are gathered"),
            Command::Seal { answer } => drop(answer.send(self.seal_now())),
            Command::Maintain { now, plan, answer } => {
                let done = self.keeper.maintain(now, &plan);
                let _ = answer.send(done.map_err(|reason| SubmitError::Refused(reason.into())));
            }
            Command::Compact { answer } => match self.seal_now() {
                Ok(()) => self.keeper.merge_all(answer),
                Err(error) => drop(answer.send(Err(error))),
            },
            Command::Copy { answer } => {
                let log_end = self.log.rotate();
                let _ = answer.send(self.keeper.copyable(log_end));
            }
            Command::Quarantine { path, answer } => self.keeper.quarantine(&path, answer),
            Command::JobEnded => self.keeper.poll(&self.log),
        }
    }

    /// Logs, applies and answers `group`.
    fn append(&mut self, group: Vec<Append>) {
        if group.is_empty() {
            return;
        }
        if let Some(reason) = self.overfull() {
            for append in group {
                let _ = append.answer.send(Err(SubmitError::Refused(Arc::clone(&reason))));
            }
            return;
        }
        self.framed.clear();
        if self.log.is_at_start_of_file() {
            self.defined.clear();
        }
        let defined = self.defined.len();
        let mut logged = Vec::with_capacity(group.len());
        let mut received = self.shared.state().received();
        for mut append in group {
            // Each batch comes in after the one before, whatever the clock says: so "all until then" can be told.
            if append.batch.received <= received {
                Arc::make_mut(&mut append.batch).received = received.plus_nanos(1);
            }
            let admitted = self.shared.state().admit(&append.batch).map_err(SubmitError::Unacceptable);
            match admitted.and_then(|()| self.frame(&append)) {
                Ok(()) => {
                    received = append.batch.received;
                    logged.push(append);
                }
                Err(error) => drop(append.answer.send(Err(error))),
            }
        }
        if logged.is_empty() {
            self.defined.truncate(defined);
            return;
        }
        if let Err(error) = self.log.commit(&self.framed) {
            self.defined.truncate(defined);
            let reason: Arc<str> = format!("failed to write the log: {error}").into();
            tracing::warn!(%error, "the log cannot be written, batches are refused");
            self.shared.health().log = Some(Arc::clone(&reason));
            for append in logged {
                let _ = append.answer.send(Err(SubmitError::Refused(Arc::clone(&reason))));
            }
            return;
        }
        self.log_bytes += self.framed.len() as u64;
        self.acknowledge(logged);
    }

    /// Adds the record of `append` to what is written next, after the definition of its profile if need be.
    fn frame(&mut self, append: &Append) -> Result<(), SubmitError> {
        let profile = &append.batch.profile;
        let values = append.batch.len().saturating_mul(profile.signals().len());
        if values > VALUES_MAX && matches!(append.batch.rows, Rows::Frames(_)) {
            return Err(SubmitError::TooLarge { bytes: values.saturating_mul(8) });
        }
        let number = self.defined.iter().position(|known| Arc::ptr_eq(known, profile)).unwrap_or_else(|| {
            let mut encoder = Encoder::default();
            record::encode_profile(&mut encoder, self.defined.len() as u32, profile);
            log::frame(&mut self.framed, &encoder.bytes);
            self.defined.push(Arc::clone(profile));
            self.defined.len() - 1
        });
        self.record.bytes.clear();
        record::encode_batch(&mut self.record, number as u32, &append.batch, append.cursor.as_ref());
        if self.record.bytes.len() > RECORD_BYTES_MAX {
            return Err(SubmitError::TooLarge { bytes: self.record.bytes.len() });
        }
        log::frame(&mut self.framed, &self.record.bytes);
        Ok(())
    }

    /// Applies what is in the log and answers; who has an answer finds it counted too.
    fn acknowledge(&mut self, logged: Vec<Append>) {
        let mut health = self.shared.health();
        health.log = None;
        health.syncs += 1;
        health.log_bytes += self.framed.len() as u64;
        drop(health);
        for Append { batch, cursor, answer } in logged {
            let applied = self.shared.state().apply(&batch, cursor.as_ref());
            let receipt = Receipt { accepted: applied.accepted, duplicates: applied.duplicates };
            let mut health = self.shared.health();
            health.accepted += receipt.accepted;
            health.duplicates += receipt.duplicates;
            if health.unmentioned == 0 && applied.unmentioned > 0 {
                tracing::warn!("the latest values take all memory that they may; further signals have none");
            }
            health.unmentioned += applied.unmentioned;
            drop(health);
            let _ = answer.send(Ok(receipt));
            if receipt.accepted > 0 && self.shared.changes.receiver_count() > 0 {
                let fresh = applied.fresh.map_or(batch.clone(), |fresh| Arc::new(batch.only(&fresh)));
                let _ = self.shared.changes.send(fresh);
            }
        }
    }

    /// Why no row may be added: too much waits for a segment that cannot be written.
    fn overfull(&mut self) -> Option<Arc<str>> {
        let log_is_full = self.log_bytes >= self.options.log_bytes_max.saturating_mul(LOG_GROWTH_MAX);
        if !self.keeper.is_sealing() || !(log_is_full || self.memory_is_full()) {
            return None;
        }
        // The rows before these are still on their way: wait for them rather than let memory grow.
        self.keeper.finish_sealing(&self.log);
        self.keeper.is_stuck().then(|| {
            let reason = self.shared.health().seal.clone();
            let reason = reason.unwrap_or_else(|| "they wait to be written to segments".into());
            let what = if log_is_full { "the log is full of rows" } else { "memory is full of rows" };
            format!("{what} that are in no segment: {reason}").into()
        })
    }

    /// Whether there are as many rows in memory, or bytes of them, as there may be before they are sealed.
    fn memory_is_full(&self) -> bool {
        let state = self.shared.state();
        state.hot_rows() >= self.options.hot_rows_max || state.hot_bytes() >= self.options.hot_bytes_max
    }

    fn seal_if_due(&mut self) {
        self.keeper.poll(&self.log);
        let due = self.log_bytes >= self.options.log_bytes_max || self.memory_is_full();
        if due && !self.keeper.is_sealing() {
            self.begin_sealing();
        }
    }

    /// Writes the rows that could not be written to segments again, less and less often while that fails.
    fn retry_if_due(&mut self) {
        if !self.keeper.is_sealing() {
            self.retry = None;
        }
        if !self.keeper.is_stuck() {
            return;
        }
        let now = Instant::now();
        let wait = match &self.retry {
            None => RETRY_WAIT_MIN,
            Some(retry) if now < retry.at => return,
            Some(retry) => {
                let wait = (retry.wait * 2).min(RETRY_WAIT_MAX);
                self.keeper.retry_sealing();
                wait
            }
        };
        self.retry = Some(Retry { wait, at: now + wait });
    }

    fn begin_sealing(&mut self) {
        let log_first = self.log.rotate();
        self.log_bytes = 0;
        self.keeper.begin_sealing(log_first);
    }

    fn seal_now(&mut self) -> Result<(), SubmitError> {
        // A job under way, or one that failed before, comes first; then the rows since.
        for _ in 0..2 {
            self.keeper.finish_sealing(&self.log);
            if self.keeper.is_stuck() {
                self.keeper.retry_sealing();
            } else if self.log_bytes > 0 || self.keeper.lacks_latest() || self.shared.state().hot_rows() > 0 {
                self.begin_sealing();
            }
            self.keeper.finish_sealing(&self.log);
            if self.keeper.is_stuck() {
                let reason = self.shared.health().seal.clone();
                return Err(SubmitError::Refused(reason.unwrap_or_else(|| "segments cannot be written".into())));
            }
        }
        Ok(())
    }
}

/// About what a batch takes in the log: numbers as they are packed, texts as they are.
fn bytes_of(batch: &Batch) -> usize {
    let (columns, texts) = match &batch.rows {
        Rows::Changes(changes) => {
            let reset = |statistic: &Statistic| statistic.reset_triggered.as_ref().map_or(0, |reset| reset.len());
            let statistics = changes.statistic.iter().map(|(_, statistic)| 16 + reset(statistic));
            (0, changes.value.iter().map(bytes_of_value).chain(statistics).sum())
        }
        Rows::Frames(frames) => (frames.columns.len(), frames.columns.iter().map(bytes_of_column).sum::<usize>()),
    };
    batch.len().saturating_mul(16 + 2 * columns).saturating_add(texts)
}

/// What a column takes besides what each value takes.
fn bytes_of_column(column: &Column) -> usize {
    match column {
        Column::Vectors(vectors) => 2 * vectors.elements().len(),
        Column::Texts(texts) => texts.iter().flatten().map(|text| text.len()).sum(),
        Column::Integers(_) | Column::Numbers(_) => 0,
    }
}

/// What a value takes besides what each row takes.
fn bytes_of_value(value: &Value) -> usize {
    match value {
        Value::Absent | Value::Number(_) | Value::Integer(_) => 0,
        Value::Text(text) => text.len(),
        Value::Vector(numbers) => 8 * numbers.len(),
        Value::Integers(integers) => 8 * integers.len(),
        Value::Entries(entries) => bytes_of_entries(entries),
        Value::Condition(condition) => {
            let Condition { level: _, native_code, native_severity, qualifier, message } = &**condition;
            let texts = [native_code, native_severity, qualifier, message].into_iter().flatten();
            texts.map(|text| text.len()).sum()
        }
    }
}

fn bytes_of_entries(entries: &[(Box<str>, Entry)]) -> usize {
    let bytes_of_entry = |entry: &Entry| match entry {
        Entry::Number(_) => 8,
        Entry::Removed => 0,
        Entry::Text(text) => text.len(),
        Entry::Row(cells) => bytes_of_entries(cells),
    };
    entries.iter().map(|(key, entry)| key.len() + bytes_of_entry(entry)).sum()
}
