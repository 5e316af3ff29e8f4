//! The store from outside: what was acknowledged is there, once, whatever happens in between.

mod durability;
mod once;
mod press;
mod segments;
