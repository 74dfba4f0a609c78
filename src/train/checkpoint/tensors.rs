//! Named tensors in one file, in the safetensors format.
//!
//! ```text
//! length of the header u64 | header: JSON, name to {dtype, shape, data_offsets} | numbers
//! ```

use std::borrow::Cow;
use std::io::Write as _;
use std::path::Path;

use candle_core::DType;
use safetensors::SafeTensors;
use serde_json::{Map, json};

use crate::disk::{AtomicFile, ReadFile};
use crate::error::{Error, Result, shown_text};
use crate::ipc::MappedFile;

/// A tensor to write.
#[derive(Debug)]
pub struct NamedTensor<'a> {
    /// Its name.
    pub name: String,
    /// `F32` or `BF16`.
    pub dtype: DType,
    /// Its shape.
    pub shape: &'a [usize],
    /// Little-endian numbers.
    pub bytes: Cow<'a, [u8]>,
}

/// Writes tensors in their order.
///
/// # Errors
/// The operating system refuses.
pub fn write<'a>(path: &Path, tensors: impl Iterator<Item = NamedTensor<'a>>) -> Result<()> {
    let tensors: Vec<NamedTensor<'_>> = tensors.collect();
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut at = 0;
    for tensor in &tensors {
        let end = at + tensor.bytes.len();
        let dtype = if tensor.dtype == DType::BF16 {
            "BF16"
        } else {
            "F32"
        };
        header.insert(
            tensor.name.clone(),
            json!({ "dtype": dtype, "shape": tensor.shape, "data_offsets": [at, end] }),
        );
        at = end;
    }
    let mut header = serde_json::to_vec(&header).expect("plain data");
    // Numbers start at a multiple of 8, so that a map of the file can be used as it is.
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut file = AtomicFile::create(path)?;
    let mut put = |bytes: &[u8]| file.write_all(bytes).map_err(Error::io("write", path));
    put(&(header.len() as u64).to_le_bytes())?;
    put(&header)?;
    tensors.iter().try_for_each(|tensor| put(&tensor.bytes))?;
    file.commit()
}

/// A file of tensors, mapped.
#[derive(Debug)]
pub struct TensorFile {
    map: MappedFile,
}

impl TensorFile {
    /// Maps a file.
    ///
    /// # Errors
    /// The operating system refuses.
    pub fn open(path: &Path) -> Result<Self> {
        Ok(Self {
            map: MappedFile::new(&ReadFile::open(path)?)?,
        })
    }

    /// The tensors.
    ///
    /// # Errors
    /// The header is not one, or describes other bytes than the file has.
    pub fn tensors(&self, path: &Path) -> Result<Tensors<'_>> {
        let tensors = SafeTensors::deserialize(self.map.as_ref());
        let damaged = |error: safetensors::SafeTensorError| {
            Error::damaged("tensor file", path, shown_text(&error.to_string()))
        };
        tensors.map(Tensors).map_err(damaged)
    }
}

/// The tensors of a file.
#[derive(Debug)]
pub struct Tensors<'a>(SafeTensors<'a>);

impl<'a> Tensors<'a> {
    /// Dtype and little-endian numbers of a tensor, if it is there as 32-bit floats or bfloat16.
    pub fn get(&self, name: &str) -> Option<(DType, &'a [u8])> {
        let view = self.0.tensor(name).ok()?;
        let dtype = match view.dtype() {
            safetensors::Dtype::F32 => DType::F32,
            safetensors::Dtype::BF16 => DType::BF16,
            _ => return None,
        };
        Some((dtype, view.data()))
    }
}
