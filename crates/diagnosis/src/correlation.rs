//! How each element of a list goes with a number: the coefficient of correlation, of which what is older counts less and less.
//! Knows no other step.

use model::Timestamp;
use serde::{Deserialize, Serialize};

/// The part of all weight that has to be there before anything is said.
const WEIGHT_MIN: f64 = 0.3;
/// After so many times the stretch without a row all begins anew.
const GAP: f64 = 2.0;

/// What is known of each element, and of the number.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub(crate) struct Correlation {
    /// When a row was taken in last, in nanoseconds.
    last: i64,
    weight: f64,
    mean: f64,
    variance: f64,
    elements: Box<[OfElement]>,
}

#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
struct OfElement {
    mean: f32,
    variance: f32,
    covariance: f32,
}

impl Correlation {
    /// Takes in `elements` and the `number` that they are to go with; what is older than `nanos` counts less than a third.
    pub(crate) fn take(&mut self, elements: &[f64], number: f64, time: Timestamp, nanos: i64) {
        if number.is_nan() || elements.is_empty() || elements.iter().any(|element| element.is_nan()) {
            return;
        }
        let past = time.nanos().saturating_sub(self.last) as f64 / nanos as f64;
        if self.elements.len() != elements.len() || past > GAP {
            let of = |element: &f64| OfElement { mean: *element as f32, ..OfElement::default() };
            let elements = elements.iter().map(of).collect();
            *self = Self { last: time.nanos(), weight: 0.0, mean: number, variance: 0.0, elements };
            return;
        }
        self.last = time.nanos();
        let new = 1.0 - (-past).exp();
        self.weight += new * (1.0 - self.weight);
        let away = number - self.mean;
        self.mean += new * away;
        self.variance = (1.0 - new) * (self.variance + new * away * away);
        let (new, away) = (new as f32, away as f32);
        for (element, of) in elements.iter().zip(&mut self.elements) {
            let own = *element as f32 - of.mean;
            of.mean += new * own;
            of.variance = (1.0 - new) * (of.variance + new * own * own);
            of.covariance = (1.0 - new) * (of.covariance + new * own * away);
        }
    }

    /// The coefficient of each element, NaN where it is not known.
    pub(crate) fn coefficients(&self) -> impl Iterator<Item = f64> {
        let is_known = self.weight >= WEIGHT_MIN && self.variance > 0.0;
        self.elements.iter().map(move |of| {
            let both = (f64::from(of.variance) * self.variance).sqrt();
            if is_known && both > 0.0 { (f64::from(of.covariance) / both).clamp(-1.0, 1.0) } else { f64::NAN }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_with_it_what_goes_against_it_and_what_does_neither() {
        let mut correlation = Correlation::default();
        let stretch = 600_000_000_000;
        for second in (0..3_000_i64).step_by(30) {
            let number = (second as f64 / 200.0).sin();
            let other = (second as f64 / 37.0).sin();
            let elements = [3.6 + number * 0.1, 3.6 - number * 0.2, 3.6 + other * 0.1];
            correlation.take(&elements, number, Timestamp::from_nanos(second * 1_000_000_000), stretch);
            let is_known = correlation.coefficients().all(|coefficient| !coefficient.is_nan());
            assert_eq!(is_known, second >= 240, "{second}");
        }
        let found: Vec<f64> = correlation.coefficients().collect();
        assert!(found[0] > 0.999 && found[1] < -0.999 && found[2].abs() < 0.5, "{found:?}");
        correlation.take(&[1.0, 1.0, 1.0], 1.0, Timestamp::from_nanos(99_000_000_000_000), stretch);
        assert!(correlation.coefficients().all(f64::is_nan));
    }
}
