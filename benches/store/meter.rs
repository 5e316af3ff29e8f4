//! What a system under measurement uses: CPU time of all its processes, memory, disk. Needs Linux, and knows nothing of
//! what the processes do.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};

/// Clock ticks per second in `/proc`, on every architecture (`USER_HZ`).
const TICKS_PER_SEC: f64 = 100.0;
/// Of a control group, version 1: a folder below it is a group whose CPU time the kernel counts in nanoseconds.
const GROUPS_OF_VERSION_1: &str = "/sys/fs/cgroup/cpuacct";
/// The same of version 2.
const GROUPS_OF_VERSION_2: &str = "/sys/fs/cgroup";
/// A system that uses less than this share of one CPU is idle.
const IDLE_SHARE: f64 = 0.02;
/// How long it has to be idle, to be taken for done.
const IDLE_LOOKS: u32 = 3;
const IDLE_LOOK: Duration = Duration::from_secs(1);
/// Who is not idle after so many looks has background work without an end.
const LOOKS_MAX: u32 = 300;

/// Counts the CPU time of a tree of processes, ended ones included.
#[derive(Debug)]
pub(crate) enum Meter {
    /// A control group, which the tree was put into before it began.
    Group { folder: PathBuf, version: u8 },
    /// The processes that descend from this one, and those that they waited for.
    Tree(u32),
}

impl Meter {
    /// A control group of its own named `name`, where the kernel allows it.
    pub(crate) fn group(name: &str) -> Option<Self> {
        let name = format!("bench-{}-{name}", std::process::id());
        for (version, groups, sign) in
            [(1, GROUPS_OF_VERSION_1, "cpuacct.usage"), (2, GROUPS_OF_VERSION_2, "cgroup.controllers")]
        {
            let folder = Path::new(groups).join(&name);
            if Path::new(groups).join(sign).exists() && fs::create_dir(&folder).is_ok() {
                return Some(Self::Group { folder, version });
            }
        }
        None
    }

    /// The file that takes the number of a process which joins the group.
    pub(crate) fn entrance(&self) -> Option<PathBuf> {
        match self {
            Self::Group { folder, .. } => Some(folder.join("cgroup.procs")),
            Self::Tree(_) => None,
        }
    }

    /// CPU seconds so far, user and system.
    pub(crate) fn cpu_secs(&self) -> Result<f64> {
        match self {
            Self::Group { folder, version: 1 } => {
                let text =
                    fs::read_to_string(folder.join("cpuacct.usage")).context("failed to read a group's usage")?;
                Ok(text.trim().parse::<f64>()? / 1e9)
            }
            Self::Group { folder, .. } => {
                let text = fs::read_to_string(folder.join("cpu.stat")).context("failed to read a group's usage")?;
                let usage = text.lines().find_map(|line| line.strip_prefix("usage_usec "));
                Ok(usage.context("no usage_usec in cpu.stat")?.trim().parse::<f64>()? / 1e6)
            }
            Self::Tree(root) => tree_cpu_secs(*root),
        }
    }

    /// Waits until the processes have done all that they do in the background.
    pub(crate) fn wait_until_idle(&self) -> Result<()> {
        let (mut before, mut idle) = (self.cpu_secs()?, 0);
        for _ in 0..LOOKS_MAX {
            std::thread::sleep(IDLE_LOOK);
            let now = self.cpu_secs()?;
            idle = if now - before < IDLE_SHARE * IDLE_LOOK.as_secs_f64() { idle + 1 } else { 0 };
            if idle == IDLE_LOOKS {
                return Ok(());
            }
            before = now;
        }
        bail!("still at work after {LOOKS_MAX} s")
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        if let Self::Group { folder, .. } = self {
            // The kernel needs a moment to see the last process go.
            for _ in 0..20 {
                if fs::remove_dir(&*folder).is_ok() {
                    return;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// One line of `/proc/<pid>/stat`.
struct Stat {
    process: u32,
    parent: u32,
    /// Of the process and of the children that it waited for.
    cpu_secs: f64,
}

fn stat(process: u32) -> Result<Stat> {
    let text = fs::read_to_string(format!("/proc/{process}/stat")).context("this bench needs Linux")?;
    // The name of the program stands in parentheses and may hold anything.
    let (_, fields) = text.rsplit_once(')').context("no name in /proc/<pid>/stat")?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    ensure!(fields.len() > 14, "too few fields in /proc/<pid>/stat");
    let ticks: f64 = fields[11..15].iter().filter_map(|ticks| ticks.parse::<f64>().ok()).sum();
    Ok(Stat { process, parent: fields[1].parse()?, cpu_secs: ticks / TICKS_PER_SEC })
}

fn tree_cpu_secs(root: u32) -> Result<f64> {
    let entries = fs::read_dir("/proc").context("this bench needs Linux")?;
    let processes = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    // A process may end while we look.
    let all: Vec<Stat> = processes.filter_map(|process| stat(process).ok()).collect();
    let mut members = vec![root];
    let mut place = 0;
    while place < members.len() {
        let parent = members[place];
        members.extend(all.iter().filter(|one| one.parent == parent).map(|one| one.process));
        place += 1;
    }
    Ok(all.iter().filter(|one| members.contains(&one.process)).map(|one| one.cpu_secs).sum())
}

/// CPU seconds of this very thread so far.
pub(crate) fn thread_cpu_secs() -> Result<f64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("the kernel does not count threads")?;
    let nanos = text.split_whitespace().next().context("nothing in /proc/thread-self/schedstat")?;
    Ok(nanos.parse::<f64>()? / 1e9)
}

/// The most memory that process `process` had resident at once.
pub(crate) fn peak_bytes(process: u32) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).context("this bench needs Linux")?;
    let peak = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kibibytes = peak.and_then(|text| text.split_whitespace().next()).context("no VmHWM in /proc/<pid>/status")?;
    Ok(kibibytes.parse::<u64>()? * 1_024)
}

/// What a folder takes on disk.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Taken {
    /// As the file system allots it.
    pub(crate) bytes: u64,
    pub(crate) files: u64,
}

/// What all files below `folder` take for which `counts` says so.
pub(crate) fn taken(folder: &Path, counts: &dyn Fn(&Path) -> bool) -> Result<Taken> {
    let mut sum = Taken::default();
    let entries = fs::read_dir(folder).with_context(|| format!("failed to look into `{}`", folder.display()))?;
    for entry in entries {
        let path = entry?.path();
        // Files come and go in the folder of a running server.
        let Ok(metadata) = fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            let inside = taken(&path, counts)?;
            sum = Taken { bytes: sum.bytes + inside.bytes, files: sum.files + inside.files };
        } else if counts(&path) {
            sum = Taken { bytes: sum.bytes + metadata.blocks() * 512, files: sum.files + 1 };
        }
    }
    Ok(sum)
}
