//! A dataset for reading: many shards as one list of rows, in a reproducible order.
//!
//! Rows are borrowed from memory-mapped shards: reading one copies and allocates nothing. The order
//! of an epoch is a keyed permutation that is computed per row, so that any position can be sought
//! in constant time, a run resumes from two numbers, and every number of ranks sees the same global
//! sequence of rows.
//!
//! ```no_run
//! # fn main() -> ultrapack::error::Result<()> {
//! use ultrapack::dataset::{Dataset, Order};
//! let dataset = Dataset::open("out/demo".as_ref())?;
//! let order = Order::new(&dataset, 17, 0);
//! for position in order.positions(0, 8, 0) {
//!     let row = dataset.row(order.row(position))?;
//!     let (tokens, cu_seqlens): (&[u32], &[i32]) = (row.tokens, row.cu_seqlens);
//! #   let _ = (tokens, cu_seqlens);
//! }
//! # Ok(()) }
//! ```

use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use arrow::buffer::Buffer;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::ipc::Geometry;
use crate::pack::{Permutation, seed};
use crate::sequence::{Attention, PositionMode, Sequence};
use crate::shard::{Manifest, RowSlices, Rows, ShardFile, ShardInfo};

/// An open dataset.
#[derive(Debug)]
pub struct Dataset {
    manifest: Manifest,
    shards: Vec<MappedShard>,
}

#[derive(Debug)]
struct MappedShard {
    path: PathBuf,
    info: ShardInfo,
    map: Buffer,
    geometry: Geometry,
    /// Decoded at first touch: pointers into the map, not copies.
    batches: Vec<OnceLock<Rows>>,
}

impl Dataset {
    /// Opens the dataset in `directory`: checks the manifest, and length, header and footer of every
    /// shard. Token bytes are not read; `verify` does that.
    ///
    /// # Errors
    /// There is no dataset, or a file is not the one that the manifest describes.
    pub fn open(directory: &Path) -> Result<Self> {
        let manifest = Manifest::read(directory)?;
        let shards = (0..manifest.shards.len())
            .map(|index| {
                let shard = ShardFile::of_dataset(directory, &manifest, index)?;
                let (info, map, geometry, path) = shard.map()?;
                let batches = std::iter::repeat_with(OnceLock::new)
                    .take(geometry.n_batches())
                    .collect();
                Ok(MappedShard {
                    path,
                    info,
                    map,
                    geometry,
                    batches,
                })
            })
            .collect::<Result<_>>()?;
        Ok(Self { manifest, shards })
    }

    /// What the dataset is.
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Number of rows (sequences).
    pub fn len(&self) -> u64 {
        self.manifest.n_rows()
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Row `row`, borrowed from the map. After the first row of a batch of rows, no allocation.
    ///
    /// # Errors
    /// The batch that holds it is damaged.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn row(&self, row: u64) -> Result<RowSlices<'_>> {
        assert!(row < self.len(), "row {row} of {}", self.len());
        let shard = &self.shards[(row / self.manifest.rows_per_shard) as usize];
        let row = (row % self.manifest.rows_per_shard) as usize;
        let rows_per_batch = self.manifest.rows_per_batch as usize;
        let batch = row / rows_per_batch;
        let rows = match shard.batches[batch].get() {
            Some(rows) => rows,
            None => shard.load(batch)?,
        };
        Ok(rows.row(row % rows_per_batch))
    }

    /// The segments of row `row`, from which segment ids, position ids and the attention rule derive.
    ///
    /// # Errors
    /// The batch that holds it is damaged.
    pub fn sequence(&self, row: u64) -> Result<Sequence> {
        let slices = self.row(row)?;
        Sequence::try_new(
            slices.segments(),
            self.manifest.seq_len,
            self.manifest.align,
            slices.attention(),
        )
    }

    /// The real tokens of row `row`, one after another without padding.
    ///
    /// # Errors
    /// The batch that holds it is damaged.
    pub fn real_tokens(&self, row: u64) -> Result<RealTokens> {
        let slices = self.row(row)?;
        let sequence = self.sequence(row)?;
        let n_tokens = sequence.n_tokens() as usize;
        let mut real = RealTokens {
            ids: Vec::with_capacity(n_tokens),
            positions: Vec::with_capacity(n_tokens),
            segments: sequence.cu_seqlens().into_iter().map(|at| at as u32).collect(),
            cu_seqlens: Vec::new(),
        };
        for (segment, &offset) in sequence.segments().iter().zip(sequence.offsets()) {
            let tokens = &slices.tokens[offset as usize..][..segment.len as usize];
            real.ids.extend_from_slice(tokens);
            let first = match self.position_mode() {
                PositionMode::Sequence => u64::from(offset),
                PositionMode::Segment => 0,
                PositionMode::Document => segment.start,
            };
            let end = u32::try_from(first + u64::from(segment.len)).map_err(|_| {
                let shard = &self.shards[(row / self.manifest.rows_per_shard) as usize].path;
                Error::damaged(
                    "shard",
                    shard,
                    format!("row {row}: position {first} is beyond 32 bits"),
                )
            })?;
            real.positions.extend(first as u32..end);
        }
        real.cu_seqlens = match sequence.attention() {
            Attention::Full => vec![0, n_tokens as u32],
            Attention::Segment => real.segments.clone(),
        };
        Ok(real)
    }

    /// The name of the shard that holds row `row`.
    ///
    /// # Panics
    /// If there is no such row.
    pub fn shard_of(&self, row: u64) -> &str {
        &self.manifest.shards[(row / self.manifest.rows_per_shard) as usize].name
    }

    /// What position ids count in this dataset.
    pub fn position_mode(&self) -> PositionMode {
        self.manifest.position_mode
    }
}

/// One row without its padding: what a model sees. Every slice has one entry per real token, but the
/// boundaries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RealTokens {
    /// `[n]`: vocabulary ids.
    pub ids: Vec<u32>,
    /// `[n]`: positions as the dataset counts them.
    pub positions: Vec<u32>,
    /// `[n_segments + 1]`: where documents meet; first 0, last n.
    pub segments: Vec<u32>,
    /// Boundaries of attention: `segments`, or `[0, n]` where every token attends to every token.
    pub cu_seqlens: Vec<u32>,
}

impl RealTokens {
    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Keeps the first `len` tokens; the segment that is cut ends there.
    pub fn cut(&mut self, len: u32) {
        if len as usize >= self.ids.len() {
            return;
        }
        self.ids.truncate(len as usize);
        self.positions.truncate(len as usize);
        for boundaries in [&mut self.segments, &mut self.cu_seqlens] {
            boundaries.retain(|&at| at < len);
            boundaries.push(len);
        }
    }
}

impl MappedShard {
    /// Decodes a batch and checks its boundary columns.
    fn load(&self, batch: usize) -> Result<&Rows> {
        let damaged = |m: String| Error::damaged("shard", &self.path, format!("batch {batch}: {m}"));
        let decoded = self.geometry.decode_mapped(batch, &self.map).map_err(damaged)?;
        let rows = Rows::try_new(&decoded, &self.info).map_err(damaged)?;
        let full = self.info.rows_per_batch as usize;
        let last = batch + 1 == self.batches.len();
        if rows.is_empty() || rows.len() > full || (!last && rows.len() != full) {
            return Err(damaged(format!("it holds {} rows", rows.len())));
        }
        Ok(self.batches[batch].get_or_init(|| rows))
    }
}

/// The order of one epoch.
///
/// Rows are permuted in units of the manifest's `batch_rows`, so that the batches that `balance`
/// made equal in cost stay together; the incomplete last batch, if any, stays last.
#[derive(Debug, Clone)]
pub struct Order {
    n_rows: u64,
    batch_rows: u64,
    batches: Permutation,
}

/// Where a run is: enough to go on exactly, on any number of ranks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// The epoch.
    pub epoch: u64,
    /// Global position in the epoch: rows already used by all ranks together.
    pub position: u64,
}

impl Order {
    /// The order of `epoch` under `seed`.
    pub fn new(dataset: &Dataset, seed: u64, epoch: u64) -> Self {
        Self::of(dataset.len(), dataset.manifest.batch_rows, seed, epoch)
    }

    /// The order of `n_rows` rows in units of `batch_rows`.
    pub fn of(n_rows: u64, batch_rows: u64, seed: u64, epoch: u64) -> Self {
        let key = seed::derive(seed, "epoch", epoch);
        Self {
            n_rows,
            batch_rows,
            batches: Permutation::new(n_rows / batch_rows, key),
        }
    }

    /// The row at a global position. Constant time.
    ///
    /// # Panics
    /// If `position` is not below the number of rows.
    pub fn row(&self, position: u64) -> u64 {
        assert!(position < self.n_rows, "position {position} of {}", self.n_rows);
        let batch = position / self.batch_rows;
        if batch == self.n_rows / self.batch_rows {
            return position;
        }
        self.batches.get(batch) * self.batch_rows + position % self.batch_rows
    }

    /// Global positions of `rank` out of `world` from `position` on: `position` ≡ `rank` mod `world`.
    pub fn positions(&self, position: u64, world: u64, rank: u64) -> impl Iterator<Item = u64> + use<> {
        let first = position + (rank + world - position % world) % world;
        (first..self.n_rows).step_by(world as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_cut_row_ends_its_last_segment_at_the_cut() {
        let whole = RealTokens {
            ids: (0..9).collect(),
            positions: vec![0, 1, 2, 0, 1, 2, 3, 0, 1],
            segments: vec![0, 3, 7, 9],
            cu_seqlens: vec![0, 9],
        };
        let cut = |len| {
            let mut row = whole.clone();
            row.cut(len);
            row
        };
        assert_eq!(cut(9), whole);
        assert_eq!((cut(7).segments, cut(7).cu_seqlens), (vec![0, 3, 7], vec![0, 7]));
        assert_eq!(
            (cut(4).segments, cut(4).positions),
            (vec![0, 3, 4], vec![0, 1, 2, 0])
        );
        assert_eq!(cut(1).ids, [0]);
    }

    proptest! {
        #[test]
        fn an_epoch_visits_every_row_once_and_any_number_of_ranks_shares_it(
            n_rows in 0u64..300, batch_rows in 1u64..9, seed in any::<u64>(), world in 1u64..9, from in 0u64..300,
        ) {
            let order = Order::of(n_rows, batch_rows, seed, 3);
            let rows: BTreeSet<u64> = (0..n_rows).map(|p| order.row(p)).collect();
            prop_assert_eq!(rows, (0..n_rows).collect::<BTreeSet<_>>());
            let mut shared: Vec<u64> = (0..world).flat_map(|rank| order.positions(from, world, rank)).collect();
            shared.sort_unstable();
            prop_assert_eq!(shared, (from..n_rows.max(from)).collect::<Vec<_>>());
        }

        #[test]
        fn rows_of_a_batch_stay_together(n in 1u64..40, batch_rows in 1u64..9, seed in any::<u64>()) {
            let order = Order::of(n * batch_rows, batch_rows, seed, 0);
            for batch in 0..n {
                let first = order.row(batch * batch_rows);
                prop_assert_eq!(first % batch_rows, 0);
                for i in 0..batch_rows {
                    prop_assert_eq!(order.row(batch * batch_rows + i), first + i);
                }
            }
        }
    }
}
