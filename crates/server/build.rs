//! Tells cargo that this crate holds the built console, so that a new one is taken in.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../console/dist");
}
