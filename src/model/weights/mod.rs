//! Weight files in the safetensors format: one `model.safetensors`, or shards with an index.

mod load;
mod save;

pub(super) use load::Mapped;
pub use load::StoredWeights;
pub(super) use save::save;
#[cfg(test)]
pub(super) use save::write_weights;

/// File name of unsharded weights.
pub(super) const SINGLE: &str = "model.safetensors";
/// File name of the list of shards.
pub(super) const INDEX: &str = "model.safetensors.index.json";
