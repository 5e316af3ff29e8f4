//! A list for each row, and what becomes of the elements of one. Knows nothing of signals.

use crate::steps::OfList;

/// A list for each row; one without elements where there is none.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lists {
    /// Where the list of each row ends.
    ends: Vec<usize>,
    elements: Vec<f64>,
}

impl Lists {
    /// `rows` rows without elements.
    pub(crate) fn empty(rows: usize) -> Self {
        Self { ends: vec![0; rows], elements: Vec::new() }
    }

    pub(crate) fn push(&mut self, elements: impl IntoIterator<Item = f64>) {
        self.elements.extend(elements);
        self.ends.push(self.elements.len());
    }

    pub(crate) fn row(&self, row: usize) -> &[f64] {
        let start = row.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.elements[start..self.ends[row]]
    }

    pub(crate) fn rows(&self) -> impl ExactSizeIterator<Item = &[f64]> {
        (0..self.ends.len()).map(|row| self.row(row))
    }

    /// Each element of each row.
    pub(crate) fn each(&self, f: &dyn Fn(f64) -> f64) -> Self {
        Self { ends: self.ends.clone(), elements: self.elements.iter().map(|element| f(*element)).collect() }
    }

    /// Each element of each row with the number of that row.
    pub(crate) fn each_with(&self, numbers: &[f64], f: &dyn Fn(f64, f64) -> f64) -> Self {
        let mut all = Self::default();
        for (elements, number) in self.rows().zip(numbers) {
            all.push(elements.iter().map(|element| f(*element, *number)));
        }
        all
    }

    /// The elements of each row with those of `others` in the same places; none, where they are not as many.
    pub(crate) fn each_with_each(&self, others: &Self, f: &dyn Fn(f64, f64) -> f64) -> Self {
        let mut all = Self::default();
        for (some, others) in self.rows().zip(others.rows()) {
            let count = if some.len() == others.len() { some.len() } else { 0 };
            all.push(some[..count].iter().zip(others).map(|(one, other)| f(*one, *other)));
        }
        all
    }
}

impl<Row: IntoIterator<Item = f64>> FromIterator<Row> for Lists {
    fn from_iter<Rows: IntoIterator<Item = Row>>(rows: Rows) -> Self {
        let mut lists = Self::default();
        rows.into_iter().for_each(|row| lists.push(row));
        lists
    }
}

/// What becomes of `elements`, those without a value passed over; NaN if there are none.
pub(crate) fn of_list(elements: &[f64], of: OfList) -> f64 {
    let known = elements.iter().copied().filter(|value| !value.is_nan());
    let place = |wanted: f64| elements.iter().position(|value| *value == wanted).map_or(f64::NAN, |at| (at + 1) as f64);
    match of {
        OfList::Size => known.count() as f64,
        OfList::Least => known.fold(f64::NAN, f64::min),
        OfList::Most => known.fold(f64::NAN, f64::max),
        OfList::Spread => of_list(elements, OfList::Most) - of_list(elements, OfList::Least),
        OfList::PlaceOfLeast => place(of_list(elements, OfList::Least)),
        OfList::PlaceOfMost => place(of_list(elements, OfList::Most)),
        OfList::LeastButOne => -but_one(known.map(|value| -value)),
        OfList::MostButOne => but_one(known),
        OfList::Mean => {
            let (count, sum) = known.fold((0_u32, 0.0), |(count, sum), value| (count + 1, sum + value));
            if count == 0 { f64::NAN } else { sum / f64::from(count) }
        }
        OfList::Median => {
            let mut values: Vec<f64> = known.collect();
            let count = values.len();
            if count == 0 {
                return f64::NAN;
            }
            let (below, middle, _) = values.select_nth_unstable_by(count / 2, f64::total_cmp);
            let lower = below.iter().copied().max_by(f64::total_cmp).filter(|_| count.is_multiple_of(2));
            lower.map_or(*middle, |lower| (lower + *middle) / 2.0)
        }
    }
}

/// The greatest but one.
fn but_one(values: impl Iterator<Item = f64>) -> f64 {
    let most_two = |(most, second): (f64, f64), value: f64| {
        if most.is_nan() || value > most { (value, most) } else { (most, second.max(value)) }
    };
    values.fold((f64::NAN, f64::NAN), most_two).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_without_a_value_are_passed_over() {
        let elements = [3.0, f64::NAN, 1.0, 7.0, 7.0, 2.0];
        let expected = [
            (OfList::Size, 5.0),
            (OfList::Least, 1.0),
            (OfList::Most, 7.0),
            (OfList::Spread, 6.0),
            (OfList::PlaceOfLeast, 3.0),
            (OfList::PlaceOfMost, 4.0),
            (OfList::LeastButOne, 2.0),
            (OfList::MostButOne, 7.0),
            (OfList::Mean, 4.0),
            (OfList::Median, 3.0),
        ];
        for (of, value) in expected {
            assert_eq!(of_list(&elements, of), value, "{of:?}");
            assert!(of == OfList::Size || of_list(&[f64::NAN], of).is_nan(), "{of:?}");
        }
        assert!(of_list(&[5.0], OfList::MostButOne).is_nan());
    }
}
