//! Tests of whole models against the reference and of properties that training rests on.

mod families;
mod files;
mod gradients;
mod packing;
mod parity;
mod plain;
