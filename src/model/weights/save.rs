//! Writing weights in the published layout.

use std::io::Write;
use std::path::Path;

use candle_core::{DType, Device};
use half::bf16;
use rayon::prelude::*;
use serde_json::{Map, Value, json};

use super::{INDEX, SINGLE};
use crate::disk::{self, AtomicFile};
use crate::error::{Error, Result};
use crate::model::Param;
use crate::model::config::{CONFIG_FILE, Config, StoredScaling};

/// Bytes of one shard, as published checkpoints have them.
const SHARD_BYTES: u64 = 5_000_000_000;

/// Writes weights, then `config.json`; each file appears whole or not at all.
///
/// # Errors
/// The operating system refuses; unfinished files are removed, and a checkpoint that was there before loads as before
/// unless one of its shards was already replaced.
pub(in crate::model) fn save(
    directory: &Path,
    config: &Config,
    theta: f64,
    scaling: Option<&StoredScaling>,
    params: &[Param],
    dtype: DType,
) -> Result<()> {
    disk::create_directory(directory)?;
    let text = config.rewritten(theta, scaling, dtype_name(dtype));
    let written = write_weights(directory, params, dtype, SHARD_BYTES)
        .and_then(|()| disk::write_atomic(&directory.join(CONFIG_FILE), text.as_bytes()));
    if written.is_err() {
        disk::remove_temporaries(directory).ok();
    }
    written
}

/// The name in `config.json`.
fn dtype_name(dtype: DType) -> &'static str {
    match dtype {
        DType::BF16 => "bfloat16",
        _ => "float32",
    }
}

/// One file, or shards of at most `shard_bytes` with an index. A tensor is never cut.
fn write_weights(directory: &Path, params: &[Param], dtype: DType, shard_bytes: u64) -> Result<()> {
    let size = |param: &Param| (param.tensor.elem_count() * dtype.size_in_bytes()) as u64;
    let mut shards: Vec<Vec<&Param>> = vec![Vec::new()];
    let mut filled = 0;
    for param in params {
        if filled > 0 && filled + size(param) > shard_bytes {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += size(param);
        shards.last_mut().expect("there is always one").push(param);
    }
    let (single, index) = (directory.join(SINGLE), directory.join(INDEX));
    if let [only] = shards.as_slice() {
        write_file(&single, only, dtype)?;
        return disk::remove_if_there(&index);
    }
    let mut weight_map = Map::new();
    for (number, shard) in shards.iter().enumerate() {
        let name = format!("model-{:05}-of-{:05}.safetensors", number + 1, shards.len());
        write_file(&directory.join(&name), shard, dtype)?;
        weight_map.extend(
            shard
                .iter()
                .map(|param| (param.name.clone(), Value::from(name.as_str()))),
        );
    }
    let total: u64 = params.iter().map(size).sum();
    let text = json!({ "metadata": { "total_size": total }, "weight_map": weight_map });
    disk::write_atomic(&index, format!("{text:#}\n").as_bytes())?;
    disk::remove_if_there(&single)
}

/// A safetensors file: length of the header, header, tensors. One tensor at a time is in memory as bytes.
fn write_file(path: &Path, params: &[&Param], dtype: DType) -> Result<()> {
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut end = 0;
    for param in params {
        let start = end;
        end += param.tensor.elem_count() * dtype.size_in_bytes();
        let kind = if dtype == DType::BF16 { "BF16" } else { "F32" };
        let entry = json!({ "dtype": kind, "shape": param.tensor.dims(), "data_offsets": [start, end] });
        header.insert(param.name.clone(), entry);
    }
    let mut text = Value::Object(header).to_string();
    text.push_str(&" ".repeat(text.len().next_multiple_of(8) - text.len()));
    let mut file = AtomicFile::create(path)?;
    let mut write = |bytes: &[u8]| file.write_all(bytes).map_err(Error::io("write", path));
    write(&(text.len() as u64).to_le_bytes())?;
    write(text.as_bytes())?;
    for param in params {
        let values = param.tensor.to_device(&Device::Cpu)?.flatten_all()?;
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
