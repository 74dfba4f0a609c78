//! The GPU as a [`Machine`] for the checks of the kernels, and what it is.

use candle_core::cuda_backend::WrapErr;
use candle_core::cuda_backend::cudarc::driver::result;
use candle_core::{CudaDevice, Device, Tensor};
use serde::Serialize;

use super::{failed, launch, products};
use crate::error::Result;
use crate::kernel::products::Product;
use crate::kernel::{Address, Call, Machine};

/// Which GPU and driver there are.
#[derive(Debug, Clone, Serialize)]
pub struct Facts {
    /// As the driver calls it.
    pub name: String,
    /// Compute capability, such as 9.0.
    pub capability: String,
    /// Memory of the card.
    pub memory_bytes: u64,
    /// The CUDA version that the driver supports, such as 13.0.
    pub driver_cuda: String,
}

impl Facts {
    /// Asks the driver.
    ///
    /// # Errors
    /// It refuses.
    pub fn of(device: &CudaDevice) -> Result<Self> {
        let stream = device.cuda_stream();
        let context = stream.context();
        let (major, minor) = context.compute_capability().w()?;
        let version = launch::driver_version()?;
        Ok(Self {
            name: context.name().w()?,
            capability: format!("{major}.{minor}"),
            memory_bytes: context.total_mem().w()? as u64,
            driver_cuda: format!("{}.{}", version / 1000, version % 1000 / 10),
        })
    }

    /// Memory of the card that is in use, by anyone.
    ///
    /// # Errors
    /// The driver refuses.
    pub fn used_bytes(device: &CudaDevice) -> Result<u64> {
        device.cuda_stream().context().bind_to_thread().w()?;
        let (free, total) = result::mem_get_info().w()?;
        Ok((total - free) as u64)
    }
}

/// A GPU with the buffers of a check.
#[derive(Debug)]
pub struct Card {
    device: Device,
    buffers: Vec<(Address, Tensor)>,
}

impl Card {
    /// A machine on a GPU.
    pub fn new(device: &Device) -> Self {
        Self {
            device: device.clone(),
            buffers: Vec::new(),
        }
    }
}

impl Machine for Card {
    fn upload(&mut self, bytes: &[u8]) -> Result<Address> {
        let bytes = if bytes.is_empty() { &[0] } else { bytes };
        let tensor = Tensor::new(bytes, &self.device)?;
        let address = launch::address(&tensor)?;
        self.buffers.push((address, tensor));
        Ok(address)
    }

    fn run(&mut self, call: &Call) -> Result<()> {
        launch::run(self.device.as_cuda_device()?, call)?;
        Ok(self.device.synchronize()?)
    }

    fn multiply(&mut self, product: &Product) -> Result<()> {
        products::multiply(self.device.as_cuda_device()?, product)
    }

    fn download(&mut self, from: Address, n: usize) -> Result<Vec<u8>> {
        let found = self.buffers.iter().find(|(address, _)| *address == from);
        let (_, tensor) = found.ok_or_else(|| failed("no buffer starts at this address".into()))?;
        Ok(tensor.narrow(0, 0, n)?.to_vec1()?)
    }
}
