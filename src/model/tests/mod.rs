//! Tests of whole models against the reference and of properties that training rests on.

mod parity;
