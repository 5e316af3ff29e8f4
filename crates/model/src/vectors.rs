//! Lists of wire integers, row by row, as frames have them: cell voltages, temperatures, fault codes.

/// One list for each row, all in one piece of memory. A row may have no list, which is not the same as an empty one, and
/// an element may have no value, which its quality explains.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Vectors {
    spans: Vec<Option<Span>>,
    elements: Vec<i64>,
}

/// Where the list of a row stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    length: u32,
}

impl Vectors {
    /// Stands for an element without a value; no wire integer is so small.
    pub const MISSING: i64 = i64::MIN;

    /// The number of rows.
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether there are no rows.
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The elements of all rows, [`Vectors::MISSING`] where one has no value.
    pub fn elements(&self) -> &[i64] {
        &self.elements
    }

    /// The list of row `row`, if it has one.
    pub fn row(&self, row: usize) -> Option<&[i64]> {
        let span = self.spans[row]?;
        Some(&self.elements[span.start as usize..][..span.length as usize])
    }

    /// The lists of all rows.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = Option<&[i64]>> {
        (0..self.len()).map(|row| self.row(row))
    }

    /// Adds a row with the list `elements`, or without one.
    ///
    /// # Panics
    /// When all lists together have more than 2³² elements: batches are bounded far below.
    pub fn push(&mut self, elements: Option<impl IntoIterator<Item = i64>>) {
        let start = self.elements.len();
        let span = elements.map(|elements| {
            self.elements.extend(elements);
            let end = u32::try_from(self.elements.len()).expect("a batch has fewer than 2^32 elements");
            Span { start: start as u32, length: end - start as u32 }
        });
        self.spans.push(span);
    }

    /// Adds `elements` to the list of the last row; it gets one if it has none.
    ///
    /// # Panics
    /// When there is no row.
    pub fn append(&mut self, elements: impl IntoIterator<Item = i64>) {
        let begin = self.elements.len() as u32;
        self.elements.extend(elements);
        let end = u32::try_from(self.elements.len()).expect("a batch has fewer than 2^32 elements");
        let last = self.spans.last_mut().expect("there is a row to add to");
        let start = last.map_or(begin, |span| span.start);
        *last = Some(Span { start, length: end - start });
    }

    /// Adds rows without a list until there are `rows`.
    pub fn pad(&mut self, rows: usize) {
        if self.spans.len() < rows {
            self.spans.resize(rows, None);
        }
    }

    /// Takes away all rows but the first `rows`.
    pub fn truncate(&mut self, rows: usize) {
        let gone = self.spans.get(rows..).unwrap_or_default();
        if let Some(first) = gone.iter().flatten().next() {
            self.elements.truncate(first.start as usize);
        }
        self.spans.truncate(rows);
    }

    pub(crate) fn only(&self, keep: &[bool]) -> Self {
        let mut kept = Self::default();
        for (row, _) in keep.iter().enumerate().filter(|(_, keep)| **keep) {
            kept.push(self.row(row).map(|elements| elements.iter().copied()));
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_keep_their_lists_and_no_list_is_not_an_empty_one() {
        let mut vectors = Vectors::default();
        vectors.push(Some([1, Vectors::MISSING, 3]));
        vectors.push(None::<[i64; 0]>);
        vectors.push(Some([]));
        vectors.append([7]);
        vectors.append([8]);
        vectors.push(None::<[i64; 0]>);
        vectors.append([9]);
        let rows: Vec<_> = vectors.rows().collect();
        assert_eq!(rows, [Some(&[1, i64::MIN, 3][..]), None, Some(&[7, 8][..]), Some(&[9][..])]);
        let mut fewer = vectors.clone();
        fewer.truncate(2);
        fewer.push(Some([5]));
        assert_eq!(fewer.rows().collect::<Vec<_>>(), [Some(&[1, i64::MIN, 3][..]), None, Some(&[5][..])]);
        fewer.pad(2);
        fewer.pad(4);
        assert_eq!((fewer.len(), fewer.row(3)), (4, None));
        let kept = vectors.only(&[true, true, false, true]);
        assert_eq!(kept.rows().collect::<Vec<_>>(), [Some(&[1, i64::MIN, 3][..]), None, Some(&[9][..])]);
    }
}
