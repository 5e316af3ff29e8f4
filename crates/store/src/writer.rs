//! The one thread that writes: takes what is queued, logs it with one sync, applies it, answers. Sealing runs beside it.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc as std_mpsc;

use model::{Batch, Cursor, Profile};
use tokio::sync::{mpsc, oneshot};

use crate::codec::Encoder;
use crate::disk::Disk;
use crate::log::{self, LogWriter, RECORD_BYTES_MAX};
use crate::manifest::{Manifest, ManifestTable};
use crate::record;
use crate::seal::{SealJob, Sealed};
use crate::segment::SegmentError;
use crate::store::{Receipt, Shared, StoreOptions, StoreStats, SubmitError};
use crate::stored::StoredProfile;

/// Bytes that are written with one sync at most.
const GROUP_BYTES_MAX: usize = 4 << 20;

/// What the writer is asked to do.
pub(crate) enum Command {
    Append { batch: Arc<Batch>, cursor: Option<Cursor>, answer: oneshot::Sender<Result<Receipt, SubmitError>> },
    Seal { answer: oneshot::Sender<Result<(), SubmitError>> },
}

/// What the writer tells about itself.
#[derive(Debug, Default)]
pub(crate) struct Health {
    /// Why the log cannot be written.
    log: Option<Arc<str>>,
    /// Why segments cannot be written.
    seal: Option<Arc<str>>,
    accepted: u64,
    duplicates: u64,
    syncs: u64,
    log_bytes: u64,
}

impl Health {
    pub(crate) fn stats(&self) -> StoreStats {
        StoreStats {
            trouble: self.log.clone().or_else(|| self.seal.clone()),
            accepted: self.accepted,
            duplicates: self.duplicates,
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

type SealOutcome = Result<Sealed, SegmentError>;

/// A job that is running, or that failed and waits for its next run.
struct Sealing {
    job: Arc<SealJob>,
    running: Option<std_mpsc::Receiver<SealOutcome>>,
}

/// See the module.
pub(crate) struct Writer {
    options: StoreOptions,
    log: LogWriter,
    manifest: Manifest,
    /// Log files with damage in them, to be put aside rather than removed.
    damaged: Vec<PathBuf>,
    shared: Arc<Shared>,
    /// The profiles that the current log file defines; their place is their number.
    defined: Vec<Arc<Profile>>,
    sealing: Option<Sealing>,
    /// Bytes in log files that no seal has taken up.
    log_bytes: u64,
    framed: Vec<u8>,
    record: Encoder,
}

impl Writer {
    pub(crate) fn new(
        options: StoreOptions,
        disk: Arc<dyn Disk>,
        manifest: Manifest,
        damaged: Vec<PathBuf>,
        shared: Arc<Shared>,
    ) -> io::Result<Self> {
        let dir = options.dir.join("log");
        let files = log::files(&dir)?;
        let last = files.last().map_or(0, |(number, _)| *number);
        let log = LogWriter::new(disk, dir, manifest.log_first.max(last + 1));
        // Files that the manifest no longer needs may be left from a stop right after it was written.
        log.remove_before(manifest.log_first, &damaged);
        let kept = files.iter().filter(|(number, _)| *number >= manifest.log_first);
        let log_bytes = kept.filter_map(|(_, path)| Some(path.metadata().ok()?.len())).sum();
        let (defined, framed, record) = (Vec::new(), Vec::new(), Encoder::default());
        Ok(Self { options, log, manifest, damaged, shared, defined, sealing: None, log_bytes, framed, record })
    }

    pub(crate) fn run(mut self, mut queue: mpsc::Receiver<Command>) {
        let _guard = BreakdownGuard(Arc::clone(&self.shared));
        let mut group: Vec<Append> = Vec::new();
        while let Some(first) = queue.blocking_recv() {
            let mut next = Some(first);
            while let Some(command) = next {
                match command {
                    Command::Append { batch, cursor, answer } => group.push(Append { batch, cursor, answer }),
                    Command::Seal { answer } => {
                        self.append(std::mem::take(&mut group));
                        let _ = answer.send(self.seal_now());
                    }
                }
                let full = group.iter().map(|append| append.batch.len()).sum::<usize>() * 16 >= GROUP_BYTES_MAX;
                next = if full { None } else { queue.try_recv().ok() };
            }
            self.append(std::mem::take(&mut group));
            self.seal_if_due();
        }
        self.finish_sealing();
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
        for append in group {
            let admitted = self.shared.state().admit(&append.batch).map_err(SubmitError::Unacceptable);
            match admitted.and_then(|()| self.frame(&append)) {
                Ok(()) => logged.push(append),
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
            drop(health);
            let _ = answer.send(Ok(receipt));
            if receipt.accepted > 0 && self.shared.changes.receiver_count() > 0 {
                let fresh = applied.fresh.map_or(batch.clone(), |fresh| Arc::new(batch.only(&fresh)));
                let _ = self.shared.changes.send(fresh);
            }
        }
    }

    /// Why no row may be added: too many wait for a segment that cannot be written.
    fn overfull(&mut self) -> Option<Arc<str>> {
        if self.shared.state().hot_rows() < self.options.hot_rows_max || self.sealing.is_none() {
            return None;
        }
        // The rows before these are still on their way: wait for them rather than let memory grow.
        self.finish_sealing();
        if self.sealing.is_some() {
            self.run_job();
            self.finish_sealing();
        }
        self.sealing.is_some().then(|| {
            let reason = self.shared.health().seal.clone();
            reason.unwrap_or_else(|| "too many rows wait to be written to segments".into())
        })
    }

    fn seal_if_due(&mut self) {
        self.poll_sealing();
        let due =
            self.shared.state().hot_rows() >= self.options.hot_rows_max || self.log_bytes >= self.options.log_bytes_max;
        if due && self.sealing.is_none() {
            self.begin_sealing();
        }
    }

    fn seal_now(&mut self) -> Result<(), SubmitError> {
        // A job under way, or one that failed before, comes first; then the rows since.
        for _ in 0..2 {
            self.finish_sealing();
            if self.sealing.is_none() && (self.log_bytes > 0 || self.shared.state().hot_rows() > 0) {
                self.begin_sealing();
            } else if self.sealing.is_some() {
                self.run_job();
            }
            self.finish_sealing();
            if self.sealing.is_some() {
                let reason = self.shared.health().seal.clone();
                return Err(SubmitError::Refused(reason.unwrap_or_else(|| "segments cannot be written".into())));
            }
        }
        Ok(())
    }

    fn begin_sealing(&mut self) {
        let log_first = self.log.rotate();
        self.log_bytes = 0;
        let job = SealJob::begin(&mut self.shared.state(), log_first, self.manifest.segment_next);
        self.sealing = Some(Sealing { job: Arc::new(job), running: None });
        self.run_job();
    }

    /// Starts the job that waits, in a thread of its own.
    fn run_job(&mut self) {
        let Some(sealing) = &mut self.sealing else { return };
        let (sender, receiver) = std_mpsc::sync_channel(1);
        let (job, dir) = (Arc::clone(&sealing.job), self.options.dir.clone());
        let spawned = std::thread::Builder::new().name("seal".into()).spawn(move || {
            let _ = sender.send(job.run(&dir));
        });
        match spawned {
            Ok(_) => sealing.running = Some(receiver),
            Err(error) => tracing::error!(%error, "failed to start a thread for segments"),
        }
    }

    /// Takes in the outcome of a job if there is one.
    fn poll_sealing(&mut self) {
        let outcome = self.sealing.as_ref().and_then(|sealing| match sealing.running.as_ref()?.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(std_mpsc::TryRecvError::Empty) => None,
            Err(std_mpsc::TryRecvError::Disconnected) => Some(Err(SegmentError::BrokeDown)),
        });
        if let Some(outcome) = outcome {
            self.conclude(outcome);
        }
    }

    /// Waits for the job that is running, if one is.
    fn finish_sealing(&mut self) {
        let running = self.sealing.as_ref().and_then(|sealing| sealing.running.as_ref());
        let outcome = running.map(|running| running.recv().unwrap_or(Err(SegmentError::BrokeDown)));
        if let Some(outcome) = outcome {
            self.conclude(outcome);
        }
    }

    fn conclude(&mut self, outcome: SealOutcome) {
        let committed = outcome.map_err(|error| describe(&error)).and_then(|sealed| self.commit(sealed));
        match committed {
            Ok(()) => {
                self.sealing = None;
                self.shared.health().seal = None;
            }
            Err(reason) => {
                tracing::error!(reason, "failed to write segments; their rows stay in the log and in memory");
                self.shared.health().seal = Some(reason.into());
                if let Some(sealing) = &mut self.sealing {
                    sealing.running = None;
                }
            }
        }
    }

    /// Makes what a job wrote count.
    fn commit(&mut self, sealed: Sealed) -> Result<(), String> {
        let Some(job) = self.sealing.as_ref().map(|sealing| Arc::clone(&sealing.job)) else { return Ok(()) };
        let mut manifest = self.manifest.clone();
        manifest.tables = self.manifest_tables(&sealed);
        manifest.log_first = job.log_first;
        manifest.segment_next = sealed.segment_next;
        manifest.cursors.clone_from(&job.cursors);
        let latest_before = manifest.latest.replace(sealed.latest);
        manifest.write(&self.options.dir).map_err(|error| describe(&error))?;
        let mut state = self.shared.state();
        for (profile, segment) in sealed.segments {
            let table = state.tables.get_mut(&profile).expect("the rows came from this table");
            table.add_segment(segment);
            table.sealing = None;
        }
        drop(state);
        self.manifest = manifest;
        self.log.remove_before(job.log_first, &self.damaged);
        if let Some(latest) = latest_before.map(|file: PathBuf| self.options.dir.join(file))
            && let Err(error) = std::fs::remove_file(&latest)
        {
            tracing::warn!(path = %latest.display(), %error, "failed to remove old latest values");
        }
        Ok(())
    }

    fn manifest_tables(&self, sealed: &Sealed) -> Vec<ManifestTable> {
        let state = self.shared.state();
        let tables = state.tables.iter().map(|(id, table)| {
            let new = sealed.segments.iter().filter(|(profile, _)| profile == id).map(|(_, segment)| segment);
            let segments = table.segments().iter().chain(new).cloned().collect();
            ManifestTable { profile: StoredProfile::from(&**table.profile()), segments }
        });
        tables.collect()
    }
}

/// An error with its causes, in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
