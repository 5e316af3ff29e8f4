//! The store of one data directory: who may open it, what can be asked of it, and how a batch gets in.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use model::{AssetId, Batch, Cursor, Timestamp};
use tokio::sync::{broadcast, mpsc, oneshot};

use crate::backup::{self, Backup, BackupError};
use crate::catalog::Unacceptable;
use crate::disk::Disk;
use crate::keeper::Wake;
use crate::latest::Latest;
use crate::manifest::{Manifest, ManifestError};
use crate::plan::Plan;
use crate::recover::{RecoverError, Recovery, recover};
use crate::salvage::Salvage;
use crate::snapshot::{self, LatestFew, Snapshot};
use crate::state::{State, Table};
use crate::writer::{Command, Health, Writer};

/// How often a reader begins anew when the log moves on under it.
const READ_ATTEMPTS_MAX: usize = 5;
/// Batches that a subscriber may be behind before it is told that it missed some.
const CHANGES_QUEUE: usize = 1_024;

/// How a store is kept. The defaults suit a plant on a small box.
#[derive(Debug, Clone)]
pub struct StoreOptions {
    /// The data directory; made if it is not there.
    pub dir: PathBuf,
    /// Rows in memory that make a new set of segments due. Twice as many are the most there will be.
    pub hot_rows_max: usize,
    /// About how many bytes these rows may take in memory before one is due. Segments that are merged take as much again,
    /// and so may the latest values: at that, signals that have none get none, and are found among the rows only.
    pub hot_bytes_max: usize,
    /// Bytes in the log that make it due.
    pub log_bytes_max: u64,
    /// Batches that may wait to be written.
    pub queue_batches: usize,
}

impl StoreOptions {
    /// The defaults, for `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self {
            dir: dir.into(),
            hot_rows_max: 262_144,
            hot_bytes_max: 256 << 20,
            log_bytes_max: 64 << 20,
            queue_batches: 32,
        }
    }
}

/// Why a data directory could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system refused.
    #[error("failed to {operation} `{path}`")]
    File {
        /// What was tried.
        operation: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// Another process writes there.
    #[error("`{0}` is in use by another Tongmai: only one may write to a data directory")]
    InUse(PathBuf),
    /// It cannot be written to, and was never open for writing.
    #[error(
        "`{0}` is on a read-only disk and has no file LOCK: make the disk writable, or ask without a server: tongmai sql \
         --data"
    )]
    ReadOnly(PathBuf),
    /// There are data, and nothing that says what they are.
    #[error("`{0}` holds a log or segments but no manifest.json: is part of it missing? Nothing was changed")]
    NoManifest(PathBuf),
    /// What is there does not read.
    #[error("failed to open the data directory")]
    Recover(#[source] RecoverError),
    /// The writer is faster than this reader.
    #[error("`{0}` is being written to faster than it can be read: ask the server that writes there")]
    MovingOn(PathBuf),
    /// The first manifest could not be written.
    #[error("failed to begin the data directory")]
    Manifest(#[source] ManifestError),
}

/// What became of a batch that is now durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Receipt {
    /// Rows that are new.
    pub accepted: u64,
    /// Rows that were there already.
    pub duplicates: u64,
}

/// Why a batch was not taken.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SubmitError {
    /// Nothing can be written at present.
    #[error("{0}")]
    Refused(Arc<str>),
    /// This batch can never be kept.
    #[error("{0}")]
    Unacceptable(Unacceptable),
    /// The batch is larger than a log record may be.
    #[error("the batch takes {bytes} bytes in the log, more than a record may have")]
    TooLarge {
        /// Its size.
        bytes: usize,
    },
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

/// How the store is doing.
#[derive(Debug, Clone, Default)]
pub struct StoreStats {
    /// Why the log or segments cannot be written at present.
    pub trouble: Option<Arc<str>>,
    /// What was last found damaged since the start, and what that cost.
    pub damage: Option<Arc<str>>,
    /// How many segments were found damaged since the start.
    pub damages: u64,
    /// Rows accepted since the start.
    pub accepted: u64,
    /// Rows that were there already, since the start.
    pub duplicates: u64,
    /// Syncs of the log since the start.
    pub syncs: u64,
    /// Bytes written to the log since the start.
    pub log_bytes: u64,
    /// Batches waiting to be written.
    pub queued_batches: usize,
    /// Rows in memory only beside the log.
    pub hot_rows: usize,
    /// About how many bytes these take.
    pub hot_bytes: usize,
    /// About how many bytes the latest values take.
    pub latest_bytes: usize,
    /// Rows since the start that said something which there was no room for among the latest values.
    pub unmentioned: u64,
    /// Segments.
    pub segments: usize,
    /// Bytes in segments.
    pub segment_bytes: u64,
}

pub(crate) struct Shared {
    pub(crate) state: Mutex<State>,
    pub(crate) health: Mutex<Health>,
    pub(crate) changes: broadcast::Sender<Arc<Batch>>,
}

impl Shared {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn health(&self) -> MutexGuard<'_, Health> {
        self.health.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A data directory, open for writing.
pub struct Store {
    shared: Arc<Shared>,
    commands: mpsc::Sender<Command>,
    writer: Option<JoinHandle<()>>,
    dir: PathBuf,
    disk: Arc<dyn Disk>,
    _lock: File,
}

impl Store {
    /// Opens the data directory of `options`, making it if it is not there. On a disk that has become read-only, questions
    /// are answered, and batches are refused until it can be written to again.
    ///
    /// # Errors
    /// When it is in use, cannot be made, or does not read.
    pub fn open(options: StoreOptions, disk: Arc<dyn Disk>) -> Result<(Self, Recovery), OpenError> {
        let dir = options.dir.clone();
        let failed = |operation, path: &Path| {
            let path = path.to_owned();
            move |source| OpenError::File { operation, path, source }
        };
        for folder in ["log", "segments", "latest"] {
            let folder = dir.join(folder);
            disk.make_folders(&folder).map_err(failed("make the folder", &folder))?;
        }
        let (lock, mut read_only) = lock_if_possible(&dir)?;
        if !Manifest::exists(&dir).map_err(failed("look into", &dir))? {
            for kept in [dir.join("log"), dir.join("segments")] {
                let mut entries = fs::read_dir(&kept).map_err(failed("look into", &kept))?;
                if entries.next().is_some() {
                    return Err(OpenError::NoManifest(dir));
                }
            }
            Manifest::empty().write(&*disk, &dir).map_err(OpenError::Manifest)?;
        }
        backup::adopt(&*disk, &dir)?;
        if Manifest::is_half_written(&dir) {
            let readable = Manifest::read(&dir).map_err(|error| OpenError::Recover(RecoverError::Manifest(error)))?;
            // Where nothing can be written, nothing can be removed either: the next manifest that can be makes both one.
            match readable.write(&*disk, &dir) {
                Err(ManifestError::File { source, .. }) if is_read_only(&source) => read_only = Some(source),
                written => written.map_err(OpenError::Manifest)?,
            }
        }
        let (state, manifest, recovery) = recover(&dir, options.hot_bytes_max).map_err(OpenError::Recover)?;
        let shared = Arc::new(Shared {
            state: Mutex::new(state),
            health: Mutex::default(),
            changes: broadcast::Sender::new(CHANGES_QUEUE),
        });
        let (commands, queue) = mpsc::channel(options.queue_batches);
        if let Some(error) = read_only {
            tracing::warn!(dir = %dir.display(), "the disk is read-only: questions are answered, and nothing is taken in");
            shared.health().set_log_trouble(Some(format!("failed to write to the data directory: {error}").into()));
        }
        let damaged = recovery.damages.iter().filter(|damage| damage.inside).map(|damage| damage.path.clone());
        let wake = wake(commands.downgrade());
        let writer = Writer::new(options, Arc::clone(&disk), manifest, damaged.collect(), Arc::clone(&shared), wake)
            .map_err(failed("read", &dir.join("log")))?;
        let writer = std::thread::Builder::new()
            .name("log".into())
            .spawn(move || writer.run(queue))
            .map_err(failed("start the writer of", &dir))?;
        Ok((Self { shared, commands, writer: Some(writer), dir, disk, _lock: lock }, recovery))
    }

    /// Queues `batch`, waiting for room, and returns when it is durable together with `cursor`.
    ///
    /// # Errors
    /// When it is not: see [`SubmitError`]. It may be submitted again.
    pub fn submit(
        &self,
        batch: Arc<Batch>,
        cursor: Option<Cursor>,
    ) -> impl Future<Output = Result<Receipt, SubmitError>> + Send + 'static {
        let commands = self.commands.clone();
        async move {
            let (answer, outcome) = oneshot::channel();
            let command = Command::Append { batch, cursor, answer };
            commands.send(command).await.map_err(|_| SubmitError::Closed)?;
            outcome.await.unwrap_or(Err(SubmitError::Closed))
        }
    }

    /// Writes the rows in memory to segments, and returns when these count.
    ///
    /// # Errors
    /// When the disk refuses; the rows stay in memory and in the log.
    pub async fn seal(&self) -> Result<(), SubmitError> {
        self.ask(|answer| Command::Seal { answer }).await?
    }

    /// Forgets what `plan` no longer wants at `now`, and begins to merge segments where that pays; to be called every
    /// few minutes. Returns before merging has ended.
    ///
    /// # Errors
    /// When the disk refuses; nothing is forgotten then.
    pub async fn maintain(&self, now: Timestamp, plan: Plan) -> Result<(), SubmitError> {
        self.ask(|answer| Command::Maintain { now, plan, answer }).await?
    }

    /// Seals, then merges all segments of each day into one that is as small as can be, and returns when that is done.
    ///
    /// # Errors
    /// When the disk refuses; what could not be merged stays as it is.
    pub async fn compact(&self) -> Result<(), SubmitError> {
        self.ask(|answer| Command::Compact { answer }).await?
    }

    /// Copies all rows that were acknowledged before this call to the folder `to`, while the store goes on, and returns
    /// when the copy is durable; `now` is noted as its time. What an earlier backup left there is kept and not copied
    /// again. The folder has to be empty, or hold a backup of this store.
    ///
    /// # Errors
    /// See [`BackupError`]; a backup that was there before can still be used then.
    pub async fn backup(&self, to: &Path, now: Timestamp) -> Result<Backup, BackupError> {
        let copyable = self.ask(|answer| Command::Copy { answer }).await.map_err(|_| BackupError::Closed)?;
        let (dir, disk, to) = (self.dir.clone(), Arc::clone(&self.disk), to.to_owned());
        let (answer, outcome) = oneshot::channel();
        let copy = move || drop(answer.send(backup::write(&copyable, &dir, &*disk, &to, now)));
        let failed = |source| BackupError::File { operation: "start a thread for", path: self.dir.clone(), source };
        std::thread::Builder::new().name("backup".into()).spawn(copy).map_err(failed)?;
        outcome.await.map_err(|_| BackupError::Closed)?
    }

    /// Looks into the segment file at `path`, or the one whose roll-up stands there, which somebody could not read. If it is
    /// damaged, what can be read takes its place and the file is put aside; a question may then be asked again. `None` if
    /// nothing is wrong with it, or it counts no more.
    ///
    /// # Errors
    /// When the disk refuses; the segment stays as it is then.
    pub async fn quarantine(&self, path: &Path) -> Result<Option<Salvage>, SubmitError> {
        let path = path.to_owned();
        self.ask(|answer| Command::Quarantine { path, answer }).await?
    }

    /// Sends the writer a command and waits for its answer.
    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, SubmitError> {
        let (answer, outcome) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| SubmitError::Closed)?;
        outcome.await.map_err(|_| SubmitError::Closed)
    }

    /// Batches of new rows, from now on, as they become durable.
    pub fn subscribe(&self) -> broadcast::Receiver<Arc<Batch>> {
        self.shared.changes.subscribe()
    }

    /// All rows at this moment.
    pub fn snapshot(&self) -> Snapshot {
        snapshot::of(&mut self.shared.state())
    }

    /// When the last batch came in that a snapshot holds. Every later one comes in later than that.
    pub fn received(&self) -> Timestamp {
        self.shared.state().received()
    }

    /// The latest value of every signal, of `asset` or of all.
    pub fn current(&self, asset: Option<&AssetId>) -> Vec<Latest> {
        snapshot::current(&self.shared.state(), asset)
    }

    /// The latest values of the assets that `is_wanted`, from a profile and a place among its assets on, `("", 0)` being the
    /// first; and where the rest begins, as soon as there are `values_max` of them.
    pub fn current_page(
        &self,
        from: (&str, u32),
        values_max: usize,
        is_wanted: &dyn Fn(&AssetId) -> bool,
    ) -> (Vec<Latest>, Option<(Box<str>, u32)>) {
        snapshot::current_page(&self.shared.state(), from, values_max, is_wanted)
    }

    /// What at most `assets_max` assets of `profile`, from the place `from` among them on, said last of `signals`: for those
    /// who want little of many. Fewer than `assets_max` are the last.
    pub fn current_few(&self, profile: &str, signals: &[&str], from: usize, assets_max: usize) -> Vec<LatestFew> {
        snapshot::current_few(&self.shared.state(), profile, signals, from, assets_max)
    }

    /// The last durable position of `source`.
    pub fn cursor(&self, source: &str) -> Option<Box<str>> {
        self.shared.state().cursors.get(source).cloned()
    }

    /// How it is doing.
    pub fn stats(&self) -> StoreStats {
        let mut stats = self.shared.health().stats();
        stats.queued_batches = self.commands.max_capacity() - self.commands.capacity();
        let state = self.shared.state();
        stats.hot_rows = state.hot_rows();
        stats.hot_bytes = state.hot_bytes();
        stats.latest_bytes = state.latest_bytes();
        for segment in state.tables.values().flat_map(Table::segments) {
            stats.segments += 1;
            stats.segment_bytes += segment.stored().bytes_in_all();
        }
        stats
    }

    /// Writes what is queued, ends the writer and gives the directory free. Blocks until that is done.
    pub fn close(mut self) {
        let (commands, _) = mpsc::channel(1);
        drop(std::mem::replace(&mut self.commands, commands));
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

/// Takes the lock of the data directory `dir`, which holds as long as the file is open.
pub(crate) fn lock(dir: &Path) -> Result<File, OpenError> {
    match lock_if_possible(dir)? {
        (lock, None) => Ok(lock),
        (_, Some(source)) => Err(OpenError::File { operation: "make", path: dir.join("LOCK"), source }),
    }
}

/// The same, also where nothing can be written: then with the reason. The lock holds on when that has passed.
fn lock_if_possible(dir: &Path) -> Result<(File, Option<io::Error>), OpenError> {
    let path = dir.join("LOCK");
    let failed = |operation| {
        let path = path.clone();
        move |source| OpenError::File { operation, path, source }
    };
    let (lock, read_only) = match File::create(&path) {
        Err(error) if is_read_only(&error) => match File::open(&path) {
            Ok(lock) => (lock, Some(error)),
            // Nobody has written there since it was copied there, and whoever can write first must find it free.
            Err(_) => return Err(OpenError::ReadOnly(dir.to_owned())),
        },
        made => (made.map_err(failed("make"))?, None),
    };
    match lock.try_lock() {
        Ok(()) => Ok((lock, read_only)),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed("lock")(source)),
    }
}

fn is_read_only(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::ReadOnlyFilesystem
}

/// Calls the writer when a job has ended, unless the store was closed meanwhile.
fn wake(commands: mpsc::WeakSender<Command>) -> Wake {
    Arc::new(move || {
        if let Some(commands) = commands.upgrade() {
            let _ = commands.blocking_send(Command::JobEnded);
        }
    })
}

/// Reads the data directory `dir` as it is now, also while another process writes to it.
///
/// # Errors
/// When it is none, or does not read.
pub fn read(dir: &Path) -> Result<(Snapshot, Recovery), OpenError> {
    let known = Manifest::exists(dir).map_err(|source| OpenError::File {
        operation: "look into",
        path: dir.to_owned(),
        source,
    });
    if !known? {
        return Err(OpenError::Recover(RecoverError::NoStore(dir.to_owned())));
    }
    let mut attempt = 1;
    loop {
        let log_first = Manifest::read(dir).map(|manifest| manifest.log_first);
        let outcome = recover(dir, usize::MAX);
        let moved_on = match (&log_first, Manifest::read(dir)) {
            (Ok(before), Ok(after)) => *before != after.log_first,
            _ => true,
        };
        match outcome {
            Ok((mut state, _, recovery)) if !moved_on => return Ok((snapshot::of(&mut state), recovery)),
            Err(error) if !moved_on || attempt == READ_ATTEMPTS_MAX => return Err(OpenError::Recover(error)),
            Ok(_) if attempt == READ_ATTEMPTS_MAX => return Err(OpenError::MovingOn(dir.to_owned())),
            _ => attempt += 1,
        }
    }
}
