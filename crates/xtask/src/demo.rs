//! Builds and starts `tongmai demo`: for a person, and for the tests that drive a browser.
//!
//! Must not know what the demo shows; all it reads is the line with the console's address.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use crate::workspace::{self, Workspace};
use crate::{console, setup};

/// What stands before the address in the line that the demo prints when it can be visited.
const ADDRESS_PREFIX: &str = "console: ";
/// How long the demo may take from its start to that line.
const START_SECS_MAX: u64 = 60;
/// How long it may take to end after an interrupt.
const STOP_SECS_MAX: u64 = 15;

/// Sets up, builds with the profile `demo`, and runs the demo with `arguments` until it ends.
pub(crate) fn run(workspace: &Workspace, arguments: &[&str]) -> Result<()> {
    match setup::node() {
        Ok(versions) => {
            println!("{versions}");
            build_with_console(workspace)?;
        }
        Err(problem) => {
            println!("{problem:#}\ngoing on without the console: the HTTP API works all the same");
            build(workspace)?;
        }
    }
    let mut command = Command::new(workspace.tongmai("demo"));
    command.arg("demo").args(arguments);
    become_program(&mut command)
}

/// The console goes into the binary, so it has to be there before the last crates are compiled.
fn build_with_console(workspace: &Workspace) -> Result<()> {
    if workspace.has_built_engine("demo") {
        println!("console: {}", console::build(workspace)?);
        return build(workspace);
    }
    // The SQL engine takes minutes and the console seconds: side by side the console costs nothing.
    thread::scope(|scope| {
        let console = scope.spawn(|| {
            let outcome = console::build(workspace);
            if let Ok(what) = outcome {
                println!("console: {what}");
            }
            outcome
        });
        build(workspace)?;
        console.join().map_err(|_| anyhow!("building the console panicked"))?
    })?;
    // Should the console have come last after all, the crate that holds it is compiled anew; otherwise nothing is.
    workspace::run(&mut workspace.cargo(&["build", "--quiet", "--package", "cli", "--profile", "demo"]))
}

fn build(workspace: &Workspace) -> Result<()> {
    let expected = if workspace.has_built_engine("demo") {
        "usually under a minute"
    } else {
        "the first time usually 8 to 9 minutes on 2 cores, most of it DataFusion, the SQL engine"
    };
    println!("building tongmai: {expected}");
    workspace::run(&mut workspace.cargo(&["build", "--package", "cli", "--profile", "demo"]))
}

/// Puts the program in the place of this one, so that Ctrl-C reaches it alone and its exit code is ours.
#[cfg(unix)]
fn become_program(command: &mut Command) -> Result<()> {
    let error = std::os::unix::process::CommandExt::exec(command);
    Err(error).with_context(|| format!("failed to run `{}`", command.get_program().to_string_lossy()))
}

#[cfg(not(unix))]
fn become_program(command: &mut Command) -> Result<()> {
    workspace::run(command)
}

/// A demo that runs for a test; killed when dropped, unless it was stopped before.
pub(crate) struct Demo {
    process: Child,
    /// Where the console is, as `http://127.0.0.1:PORT/`.
    pub(crate) address: String,
}

impl Demo {
    /// Starts `command` and waits until it says where the console is.
    pub(crate) fn start(command: &mut Command) -> Result<Self> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = command.spawn().context("failed to run the demo")?;
        let output = process.stdout.take().context("the demo has no standard output")?;
        let mut demo = Self { process, address: String::new() };
        let (tell, told) = sync_channel(1);
        thread::spawn(move || listen(output, &tell));
        demo.address = told.recv_timeout(Duration::from_secs(START_SECS_MAX)).with_context(|| {
            format!("the demo did not print `{ADDRESS_PREFIX}http://…`: it ended, or took over {START_SECS_MAX} s")
        })?;
        Ok(demo)
    }

    /// Interrupts the demo as Ctrl-C would, and waits for its end.
    ///
    /// # Errors
    /// When it does not end in time, or not with success.
    pub(crate) fn stop(mut self) -> Result<()> {
        workspace::run_quietly(Command::new("kill").args(["-INT", &self.process.id().to_string()]))?;
        for _ in 0..STOP_SECS_MAX * 10 {
            match self.process.try_wait().context("failed to wait for the demo")? {
                Some(status) if status.success() => return Ok(()),
                Some(status) => bail!("the demo did not end cleanly after an interrupt ({status})"),
                None => thread::sleep(Duration::from_millis(100)),
            }
        }
        bail!("the demo still ran {STOP_SECS_MAX} s after an interrupt")
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        // After a clean stop there is nothing left to kill, and that is no error here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Tells the address once, and reads on so that the demo never waits for a reader.
fn listen(output: ChildStdout, tell: &SyncSender<String>) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        if let Some(address) = line.strip_prefix(ADDRESS_PREFIX) {
            // A second address would find the channel full or closed: only the first one counts.
            let _ = tell.try_send(address.trim().to_owned());
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", script]);
        command
    }

    #[test]
    fn a_demo_tells_its_address_and_ends_on_an_interrupt() {
        let script =
            "trap 'exit 0' INT; echo starting; echo console: http://127.0.0.1:7/; while :; do sleep 0.05; done";
        let demo = Demo::start(&mut shell(script)).unwrap();
        assert_eq!(demo.address, "http://127.0.0.1:7/");
        demo.stop().unwrap();
    }

    #[test]
    fn a_demo_that_ends_without_an_address_or_uncleanly_is_an_error() {
        let error = Demo::start(&mut shell("echo port taken; exit 1")).err().unwrap().to_string();
        assert!(error.contains("did not print `console: http://…`"), "{error}");
        let script = "trap 'exit 4' INT; echo console: http://127.0.0.1:7/; while :; do sleep 0.05; done";
        let error = Demo::start(&mut shell(script)).unwrap().stop().unwrap_err().to_string();
        assert!(error.contains("did not end cleanly") && error.contains('4'), "{error}");
    }
}
