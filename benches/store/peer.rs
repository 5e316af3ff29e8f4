//! A program under measurement as a process of its own. Knows no particular one.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

use crate::meter::Meter;

/// How long a program may take to end when asked to, before it is killed.
const END_LOOKS: u32 = 300;
const END_LOOK: Duration = Duration::from_millis(100);

/// A running program and the meter that counts what it uses.
pub(crate) struct Peer {
    child: Child,
    /// The signal that asks it to end at once and cleanly.
    end: &'static str,
    pub(crate) meter: Meter,
}

impl Peer {
    /// Starts `words`, what it says going to the file `log`.
    pub(crate) fn start(name: &str, words: &[String], end: &'static str, log: &Path) -> Result<Self> {
        let output = File::create(log).with_context(|| format!("failed to make `{}`", log.display()))?;
        let (meter, mut command) = metered(name, words);
        let command = command.stdin(Stdio::null()).stderr(output.try_clone()?).stdout(output);
        let child = command.spawn().with_context(|| format!("failed to start `{}`", words[0]))?;
        let meter = meter.unwrap_or(Meter::Tree(child.id()));
        Ok(Self { child, end, meter })
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// An error that quotes the program's last words, if it has ended.
    pub(crate) fn check(&mut self, log: &Path) -> Result<()> {
        if let Some(status) = self.child.try_wait()? {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            bail!("it ended with {status}: {}", said.lines().last().unwrap_or_default());
        }
        Ok(())
    }

    /// Asks it to end and waits until it has.
    pub(crate) fn end(&mut self) {
        _ = Command::new("kill").args([self.end, &self.child.id().to_string()]).stderr(Stdio::null()).status();
        for _ in 0..END_LOOKS {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(END_LOOK);
        }
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        self.end();
    }
}

/// The command `words`, run in a group of its own where the kernel allows that.
pub(crate) fn metered(name: &str, words: &[String]) -> (Option<Meter>, Command) {
    let meter = Meter::group(name);
    let entrance = meter.as_ref().and_then(Meter::entrance);
    let command = match entrance {
        Some(entrance) => {
            let mut command = Command::new("sh");
            command.args(["-c", "echo $$ > \"$0\" && exec \"$@\""]).arg(entrance).args(words);
            command
        }
        None => {
            let mut command = Command::new(&words[0]);
            command.args(&words[1..]);
            command
        }
    };
    (meter, command)
}

/// A program that takes statements on its input, line by line, and tells when each is done.
pub(crate) struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().context("failed to start")?;
        let input = child.stdin.take().context("the program has an input")?;
        let output = BufReader::new(child.stdout.take().context("the program has an output")?);
        Ok(Self { child, input, output })
    }

    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Sends `text` and gives the lines that come back before the line `end`.
    pub(crate) fn ask(&mut self, text: &str, end: &str) -> Result<Vec<String>> {
        self.input.write_all(text.as_bytes()).context("the program no longer listens")?;
        self.input.flush()?;
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            let length = self.output.read_line(&mut line)?;
            ensure!(length > 0, "the program ended: {}", lines.last().map_or("", String::as_str));
            let line = line.trim_end();
            if line == end {
                return Ok(lines);
            }
            ensure!(!line.starts_with("error"), "{line}");
            lines.push(line.to_owned());
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// Where a program is, on the search path or else at one of `places`.
pub(crate) fn find(name: &str, places: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(places.iter().map(PathBuf::from));
    folders.map(|folder| folder.join(name)).find(|path| path.is_file())
}

/// Runs `command` and says what it said if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("failed to start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{:?} failed: {}", command.get_program(), said.trim_end());
    Ok(())
}

/// Installs a package of Debian where we may; elsewhere does nothing.
pub(crate) fn install_debian(package: &str) {
    if !is_root() || find("apt-get", &[]).is_none() {
        return;
    }
    for arguments in [&["update"][..], &["install", "-y", "--no-install-recommends", package]] {
        let mut command = Command::new("apt-get");
        _ = run(command
            .args(["-qq", "-o", "Dpkg::Use-Pty=0"])
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive"));
    }
}

pub(crate) fn is_root() -> bool {
    Command::new("id").arg("-u").output().is_ok_and(|output| output.stdout.trim_ascii() == b"0")
}

/// A port of this machine that nobody listens on.
pub(crate) fn free_port() -> Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}
