//! A small platform: takes logins and reports, answers with their time, and remembers what it was told. It is put together
//! here and not by the gateway, so that both have to understand the standard on their own.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use gbt32960::{Command, Encryption, Frame, FrameBuffer, Header, Response, Vin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// How it behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Conduct {
    pub(crate) refuses_reports: bool,
    /// So many logins of each vehicle.
    pub(crate) refuses_logins: u32,
    /// Good reports are not answered.
    pub(crate) is_silent: bool,
    /// What each vehicle is ordered after its first login.
    pub(crate) orders: Vec<(Command, Vec<u8>)>,
}

/// What it was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Held {
    /// Each report of a vehicle once; several may be of one time.
    pub(crate) reports: BTreeSet<(Vin, Vec<u8>)>,
    /// How many reports came, whether they had come before or not.
    pub(crate) received: u64,
    /// Reports that came after later ones of the same vehicle.
    pub(crate) disorder: u64,
    /// Bytes that were no frame.
    pub(crate) garbage: u64,
    pub(crate) answers: Vec<(Command, Response, Vec<u8>)>,
    logins: BTreeMap<Vin, u32>,
    latest: BTreeMap<Vin, [u8; 6]>,
}

/// See the module.
pub(crate) struct Platform {
    pub(crate) address: SocketAddr,
    held: Arc<Mutex<Held>>,
    task: tokio::task::JoinHandle<()>,
}

impl Platform {
    pub(crate) async fn start(conduct: Conduct) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let held = Arc::new(Mutex::new(Held::default()));
        let shared = Arc::clone(&held);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, conduct.clone(), Arc::clone(&shared)));
            }
        });
        Self { address, held, task }
    }

    pub(crate) fn held(&self) -> Held {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: TcpStream, conduct: Conduct, held: Arc<Mutex<Held>>) {
    let mut buffer = FrameBuffer::default();
    let mut bytes = [0; 4096];
    let mut speaker = None;
    loop {
        let count = match stream.read(&mut bytes).await {
            Ok(0) | Err(_) => return,
            Ok(count) => count,
        };
        buffer.extend(&bytes[..count]);
        let mut output = Vec::new();
        while let Some(frame) = buffer.next_frame() {
            let mut held = held.lock().unwrap();
            match frame {
                Ok(frame) => take(&Frame::parse(&frame).unwrap(), &mut speaker, &conduct, &mut held, &mut output),
                Err(_) => held.garbage += 1,
            }
        }
        if stream.write_all(&output).await.is_err() {
            return;
        }
    }
}

fn take(frame: &Frame<'_>, speaker: &mut Option<Vin>, conduct: &Conduct, held: &mut Held, output: &mut Vec<u8>) {
    let header = frame.header;
    let mut answer = |header: Header, data: &[u8]| header.write(data, output).unwrap();
    if header.response != Response::COMMAND {
        held.answers.push((header.command, header.response, frame.data.to_vec()));
        return;
    }
    let time = &frame.data[..frame.data.len().min(6)];
    match header.command {
        Command::VEHICLE_LOGIN => {
            let logins = held.logins.entry(header.vin).or_default();
            *logins += 1;
            if *logins <= conduct.refuses_logins {
                return answer(header.answered(Response::ERROR), time);
            }
            *speaker = Some(header.vin);
            answer(header.answered(Response::OK), time);
            if *logins == 1 {
                for (command, data) in &conduct.orders {
                    let header = Header { command: *command, encryption: Encryption::NONE, ..header };
                    answer(header, data);
                }
            }
        }
        command if command.is_report() => {
            assert_eq!(*speaker, Some(header.vin), "nobody reports without a login");
            held.received += 1;
            if conduct.refuses_reports {
                return answer(header.answered(Response::ERROR), time);
            }
            let time: [u8; 6] = time.try_into().unwrap();
            held.reports.insert((header.vin, frame.data.to_vec()));
            let latest = held.latest.entry(header.vin).or_default();
            held.disorder += u64::from(time < *latest);
            *latest = time.max(*latest);
            if !conduct.is_silent {
                answer(header.answered(Response::OK), &time);
            }
        }
        _ => answer(header.answered(Response::OK), time),
    }
}
