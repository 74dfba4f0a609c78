//! Where to compute, by name.

use candle_core::Device;

use crate::error::{Error, Result, shown_text};

/// An open device.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The device, ready for training.
    pub device: Device,
    /// Why `auto` chose the CPU, in a program that could use a GPU.
    pub note: Option<String>,
}

/// Memory of a GPU that nobody uses, in bytes; `None` of the CPU, or if the driver does not tell.
#[cfg_attr(
    not(feature = "cuda"),
    expect(unused_variables, reason = "only a GPU has some")
)]
pub fn free_bytes(device: &Device) -> Option<u64> {
    #[cfg(feature = "cuda")]
    {
        let device = device.as_cuda_device().ok()?;
        let used = super::cuda::Facts::used_bytes(device).ok()?;
        let all = super::cuda::Facts::of(device).ok()?.memory_bytes;
        all.checked_sub(used)
    }
    #[cfg(not(feature = "cuda"))]
    None
}

/// Dense bf16 FLOP/s that the maker states for a GPU, by a part of its name.
///
/// Source: NVIDIA's data sheets of the SXM parts; a card with less power or fewer units reaches less.
#[cfg(any(feature = "cuda", test))]
const PEAKS: [(&str, f64); 4] = [
    ("A100", 312e12),
    ("H100", 989e12),
    ("H200", 989e12),
    ("L40S", 362e12),
];

/// Peak of a GPU in bf16, in FLOP/s; `None` of the CPU and of cards that are not known.
#[cfg_attr(
    not(feature = "cuda"),
    expect(unused_variables, reason = "only a GPU has one")
)]
pub fn peak_flops(device: &Device) -> Option<f64> {
    #[cfg(feature = "cuda")]
    {
        peak_of(&super::cuda::Facts::of(device.as_cuda_device().ok()?).ok()?.name)
    }
    #[cfg(not(feature = "cuda"))]
    None
}

#[cfg(any(feature = "cuda", test))]
fn peak_of(name: &str) -> Option<f64> {
    let known = PEAKS.iter().find(|(part, _)| name.contains(part));
    known.map(|(_, peak)| *peak)
}

/// Opens `auto`, `cpu` or `cuda:N`. `auto` is the first GPU, or the CPU where none can be used.
///
/// # Errors
/// The name is none of these, or the GPU that it names cannot be used.
pub fn open(name: &str) -> Result<Opened> {
    let of = |device| Opened { device, note: None };
    match name {
        "cpu" => Ok(of(Device::Cpu)),
        "auto" => Ok(gpu(0).map_or_else(
            |error| Opened {
                device: Device::Cpu,
                // A program for CPUs has nothing to explain.
                note: cfg!(feature = "cuda").then(|| format!("computing on the CPU: {}", first_line(&error))),
            },
            of,
        )),
        _ => {
            let number = name.strip_prefix("cuda:").and_then(|number| number.parse().ok());
            let number = number.ok_or_else(|| {
                Error::usage(format!(
                    "`{}` is no device: expected auto, cpu or cuda:N",
                    shown_text(name)
                ))
            })?;
            gpu(number).map(of)
        }
    }
}

fn first_line(error: &Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

#[cfg(feature = "cuda")]
fn gpu(number: usize) -> Result<Device> {
    let unusable = |error: String| {
        // What follows the first line is a stack trace.
        let first = error.lines().next().unwrap_or_default();
        let reason = match first.contains("CUDA_ERROR_NO_DEVICE") {
            true => "there is no NVIDIA GPU, or no driver for it",
            false => first,
        };
        Error::usage(format!(
            "GPU {number} cannot be used: {reason}\n\
             hint: it needs an NVIDIA driver of the 580 series or newer, and cuBLAS, cuRAND and NVRTC of CUDA 13, \
             found by the system or in the folder CUDA_LIB_DIR"
        ))
    };
    let device = Device::new_cuda(number).map_err(|error| unusable(error.to_string()))?;
    super::cuda::settle(device.as_cuda_device()?).map_err(|error| unusable(error.to_string()))?;
    Ok(device)
}

#[cfg(not(feature = "cuda"))]
fn gpu(_: usize) -> Result<Device> {
    Err(Error::usage(
        "this program was built without support for GPUs\n\
         hint: build it with `scripts/cuda-build`, which needs neither a GPU nor CUDA",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_opened_by_its_name() {
        assert!(open("cpu").unwrap().device.is_cpu());
        let error = open("gpu0\u{1b}[31m").unwrap_err().to_string();
        assert!(error.contains("expected auto, cpu or cuda:N"), "{error}");
        assert!(!error.contains('\u{1b}'), "{error}");
        let beyond = open("cuda:99999999999999999999999").unwrap_err().to_string();
        assert!(beyond.contains("is no device"), "{beyond}");
    }

    #[test]
    fn the_peak_of_a_known_card_is_found_by_its_name() {
        assert_eq!(peak_of("NVIDIA H100 80GB HBM3"), Some(989e12));
        assert_eq!(peak_of("NVIDIA A100-SXM4-80GB"), Some(312e12));
        assert_eq!(peak_of("NVIDIA GeForce RTX 4090"), None);
        assert_eq!((free_bytes(&Device::Cpu), peak_flops(&Device::Cpu)), (None, None));
    }

    #[test]
    fn without_a_gpu_auto_is_the_cpu_and_a_named_gpu_is_an_error() {
        let auto = open("auto").unwrap();
        if auto.device.is_cpu() {
            assert_eq!(auto.note.is_some(), cfg!(feature = "cuda"));
            let error = open("cuda:0").unwrap_err().to_string();
            assert!(error.contains("hint: "), "{error}");
        }
    }
}
