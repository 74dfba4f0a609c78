//! Writing weights in the published layout.

use std::io::Write;
use std::ops::Range;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use half::bf16;
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::{INDEX, SINGLE};
use crate::disk::{self, AtomicFile};
use crate::error::{Error, Result};
use crate::model::config::CONFIG_FILE;
use crate::model::names::Expected;

/// Bytes of one shard, as published checkpoints have them.
const SHARD_BYTES: u64 = 5_000_000_000;

/// Writes weights, then `config.json`; each file appears whole or not at all. `value(i)` is asked for parameter i when its turn
/// comes, so that no more than one tensor need be in memory.
///
/// # Errors
/// `value` fails, or the operating system refuses; unfinished files are removed, and a checkpoint that was there before
/// loads as before unless one of its shards was already replaced.
pub(in crate::model) fn save(
    directory: &Path,
    config_text: &str,
    parameters: &[Expected],
    value: &dyn Fn(usize) -> Result<Tensor>,
    dtype: DType,
) -> Result<()> {
    disk::create_directory(directory)?;
    let written = write_weights(directory, parameters, value, dtype, SHARD_BYTES)
        .and_then(|()| disk::write_atomic(&directory.join(CONFIG_FILE), config_text.as_bytes()));
    if written.is_err() {
        disk::remove_temporaries(directory).ok();
    }
    written
}

/// One file, or shards of at most `shard_bytes` with an index. A tensor is never cut.
pub(in crate::model) fn write_weights(
    directory: &Path,
    parameters: &[Expected],
    value: &dyn Fn(usize) -> Result<Tensor>,
    dtype: DType,
    shard_bytes: u64,
) -> Result<()> {
    let size = |index: usize| (parameters[index].n_elements() * dtype.size_in_bytes()) as u64;
    let mut shards: Vec<Range<usize>> = Vec::new();
    let (mut start, mut filled) = (0, 0);
    for index in 0..parameters.len() {
        if filled > 0 && filled + size(index) > shard_bytes {
            shards.push(start..index);
            (start, filled) = (index, 0);
        }
        filled += size(index);
    }
    shards.push(start..parameters.len());
    let (single, index) = (directory.join(SINGLE), directory.join(INDEX));
    if let [only] = shards.as_slice() {
        write_file(&single, parameters, only, value, dtype)?;
        return disk::remove_if_there(&index);
    }
    let mut weight_map = Map::new();
    for (number, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len());
        write_file(&directory.join(&name), parameters, shard, value, dtype)?;
        let names = parameters[shard.clone()].iter().map(|p| p.name.clone());
        weight_map.extend(names.map(|parameter| (parameter, Value::from(name.as_str()))));
    }
    let total: u64 = (0..parameters.len()).map(size).sum();
    let text = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
    disk::write_atomic(&index, format!("{text:#}\n").as_bytes())?;
    disk::remove_if_there(&single)
}

/// A safetensors file: length of the header, header, tensors.
fn write_file(
    path: &Path,
    parameters: &[Expected],
    shard: &Range<usize>,
    value: &dyn Fn(usize) -> Result<Tensor>,
    dtype: DType,
) -> Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut end = 0;
    for parameter in &parameters[shard.clone()] {
        let start = end;
        end += parameter.n_elements() * dtype.size_in_bytes();
        let kind = if dtype == DType::BF16 { "BF16" } else { "F32" };
        let entry = json!({ "dtype": kind, "shape": parameter.shape, "data_offsets": [start, end] });
        header.insert(parameter.name.clone(), entry);
    }
    let mut text = Value::Object(header).to_string();
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    let mut file = AtomicFile::create(path)?;
    let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(Error::io("write", path));
    write(&(text.len() as u64).to_le_bytes())?;
    write(text.as_bytes())?;
    for index in shard.clone() {
        let values = value(index)?.to_device(&Device::Cpu)?.flatten_all()?;
        let bytes: Vec<u8> = if dtype == DType::BF16 {
            let values: Vec<bf16> = values.to_dtype(DType::BF16)?.to_vec1()?;
            values.par_iter().flat_map_iter(|v| v.to_le_bytes()).collect()
        } else {
            let values: Vec<f32> = values.to_dtype(DType::F32)?.to_vec1()?;
            values.par_iter().flat_map_iter(|v| v.to_le_bytes()).collect()
        };
        write(&bytes)?;
    }
    file.commit()
}
