//! Low-rank adapters in files, as the PEFT library names and describes them.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde_json::json;

use crate::disk;
use crate::error::{Error, Result};
use crate::model::{LoraOptions, Model};
use crate::train::checkpoint::{Content, NamedTensor, TensorFile, write_tensors};

/// Name of the file with the adapters' numbers.
const WEIGHTS: &str = "adapter_model.safetensors";
/// Name of the file that describes them.
const CONFIG: &str = "adapter_config.json";
/// What PEFT puts before the name of a model's parameter.
const PREFIX: &str = "base_model.model.";

/// Writes the adapters of a model; `base` is where its frozen weights are.
///
/// # Errors
/// The operating system refuses, or the device fails.
pub fn save(model: &Model, options: &LoraOptions, base: Option<&Path>, directory: &Path) -> Result<()> {
    let mut tensors = Vec::new();
    let mut modules = BTreeSet::new();
    for (index, param) in model.params().iter().enumerate() {
        if !model.is_trainable(index) {
            continue;
        }
        // `….q_proj.lora_a`: the module is the part before the last.
        modules.extend(param.name.rsplit('.').nth(1).map(str::to_owned));
        let host = param.tensor.flatten_all()?.to_device(&Device::Cpu)?;
        let numbers = host.to_dtype(DType::F32)?.to_vec1::<f32>()?;
        tensors.push((published(&param.name), param.tensor.dims(), numbers));
    }
    let tensors = tensors.iter().map(|(name, shape, numbers)| NamedTensor {
        name: name.clone(),
        dtype: DType::F32,
        shape,
        content: Content::Bytes(bytemuck::cast_slice(numbers)),
    });
    write_tensors(&directory.join(WEIGHTS), tensors)?;
    let config = json!({
        "peft_type": "LORA",
        "base_model_name_or_path": base,
        "bias": "none",
        "fan_in_fan_out": false,
        "inference_mode": true,
        "lora_alpha": options.alpha,
        "lora_dropout": 0.0,
        "r": options.rank,
        "target_modules": modules,
        "task_type": null,
    });
    let mut text = serde_json::to_vec_pretty(&config).expect("plain data");
    text.push(b'\n');
    disk::write_atomic(&directory.join(CONFIG), &text)
}

/// Gives a model with fresh adapters the numbers of saved ones.
///
/// # Errors
/// A number is missing, or the file is damaged.
pub fn load(model: &mut Model, directory: &Path) -> Result<()> {
    let path = directory.join(WEIGHTS);
    let file = TensorFile::open(&path)?;
    let tensors = file.tensors(&path)?;
    for index in 0..model.params().len() {
        if !model.is_trainable(index) {
            continue;
        }
        let param = model.params()[index].clone();
        let shape = param.tensor.shape().clone();
        let saved = tensors.get(&published(&param.name));
        let fits =
            |(dtype, bytes): &(DType, &[u8])| *dtype == DType::F32 && bytes.len() == 4 * shape.elem_count();
        let Some((_, bytes)) = saved.filter(fits) else {
            let message = format!("`{}` is missing or has another size", param.name);
            return Err(Error::damaged("adapters", &path, message));
        };
        let numbers = bytemuck::pod_collect_to_vec::<u8, f32>(bytes);
        let value = Tensor::from_vec(numbers, shape, param.tensor.device())?;
        model.set_param(index, value.to_dtype(param.tensor.dtype())?)?;
    }
    Ok(())
}

/// The name that PEFT gives an adapter: `….q_proj.lora_a` is `base_model.model.….q_proj.lora_A.weight`.
fn published(name: &str) -> String {
    let name = name.replace(".lora_a", ".lora_A").replace(".lora_b", ".lora_B");
    format!("{PREFIX}{name}.weight")
}
