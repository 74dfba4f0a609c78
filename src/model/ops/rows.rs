//! Rows of a matrix by number: the embedding and its gradient.

use candle_core::Tensor;
use rayon::prelude::*;

use crate::error::Result;
use crate::model::floats::{floats, is_cpu_f32, update_floats};
use crate::model::unfit;

/// Rows that one task copies or sums up.
const ROWS: usize = 128;

/// Rows `numbers` of `table: [rows, d]`: `[numbers.len(), d]`. Every number is below `rows`.
pub(in crate::model) fn gather_rows(table: &Tensor, numbers: &[u32]) -> Result<Tensor> {
    let (n_rows, d) = table.dims2()?;
    if let Some(number) = numbers.iter().find(|n| **n as usize >= n_rows) {
        return Err(unfit(format!("row {number} of a table with {n_rows} rows")));
    }
    if !is_cpu_f32(table) {
        let numbers = Tensor::new(numbers, table.device())?;
        return Ok(table.index_select(&numbers, 0)?);
    }
    let values = floats(table)?;
    let mut out = vec![0f32; numbers.len() * d];
    out.par_chunks_mut(ROWS * d)
        .zip(numbers.par_chunks(ROWS))
        .for_each(|(out, numbers)| {
            for (out, &number) in out.chunks_exact_mut(d).zip(numbers) {
                out.copy_from_slice(&values[number as usize * d..][..d]);
            }
        });
    Ok(Tensor::from_vec(out, (numbers.len(), d), table.device())?)
}

/// Places of `numbers`, ordered by number and within a number by place.
fn sorted_places(numbers: &[u32]) -> Vec<u32> {
    let mut places: Vec<u32> = (0..numbers.len() as u32).collect();
    places.sort_by_key(|&place| numbers[place as usize]);
    places
}

/// Adds row i of `rows: [numbers.len(), d]` to row `numbers[i]` of `sums: [rows, d]` (f32 on the CPU), in place. A row is
/// summed in the order of i, whatever the number of threads.
pub(in crate::model) fn scatter_add_rows(sums: &Tensor, numbers: &[u32], rows: &Tensor) -> Result<()> {
    let d = rows.dims2()?.1;
    let rows = floats(rows)?;
    let places = sorted_places(numbers);
    update_floats(sums, |sums| {
        sums.par_chunks_mut(ROWS * d)
            .enumerate()
            .for_each(|(block, sums)| {
                let first = block * ROWS;
                let below =
                    |bound: usize| places.partition_point(|&p| (numbers[p as usize] as usize) < bound);
                for &place in &places[below(first)..below(first + ROWS)] {
                    let number = numbers[place as usize] as usize;
                    let sum = &mut sums[(number - first) * d..][..d];
                    let row = &rows[place as usize * d..][..d];
                    sum.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
                }
            });
    })?;
    Ok(())
}
