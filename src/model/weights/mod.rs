//! Weight files in the safetensors format: one `model.safetensors`, or shards with an index.

mod load;
mod save;

pub(super) use load::load;
pub(super) use save::save;

/// File name of unsharded weights.
const SINGLE: &str = "model.safetensors";
/// File name of the list of shards.
const INDEX: &str = "model.safetensors.index.json";
