//! The store from outside: what was acknowledged is there, once, whatever happens in between.

mod backups;
mod damage;
mod decimals;
mod durability;
mod faults;
mod faulty;
mod fleet;
mod formats;
mod merging;
mod once;
mod press;
mod read_only;
mod received;
mod segments;
mod size;
mod vectors;
