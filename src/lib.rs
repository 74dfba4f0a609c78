//! Long-context training data you can prove, for diffusion language models.
//!
//! ```text
//! recipe ─► documents ─► tokens ─► plan ─► shards ─► dataset
//! ```
//!
//! Two pure functions carry the design: a plan is a function of document lengths, recipe and seed;
//! shards are a function of the plan and the token store. From these follow identical bytes for any
//! thread count and after any kill, repair of a single shard, and packing again without tokenizing.
//!
//! The rooms, from the bottom: [`error`], [`numbers`], [`guard`], [`disk`] and [`ipc`] are the ground; [`sequence`]
//! is the vocabulary; [`recipe`], [`source`], [`tokenize`], [`store`], [`pack`], [`shard`],
//! [`dataset`], [`build`] and [`inspect`] follow the data; [`model`] is what [`train`] teaches with it. Each may use only those
//! before it.

pub mod build;
pub mod cli;
pub mod dataset;
pub mod disk;
pub mod error;
pub mod eval;
pub mod guard;
pub mod inspect;
pub mod ipc;
pub mod model;
pub mod numbers;
pub mod pack;
pub mod recipe;
pub mod sequence;
pub mod shard;
pub mod source;
pub mod store;
pub mod tokenize;
pub mod train;

/// The Rust examples of the README compile.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
