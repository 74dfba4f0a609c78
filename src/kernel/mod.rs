//! Kernels for NVIDIA GPUs: their sources, and what the host computes to launch them.
//!
//! ```text
//! cuda/instructions.cu ─┐
//!                       ├─ one source ─► NVRTC, on the machine with the GPU ─► device
//! cuda/*.cu ────────────┘      └───────► g++ with the emulator of the tests ─► CPU
//! ```
//!
//! A [`Call`] is a launch as data: program, kernel, grid, arguments as raw addresses and numbers. It is made here, by
//! pure functions; whoever has a [`Machine`] runs it. So the tests without a GPU cover the host's side
//! of a launch as well, and [`check`] holds every kernel against plain loops in f64 on either machine.
//!
//! This room knows neither tensors nor a driver.

pub mod attention;
mod call;
pub mod check;
pub mod embedding;
pub mod flash;
pub mod optimizer;
pub mod pointwise;
pub mod products;
pub mod rows;
pub mod scores;
mod work;

pub use call::{Address, Call, Element, HeadDim, Machine, Program};
pub use work::{KEY_TILE, QUERY_TILE, Tile, tiles};
