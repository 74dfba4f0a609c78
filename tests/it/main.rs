//! The tests of the whole: the built binary and the library together, on real files.

mod benchmarks;
mod browser;
mod cli;
mod crash;
mod damage;
mod evaluation;
mod hostile;
mod inspect;
mod learning;
mod model;
mod packing;
mod properties;
mod reading;
mod rooms;
mod schemas;
mod scratch;
mod tokens;
mod train;
mod train_crash;
