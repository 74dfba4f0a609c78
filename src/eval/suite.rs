//! Whose version of a benchmark.

use serde::{Deserialize, Serialize};

/// Which published program the prompts are taken from. Prompts differ, and so do scores: results name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Suite {
    /// The benchmark's own repository.
    Official,
    /// The port in OpenCompass, which LongLLaDA and UltraLLaDA report.
    Port,
}
