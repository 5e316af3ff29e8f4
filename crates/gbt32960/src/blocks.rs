//! Where the blocks of a report stand. Builds nothing of what they hold.

use std::ops::Range;

use crate::content;
use crate::error::DecodeError;
use crate::frame::HEADER_BYTES;
use crate::layout::Layout;

use crate::walk::{self, Nowhere, Reader};

/// The blocks of a report, one by one: the type of each, and its bytes in the data unit, the type included.
#[derive(Debug, Clone)]
pub struct Blocks<'a> {
    layout: &'a Layout,
    reader: Reader<'a>,
    is_over: bool,
}

impl<'a> Blocks<'a> {
    /// Those of the decrypted data unit `data` of a report.
    ///
    /// # Errors
    /// When it does not begin with a time.
    pub fn new(layout: &'a Layout, data: &'a [u8]) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(data);
        content::time(&mut reader).map_err(|error| error.shifted(HEADER_BYTES))?;
        Ok(Self { layout, reader, is_over: false })
    }

    fn next_block(&mut self) -> Result<(u8, Range<usize>), DecodeError> {
        let reader = &mut self.reader;
        let begin = reader.at;
        let kind = walk::number(reader.take(1)?) as u8;
        match self.layout.block(kind) {
            Some(block) => {
                walk::group(&block.group, reader, &mut Nowhere).map_err(|error| error.within(&block.id))?;
                content::check_last(block.last, &block.id, reader)?;
            }
            None => drop(content::unknown(kind, reader)?),
        }
        Ok((kind, begin..reader.at))
    }
}

impl Iterator for Blocks<'_> {
    type Item = Result<(u8, Range<usize>), DecodeError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over || self.reader.left() == 0 {
            return None;
        }
        let next = self.next_block().map_err(|error| error.shifted(HEADER_BYTES));
        self.is_over = next.is_err();
        Some(next)
    }
}
