//! The upstream platform: takes frames, remembers what they said, and answers, refuses or dies as it is told.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use gbt32960::{Command, Found, Frame, Header, Response, find_frame};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Longer than anything here takes on a busy machine.
pub(crate) const WAIT_MAX: Duration = Duration::from_secs(120);

/// What the platform does.
#[derive(Debug, Clone, Default)]
pub(crate) struct Manner {
    /// It takes no connection.
    pub(crate) is_down: bool,
    /// It answers no good report.
    pub(crate) is_silent: bool,
    /// What it answers to vehicles whose VIN ends so.
    pub(crate) refuses: Option<(char, Response)>,
    /// It refuses logins.
    pub(crate) refuses_logins: bool,
    /// After so many bytes of a connection it dies.
    pub(crate) dies_after: Option<usize>,
    /// How long it takes for a frame.
    pub(crate) slowness: Duration,
}

/// What it has been told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// VIN and data unit of every report, once.
    pub(crate) reports: BTreeSet<(String, Vec<u8>)>,
    /// Command, VIN and data unit of all frames, as they came.
    pub(crate) frames: Vec<(Command, String, Vec<u8>)>,
    /// The most reports that were without an answer at a time.
    pub(crate) pending_max: usize,
}

/// See the module.
pub(crate) struct Platform {
    pub(crate) address: String,
    manner: Arc<Mutex<Manner>>,
    told: Arc<Mutex<Told>>,
}

impl Platform {
    pub(crate) async fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (manner, told) = (Arc::new(Mutex::new(manner)), Arc::new(Mutex::new(Told::default())));
        let shared = (Arc::clone(&manner), Arc::clone(&told));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (manner, told) = shared.clone();
                if !manner.lock().unwrap().is_down {
                    tokio::spawn(async move { serve(stream, &manner, &told).await });
                }
            }
        });
        Self { address, manner, told }
    }

    pub(crate) fn set(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.manner.lock().unwrap());
    }

    pub(crate) fn told(&self) -> MutexGuard<'_, Told> {
        self.told.lock().unwrap()
    }

    /// Waits until `is_so`.
    #[track_caller]
    pub(crate) fn wait_until(&self, what: &'static str, is_so: impl Fn(&Told) -> bool) -> impl Future<Output = ()> {
        let told = Arc::clone(&self.told);
        async move {
            let waited = async {
                while !is_so(&told.lock().unwrap()) {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            };
            let told = Arc::clone(&told);
            if tokio::time::timeout(WAIT_MAX, waited).await.is_err() {
                let told = told.lock().unwrap();
                panic!("{what}: {} reports, {} frames", told.reports.len(), told.frames.len());
            }
        }
    }
}

async fn serve(mut stream: TcpStream, manner: &Mutex<Manner>, told: &Mutex<Told>) {
    let (mut buffer, mut bytes, mut read) = (Vec::new(), vec![0; 16 << 10], 0);
    loop {
        let now = manner.lock().unwrap().clone();
        if now.is_down {
            return;
        }
        let left = now.dies_after.map_or(bytes.len(), |most| most.saturating_sub(read).min(bytes.len()));
        if left == 0 {
            // In the middle of a frame, as it may be.
            return;
        }
        let waited = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut bytes[..left])).await;
        let Ok(Ok(count)) = waited else {
            if waited.is_ok() {
                return;
            }
            continue;
        };
        if count == 0 {
            return;
        }
        read += count;
        buffer.extend_from_slice(&bytes[..count]);
        let (mut taken, mut answers, mut pending) = (0, Vec::new(), 0);
        loop {
            match find_frame(&buffer[taken..]) {
                Found::Incomplete => break,
                Found::Garbage { bytes, error } => panic!("no frame: {error}; {} bytes", bytes.len()),
                Found::Frame(frame) => {
                    pending += usize::from(frame.header.command.is_report());
                    answers.extend(take(&frame, &now, told));
                    taken += frame.bytes.len();
                }
            }
        }
        buffer.drain(..taken);
        {
            let mut told = told.lock().unwrap();
            told.pending_max = told.pending_max.max(pending);
        }
        if !now.slowness.is_zero() {
            tokio::time::sleep(now.slowness * pending as u32).await;
        }
        if stream.write_all(&answers).await.is_err() {
            return;
        }
    }
}

/// Takes a frame; gives the answer.
fn take(frame: &Frame<'_>, manner: &Manner, told: &Mutex<Told>) -> Vec<u8> {
    let Header { command, vin, .. } = frame.header;
    let refused = manner.refuses.filter(|(last, _)| vin.as_str().ends_with(*last)).map(|(_, response)| response);
    let response = match command {
        Command::PLATFORM_LOGIN if manner.refuses_logins => Response::ERROR,
        _ => refused.unwrap_or(Response::OK),
    };
    let mut told = told.lock().unwrap();
    told.frames.push((command, vin.as_str().to_owned(), frame.data.to_vec()));
    if command.is_report() && response == Response::OK {
        told.reports.insert((vin.as_str().to_owned(), frame.data.to_vec()));
        if manner.is_silent {
            return Vec::new();
        }
    }
    let mut answer = Vec::new();
    frame.header.answered(response).write(frame.data.get(..6).unwrap_or_default(), &mut answer).unwrap();
    answer
}
