//! Training: packed shards in, checkpoints out.
//!
//! ```text
//! dataset ─► batch (rows of the step, masks) ─► pass (forward, back) ─► optimizer ─► checkpoint
//!                                                        ▲                  │
//!                                                        └───── model ◄─────┘
//! ```
//!
//! A run is a function of its recipe, its dataset and the model that it starts from. Which rows a step
//! uses and what is masked in them follow from the step's number, so a run that was killed goes on
//! from its last checkpoint as if nothing had happened: on the CPU to the same bits.

mod adapters;
mod agreement;
mod batch;
mod checkpoint;
mod forecast;
mod identity;
mod machine;
mod metrics;
mod monitor;
pub mod objective;
mod optimizer;
mod pass;
mod prepared;
pub mod recipe;
mod run;
mod schedule;
mod source;
mod trainer;

pub use self::batch::{Address, Batch, Sample};
pub use self::checkpoint::{Checkpoint, Content, NamedTensor, SavedFile, TrainerState};
pub use self::forecast::{Flops, Forecast, Part};
pub use self::machine::{available_bytes, resident_bytes};
pub use self::metrics::{EvalFigures, METRICS, StepFigures};
pub use self::monitor::{Monitor, Phase, Status};
pub use self::optimizer::Optimizer;
pub use self::pass::{Loss, forward, forward_backward};
pub use self::prepared::Prepared;
pub use self::run::{Options, Outcome, train};
pub use self::schedule::learning_rate;
pub use self::source::Source;

#[cfg(test)]
mod tests;
