//! Linear maps: weight, optional bias, optional low-rank adapter.

/// A low-rank adapter on the linear maps of every block.
#[derive(Debug, Clone, PartialEq)]
pub struct LoraOptions {
    /// Rank of the two factors.
    pub rank: usize,
    /// The product is scaled by `alpha / rank`.
    pub alpha: f64,
    /// Which maps: any of `q`, `k`, `v`, `o`, `gate`, `up`, `down`.
    pub targets: Vec<String>,
}
