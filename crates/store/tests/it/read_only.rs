//! A disk that can only be read: questions go on, also after a restart, what comes in is refused with the reason, and all goes
//! on by itself when it can be written to again.

use std::fs;
use std::path::Path;
use std::sync::Arc;

#[cfg(target_os = "linux")]
use rustix::mount::{MountFlags, UnmountFlags, mount, mount_remount, unmount};
use store::{Disk, OpenError, Store, StoreOptions, SubmitError};

use crate::faulty::FaultyDisk;
use crate::press::{batch, profile, rows, submit, wait};

fn open(dir: &Path, disk: &Arc<dyn Disk>) -> Result<Store, OpenError> {
    Store::open(StoreOptions::new(dir), Arc::clone(disk)).map(|(store, _)| store)
}

/// Rows in segments and in the log, then a restart while the disk is read-only, then one that can be written to again.
fn check(dir: &Path, disk: &Arc<dyn Disk>, set_read_only: impl Fn(bool)) {
    let press = profile();
    let said = |second| batch(&press, &[(1, 0, second, 0, 1.5)]);
    let store = open(dir, disk).unwrap();
    submit(&store, said(0)).unwrap();
    wait(store.seal()).unwrap();
    submit(&store, said(1)).unwrap();
    store.close();

    set_read_only(true);
    let store = open(dir, disk).unwrap();
    let trouble = store.stats().trouble.unwrap();
    assert!(trouble.contains("read-only") || trouble.contains("Read-only"), "{trouble}");
    assert!(matches!(open(dir, disk), Err(OpenError::InUse(_))));
    for _ in 0..2 {
        let Err(SubmitError::Refused(reason)) = submit(&store, said(2)) else { panic!("it was taken") };
        assert!(reason.starts_with("failed to write the log: "), "{reason}");
        assert!(matches!(wait(store.seal()), Err(SubmitError::Refused(_))));
        assert_eq!((rows(&store.snapshot()).len(), store.current(None).len()), (2, 1));
    }
    assert!(store.stats().trouble.is_some());

    set_read_only(false);
    submit(&store, said(2)).unwrap();
    wait(store.seal()).unwrap();
    assert_eq!(store.stats().trouble, None);
    store.close();
    let store = open(dir, disk).unwrap();
    assert_eq!(rows(&store.snapshot()).len(), 3);
    assert_eq!(submit(&store, said(0)).unwrap().duplicates, 1);
    store.close();
}

/// A file system of its own, in memory. It is mounted without a program of its own: one that is just being started holds the
/// locks of all other tests for a moment.
#[cfg(target_os = "linux")]
struct Mounted<'a>(&'a Path);

#[cfg(target_os = "linux")]
impl<'a> Mounted<'a> {
    fn new(dir: &'a Path) -> Option<Self> {
        mount("tmpfs", dir, "tmpfs", MountFlags::empty(), Some(c"size=16m")).is_ok().then_some(Self(dir))
    }

    fn set_read_only(&self, is_read_only: bool) {
        let flags = if is_read_only { MountFlags::RDONLY } else { MountFlags::empty() };
        mount_remount(self.0, flags, "").unwrap();
    }
}

#[cfg(target_os = "linux")]
impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let _ = unmount(self.0, UnmountFlags::DETACH);
    }
}

#[cfg(target_os = "linux")]
#[test]
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
fn a_file_system_that_was_mounted_read_only_is_read_and_taken_up_again() {
    let dir = tempfile::tempdir().unwrap();
    let Some(mounted) = Mounted::new(dir.path()) else {
        eprintln!("skipped: nothing may be mounted here");
        return;
    };
    let disk: Arc<dyn Disk> = Arc::new(store::SystemDisk);
    check(dir.path(), &disk, |is_read_only| mounted.set_read_only(is_read_only));
    // A copy that was never open has no lock that would hold when the disk can be written to again.
    fs::remove_file(dir.path().join("LOCK")).unwrap();
    mounted.set_read_only(true);
    let Err(error) = open(dir.path(), &disk) else { panic!("it was opened") };
    assert!(matches!(error, OpenError::ReadOnly(_)) && error.to_string().contains("tongmai sql --data"), "{error}");
    assert_eq!(rows(&store::read(dir.path()).unwrap().0).len(), 3);
}

#[test]
fn a_disk_that_takes_nothing_is_read_also_where_the_manifest_was_half_written() {
    let dir = tempfile::tempdir().unwrap();
    let faulty = FaultyDisk::new(1, Vec::new());
    let disk: Arc<dyn Disk> = Arc::new(faulty.clone());
    check(dir.path(), &disk, |is_read_only| {
        if is_read_only {
            fs::write(dir.path().join("manifest.copy.json"), "half of i").unwrap();
        }
        faulty.set_read_only(is_read_only);
    });
    assert_eq!(store::verify(dir.path()).unwrap().damages().count(), 0);
}
