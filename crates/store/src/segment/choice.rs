//! Which encoding a column of one row group gets: the one whose sample zstd makes smallest. This module must not know
//! of files, pages or what a column means.

use std::io;

use zstd::bulk::Compressor;
use zstd::zstd_safe::{CParameter, Strategy};

use super::packed::{self, Packing, Width};

/// How much work a file is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    /// A fresh segment, which compaction soon replaces.
    Quick,
    /// What stays.
    Thorough,
}

/// How many different values a dictionary holds at most: their places take a byte.
pub(super) const WORDS_MAX: usize = 256;

/// How many runs of rows a sample has, spread over the column.
const SAMPLE_RUNS: usize = 4;

/// How the values of a column become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coding {
    /// As they are.
    Plain,
    /// Differences of whole numbers.
    Deltas(Packing),
    /// First byte of all, second byte of all, and so on.
    Split,
    /// Places in a dictionary of at most [`WORDS_MAX`] values.
    Words,
}

/// What numbers a column has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Whole numbers, for which differences mean something.
    Whole(Width),
    /// The bits of floating-point numbers.
    Float,
}

impl Kind {
    pub(super) fn width(self) -> Width {
        match self {
            Self::Whole(width) => width,
            Self::Float => Width::Wide,
        }
    }

    /// What to take where a dictionary turned out to be too small.
    pub(super) fn without_words(self) -> Coding {
        match self {
            Self::Whole(_) => Coding::Deltas(Packing::Bytes),
            Self::Float => Coding::Split,
        }
    }

    /// What to try, what is cheaper to read first.
    fn codings(self) -> &'static [Coding] {
        match self {
            Self::Whole(_) => &[
                Coding::Deltas(Packing::Nibbles),
                Coding::Deltas(Packing::Bytes),
                Coding::Words,
                Coding::Deltas(Packing::Tight),
                Coding::Split,
            ],
            Self::Float => &[Coding::Words, Coding::Plain, Coding::Split],
        }
    }
}

/// The coding for `values`, none of which is missing.
///
/// # Errors
/// When zstd refuses.
pub(super) fn choose(values: &[i64], kind: Kind, squeezer: &mut Squeezer) -> io::Result<Coding> {
    let Some(first) = values.first() else { return Ok(Coding::Plain) };
    if values.iter().all(|value| value == first) {
        return Ok(if kind == Kind::Float { Coding::Words } else { Coding::Deltas(Packing::Nibbles) });
    }
    let sample = Sample::of(values, squeezer.effort);
    let continuous = sample.continuous();
    let mut best = (usize::MAX, Coding::Plain);
    for coding in kind.codings() {
        squeezer.laid_out.clear();
        let laid_out = &mut squeezer.laid_out;
        match coding {
            Coding::Plain => packed::push_plain(&sample.values, kind.width(), laid_out),
            Coding::Deltas(packing) => packed::pack_deltas(&continuous, kind.width(), *packing, laid_out),
            Coding::Split => packed::push_split(&sample.values, kind.width(), laid_out),
            Coding::Words => match words(&sample.values) {
                Some(words) => packed::push_places(&places(&sample.values, &words), words.len(), laid_out),
                None => continue,
            },
        }
        let bytes = squeezer.try_squeeze()?;
        // What is dearer to read has to be worth it.
        if bytes < best.0 - best.0 / 64 {
            best = (bytes, *coding);
        }
    }
    Ok(best.1)
}

/// A few runs of values.
struct Sample {
    values: Vec<i64>,
    run: usize,
}

impl Sample {
    /// Where there are few values, what they cost counts for more than what they tell.
    fn of(values: &[i64], effort: Effort) -> Self {
        let run = match effort {
            Effort::Quick => (values.len() / 16).clamp(128, 1_024),
            Effort::Thorough => 4_096,
        };
        if values.len() <= run * SAMPLE_RUNS {
            return Self { values: values.to_vec(), run: values.len() };
        }
        let starts = (0..SAMPLE_RUNS).map(|place| (values.len() - run) / (SAMPLE_RUNS - 1) * place);
        Self { values: starts.flat_map(|start| values[start..start + run].iter().copied()).collect(), run }
    }

    /// The runs, each of which goes on where the one before ended: a step between them is no step of the column.
    fn continuous(&self) -> Vec<i64> {
        let mut continuous = self.values.clone();
        for start in (self.run..continuous.len()).step_by(self.run) {
            let shift = continuous[start - 1].wrapping_sub(continuous[start]);
            for value in &mut continuous[start..start + self.run] {
                *value = value.wrapping_add(shift);
            }
        }
        continuous
    }
}

/// The different ones of `values`, in order, unless there are more than [`WORDS_MAX`].
pub(super) fn words(values: &[i64]) -> Option<Vec<i64>> {
    let mut words: Vec<i64> = Vec::new();
    let mut last = None;
    for value in values.iter().filter(|value| last.replace(**value) != Some(**value)) {
        if let Err(place) = words.binary_search(value) {
            if words.len() == WORDS_MAX {
                return None;
            }
            words.insert(place, *value);
        }
    }
    Some(words)
}

/// The place of each of `values` in `words`, which has them all.
pub(super) fn places(values: &[i64], words: &[i64]) -> Vec<u8> {
    let mut last = (words[0], 0);
    let place = |value: &i64| {
        if last.0 != *value {
            last = (*value, words.partition_point(|word| word < value) as u8);
        }
        last.1
    };
    values.iter().map(place).collect()
}

/// Compresses what is laid out.
pub(super) struct Squeezer {
    effort: Effort,
    /// What [`Squeezer::squeeze`] is about.
    pub(super) laid_out: Vec<u8>,
    /// Looks for long repetitions only; the rest is left to the entropy coder, which short ones would only disturb.
    entropy: Compressor<'static>,
    /// Looks where it is cheap.
    glance: Compressor<'static>,
    /// Looks for all repetitions.
    search: Compressor<'static>,
    /// Looks for the best way through them, where there is much of it.
    deep: Compressor<'static>,
    squeezed: Vec<u8>,
    other: Vec<u8>,
}

impl Squeezer {
    pub(super) fn new(effort: Effort) -> io::Result<Self> {
        let mut entropy = Compressor::new(3)?;
        entropy.set_parameter(CParameter::Strategy(Strategy::ZSTD_fast))?;
        entropy.set_parameter(CParameter::MinMatch(7))?;
        let [glance, search, deep] = [3, 9, 12].map(Compressor::new);
        let (laid_out, squeezed, other) = (Vec::new(), Vec::new(), Vec::new());
        Ok(Self { effort, laid_out, entropy, glance: glance?, search: search?, deep: deep?, squeezed, other })
    }

    /// What is laid out, as one frame of zstd: the smallest of some tries.
    pub(super) fn squeeze(&mut self) -> io::Result<&[u8]> {
        squeeze_into(&mut self.entropy, &self.laid_out, &mut self.squeezed)?;
        let (before, after) = (self.laid_out.len(), self.squeezed.len());
        let mut tries: [Option<&mut Compressor<'static>>; 2] = [None, None];
        match self.effort {
            // Fresh segments get a second try where there is much to find.
            Effort::Quick if after < before / 4 => tries[0] = Some(&mut self.glance),
            // Noise stays noise.
            Effort::Thorough if after < before - before / 32 => {
                let deep = if after < before / 3 { &mut self.deep } else { &mut self.search };
                tries = [Some(&mut self.glance), Some(deep)];
            }
            _ => {}
        }
        for compressor in tries.into_iter().flatten() {
            squeeze_into(compressor, &self.laid_out, &mut self.other)?;
            if self.other.len() < self.squeezed.len() {
                std::mem::swap(&mut self.other, &mut self.squeezed);
            }
        }
        Ok(&self.squeezed)
    }

    /// How large what is laid out becomes, about.
    fn try_squeeze(&mut self) -> io::Result<usize> {
        squeeze_into(&mut self.entropy, &self.laid_out, &mut self.squeezed)?;
        Ok(self.squeezed.len())
    }
}

fn squeeze_into(compressor: &mut Compressor<'_>, bytes: &[u8], output: &mut Vec<u8>) -> io::Result<()> {
    output.clear();
    output.reserve(zstd::zstd_safe::compress_bound(bytes.len()));
    compressor.compress_to_buffer(bytes, output)?;
    Ok(())
}
