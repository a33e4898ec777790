//! Faults end to end inside one process: scripted engines on real threads, every wait
//! bounded by two seconds.

mod engines;
mod memory;
mod node;
mod requests;
