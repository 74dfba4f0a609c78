//! Does a model hold at length? Benchmarks: prompts out, predictions in, tables of means.
//!
//! ```text
//! Benchmark ─► Case ─► Item { prompt, gold } ─► a model's prediction ─► Gold::score ─► Outcome
//!     ▲                                                                                  │
//!     └──────────────────────────── tables ◄─────────────────────────────────────────────┘
//! ```
//!
//! A benchmark is a list of cases that can be asked for one by one: a case is known before its prompt is
//! made, so that a finished one costs nothing when a run resumes, and a prompt of 128K tokens exists only
//! while a model reads it. Prompts depend on the settings and the seed alone ([`draw`]). A prediction is
//! judged by what its item carries ([`gold`]), so that stored predictions can be scored again.

pub mod draw;
pub mod gold;
pub mod item;
pub mod meter;
mod scorers;
pub mod table;

pub use gold::{Gold, Metric, Score, Unscorable};
pub use item::{Benchmark, Case, EvalText, Item, Outcome, Skip, cut_middle};
pub use meter::Meter;
pub use table::{Cell, Row, Table};
