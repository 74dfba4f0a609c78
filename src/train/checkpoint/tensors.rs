//! Named tensors in one file, in the safetensors format.
//!
//! ```text
//! length of the header u64 | header: JSON, name to {dtype, shape, data_offsets} | numbers
//! ```

use std::borrow::Cow;
use std::io::Write as _;
use std::path::Path;

use candle_core::{DType, Tensor};
use half::bf16;
use half::slice::HalfFloatSliceExt;
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
    /// Its numbers, as many as the shape says.
    pub content: Content<'a>,
}

/// Numbers to write, where they are.
#[derive(Debug, Clone, Copy)]
pub enum Content<'a> {
    /// In host memory, little-endian.
    Bytes(&'a [u8]),
    /// A tensor on any device, of the dtype that is written.
    Tensor(&'a Tensor),
}

impl NamedTensor<'_> {
    /// The numbers, little-endian; those of a device are copied from it.
    ///
    /// # Errors
    /// The device fails.
    pub fn bytes(&self) -> Result<Cow<'_, [u8]>> {
        Ok(match self.content {
            Content::Bytes(bytes) => Cow::Borrowed(bytes),
            Content::Tensor(tensor) if self.dtype == DType::BF16 => {
                let numbers = tensor.flatten_all()?.to_vec1::<bf16>()?;
                Cow::Owned(bytemuck::cast_slice(numbers.reinterpret_cast()).to_vec())
            }
            Content::Tensor(tensor) => {
                let numbers = tensor.flatten_all()?.to_vec1::<f32>()?;
                Cow::Owned(bytemuck::cast_slice(&numbers).to_vec())
            }
        })
    }

    fn n_bytes(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size_in_bytes()
    }
}

/// Writes tensors in their order; of those on a device, one at a time is in host memory.
///
/// # Errors
/// The operating system refuses, or the device fails.
pub fn write<'a>(path: &Path, tensors: impl Iterator<Item = NamedTensor<'a>>) -> Result<()> {
    let tensors: Vec<NamedTensor<'_>> = tensors.collect();
    let mut header = Map::new();
    header.insert("__metadata__".into(), json!({ "format": "pt" }));
    let mut at = 0;
    for tensor in &tensors {
        let end = at + tensor.n_bytes();
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
    for tensor in &tensors {
        put(&tensor.bytes()?)?;
    }
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
