//! Runs the stages: input files to a committed dataset, and back to check and repair it.
//!
//! ```text
//! lock ─► identify inputs ─► tokenize into the store ─► plan ─► documents table ─► shards ─► manifest
//!            (resume: whatever the store and the journal already have is taken, not made again)
//! ```

mod dataset;
mod deep;
mod inputs;
mod journal;
mod monitor;
mod pack;
mod records;
mod repair;
mod run;
mod stored;
mod tokenize;
mod whatif;
mod whence;

pub use deep::{DeepOptions, verify_deep};
pub use monitor::{Monitor, Stage};
pub use pack::{
    Checked, CheckedSource, Corpora, Options, Outcome, PackedDataset, check, default_store,
    output_directories, pack, tokenize, with_threads,
};
pub use repair::repair;
pub use run::{RUN, Run};
pub use whatif::{Basis, Forecast, ForecastRow, forecast};
pub use whence::{Reread, reread};
