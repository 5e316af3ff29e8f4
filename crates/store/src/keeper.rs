//! What becomes of rows once the log has them: they are sealed into segments, segments are merged, files that count no
//! more are put aside and then removed. Every step is written and synced first, then committed by one manifest, and only
//! then is anything removed: a stop in between costs work, never rows. Jobs run in threads of their own; this module
//! commits what they made. It must not know what comes in, or who waits for an answer to what.

mod damage;

use std::collections::{HashSet, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc as std_mpsc;

use model::Timestamp;
use tokio::sync::oneshot;

pub(crate) use self::damage::Answer;
use self::damage::Suspect;
use crate::disk::Disk;
use crate::generation::Generation;
use crate::log::LogWriter;
use crate::manifest::{Manifest, ManifestTable};
use crate::merge::MergeJob;
use crate::plan::{self, Bounds, Plan};
use crate::salvage::{SalvageJob, Salvaged};
use crate::seal::{SealJob, Sealed};
use crate::segment::{self, Numbers, Place, Segment, SegmentError, SegmentFile};
use crate::store::{Shared, StoreOptions, SubmitError};
use crate::stored::StoredProfile;

/// Calls the writer when a job has ended.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

type Outcome<O> = Result<O, SegmentError>;

/// A job that runs in a thread of its own, or that failed and waits for its next run.
struct Job<J, O> {
    job: Arc<J>,
    /// Files with this number or a higher one may be its.
    first_number: u64,
    running: Option<std_mpsc::Receiver<Outcome<O>>>,
}

/// A job that makes segments out of others.
enum Rewrite {
    Merge(MergeJob),
    Salvage(SalvageJob),
}

/// What such a job made.
enum Rewritten {
    Merged(Vec<Segment>),
    Salvaged(Box<Salvaged>),
    /// Nothing: the segment that was looked into is not damaged.
    AsItWas,
}

/// A segment that counts no more.
struct Retired {
    segment: Arc<SegmentFile>,
    /// Whether readers in other programs have had time to finish.
    is_due: bool,
}

/// What is to be merged.
#[derive(Debug, Clone, Copy)]
enum Scope {
    /// What pays, when days before this one are over.
    Due { settled_before: i64 },
    /// All that is not as small as can be.
    All,
}

type Waiting = oneshot::Sender<Result<(), SubmitError>>;

/// See the module.
pub(crate) struct Keeper {
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    manifest: Manifest,
    numbers: Arc<Numbers>,
    /// Log files with damage in them, to be put aside rather than removed.
    damaged: Vec<PathBuf>,
    /// Bytes that the inputs of one merge may take in memory.
    merge_bytes_max: u64,
    shared: Arc<Shared>,
    sealing: Option<Job<SealJob, Sealed>>,
    merging: Option<Job<Rewrite, Rewritten>>,
    /// Tells jobs that nobody waits for what they make any more.
    stopping: Arc<AtomicBool>,
    /// Segments to be looked into; the first one may be being looked into.
    suspects: VecDeque<Suspect>,
    /// Damaged files that count no more and are not yet put aside, relative to the data directory.
    quarantined: Vec<PathBuf>,
    /// What there is to merge, until no more is found.
    scope: Option<Scope>,
    /// Who waits for merging to end.
    waiting: Vec<Waiting>,
    retired: Vec<Retired>,
    /// Segments that a manifest lists which could not be written: it may be there all the same.
    unsure: Vec<Segment>,
    wake: Wake,
    /// Held by whoever copies log files and latest values; while somebody does, none is removed.
    copying: Arc<()>,
}

/// What a backup copies: all rows at one moment.
pub(crate) struct Copyable {
    pub(crate) manifest: Manifest,
    /// Keeps the segments where they are.
    pub(crate) segments: Vec<Arc<SegmentFile>>,
    /// The log ends before this file.
    pub(crate) log_end: u64,
    /// All rows, in segments and in the log.
    pub(crate) rows: u64,
    /// Keeps the log where it is.
    pub(crate) _copying: Arc<()>,
}

impl Keeper {
    pub(crate) fn new(
        options: &StoreOptions,
        disk: Arc<dyn Disk>,
        manifest: Manifest,
        damaged: Vec<PathBuf>,
        shared: Arc<Shared>,
        wake: Wake,
    ) -> Self {
        let dir = options.dir.clone();
        let place = Place { disk: &*disk, dir: &dir };
        manifest.retired.iter().for_each(|file| remove(place, &dir.join(file)));
        // A file that was removed may be there again after a power cut.
        let retired = fs::read_dir(dir.join("retired")).into_iter().flatten().flatten().map(|entry| entry.path());
        retired.filter(|path| segment::number_of(path).is_some()).for_each(|path| remove(place, &path));
        let listed: HashSet<PathBuf> =
            manifest.segments().flat_map(Segment::files).map(|file| dir.join(file)).collect();
        segment::remove_unfinished(place, manifest.segment_next, &listed);
        let used = listed.iter().filter_map(|path| segment::number_of(path)).max().unwrap_or(0);
        let numbers = Arc::new(Numbers::from(manifest.segment_next.max(used + 1)));
        let quarantined = manifest.quarantined.clone();
        let mut keeper = Self {
            dir,
            disk,
            manifest,
            numbers,
            damaged,
            merge_bytes_max: options.hot_bytes_max as u64,
            shared,
            sealing: None,
            merging: None,
            stopping: Arc::default(),
            suspects: VecDeque::new(),
            quarantined,
            scope: None,
            waiting: Vec::new(),
            retired: Vec::new(),
            unsure: Vec::new(),
            wake,
            copying: Arc::new(()),
        };
        keeper.put_aside();
        keeper
    }

    /// Whether rows are on their way to segments, or wait for that.
    pub(crate) fn is_sealing(&self) -> bool {
        self.sealing.is_some()
    }

    /// Whether rows wait to be sealed, since the last attempt failed.
    pub(crate) fn is_stuck(&self) -> bool {
        self.sealing.as_ref().is_some_and(|sealing| sealing.running.is_none())
    }

    /// Whether latest values are to be written though there may be nothing new.
    pub(crate) fn lacks_latest(&self) -> bool {
        self.manifest.latest.is_none() && self.manifest.segments().next().is_some()
    }

    /// Sets the rows in memory aside, which stand in log files before `log_first`, and begins to write them to segments.
    pub(crate) fn begin_sealing(&mut self, log_first: u64) {
        let first_number = self.numbers.unused();
        let job = SealJob::begin(&mut self.shared.state(), log_first, Arc::clone(&self.numbers));
        self.sealing = Some(Job { job: Arc::new(job), first_number, running: None });
        self.retry_sealing();
    }

    /// Runs the job that waits once more.
    pub(crate) fn retry_sealing(&mut self) {
        let Some(job) = self.sealing.as_ref().map(|sealing| Arc::clone(&sealing.job)) else { return };
        let running = self.spawn("seal", move |place| job.run(place));
        if let Some(sealing) = &mut self.sealing {
            sealing.running = running;
        }
    }

    /// Runs `job` in a thread of its own.
    fn spawn<O: Send + 'static>(
        &self,
        name: &str,
        job: impl FnOnce(Place<'_>) -> Outcome<O> + Send + 'static,
    ) -> Option<std_mpsc::Receiver<Outcome<O>>> {
        let (sender, receiver) = std_mpsc::sync_channel(1);
        let (disk, dir, wake) = (Arc::clone(&self.disk), self.dir.clone(), Arc::clone(&self.wake));
        let spawned = std::thread::Builder::new().name(name.into()).spawn(move || {
            let _ = sender.send(job(Place { disk: &*disk, dir: &dir }));
            drop(sender);
            wake();
        });
        match spawned {
            Ok(_) => Some(receiver),
            Err(error) => {
                tracing::error!(%error, "failed to start a thread for segments");
                None
            }
        }
    }

    /// Takes in what jobs made, if they have ended.
    pub(crate) fn poll(&mut self, log: &LogWriter) {
        let sealed = self.sealing.as_ref().and_then(|sealing| ended(sealing.running.as_ref()?));
        if let Some(outcome) = sealed {
            self.conclude_sealing(outcome, log);
        }
        let merged = self.merging.as_ref().and_then(|merging| ended(merging.running.as_ref()?));
        if let Some(outcome) = merged {
            self.conclude_merging(outcome);
        }
    }

    /// Waits until no rows are on their way to segments any more; they may wait for another attempt then.
    pub(crate) fn finish_sealing(&mut self, log: &LogWriter) {
        let running = self.sealing.as_ref().and_then(|sealing| sealing.running.as_ref());
        if let Some(outcome) = running.map(|running| running.recv().unwrap_or(Err(SegmentError::BrokeDown))) {
            self.conclude_sealing(outcome, log);
        }
    }

    /// Waits until nothing is written any more.
    pub(crate) fn stop(&mut self, log: &LogWriter) {
        self.finish_sealing(log);
        self.stopping.store(true, Ordering::Relaxed);
        if let Some(running) = self.merging.take().and_then(|merging| merging.running) {
            // What it made is not listed by any manifest, and is removed at the next start.
            if let Ok(Err(error)) = running.recv() {
                tracing::warn!(reason = describe(&error), "segments were not merged before the store was closed");
            }
        }
    }

    fn conclude_sealing(&mut self, outcome: Outcome<Sealed>, log: &LogWriter) {
        let committed = outcome.map_err(|error| describe(&error)).and_then(|sealed| self.commit_sealed(sealed, log));
        match committed {
            Ok(()) => self.shared.health().set_seal_trouble(None),
            Err(reason) => {
                tracing::error!(reason, "failed to write segments; their rows stay in the log and in memory");
                self.shared.health().set_seal_trouble(Some(reason.into()));
                if let Some(sealing) = &mut self.sealing {
                    sealing.running = None;
                }
            }
        }
    }

    /// Makes what a job sealed count.
    fn commit_sealed(&mut self, sealed: Sealed, log: &LogWriter) -> Result<(), String> {
        let Some(sealing) = self.sealing.take() else { return Ok(()) };
        let job = Arc::clone(&sealing.job);
        let mut manifest = self.manifest_with(&sealed.segments, &[]);
        manifest.log_first = job.log_first;
        manifest.cursors.clone_from(&job.cursors);
        manifest.latest = Some(sealed.latest);
        if let Err(reason) = self.commit(manifest) {
            self.sealing = Some(sealing);
            self.give_up(sealed.segments);
            return Err(reason);
        }
        let mut state = self.shared.state();
        for (profile, segment) in sealed.segments {
            let table = state.tables.get_mut(&profile).expect("the rows came from this table");
            table.add_segment(Arc::new(SegmentFile::new(&self.dir, segment)));
        }
        state.tables.values_mut().for_each(|table| table.sealing = None);
        drop(state);
        self.clean_log(log);
        self.clean_latest();
        Ok(())
    }

    /// Puts `manifest` in place of the one before.
    fn commit(&mut self, manifest: Manifest) -> Result<(), String> {
        manifest.write(&*self.disk, &self.dir).map_err(|error| describe(&error))?;
        self.manifest = manifest;
        // Now it is certain that no manifest lists these.
        let unsure = std::mem::take(&mut self.unsure);
        segment::discard(self.place(), unsure.iter());
        Ok(())
    }

    /// Removes the files of segments whose manifest could not be written, unless it may be there all the same.
    fn give_up(&mut self, segments: Vec<(Box<str>, Segment)>) {
        let listed: Option<HashSet<PathBuf>> = Manifest::read(&self.dir)
            .ok()
            .map(|manifest| manifest.segments().map(|segment| segment.file.clone()).collect());
        for (_, segment) in segments {
            match &listed {
                Some(listed) if !listed.contains(&segment.file) => {
                    segment::discard(self.place(), std::iter::once(&segment));
                }
                _ => self.unsure.push(segment),
            }
        }
    }

    /// Removes log files that are no longer needed, unless somebody copies them.
    pub(crate) fn clean_log(&self, log: &LogWriter) {
        if !self.is_copied() {
            log.remove_before(self.manifest.log_first, &self.damaged);
        }
    }

    /// Removes latest values that are no longer the latest, unless somebody copies them. No seal may be under way.
    fn clean_latest(&self) {
        if self.is_copied() {
            return;
        }
        let entries = fs::read_dir(self.dir.join("latest")).into_iter().flatten().flatten();
        let old = entries.map(|entry| entry.path()).filter(|path| {
            let kept = self.manifest.latest.as_ref().is_some_and(|latest| self.dir.join(latest) == *path);
            !kept && segment::number_of(path).is_some()
        });
        old.for_each(|path| remove(self.place(), &path));
    }

    fn is_copied(&self) -> bool {
        Arc::strong_count(&self.copying) > 1
    }

    fn place(&self) -> Place<'_> {
        Place { disk: &*self.disk, dir: &self.dir }
    }

    /// What a backup copies, where the log before file `log_end` is whole.
    pub(crate) fn copyable(&self, log_end: u64) -> Copyable {
        let state = self.shared.state();
        let segments: Vec<_> = state.tables.values().flat_map(|table| table.segments().iter().cloned()).collect();
        let logged = state.tables.values().flat_map(|table| table.sealing.iter().chain([&table.hot]));
        let logged: usize = logged.map(Generation::rows).sum();
        let rows = logged as u64 + segments.iter().map(|segment| segment.rows).sum::<u64>();
        Copyable { manifest: self.manifest.clone(), segments, log_end, rows, _copying: Arc::clone(&self.copying) }
    }

    /// Forgets what `plan` no longer wants at `now`, removes files that nobody reads any more, and begins to merge what
    /// pays.
    ///
    /// # Errors
    /// When the manifest cannot be written; nothing is forgotten then.
    pub(crate) fn maintain(&mut self, now: Timestamp, plan: &Plan) -> Result<(), String> {
        self.remove_retired();
        let mut expired = {
            let state = self.shared.state();
            let tables = state.tables.iter().map(|(profile, table)| (&**profile, table.segments()));
            plan::expired(tables, plan, now)
        };
        // What a job under way is made of would come back with its outcome: that goes the next time.
        expired.retain(|segment| !self.is_being_rewritten(segment));
        if !expired.is_empty() {
            self.commit(self.manifest_with(&[], &expired))?;
            tracing::info!(segments = expired.len(), "forgot what retention no longer keeps");
            self.retire(&expired);
        }
        self.put_aside();
        self.suspect_unread();
        self.scope = self.scope.or(Some(Scope::Due { settled_before: plan::settled_before(now) }));
        self.next_job();
        Ok(())
    }

    /// Merges all that is not as small as can be, and tells `waiting` when that is done.
    pub(crate) fn merge_all(&mut self, waiting: Waiting) {
        self.waiting.push(waiting);
        self.scope = Some(Scope::All);
        self.next_job();
    }

    fn is_being_rewritten(&self, segment: &Arc<SegmentFile>) -> bool {
        match self.merging.as_ref().map(|merging| &*merging.job) {
            Some(Rewrite::Merge(job)) => job.inputs.iter().any(|input| Arc::ptr_eq(input, segment)),
            Some(Rewrite::Salvage(job)) => Arc::ptr_eq(&job.input, segment),
            None => false,
        }
    }

    /// Begins what is to be done next: what is damaged comes first, since merging would stop there.
    fn next_job(&mut self) {
        if self.merging.is_none() && !self.salvage_next() {
            self.merge_next();
        }
    }

    /// Begins to merge what is due next; tells who waits when nothing is.
    fn merge_next(&mut self) {
        let (None, Some(scope)) = (&self.merging, self.scope) else { return };
        let job = {
            let state = self.shared.state();
            let mut tables = state.tables.values();
            tables.find_map(|table| {
                let bounds = Bounds { columns: table.schema().fields().len(), bytes_max: self.merge_bytes_max };
                let merge = match scope {
                    Scope::Due { settled_before } => plan::next_merge(table.segments(), bounds, settled_before),
                    Scope::All => plan::next_merge_of_all(table.segments(), bounds),
                };
                merge.map(|(inputs, effort)| MergeJob {
                    profile: Arc::clone(table.profile()),
                    schema: Arc::clone(table.schema()),
                    inputs,
                    effort,
                    numbers: Arc::clone(&self.numbers),
                    stopping: Arc::clone(&self.stopping),
                })
            })
        };
        let Some(job) = job else {
            self.shared.health().set_merge_trouble(None);
            self.end_merging(&Ok(()));
            return;
        };
        if let Some(reason) = self.lacks_room(&job) {
            self.fail_merging(reason);
            return;
        }
        let first_number = self.numbers.unused();
        let (job, runs) = (Arc::new(Rewrite::Merge(job.clone())), job);
        let running = self.spawn("merge", move |place| runs.run(place).map(Rewritten::Merged));
        self.merging = Some(Job { job, first_number, running });
    }

    /// Why there is too little room to merge: inputs and output stand side by side for a while, and the log comes first.
    fn lacks_room(&self, job: &MergeJob) -> Option<String> {
        let needed = job.inputs.iter().map(|input| input.stored().bytes_in_all()).sum::<u64>();
        let needed = needed + 2 * self.shared.state().hot_bytes() as u64;
        let free = self.disk.free_bytes(&self.dir)?;
        (free < needed).then(|| format!("too little room to merge segments: {free} bytes are free, {needed} needed"))
    }

    fn end_merging(&mut self, outcome: &Result<(), SubmitError>) {
        self.scope = None;
        for waiting in self.waiting.drain(..) {
            let _ = waiting.send(outcome.clone());
        }
    }

    fn fail_merging(&mut self, reason: String) {
        tracing::error!(reason, "failed to merge segments; they stay as they are until the next attempt");
        let reason: Arc<str> = reason.into();
        self.shared.health().set_merge_trouble(Some(Arc::clone(&reason)));
        self.end_merging(&Err(SubmitError::Refused(reason)));
    }

    fn conclude_merging(&mut self, outcome: Outcome<Rewritten>) {
        let Some(merging) = self.merging.take() else { return };
        let job = match &*merging.job {
            Rewrite::Salvage(job) => return self.conclude_salvage(job, outcome),
            Rewrite::Merge(job) => job,
        };
        let committed = match outcome {
            Ok(Rewritten::Merged(segments)) => self.replace(job.profile.id(), segments, &job.inputs),
            Ok(_) => Ok(()),
            Err(error) => {
                let reason = describe(&error);
                let unread = error.unread().and_then(|path| job.inputs.iter().find(|input| input.path == path));
                if let Some(unread) = unread {
                    tracing::error!(reason, "a segment could not be read for merging; it is looked into");
                    self.suspect(Arc::clone(unread), None, Some(reason));
                    return self.next_job();
                }
                Err(reason)
            }
        };
        match committed {
            Ok(()) => {
                self.shared.health().set_merge_trouble(None);
                self.next_job();
            }
            Err(reason) => {
                self.fail_merging(reason);
                self.next_job();
            }
        }
    }

    /// Puts segments in the place of others, for all who ask from now on.
    fn replace(&mut self, profile: &str, added: Vec<Segment>, gone: &[Arc<SegmentFile>]) -> Result<(), String> {
        let added: Vec<(Box<str>, Segment)> = added.into_iter().map(|segment| (profile.into(), segment)).collect();
        if let Err(reason) = self.commit(self.manifest_with(&added, gone)) {
            self.give_up(added);
            return Err(reason);
        }
        let mut state = self.shared.state();
        let table = state.tables.get_mut(profile).expect("the rows came from this table");
        for (_, segment) in added {
            table.add_segment(Arc::new(SegmentFile::new(&self.dir, segment)));
        }
        table.remove_segments(gone);
        drop(state);
        self.put_aside();
        self.retire(gone);
        Ok(())
    }

    /// Takes segments that the manifest no longer lists out of sight.
    fn retire(&mut self, gone: &[Arc<SegmentFile>]) {
        self.shared.state().tables.values_mut().for_each(|table| table.remove_segments(gone));
        let folder = self.dir.join("retired");
        let made = self.disk.make_folders(&folder);
        for segment in gone {
            for file in segment.stored().files().filter(|file| !self.manifest.quarantined.contains(file)) {
                let (from, to) = (self.dir.join(file), segment::retired_path(&self.dir, file));
                let renamed = match &made {
                    Ok(()) => self.disk.rename(&from, &to),
                    Err(error) => Err(io::Error::from(error.kind())),
                };
                if let Err(error) = renamed {
                    tracing::warn!(path = %from.display(), %error, "failed to put aside a file that counts no more");
                }
            }
            self.retired.push(Retired { segment: Arc::clone(segment), is_due: false });
        }
    }

    /// Removes the files of retired segments that nobody reads any more. Other programs have from one call to the next
    /// to finish.
    fn remove_retired(&mut self) {
        let (gone, kept): (Vec<_>, Vec<_>) =
            self.retired.drain(..).partition(|retired| retired.is_due && Arc::strong_count(&retired.segment) == 1);
        self.retired = kept.into_iter().map(|retired| Retired { is_due: true, ..retired }).collect();
        let gone: Vec<_> = gone.iter().flat_map(|retired| retired.segment.stored().files()).collect();
        for file in gone.into_iter().filter(|file| !self.quarantined.contains(file)) {
            remove(self.place(), &self.dir.join(file));
            remove(self.place(), &segment::retired_path(&self.dir, file));
        }
    }

    /// The manifest with the segments in memory and `added`, without `gone`, and as the last one in all else.
    fn manifest_with(&self, added: &[(Box<str>, Segment)], gone: &[Arc<SegmentFile>]) -> Manifest {
        let is_gone = |segment: &Arc<SegmentFile>| gone.iter().any(|gone| Arc::ptr_eq(gone, segment));
        let state = self.shared.state();
        let tables = state.tables.iter().map(|(id, table)| {
            let kept = table.segments().iter().filter(|segment| !is_gone(segment)).map(|segment| segment.stored());
            let new = added.iter().filter(|(profile, _)| profile == id).map(|(_, segment)| segment);
            let segments = kept.chain(new).cloned().collect();
            ManifestTable { profile: StoredProfile::from(&**table.profile()), segments }
        });
        let (tables, received) = (tables.collect(), Some(state.received().nanos()));
        drop(state);
        let retired = self.retired.iter().map(|retired| &retired.segment).chain(gone);
        let retired = retired.flat_map(|segment| segment.stored().files());
        let retired = retired.filter(|file| !self.quarantined.contains(file)).cloned().collect();
        // What is not listed above these numbers is unfinished; what jobs under way have made is above them.
        let under_way =
            [self.sealing.as_ref().map(|job| job.first_number), self.merging.as_ref().map(|job| job.first_number)];
        let mut manifest = self.manifest.clone();
        manifest.segment_next = under_way.into_iter().flatten().fold(self.numbers.unused(), u64::min);
        (manifest.tables, manifest.retired, manifest.received_max_ns) = (tables, retired, received);
        manifest.quarantined.clone_from(&self.quarantined);
        manifest
    }
}

/// What a job made, if it has ended.
fn ended<O>(running: &std_mpsc::Receiver<Outcome<O>>) -> Option<Outcome<O>> {
    match running.try_recv() {
        Ok(outcome) => Some(outcome),
        Err(std_mpsc::TryRecvError::Empty) => None,
        Err(std_mpsc::TryRecvError::Disconnected) => Some(Err(SegmentError::BrokeDown)),
    }
}

/// Removes a file that is not needed, if it is there. That a disk is read-only has been told for all of its files.
fn remove(place: Place<'_>, path: &Path) {
    if let Err(error) = place.disk.remove(path)
        && !matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ReadOnlyFilesystem)
    {
        tracing::warn!(path = %path.display(), %error, "failed to remove a file that is no longer needed");
    }
}

/// An error with its causes, in one line; those that it tells itself are not told again.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    for cause in std::iter::successors(error.source(), |cause| cause.source()) {
        if !text.ends_with(&cause.to_string()) {
            text = format!("{text}: {cause}");
        }
    }
    text
}
