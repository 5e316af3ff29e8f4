//! Verification: reads everything that a data directory holds, compares it with its checksums, and says what is wrong and
//! what that means for the rows. Changes nothing, and can be used while another process writes there. This module must
//! not know how anything is repaired.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use model::{Profile, Timestamp};

use crate::checkpoint;
use crate::log::{self, Damage};
use crate::manifest::Manifest;
use crate::record::{self, Definitions, Record};
use crate::recover::RecoverError;
use crate::salvage::{self, Loss};
use crate::segment::{self, Fault, Segment, SegmentFile};
use crate::state::State;

/// How often a look begins anew when what it looks at is replaced meanwhile.
const ATTEMPTS_MAX: usize = 5;

/// What was found.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Report {
    /// What is wrong, or worth knowing.
    pub findings: Vec<Finding>,
    /// Segments that were read.
    pub segments: u64,
    /// Roll-ups that were read.
    pub rollups: u64,
    /// Rows in segments, as the manifest counts them.
    pub segment_rows: u64,
    /// Log files that were read.
    pub log_files: u64,
    /// Batches in them.
    pub log_batches: u64,
    /// Bytes of all these files.
    pub bytes: u64,
}

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    /// Something that was kept cannot be relied on.
    Damage,
    /// Nothing is lost.
    Note,
}

/// One thing that was found.
#[derive(Debug, Clone, PartialEq)]
pub struct Finding {
    /// How much it matters.
    pub weight: Weight,
    /// The file, relative to the data directory.
    pub file: PathBuf,
    /// Where in the file, and how many bytes; nothing if it concerns the whole of it.
    pub place: Option<(u64, u64)>,
    /// What it is, and what it means.
    pub what: String,
    /// The rows that it concerns, as far as that is known.
    pub affected: Vec<Loss>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Damage => "damage",
            Weight::Note => "note",
        };
        write!(f, "{weight}: {}", self.file.display())?;
        if let Some((offset, bytes)) = self.place {
            write!(f, ", {bytes} bytes at {offset}")?;
        }
        write!(f, ": {}", self.what)?;
        for (place, loss) in self.affected.iter().enumerate() {
            write!(f, "{}{loss}", if place == 0 { "; affected: " } else { "; " })?;
        }
        Ok(())
    }
}

impl Report {
    /// What is damaged.
    pub fn damages(&self) -> impl Iterator<Item = &Finding> {
        self.findings.iter().filter(|finding| finding.weight == Weight::Damage)
    }

    fn find(&mut self, weight: Weight, file: impl Into<PathBuf>, what: impl Into<String>) -> &mut Finding {
        let (file, what) = (file.into(), what.into());
        self.findings.push(Finding { weight, file, place: None, what, affected: Vec::new() });
        self.findings.last_mut().expect("one was added")
    }
}

/// Looks into all files of the data directory `dir`.
///
/// # Errors
/// When it is none, its manifest does not read, or the system does not let us look.
pub fn verify(dir: &Path) -> Result<Report, RecoverError> {
    let exists = Manifest::exists(dir).map_err(|source| RecoverError::Log { path: dir.to_owned(), source })?;
    if !exists {
        return Err(RecoverError::NoStore(dir.to_owned()));
    }
    let mut attempt = 1;
    loop {
        let manifest = Manifest::read(dir).map_err(RecoverError::Manifest)?;
        let mut report = look(dir, &manifest)?;
        let after = Manifest::read(dir).map_err(RecoverError::Manifest)?;
        let moved_on = (manifest.log_first, &manifest.latest) != (after.log_first, &after.latest)
            || manifest.segments().any(|segment| !after.segments().any(|kept| kept.file == segment.file));
        if !moved_on || report.damages().next().is_none() || attempt == ATTEMPTS_MAX {
            look_for_others(dir, &[&manifest, &after], &mut report);
            report.findings.sort_by(|one, other| {
                (one.weight == Weight::Note, &one.file, one.place).cmp(&(
                    other.weight == Weight::Note,
                    &other.file,
                    other.place,
                ))
            });
            return Ok(report);
        }
        attempt += 1;
    }
}

fn look(dir: &Path, manifest: &Manifest) -> Result<Report, RecoverError> {
    let mut report = Report::default();
    for (name, error) in Manifest::faults(dir) {
        report.find(Weight::Damage, name, format!("{error}; the other copy is used, and no row is affected"));
    }
    for table in &manifest.tables {
        let profile = Profile::try_from(table.profile.clone());
        let profile = profile.map_err(|error| RecoverError::Profile(error.to_string()))?;
        for stored in &table.segments {
            look_into_segment(dir, stored, &profile, &mut report)
                .map_err(|source| RecoverError::Log { path: dir.join(&stored.file), source })?;
        }
    }
    if let Some(latest) = &manifest.latest {
        report.bytes += fs::metadata(dir.join(latest)).map_or(0, |about| about.len());
        if let Err(error) = checkpoint::read(&dir.join(latest), &mut State::new(usize::MAX)) {
            let what =
                format!("{error}; no row is affected, latest values are read from segments when the store opens");
            report.find(Weight::Damage, latest, what);
        }
    }
    let folder = dir.join("log");
    for (number, path) in log::files(&folder).map_err(|source| RecoverError::Log { path: folder, source })? {
        if (manifest.log_first..manifest.log_end()).contains(&number) {
            look_into_log(dir, &path, &mut report).map_err(|source| RecoverError::Log { path, source })?;
        }
    }
    Ok(report)
}

fn look_into_segment(dir: &Path, stored: &Segment, profile: &Profile, report: &mut Report) -> std::io::Result<()> {
    let segment = SegmentFile::new(dir, stored.clone());
    report.segments += 1;
    report.segment_rows += stored.rows;
    report.bytes += stored.bytes_in_all();
    let (file, faults) = segment.examine()?;
    let mut affected = match &file {
        Some(file) => salvage::losses(file, &faults, profile.shape(), &segment),
        None => vec![salvage::all_of(&segment)],
    };
    for fault in &faults {
        let what = format!("{fault}{}", meaning(fault));
        let finding = report.find(Weight::Damage, &stored.file, what);
        finding.place = fault.place();
        // Which rows are hit is said once.
        finding.affected = std::mem::take(&mut affected);
    }
    if let Some(file) = &file {
        let rows = file.metadata().file_metadata().num_rows() as u64;
        if rows != stored.rows {
            let what = format!("it holds {rows} rows where {} were written", stored.rows);
            report.find(Weight::Damage, &stored.file, what).affected = vec![salvage::all_of(&segment)];
        }
        if stored.checks.is_none() {
            let what = "it has no checksums: written by an older program; `tongmai store compact` adds them";
            report.find(Weight::Note, &stored.file, what);
            for loss in salvage::undecoded(file, profile.shape(), &segment) {
                report.find(Weight::Damage, &stored.file, "part of it does not decode").affected = vec![loss];
            }
        }
    }
    for (rollup, stored) in segment.rollups.iter().zip(&stored.rollups) {
        report.rollups += 1;
        for fault in rollup.examine()?.1 {
            let what = format!("{fault}; it is a roll-up, which a repair makes anew: no row is affected");
            report.find(Weight::Damage, &stored.file, what).place = fault.place();
        }
    }
    Ok(())
}

/// What a fault of a segment means to whoever wants its rows.
fn meaning(fault: &Fault) -> &'static str {
    match fault {
        Fault::Missing => ": its rows are lost unless the file is put back",
        Fault::Length { found, expected } if found > expected => ": what stands behind its end is not ours",
        Fault::Length { .. } => ": without its end nothing in it can be found",
        Fault::Flip { .. } => ", which a repair sets right",
        Fault::Block(_) => "",
        Fault::Tail(_) => ": nothing in it can be found",
    }
}

fn look_into_log(dir: &Path, path: &Path, report: &mut Report) -> std::io::Result<()> {
    let read = || -> std::io::Result<(Vec<Damage>, Received, BTreeMap<u64, String>)> {
        let (mut definitions, mut received, mut reasons) = (Definitions::new(), Received::new(), BTreeMap::new());
        let damages = log::read_records(path, |bytes, offset| match record::decode(bytes, &mut definitions) {
            Ok(Record::Profile) => true,
            Ok(Record::Batch { batch, .. }) => {
                received.insert(offset, batch.received);
                true
            }
            Err(error) => {
                reasons.insert(offset, error.to_string());
                false
            }
        })?;
        Ok((damages, received, reasons))
    };
    let (mut damages, received, reasons) = read()?;
    if damages.iter().any(|damage| damage.inside) {
        // Somebody may have written there just now.
        let again = read()?.0;
        damages.retain(|damage| again.contains(damage));
    }
    report.log_files += 1;
    report.log_batches += received.len() as u64;
    report.bytes += fs::metadata(path).map_or(0, |about| about.len());
    for damage in damages {
        let file = path.strip_prefix(dir).unwrap_or(path);
        let reason = reasons.get(&damage.offset).map_or_else(String::new, |reason| format!(" ({reason})"));
        let (weight, what) = if damage.inside {
            let before = received.range(..damage.offset).next_back().map(|(_, time)| format!(" after {time}"));
            let after = received.range(damage.offset..).next().map(|(_, time)| format!(" before {time}"));
            let when = format!("{}{}", before.unwrap_or_default(), after.unwrap_or_default());
            let when = if when.is_empty() { " at an unknown time".to_owned() } else { when };
            (Weight::Damage, format!("records do not read{reason}: what came in{when} is lost in part"))
        } else {
            (Weight::Note, "the file ends with a write that was cut short; nothing in it was acknowledged".to_owned())
        };
        report.find(weight, file, what).place = Some((damage.offset, damage.bytes));
    }
    Ok(())
}

/// When the batches of a log file came in, by their place.
type Received = BTreeMap<u64, Timestamp>;

/// Files that no manifest lists, and those that were put aside.
fn look_for_others(dir: &Path, manifests: &[&Manifest], report: &mut Report) {
    let listed: HashSet<PathBuf> = manifests.iter().flat_map(|manifest| listed(manifest)).collect();
    let next = manifests.iter().map(|manifest| manifest.segment_next).min().unwrap_or(0);
    for file in unlisted(dir, &listed) {
        let what = match segment::number_of(&file) {
            _ if file.extension().is_some_and(|end| end == "tmp") => "it is being written, or was not finished",
            Some(number) if number >= next => "it is being written, or was not finished; it counts for nothing",
            Some(_) => {
                "no manifest lists it: it counts for nothing, but programs that read all files see its rows; \
                 `tongmai store repair` puts it aside"
            }
            None => "it is not ours, and counts for nothing",
        };
        report.find(Weight::Note, file, what);
    }
    let folders = [Path::new("quarantine").join("segments"), PathBuf::from("log")];
    for folder in folders {
        for name in names(&dir.join(&folder)) {
            if Path::new(&name).extension().is_some_and(|end| end == "parquet" || end == "damaged") {
                report.find(Weight::Note, folder.join(name), "it is damaged, and was put aside earlier");
            }
        }
    }
}

/// All files that a manifest knows of.
fn listed(manifest: &Manifest) -> impl Iterator<Item = PathBuf> {
    let files = manifest.segments().flat_map(Segment::files);
    files.chain(&manifest.retired).chain(&manifest.quarantined).cloned()
}

/// The files among segments and roll-ups that are not `listed`, relative to `dir`.
fn unlisted(dir: &Path, listed: &HashSet<PathBuf>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for tree in ["segments", "rollups"] {
        for profile in names(&dir.join(tree)) {
            for date in names(&dir.join(tree).join(&profile)) {
                let folder = Path::new(tree).join(&profile).join(&date);
                let files = names(&dir.join(&folder)).into_iter().map(|name| folder.join(name));
                found.extend(files.filter(|file| !listed.contains(file)));
            }
        }
    }
    found
}

/// Files of ours that no manifest lists though they are finished.
pub(crate) fn stray(dir: &Path) -> Result<Vec<PathBuf>, RecoverError> {
    let manifest = Manifest::read(dir).map_err(RecoverError::Manifest)?;
    let listed: HashSet<PathBuf> = listed(&manifest).collect();
    let mut stray = unlisted(dir, &listed);
    stray.retain(|file| {
        let is_ours = segment::number_of(file).is_some_and(|number| number < manifest.segment_next);
        is_ours && file.extension().is_some_and(|end| end == "parquet")
    });
    Ok(stray)
}

/// What stands in a folder, in order; nothing if it is none.
fn names(folder: &Path) -> BTreeSet<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.map(|entry| PathBuf::from(entry.file_name())).collect()
}
