//! Reading weights: everything is checked against the configuration before anything is converted.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use half::{bf16, f16};
use rayon::prelude::*;
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::Deserialize;

use super::{INDEX, SINGLE};
use crate::disk::{self, ReadFile};
use crate::error::{Error, Place, Result, shown as shown_path, shown_text};
use crate::guard::guarded;
use crate::ipc::MappedFile;
use crate::model::config::{Config, followed};
use crate::model::names::{self, Expected};

/// An index larger than this is not one.
const MAX_INDEX_BYTES: u64 = 64 << 20;
/// Elements that one task converts.
const CONVERT: usize = 1 << 18;

/// The mapped weight files of a checkpoint.
pub(in crate::model) struct Mapped {
    files: Vec<(PathBuf, MappedFile)>,
}

/// The tensors of the files by name: number of the file, and what is there.
type Views<'a> = HashMap<String, (usize, TensorView<'a>)>;

/// What a checkpoint's weight files hold, checked against its configuration.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StoredWeights {
    /// File names in the checkpoint's directory.
    pub files: Vec<String>,
    /// Their sizes together.
    pub n_bytes: u64,
    /// `F32`, `BF16` or `F16`, in the order of their names.
    pub dtypes: Vec<String>,
    /// BLAKE3 over names, dtypes, shapes and values in the model's order, hexadecimal: the same however the weights are
    /// cut into files.
    pub digest: String,
}

impl Mapped {
    pub(in crate::model) fn open(directory: &Path) -> Result<Self> {
        let files = files(directory)?.into_iter().map(|path| {
            let file = ReadFile::open(&followed(&path)?)?;
            Ok((path, MappedFile::sequential(&file)?))
        });
        Ok(Self {
            files: files.collect::<Result<_>>()?,
        })
    }

    fn views(&self) -> Result<Views<'_>> {
        let mut views = Views::new();
        for (index, (path, map)) in self.files.iter().enumerate() {
            let parsed = guarded(|| SafeTensors::deserialize(map.as_ref()).map_err(|e| e.to_string()));
            let parsed = parsed
                .map_err(|e| damaged(path, format!("no whole safetensors file: {}", shown_text(&e))))?;
            for (name, view) in parsed.tensors() {
                let shown = shown_text(&name);
                if let Some((first, _)) = views.insert(name, (index, view)) {
                    let other = shown_path(&self.files[first].0);
                    return Err(damaged(path, format!("tensor `{shown}` is also in `{other}`")));
                }
            }
        }
        Ok(views)
    }

    /// The parameters of `config` in their order, as tensors of `dtype` on `device`.
    pub(in crate::model) fn tensors(
        &self,
        directory: &Path,
        config: &Config,
        device: &Device,
        dtype: DType,
    ) -> Result<Vec<Tensor>> {
        let (wanted, views) = (names::parameters(config), self.views()?);
        check(directory, config, &wanted, &views, &self.files)?;
        let views = wanted.iter().map(|expected| &views[&expected.name].1);
        views.map(|view| to_tensor(view, device, dtype)).collect()
    }

    /// What the files hold; reads all of them for the digest.
    pub(in crate::model) fn survey(&self, directory: &Path, config: &Config) -> Result<StoredWeights> {
        let (wanted, views) = (names::parameters(config), self.views()?);
        check(directory, config, &wanted, &views, &self.files)?;
        let mut hasher = blake3::Hasher::new();
        let mut dtypes = BTreeSet::new();
        for expected in &wanted {
            let view = &views[&expected.name].1;
            let about = format!("{} {:?} {:?}\n", expected.name, view.dtype(), expected.shape);
            hasher.update(about.as_bytes()).update_rayon(view.data());
            dtypes.insert(format!("{:?}", view.dtype()));
        }
        let name = |path: &PathBuf| {
            path.file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned()
        };
        Ok(StoredWeights {
            files: self.files.iter().map(|(path, _)| name(path)).collect(),
            n_bytes: self.files.iter().map(|(_, map)| map.as_ref().len() as u64).sum(),
            dtypes: dtypes.into_iter().collect(),
            digest: hasher.finalize().to_hex().to_string(),
        })
    }
}

/// The weight files of a checkpoint: the single one, else those that the index names.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let single = directory.join(SINGLE);
    if single.exists() {
        return Ok(vec![single]);
    }
    let path = directory.join(INDEX);
    if !path.exists() {
        return Err(Error::input(
            Place::file(directory),
            format!(
                "holds neither `{SINGLE}` nor `{INDEX}`\nhint: name the directory of a checkpoint in the safetensors format"
            ),
        ));
    }
    let bytes = disk::read_small(&followed(&path)?, MAX_INDEX_BYTES)?;
    let index: Index =
        serde_json::from_slice(&bytes).map_err(|e| damaged(&path, format!("no weight index: {e}")))?;
    let mut shards: BTreeMap<&str, &str> = BTreeMap::new();
    for (tensor, file) in &index.weight_map {
        shards.insert(file, tensor);
    }
    shards
        .into_iter()
        .map(|(file, tensor)| {
            let plain = Path::new(file).components().count() == 1
                && !file.contains(['/', '\\'])
                && file.ends_with(".safetensors");
            if !plain {
                return Err(damaged(
                    &path,
                    format!(
                        "tensor `{}` is said to be in `{}`, which is not the name of a safetensors file in the same directory",
                        shown_text(tensor),
                        shown_text(file)
                    ),
                ));
            }
            Ok(directory.join(file))
        })
        .collect()
}

/// The part of an index that is used.
#[derive(Deserialize)]
struct Index {
    weight_map: BTreeMap<String, String>,
}

/// Names, shapes and dtypes are exactly those that the configuration asks for.
fn check(
    directory: &Path,
    config: &Config,
    wanted: &[Expected],
    views: &Views<'_>,
    maps: &[(PathBuf, MappedFile)],
) -> Result<()> {
    let missing: Vec<&Expected> = wanted.iter().filter(|p| !views.contains_key(&p.name)).collect();
    if let Some(first) = missing.first() {
        return Err(damaged(
            directory,
            format!(
                "tensor `{}` of shape {:?} is missing{}",
                first.name,
                first.shape,
                and_more(missing.len())
            ),
        ));
    }
    for expected in wanted {
        let (file, view) = &views[&expected.name];
        let path = &maps[*file].0;
        if view.shape() != expected.shape {
            return Err(damaged(
                path,
                format!(
                    "tensor `{}` has shape {:?}, `config.json` asks for {:?}",
                    expected.name,
                    view.shape(),
                    expected.shape
                ),
            ));
        }
        if !matches!(view.dtype(), Dtype::F32 | Dtype::F16 | Dtype::BF16) {
            return Err(damaged(
                path,
                format!(
                    "tensor `{}` is stored as {:?}, only F32, F16 and BF16 can be read",
                    expected.name,
                    view.dtype()
                ),
            ));
        }
    }
    let known: HashSet<&str> = wanted.iter().map(|p| p.name.as_str()).collect();
    let mut extra: Vec<&String> = views
        .keys()
        .filter(|name| !known.contains(name.as_str()) && !names::is_redundant(config, name))
        .collect();
    extra.sort_unstable();
    if let Some(first) = extra.first() {
        return Err(damaged(
            &maps[views[*first].0].0,
            format!(
                "tensor `{}` has no place in a {} model{}",
                shown_text(first),
                config.family.name(),
                and_more(extra.len())
            ),
        ));
    }
    Ok(())
}

fn and_more(n: usize) -> String {
    match n {
        0 | 1 => String::new(),
        n => format!(" (and {} more)", n - 1),
    }
}

fn damaged(path: &Path, message: String) -> Error {
    Error::damaged("checkpoint", path, message)
}

/// Little-endian bytes of a checked dtype as a tensor.
fn to_tensor(view: &TensorView<'_>, device: &Device, dtype: DType) -> Result<Tensor> {
    let (bytes, shape) = (view.data(), view.shape());
    let decode: fn(&[u8]) -> f32 = match view.dtype() {
        Dtype::F32 => |b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]),
        Dtype::F16 => |b| f16::from_le_bytes([b[0], b[1]]).to_f32(),
        _ => |b| bf16::from_le_bytes([b[0], b[1]]).to_f32(),
    };
    let width = if view.dtype() == Dtype::F32 { 4 } else { 2 };
    Ok(match dtype {
        DType::BF16 => Tensor::from_vec(
            converted(bytes, width, |b| bf16::from_f32(decode(b))),
            shape,
            device,
        )?,
        _ => Tensor::from_vec(converted(bytes, width, decode), shape, device)?.to_dtype(dtype)?,
    })
}

fn converted<T: Copy + Default + Send>(
    bytes: &[u8],
    width: usize,
    decode: impl Fn(&[u8]) -> T + Sync,
) -> Vec<T> {
    let mut out = vec![T::default(); bytes.len() / width];
    out.par_chunks_mut(CONVERT)
        .zip(bytes.par_chunks(CONVERT * width))
        .for_each(|(out, bytes)| {
            for (value, bytes) in out.iter_mut().zip(bytes.chunks_exact(width)) {
                *value = decode(bytes);
            }
        });
    out
}
