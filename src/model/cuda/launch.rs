//! Compiling, launching, and addresses of tensors: what cannot be checked by the compiler is in this file and in
//! `products.rs`.

use std::ffi::c_int;
use std::sync::OnceLock;

use candle_core::cuda_backend::cudarc::driver::sys::CUfunction_attribute as Attribute;
use candle_core::cuda_backend::cudarc::driver::{DevicePtr, LaunchConfig, PushKernelArg, sys};
use candle_core::cuda_backend::cudarc::nvrtc::{self, CompileError, CompileOptions};
use candle_core::cuda_backend::{CudaStorageSlice, WrapErr};
use candle_core::{CudaDevice, DType, Device, Shape, Storage, Tensor};

use super::failed;
use crate::error::Result;
use crate::kernel::{Address, Call, Program};

/// Prepares a device for training: memory stays with the process when it is freed, and no events are kept per
/// allocation, since there is one stream.
///
/// # Errors
/// The driver refuses, or NVRTC, which compiles the kernels, cannot be opened.
pub fn settle(device: &CudaDevice) -> Result<()> {
    let (mut major, mut minor): (c_int, c_int) = (0, 0);
    // SAFETY: the function writes two numbers.
    let code = unsafe { nvrtc::sys::nvrtcVersion(&raw mut major, &raw mut minor) };
    if code != nvrtc::sys::nvrtcResult::NVRTC_SUCCESS {
        return Err(failed(
            "NVRTC, which compiles the GPU kernels, cannot be opened (libnvrtc.so.13)\n\
             hint: install CUDA 13's NVRTC (`pip install nvidia-cuda-nvrtc`), and name its folder in CUDA_LIB_DIR"
                .into(),
        ));
    }
    let stream = device.cuda_stream();
    let context = stream.context();
    // SAFETY: this crate uses the device's one stream only, so a buffer is never in use where it is freed.
    unsafe { device.disable_event_tracking() };
    let mut pool = std::ptr::null_mut();
    let mut keep_bytes = u64::MAX;
    // SAFETY: the pool is the device's own and lives as long as it; the attribute is a 64-bit number.
    unsafe {
        sys::cuDeviceGetDefaultMemPool(&raw mut pool, context.cu_device())
            .result()
            .w()?;
        let attribute = sys::CUmemPool_attribute::CU_MEMPOOL_ATTR_RELEASE_THRESHOLD;
        sys::cuMemPoolSetAttribute(pool, attribute, (&raw mut keep_bytes).cast())
            .result()
            .w()?;
    }
    Ok(())
}

/// The CUDA version that the driver supports, as 1000 times the major plus 10 times the minor number.
pub(super) fn driver_version() -> Result<c_int> {
    let mut version = 0;
    // SAFETY: the function writes one number.
    unsafe { sys::cuDriverGetVersion(&raw mut version) }
        .result()
        .w()?;
    Ok(version)
}

/// The PTX of a program, compiled once per process for the oldest GPU that the kernels run on; the driver
/// compiles it for the GPU at hand.
fn ptx(program: Program) -> Result<&'static str> {
    static COMPILED: [OnceLock<std::result::Result<String, String>>; Program::ALL.len()] =
        [const { OnceLock::new() }; Program::ALL.len()];
    let place = Program::ALL
        .iter()
        .position(|p| *p == program)
        .expect("ALL holds every program");
    let compile = || {
        let options = CompileOptions {
            arch: Some("compute_80"),
            options: vec!["--std=c++17".into()],
            ..CompileOptions::default()
        };
        let ptx =
            nvrtc::compile_ptx_with_opts(program.device_source(), options).map_err(|error| match error {
                CompileError::CompileError { log, .. } => log.to_string_lossy().into_owned(),
                other => format!("{other:?}"),
            })?;
        Ok(ptx.to_src())
    };
    let compiled = COMPILED[place].get_or_init(compile);
    compiled.as_deref().map_err(|log| {
        failed(format!(
            "NVRTC cannot compile the kernels `{}`: {log}",
            program.name()
        ))
    })
}

/// Puts a launch into the device's stream.
pub(super) fn run(device: &CudaDevice, call: &Call) -> Result<()> {
    if call.grid.contains(&0) {
        return Ok(());
    }
    let function = device.get_or_load_custom_func(call.kernel, call.program.name(), ptx(call.program)?)?;
    // More than 48 KiB must be asked for.
    if call.shared_bytes > 48 << 10 {
        let attribute = Attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES;
        let bytes = i32::try_from(call.shared_bytes).expect("a block has far less shared memory");
        function.set_attribute(attribute, bytes).w()?;
    }
    let mut builder = function.builder();
    for argument in &call.arguments {
        builder.arg(argument);
    }
    let config = LaunchConfig {
        grid_dim: (call.grid[0], call.grid[1], 1),
        block_dim: (call.threads, 1, 1),
        shared_mem_bytes: call.shared_bytes,
    };
    // SAFETY: the calls come from `crate::kernel`, whose checks hold them against the kernels' declarations; the
    // addresses are of tensors with the shapes that the call's maker was told.
    unsafe { builder.launch(config) }.w()?;
    Ok(())
}

/// Where a contiguous tensor starts in the GPU's memory.
pub(super) fn address(tensor: &Tensor) -> Result<Address> {
    let (storage, layout) = tensor.storage_and_layout();
    let Storage::Cuda(storage) = &*storage else {
        return Err(failed(format!(
            "expected a tensor on the GPU, found {:?}",
            tensor.device()
        )));
    };
    if !layout.is_contiguous() {
        return Err(failed(format!(
            "expected a contiguous tensor of shape {:?}",
            tensor.shape()
        )));
    }
    let stream = storage.device.cuda_stream();
    let base = match &storage.slice {
        CudaStorageSlice::U8(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::U32(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::BF16(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::F32(slice) => slice.device_ptr(&stream).0,
        CudaStorageSlice::F64(slice) => slice.device_ptr(&stream).0,
        _ => return Err(failed(format!("no kernel takes {:?}", tensor.dtype()))),
    };
    Ok(Address(base).offset(layout.start_offset() * tensor.dtype().size_in_bytes()))
}

/// A tensor for a kernel to write, every element of it.
pub(super) fn uninitialized(shape: impl Into<Shape>, dtype: DType, device: &Device) -> Result<Tensor> {
    // SAFETY: it is read only after a kernel that was put into the stream before has written it.
    Ok(unsafe { Tensor::empty(shape, dtype, device) }?)
}

/// A list for a kernel, as 32-bit words.
pub(super) fn list<T: bytemuck::Pod>(items: &[T], device: &Device) -> Result<Tensor> {
    let words: &[u32] = bytemuck::cast_slice(items);
    let words = if words.is_empty() { &[0] } else { words };
    Ok(Tensor::new(words, device)?)
}
