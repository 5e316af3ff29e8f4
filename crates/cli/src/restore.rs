//! `tongmai restore`: a backup becomes a data directory again, whole or not at all.

use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use store::{Disk, SystemDisk};

/// See the module.
#[derive(clap::Args)]
pub(crate) struct RestoreArguments {
    /// The backup.
    backup: PathBuf,
    /// The new data directory: an empty folder, or one that is not there.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
}

pub(crate) async fn run(arguments: RestoreArguments) -> Result<()> {
    let (from, to) = (arguments.backup.clone(), arguments.to.clone());
    let restore = move || {
        let disk: Arc<dyn Disk> = Arc::new(SystemDisk);
        store::restore(&from, &to, &disk)
    };
    let restored = tokio::task::spawn_blocking(restore).await?;
    let restored = restored.with_context(|| format!("failed to restore `{}`", arguments.backup.display()))?;
    crate::say(&format!(
        "restored to {}, as of {}\nrows    {:>16}\nfiles   {:>16}\nbytes   {:>16}\n",
        arguments.to.display(),
        restored.taken,
        restored.rows,
        restored.files,
        restored.bytes,
    ))?;
    if restored.rows != restored.rows_expected {
        bail!(
            "the backup was made of {} rows: every byte is the one that was copied, but what they say is read differently \
             now; this is a mistake in Tongmai",
            restored.rows_expected
        );
    }
    Ok(())
}
