//! Rejected input, kept for inspection: the newest in memory, and a bounded pair of files for each gateway.

use std::collections::{HashMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use gateway::{Quarantine, Rejection};
use model::{Clock, Timestamp};
use serde::Serialize;

/// Rejections that are shown, for each gateway.
const RECENT_MAX: usize = 100;
/// Bytes of one rejected message that are kept.
const TEXT_BYTES_MAX: usize = 4_096;

/// One rejection, as it is kept and shown.
#[derive(Debug, Clone, Serialize, utoipa::ToSchema)]
pub struct Rejected {
    /// When.
    pub time: String,
    /// What was counted.
    pub reason: String,
    /// Where, what was expected, what was found.
    pub detail: String,
    /// The message, bytes that are no text escaped.
    pub text: String,
}

impl Rejected {
    fn new(time: Timestamp, rejection: Rejection<'_>) -> Self {
        let bytes = &rejection.bytes[..rejection.bytes.len().min(TEXT_BYTES_MAX)];
        let mut text = String::new();
        for chunk in bytes.utf8_chunks() {
            text.push_str(chunk.valid());
            chunk.invalid().iter().for_each(|byte| text.push_str(&format!("\\x{byte:02x}")));
        }
        Self { time: time.to_string(), reason: rejection.reason.to_owned(), detail: rejection.detail.to_owned(), text }
    }
}

/// Keeps nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoQuarantine;

impl Quarantine for NoQuarantine {
    fn keep(&self, _: &str, _: Rejection<'_>) {}
}

/// See the module.
pub struct FileQuarantine {
    dir: PathBuf,
    bytes_max: u64,
    clock: Arc<dyn Clock>,
    sources: Mutex<HashMap<String, Source>>,
}

#[derive(Default)]
struct Source {
    recent: VecDeque<Rejected>,
    file: Option<File>,
    bytes: u64,
}

impl FileQuarantine {
    /// Keeps at most `bytes_max` of each gateway in `dir`, as JSON lines.
    pub fn new(dir: PathBuf, bytes_max: u64, clock: Arc<dyn Clock>) -> Self {
        Self { dir, bytes_max, clock, sources: Mutex::default() }
    }

    /// The newest rejections of the gateway `source`, newest first.
    pub fn recent(&self, source: &str) -> Vec<Rejected> {
        let sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        sources.get(source).map_or_else(Vec::new, |source| source.recent.iter().rev().cloned().collect())
    }

    /// Adds a line to the file of `name`; when it has half of the bytes, it becomes the old one of a pair.
    fn append(&self, name: &str, source: &mut Source, line: &str) -> std::io::Result<()> {
        let path = self.dir.join(format!("{name}.jsonl"));
        if source.bytes + line.len() as u64 > self.bytes_max / 2 && source.file.take().is_some() {
            fs::rename(&path, self.dir.join(format!("{name}.old.jsonl")))?;
        }
        let file = match &mut source.file {
            Some(file) => file,
            None => {
                fs::create_dir_all(&self.dir)?;
                let file = OpenOptions::new().create(true).append(true).open(&path)?;
                source.bytes = file.metadata()?.len();
                source.file.insert(file)
            }
        };
        file.write_all(line.as_bytes())?;
        source.bytes += line.len() as u64;
        Ok(())
    }
}

impl Quarantine for FileQuarantine {
    fn keep(&self, name: &str, rejection: Rejection<'_>) {
        let rejected = Rejected::new(self.clock.now(), rejection);
        let line = serde_json::to_string(&rejected).map_or_else(|_| String::new(), |line| line + "\n");
        let mut sources = self.sources.lock().unwrap_or_else(PoisonError::into_inner);
        let source = sources.entry(name.to_owned()).or_default();
        if source.recent.len() == RECENT_MAX {
            source.recent.pop_front();
        }
        source.recent.push_back(rejected);
        // A full disk must not stop the good input: what is rejected is then only counted and shown.
        if let Err(error) = self.append(name, source, &line) {
            source.file = None;
            tracing::warn!(gateway = name, %error, "failed to write to the quarantine");
        }
    }
}

#[cfg(test)]
mod tests {
    use model::ManualClock;

    use super::*;

    #[test]
    fn rejections_are_kept_within_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_millis(0)));
        let quarantine = FileQuarantine::new(dir.path().join("quarantine"), 20_000, clock);
        for number in 0..500 {
            let bytes = [b"line \xff".as_slice(), number.to_string().as_bytes()].concat();
            quarantine.keep("a", Rejection { reason: "invalid UTF-8", detail: "byte 5", bytes: &bytes });
        }
        let recent = quarantine.recent("a");
        assert_eq!(recent.len(), RECENT_MAX);
        assert_eq!(recent[0].text, "line \\xff499");
        let files = fs::read_dir(dir.path().join("quarantine")).unwrap();
        let bytes: u64 = files.map(|file| file.unwrap().metadata().unwrap().len()).sum();
        assert!(bytes <= 20_000, "{bytes} bytes");
        assert!(quarantine.recent("b").is_empty());
    }
}
