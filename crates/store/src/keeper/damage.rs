//! What the keeper does about a damaged segment: what can be read of it takes its place, and the file itself is put
//! aside for somebody to look at. Until the manifest says so, the damaged segment counts.

use std::path::Path;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::{Job, Keeper, Outcome, Rewrite, Rewritten, describe};
use crate::disk::put_file;
use crate::salvage::{Salvage, SalvageJob, Salvaged};
use crate::segment::{self, SegmentFile};
use crate::state::Table;
use crate::store::SubmitError;

/// Gets what became of a segment; nothing if nothing is wrong with it.
pub(crate) type Answer = oneshot::Sender<Result<Option<Salvage>, SubmitError>>;

/// A segment that somebody could not read.
pub(super) struct Suspect {
    pub(super) segment: Arc<SegmentFile>,
    pub(super) answers: Vec<Answer>,
    /// Why it could not be merged, if that was wanted.
    pub(super) unmerged: Option<String>,
}

impl Keeper {
    /// Looks into the segment at `path`, or the one that the roll-up at `path` belongs to, and saves what can be read if
    /// it is damaged.
    pub(crate) fn quarantine(&mut self, path: &Path, answer: Answer) {
        let state = self.shared.state();
        let mut segments = state.tables.values().flat_map(Table::segments);
        let segment = segments.find(|segment| segment.stored().files().any(|file| path.ends_with(file))).cloned();
        drop(state);
        match segment {
            Some(segment) => self.suspect(segment, Some(answer), None),
            // It counts no more: others have its rows.
            None => drop(answer.send(Ok(None))),
        }
        self.next_job();
    }

    pub(super) fn suspect(&mut self, segment: Arc<SegmentFile>, answer: Option<Answer>, unmerged: Option<String>) {
        let known = self.suspects.iter_mut().find(|known| Arc::ptr_eq(&known.segment, &segment));
        match known {
            Some(known) => {
                known.answers.extend(answer);
                known.unmerged = known.unmerged.take().or(unmerged);
            }
            None => self.suspects.push_back(Suspect { segment, answers: answer.into_iter().collect(), unmerged }),
        }
    }

    /// Takes in what readers could not read since it was last asked.
    pub(super) fn suspect_unread(&mut self) {
        let state = self.shared.state();
        let segments = state.tables.values().flat_map(Table::segments);
        let unread: Vec<_> = segments.filter(|segment| segment.take_suspicion()).cloned().collect();
        drop(state);
        unread.into_iter().for_each(|segment| self.suspect(segment, None, None));
    }

    /// Begins to look into the next suspect; whether there is one.
    pub(super) fn salvage_next(&mut self) -> bool {
        while let Some(suspect) = self.suspects.front() {
            let state = self.shared.state();
            let is_its = |table: &&Table| table.segments().iter().any(|segment| Arc::ptr_eq(segment, &suspect.segment));
            let job = state.tables.values().find(is_its).map(|table| SalvageJob {
                profile: Arc::clone(table.profile()),
                schema: Arc::clone(table.schema()),
                input: Arc::clone(&suspect.segment),
                numbers: Arc::clone(&self.numbers),
            });
            drop(state);
            let Some(job) = job else {
                self.end_salvage(&Ok(None));
                continue;
            };
            let first_number = self.numbers.unused();
            let (job, runs) = (Arc::new(Rewrite::Salvage(job.clone())), job);
            let running = self.spawn("salvage", move |place| {
                let salvaged = runs.run(place)?;
                Ok(salvaged.map_or(Rewritten::AsItWas, |salvaged| Rewritten::Salvaged(Box::new(salvaged))))
            });
            self.merging = Some(Job { job, first_number, running });
            return true;
        }
        false
    }

    /// Makes what was saved count.
    pub(super) fn conclude_salvage(&mut self, job: &SalvageJob, outcome: Outcome<Rewritten>) {
        let concluded = match outcome.map_err(|error| describe(&error)) {
            Ok(Rewritten::Salvaged(salvaged)) => self.commit_salvaged(job, *salvaged).map(Some),
            Ok(_) => Ok(None),
            Err(reason) => Err(reason),
        };
        match &concluded {
            Ok(None) => {}
            Ok(Some(salvage)) => {
                tracing::error!(%salvage, "a damaged segment was put aside, and what could be read of it saved");
                self.shared.health().add_damage(salvage.to_string().into());
            }
            Err(reason) => tracing::error!(reason, "failed to save what can be read of a segment; it stays as it is"),
        }
        let concluded = concluded.map_err(|reason| SubmitError::Refused(reason.into()));
        self.end_salvage(&concluded);
        self.next_job();
    }

    fn end_salvage(&mut self, concluded: &Result<Option<Salvage>, SubmitError>) {
        let Some(suspect) = self.suspects.pop_front() else { return };
        for answer in suspect.answers {
            let _ = answer.send(concluded.clone());
        }
        // Merging goes on where the damage was the reason that it stopped; else it would stop there again.
        if let (Some(reason), Ok(None) | Err(_)) = (suspect.unmerged, concluded) {
            self.fail_merging(reason);
        }
    }

    fn commit_salvaged(&mut self, job: &SalvageJob, salvaged: Salvaged) -> Result<Salvage, String> {
        self.quarantined.extend(salvaged.damaged.iter().cloned());
        let segments = salvaged.segment.into_iter().collect();
        let replaced = self.replace(job.profile.id(), segments, std::slice::from_ref(&job.input));
        if replaced.is_err() {
            self.quarantined.retain(|file| !salvaged.damaged.contains(file));
        }
        replaced?;
        let name = salvaged.damaged[0].with_extension("txt");
        let report = segment::quarantine_path(&self.dir, &name);
        if let Err(error) = put_file(&*self.disk, &report, &[format!("{}\n", salvaged.salvage).as_bytes()]) {
            tracing::warn!(path = %report.display(), %error, "failed to write down what was lost");
        }
        Ok(salvaged.salvage)
    }

    /// Puts damaged files aside that the manifest no longer lists as segments.
    pub(super) fn put_aside(&mut self) {
        let mut waiting = std::mem::take(&mut self.quarantined);
        waiting.retain(|file| {
            let (from, to) = (self.dir.join(file), segment::quarantine_path(&self.dir, file));
            if !from.exists() {
                return false;
            }
            let folder = to.parent().expect("the path was joined");
            let moved = self.disk.make_folders(folder).and_then(|()| self.disk.rename(&from, &to));
            if let Err(error) = &moved {
                tracing::warn!(path = %from.display(), %error, "failed to put a damaged file aside");
            }
            moved.is_err()
        });
        self.quarantined = waiting;
    }
}
