//! What a cell's voltage at rest says of its charge. Made-up curves of the two usual kinds; knows no pack.

/// What a cell is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Chemistry {
    /// Nickel, manganese, cobalt: a slope all the way.
    Nmc,
    /// Lithium iron phosphate: flat in the middle, steep at both ends.
    Lfp,
}

const STEPS: usize = 20;
/// Volts at every twentieth of the charge, from empty to full.
const NMC: [f64; STEPS + 1] = [
    3.00, 3.38, 3.48, 3.54, 3.58, 3.61, 3.635, 3.655, 3.675, 3.70, 3.73, 3.77, 3.815, 3.86, 3.905, 3.95, 3.995, 4.04,
    4.085, 4.13, 4.18,
];
const LFP: [f64; STEPS + 1] = [
    2.60, 3.05, 3.18, 3.21, 3.235, 3.255, 3.27, 3.28, 3.285, 3.29, 3.294, 3.299, 3.307, 3.318, 3.326, 3.329, 3.331,
    3.333, 3.336, 3.342, 3.40,
];
/// Volts per full charge beyond the ends: what is more than empty falls fast.
const SLOPE_BELOW: f64 = 10.0;
const SLOPE_ABOVE: f64 = 4.0;

impl Chemistry {
    /// Volts at rest of a cell that is charged to the share `charge`, which may lie beyond empty and full.
    #[inline]
    pub(super) fn rest_volts(self, charge: f64) -> f64 {
        let curve = match self {
            Self::Nmc => &NMC,
            Self::Lfp => &LFP,
        };
        if charge <= 0.0 {
            return (curve[0] + SLOPE_BELOW * charge).max(0.0);
        }
        if charge >= 1.0 {
            return (curve[STEPS] + SLOPE_ABOVE * (charge - 1.0)).min(4.9);
        }
        let place = charge * STEPS as f64;
        let step = (place as usize).min(STEPS - 1);
        curve[step] + (curve[step + 1] - curve[step]) * (place - step as f64)
    }

    /// The voltage that charging stops at.
    pub(super) fn full_volts(self) -> f64 {
        match self {
            Self::Nmc => 4.20,
            Self::Lfp => 3.60,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fuller_cell_has_the_higher_voltage() {
        for chemistry in [Chemistry::Nmc, Chemistry::Lfp] {
            let volts: Vec<f64> = (-40..=1_040).map(|step| chemistry.rest_volts(f64::from(step) / 1_000.0)).collect();
            assert!(volts.is_sorted_by(|low, high| low < high), "{chemistry:?}");
            assert!(volts[1_040] < chemistry.full_volts() + 0.2);
        }
    }
}
