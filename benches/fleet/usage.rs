//! What a process and the kernel use, as `/proc` tells it. Needs Linux, and knows nothing of what runs.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Clock ticks per second in `/proc`, on every architecture (`USER_HZ`).
const TICKS_PER_SEC: f64 = 100.0;
/// A process that uses less than this share of one CPU is idle.
const IDLE_SHARE: f64 = 0.03;
/// How often it has to be found so, to be taken for done.
const IDLE_LOOKS: u32 = 3;
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// Who is not idle after so many looks has background work without an end.
const LOOKS_MAX: u32 = 600;
/// What the kernel keeps for a connection, besides its buffers.
const SOCKET_SLABS: [&str; 6] = ["TCP", "sock_inode_cache", "filp", "eventpoll_epi", "eventpoll_pwq", "dentry"];

/// CPU seconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) user: f64,
    pub(crate) system: f64,
}

impl Cpu {
    /// Of all threads of a process so far, ended ones included.
    pub(crate) fn of(process: u32) -> Result<Self> {
        Self::read(&format!("/proc/{process}/stat"))
    }

    fn read(path: &str) -> Result<Self> {
        let text = fs::read_to_string(path).context("this bench needs Linux")?;
        // The name of the program stands in parentheses and may hold anything.
        let (_, fields) = text.rsplit_once(')').with_context(|| format!("no name in `{path}`"))?;
        let ticks = |place: usize| -> Result<f64> {
            Ok(fields.split_whitespace().nth(place).with_context(|| format!("too few fields in `{path}`"))?.parse()?)
        };
        Ok(Self { user: ticks(11)? / TICKS_PER_SEC, system: ticks(12)? / TICKS_PER_SEC })
    }

    pub(crate) fn all(self) -> f64 {
        self.user + self.system
    }

    pub(crate) fn since(self, before: Self) -> Self {
        Self { user: self.user - before.user, system: self.system - before.system }
    }
}

/// CPU seconds of the threads of a process by their names; those that have ended are under `ended`.
pub(crate) fn threads(process: u32) -> Result<BTreeMap<String, Cpu>> {
    let mut all: BTreeMap<String, Cpu> = BTreeMap::new();
    let mut running = 0.0;
    for thread in fs::read_dir(format!("/proc/{process}/task"))?.flatten() {
        let folder = thread.path();
        // A thread may end while we look.
        let (Ok(name), Ok(cpu)) =
            (fs::read_to_string(folder.join("comm")), Cpu::read(&folder.join("stat").display().to_string()))
        else {
            continue;
        };
        let sum = all.entry(name.trim().to_owned()).or_default();
        (sum.user, sum.system) = (sum.user + cpu.user, sum.system + cpu.system);
        running += cpu.all();
    }
    all.insert("ended".into(), Cpu { user: Cpu::of(process)?.all() - running, system: 0.0 });
    Ok(all)
}

/// Waits until a process has done all that it does in the background.
pub(crate) fn wait_until_idle(process: u32) -> Result<()> {
    let (mut before, mut idle) = (Cpu::of(process)?, 0);
    for _ in 0..LOOKS_MAX {
        std::thread::sleep(IDLE_LOOK);
        let now = Cpu::of(process)?;
        idle = if now.since(before).all() < IDLE_SHARE { idle + 1 } else { 0 };
        if idle == IDLE_LOOKS {
            return Ok(());
        }
        before = now;
    }
    bail!("still at work after {LOOKS_MAX} s")
}

/// Bytes of a process that are resident now (`VmRSS`), or were at most (`VmHWM`).
pub(crate) fn resident_bytes(process: u32, which: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).context("this bench needs Linux")?;
    let line = text.lines().find_map(|line| line.strip_prefix(which)?.strip_prefix(':'));
    let kibibytes = line.and_then(|text| text.split_whitespace().next()).context("too little in /proc/<pid>/status")?;
    Ok(kibibytes.parse::<u64>()? * 1_024)
}

/// Bytes that the kernel keeps for sockets and their files, of all processes; `None` where it does not tell.
pub(crate) fn kernel_socket_bytes() -> Option<u64> {
    let slabs = fs::read_to_string("/proc/slabinfo").ok()?;
    let of_line = |line: &str| {
        let mut words = line.split_whitespace();
        let is_one = SOCKET_SLABS.contains(&words.next()?);
        let numbers: Vec<u64> = words.take(3).filter_map(|word| word.parse().ok()).collect();
        // Active objects, and the bytes of each.
        is_one.then(|| numbers[0] * numbers[2])
    };
    let slabs: u64 = slabs.lines().filter_map(of_line).sum();
    let sockets = fs::read_to_string("/proc/net/sockstat").ok()?;
    let tcp = sockets.lines().find(|line| line.starts_with("TCP:"))?;
    let pages: u64 = tcp.split_whitespace().last()?.parse().ok()?;
    Some(slabs + pages * 4_096)
}

/// Lets a process have as many open files as `wanted`, or as many as it may have; says how many that are.
pub(crate) fn raise_files(process: u32, wanted: u64) -> Result<u64> {
    let limits = |which: usize| -> Result<u64> {
        let text = fs::read_to_string(format!("/proc/{process}/limits")).context("this bench needs Linux")?;
        let line = text.lines().find_map(|line| line.strip_prefix("Max open files"));
        line.and_then(|line| line.split_whitespace().nth(which)?.parse().ok()).context("no limit of open files")
    };
    for (soft, hard) in [(wanted, wanted.max(limits(1)?)), (limits(1)?.min(wanted), limits(1)?)] {
        let words = [format!("--pid={process}"), format!("--nofile={soft}:{hard}")];
        let raised = Command::new("prlimit").args(words).stderr(Stdio::null()).status();
        if raised.is_ok_and(|status| status.success()) {
            break;
        }
    }
    limits(0)
}

/// The time of day, for intervals.
#[expect(clippy::disallowed_methods, reason = "a bench measures real time")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Nanoseconds since 1970.
#[expect(clippy::disallowed_methods, reason = "a bench sends reports of today")]
pub(crate) fn unix_nanos() -> i64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_nanos() as i64)
}

/// Seconds since 1970.
pub(crate) fn unix_secs() -> i64 {
    unix_nanos() / 1_000_000_000
}
