//! Reads segments and roll-ups: through the store's checksums, with what their footers say kept in memory. Files never
//! change once they are there, so what was read of one stays true. Knows nothing of tables or questions.
//!
//! Reading blocks its thread. Queries have threads of their own, and a local disk answers sooner than another thread.

use std::collections::HashMap;
use std::error::Error;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use bytes::Bytes;
use datafusion::common::Result;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{ParquetFileMetrics, ParquetFileReaderFactory};
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use futures::FutureExt;
use futures::future::{BoxFuture, ready};
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader};
use parquet::file::reader::ChunkReader;
use store::{CheckedFile, SegmentFile};

/// What is kept of footers, all files together.
const FOOTER_BYTES_MAX: usize = 64 << 20;

/// A file of a segment: its rows, or one of its roll-ups.
#[derive(Debug, Clone)]
pub(crate) struct DataFile {
    segment: Arc<SegmentFile>,
    /// Which of the segment's roll-ups; `None` for its rows.
    rollup: Option<usize>,
}

impl DataFile {
    pub(crate) fn rows_of(segment: Arc<SegmentFile>) -> Self {
        Self { segment, rollup: None }
    }

    pub(crate) fn rollup_of(segment: Arc<SegmentFile>, rollup: usize) -> Self {
        Self { segment, rollup: Some(rollup) }
    }

    pub(crate) fn path(&self) -> &Path {
        self.rollup.map_or(&self.segment.path, |rollup| &self.segment.rollups[rollup].path)
    }

    pub(crate) fn rows(&self) -> u64 {
        self.rollup.map_or(self.segment.rows, |rollup| self.segment.rollups[rollup].rows)
    }

    fn bytes(&self) -> u64 {
        self.rollup.map_or(self.segment.bytes, |rollup| self.segment.rollups[rollup].bytes)
    }

    fn open(&self) -> io::Result<CheckedFile> {
        self.rollup.map_or_else(|| self.segment.open(), |rollup| self.segment.rollups[rollup].open())
    }
}

/// What is known of a file from its end.
#[derive(Debug, Clone)]
pub(crate) struct Footer {
    pub(crate) metadata: Arc<ParquetMetaData>,
    /// The columns as they are read.
    schema: SchemaRef,
}

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Files {
    footers: Mutex<Footers>,
}

#[derive(Debug, Default)]
struct Footers {
    known: HashMap<PathBuf, (Footer, Used)>,
    bytes: usize,
    asked: u64,
}

/// When a footer was asked for last, counted in questions, and how large it is.
#[derive(Debug, Clone, Copy)]
struct Used {
    last: u64,
    bytes: usize,
}

impl Footers {
    fn get(&mut self, path: &Path) -> Option<Footer> {
        let (footer, used) = self.known.get_mut(path)?;
        self.asked += 1;
        used.last = self.asked;
        Some(footer.clone())
    }

    fn keep(&mut self, path: &Path, footer: &Footer) {
        // The columns take about as much again as what the file says of them.
        let bytes = footer.metadata.memory_size() + 256 * footer.schema.fields().len();
        self.asked += 1;
        if let Some((_, before)) =
            self.known.insert(path.to_owned(), (footer.clone(), Used { last: self.asked, bytes }))
        {
            self.bytes -= before.bytes;
        }
        self.bytes += bytes;
        while self.bytes > FOOTER_BYTES_MAX && self.known.len() > 1 {
            let oldest = self.known.iter().min_by_key(|(_, (_, used))| used.last).map(|(path, _)| path.clone());
            let Some((_, used)) = oldest.and_then(|path| self.known.remove(&path)) else { return };
            self.bytes -= used.bytes;
        }
    }
}

impl Files {
    /// What the end of `file` says, read if it is not known.
    ///
    /// # Errors
    /// When the file is missing or damaged.
    pub(crate) fn footer(&self, file: &DataFile) -> Result<Footer, ParquetError> {
        if let Some(known) = self.footers.lock().unwrap_or_else(PoisonError::into_inner).get(file.path()) {
            return Ok(known);
        }
        self.read_footer(file, &file.open().map_err(|error| unread(file, error))?)
    }

    fn read_footer(&self, file: &DataFile, opened: &CheckedFile) -> Result<Footer, ParquetError> {
        // Nobody asks for pages of a roll-up: it has few.
        let pages = if file.rollup.is_some() { PageIndexPolicy::Skip } else { PageIndexPolicy::Optional };
        let mut reader = ParquetMetaDataReader::new().with_page_index_policy(pages);
        reader.try_parse(opened).map_err(|error| unread(file, error))?;
        let metadata = Arc::new(reader.finish()?);
        let options = ArrowReaderOptions::new();
        let schema = Arc::clone(ArrowReaderMetadata::try_new(Arc::clone(&metadata), options)?.schema());
        let footer = Footer { metadata, schema };
        self.footers.lock().unwrap_or_else(PoisonError::into_inner).keep(file.path(), &footer);
        Ok(footer)
    }

    /// `file` as the planner wants it. What is known of it already need not be worked out again when it is read.
    pub(crate) fn planned(&self, file: DataFile) -> PartitionedFile {
        let planned = PartitionedFile::new(file.path().to_string_lossy(), file.bytes());
        let known = self.footers.lock().unwrap_or_else(PoisonError::into_inner).get(file.path());
        let planned = match known {
            Some(footer) => planned.with_arrow_schema(footer.schema),
            None => planned,
        };
        planned.with_extension(file)
    }
}

/// A file that did not read.
#[derive(Debug, thiserror::Error)]
#[error("failed to read `{}`: {reason}", path.display())]
pub(crate) struct Unread {
    pub(crate) path: PathBuf,
    /// As text, since whoever passes it on keeps the text at most.
    reason: String,
}

impl Unread {
    /// The file that is the reason of `error`, if it is one.
    pub(crate) fn within<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a Self> {
        let mut next = Some(error);
        while let Some(cause) = next {
            if let Some(unread) = cause.downcast_ref() {
                return Some(unread);
            }
            next = cause.source();
        }
        None
    }
}

fn unread(file: &DataFile, error: impl Error) -> ParquetError {
    ParquetError::External(Box::new(Unread { path: file.path().to_owned(), reason: error.to_string() }))
}

/// Makes readers of the files that [`Files::planned`] gave out.
#[derive(Debug)]
pub(crate) struct Readers(pub(crate) Arc<Files>);

impl ParquetFileReaderFactory for Readers {
    fn create_reader(
        &self,
        partition: usize,
        planned: PartitionedFile,
        _: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> Result<Box<dyn AsyncFileReader + Send>> {
        let path = planned.path().as_ref();
        let Some(file) = planned.extension::<DataFile>() else {
            return datafusion::common::internal_err!("`{path}` is no file of a snapshot");
        };
        let metrics = ParquetFileMetrics::new(partition, path, metrics);
        Ok(Box::new(Reader { files: Arc::clone(&self.0), file: file.clone(), opened: None, metrics }))
    }
}

/// Reads one file, which is opened when something of it is wanted.
struct Reader {
    files: Arc<Files>,
    file: DataFile,
    opened: Option<CheckedFile>,
    metrics: ParquetFileMetrics,
}

impl Reader {
    fn opened(&mut self) -> Result<&CheckedFile, ParquetError> {
        let opened = match self.opened.take() {
            Some(opened) => opened,
            None => self.file.open().map_err(|error| unread(&self.file, error))?,
        };
        Ok(self.opened.insert(opened))
    }

    fn bytes(&mut self, range: &Range<u64>) -> Result<Bytes, ParquetError> {
        let length = range.end.saturating_sub(range.start) as usize;
        self.metrics.bytes_scanned.add(length);
        let read = self.opened()?.get_bytes(range.start, length);
        read.map_err(|error| unread(&self.file, error))
    }

    fn metadata(&mut self) -> Result<Arc<ParquetMetaData>, ParquetError> {
        let known = self.files.footers.lock().unwrap_or_else(PoisonError::into_inner).get(self.file.path());
        if let Some(known) = known {
            return Ok(known.metadata);
        }
        let (files, file) = (Arc::clone(&self.files), self.file.clone());
        Ok(files.read_footer(&file, self.opened()?)?.metadata)
    }
}

impl AsyncFileReader for Reader {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, Result<Bytes, ParquetError>> {
        ready(self.bytes(&range)).boxed()
    }

    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, Result<Vec<Bytes>, ParquetError>> {
        ready(ranges.iter().map(|range| self.bytes(range)).collect()).boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, Result<Arc<ParquetMetaData>, ParquetError>> {
        ready(self.metadata()).boxed()
    }
}
