//! The server under measurement, a process of its own: the whole program, or gateway and store alone. Knows no vehicle.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use crate::http::Client;

/// The account of the platforms that pass on what vehicles say.
pub(crate) const USER: &str = "bench";
pub(crate) const PASSWORD: &str = "bench-password";
/// The word that makes this program the gateway and the store, or put segments together.
pub(crate) const SERVE: &str = "serve-part";
pub(crate) const COMPACT: &str = "compact-part";
/// How long the server may take to listen, and to end.
const LOOKS_MAX: u32 = 1_200;
const LOOK: Duration = Duration::from_millis(50);

/// What is measured.
#[derive(Debug, Clone)]
pub(crate) enum Program {
    /// `tongmai serve`, at this path.
    Whole(PathBuf),
    /// This program, which then is gateway and store.
    Part,
}

/// How the bench asks how many rows there are.
enum Asking {
    Sql(Client),
    Lines(ChildStdin, BufReader<ChildStdout>),
}

/// See the module.
pub(crate) struct Server {
    child: Child,
    asking: Option<Asking>,
    port: u16,
    /// Has `data`, the configuration and what it said.
    folder: PathBuf,
}

impl Program {
    fn command(&self) -> Result<Command> {
        Ok(match self {
            Self::Whole(path) => Command::new(path),
            Self::Part => Command::new(std::env::current_exe()?),
        })
    }

    /// Starts it on an empty data directory in `folder`.
    pub(crate) fn start(&self, folder: &Path) -> Result<Server> {
        let (port, log) = (free_port()?, File::create(folder.join("log"))?);
        let mut command = self.command()?;
        command.stderr(log.try_clone()?);
        let listen = format!("0.0.0.0:{port}");
        let (child, asking) = match self {
            Self::Whole(_) => {
                let (config, http) = (folder.join("tongmai.toml"), free_port()?);
                let gateway = format!("[[gateways]]\nkind = \"gbt32960\"\nname = \"fleet\"\nlisten = \"{listen}\"\n\n");
                let account = format!("[[gateways.platforms]]\nuser = \"{USER}\"\npassword = \"{PASSWORD}\"\n");
                std::fs::write(&config, gateway + &account)?;
                command.arg("serve").arg("--data").arg(folder.join("data")).arg("--config").arg(config);
                command.args(["--listen".to_owned(), format!("127.0.0.1:{http}")]).stdin(Stdio::null()).stdout(log);
                let mut child = command.spawn().context("failed to start the server")?;
                let client = Client::connect(http, || ensure_alive(&mut child, folder))?;
                (child, Asking::Sql(client))
            }
            Self::Part => {
                command.arg(SERVE).arg(folder.join("data")).arg(listen).stdin(Stdio::piped()).stdout(Stdio::piped());
                let mut child = command.spawn().context("failed to start gateway and store")?;
                let (input, output) = (child.stdin.take(), child.stdout.take());
                let output = BufReader::new(output.context("it has an output")?);
                (child, Asking::Lines(input.context("it has an input")?, output))
            }
        };
        let mut server = Server { child, asking: Some(asking), port, folder: folder.into() };
        server.wait_until_it_listens()?;
        Ok(server)
    }

    /// Puts the segments in `folder` together; gives the CPU seconds that it took.
    pub(crate) fn compact(&self, folder: &Path) -> Result<()> {
        let mut command = self.command()?;
        match self {
            Self::Whole(_) => command.args(["store", "compact", "--data"]).arg(folder.join("data")),
            Self::Part => command.arg(COMPACT).arg(folder.join("data")),
        };
        let status = command.stdout(Stdio::null()).status().context("failed to compact")?;
        ensure!(status.success(), "compacting ended with {status}");
        Ok(())
    }
}

impl Server {
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Where vehicles connect to: the loopback has many addresses, each with its own ports.
    pub(crate) fn address(&self, number: u8) -> SocketAddr {
        (Ipv4Addr::new(127, 0, 0, 1 + number), self.port).into()
    }

    fn wait_until_it_listens(&mut self) -> Result<()> {
        for _ in 0..LOOKS_MAX {
            if TcpStream::connect(self.address(0)).is_ok() {
                return Ok(());
            }
            ensure_alive(&mut self.child, &self.folder)?;
            std::thread::sleep(LOOK);
        }
        bail!("nobody listens on port {}", self.port)
    }

    /// How many reports can be asked for.
    pub(crate) fn rows(&mut self) -> Result<u64> {
        match self.asking.as_mut().context("the server has ended")? {
            Asking::Sql(client) => {
                let question = json!({ "query": "SELECT count(*) FROM vehicle" }).to_string();
                let answer = client.post("/api/v1/sql", "application/json", question.as_bytes())?;
                let answer: Value = serde_json::from_slice(&answer).context("the answer is no JSON")?;
                answer["rows"][0][0].as_u64().with_context(|| format!("no number of rows in {answer}"))
            }
            Asking::Lines(input, output) => {
                let mut line = String::new();
                writeln!(input, "rows")?;
                output.read_line(&mut line)?;
                line.trim().parse().context("gateway and store gave no number of reports")
            }
        }
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn end(&mut self) -> Result<()> {
        // The part ends when its input does.
        if let Some(Asking::Sql(_)) = self.asking.take() {
            let words = ["-TERM".to_owned(), self.child.id().to_string()];
            Command::new("kill").args(words).status().context("failed to ask the server to end")?;
        }
        for _ in 0..LOOKS_MAX {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            std::thread::sleep(LOOK);
        }
        bail!("the server does not end")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if self.asking.is_some() && self.end().is_err() {
            _ = self.child.kill();
            _ = self.child.wait();
        }
    }
}

/// An error that quotes the last words of the server, if it has ended.
fn ensure_alive(child: &mut Child, folder: &Path) -> Result<()> {
    if let Some(status) = child.try_wait()? {
        let said = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        bail!("the server ended with {status}: {}", said.lines().last().unwrap_or_default());
    }
    Ok(())
}

/// A port of this machine that nobody listens on.
fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
