//! What is simulated, as those see it who listen.

mod fleet;
mod plant;
mod platform;
mod shdr;
