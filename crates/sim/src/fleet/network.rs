//! What a poor network does to frames. Knows no socket: it only says what is to happen.

use super::noise::Noise;

/// How poor a network is: the probability of each mishap for each frame of a vehicle.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NetworkOptions {
    /// The connection breaks before the frame.
    pub drop: f64,
    /// The connection breaks in the middle of the frame.
    pub cut: f64,
    /// The frame arrives in pieces.
    pub pieces: f64,
    /// The frame arrives together with those after it.
    pub glue: f64,
    /// After a reconnection, of each connection: what was not acknowledged comes in no order.
    pub shuffle: f64,
}

impl NetworkOptions {
    /// A network that is as poor as `share`, 0 to 1, says: at 1 every tenth frame breaks the connection.
    pub fn poor(share: f64) -> Self {
        Self { drop: 0.05 * share, cut: 0.05 * share, pieces: 0.3 * share, glue: 0.3 * share, shuffle: 0.5 * share }
    }
}

/// What is to happen to a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Whole,
    /// It goes together with the next ones.
    Glued,
    /// It goes in so many pieces.
    Pieces(usize),
    /// So many bytes go, and the connection breaks.
    Broken(usize),
}

/// The network of one vehicle.
#[derive(Debug)]
pub(super) struct Network {
    options: NetworkOptions,
    noise: Noise,
}

impl Network {
    pub(super) fn new(options: NetworkOptions, seed: u64) -> Self {
        Self { options, noise: Noise::new(seed) }
    }

    /// The fate of a frame of so many bytes.
    pub(super) fn fate(&mut self, bytes: usize) -> Fate {
        if self.noise.happens(self.options.drop) {
            return Fate::Broken(0);
        }
        if self.noise.happens(self.options.cut) {
            return Fate::Broken(1 + self.noise.below(bytes - 1));
        }
        if self.noise.happens(self.options.pieces) {
            return Fate::Pieces(2 + self.noise.below(3));
        }
        if self.noise.happens(self.options.glue) { Fate::Glued } else { Fate::Whole }
    }

    /// Puts `items` into no order, if that is what happens to them.
    pub(super) fn shuffle<T>(&mut self, items: &mut std::collections::VecDeque<T>) {
        if self.noise.happens(self.options.shuffle) {
            for place in (1..items.len()).rev() {
                items.swap(place, self.noise.below(place + 1));
            }
        }
    }

    /// A wait that differs from vehicle to vehicle: half of `wait` to all of it.
    pub(super) fn spread(&mut self, wait: std::time::Duration) -> std::time::Duration {
        wait.mul_f64(self.noise.between(0.5, 1.0))
    }
}
