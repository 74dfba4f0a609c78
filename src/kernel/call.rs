//! A launch as data.

use super::products::Product;
use crate::error::Result;

/// Where a buffer starts in the memory of the machine that runs the kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Address(pub u64);

impl Address {
    /// The address `bytes` further.
    pub fn offset(self, bytes: usize) -> Self {
        Self(self.0 + bytes as u64)
    }
}

/// The type of activations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Element {
    /// 16-bit brain float.
    Bf16,
    /// 32-bit float.
    F32,
}

impl Element {
    /// Bytes of one element.
    pub fn bytes(self) -> usize {
        match self {
            Self::Bf16 => 2,
            Self::F32 => 4,
        }
    }
}

/// Width of an attention head that the flash kernels are written for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HeadDim {
    /// 64.
    D64,
    /// 128.
    D128,
}

impl HeadDim {
    /// The head width as a number, if there is a kernel for it.
    pub fn of(width: usize) -> Option<Self> {
        match width {
            64 => Some(Self::D64),
            128 => Some(Self::D128),
            _ => None,
        }
    }

    /// Elements of a row.
    pub fn width(self) -> usize {
        match self {
            Self::D64 => 64,
            Self::D128 => 128,
        }
    }
}

/// What is compiled together: a list of sources and the macros they are compiled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Program {
    /// Flash attention for one head width.
    Flash(HeadDim),
    /// The memory-bound kernels for one type of activations.
    Elements(Element),
}

impl Program {
    /// Every program there is.
    pub const ALL: [Self; 4] = [
        Self::Flash(HeadDim::D64),
        Self::Flash(HeadDim::D128),
        Self::Elements(Element::Bf16),
        Self::Elements(Element::F32),
    ];

    /// What the hardware offers.
    const INSTRUCTIONS: &str = include_str!("cuda/instructions.cu");

    /// A name for messages and caches.
    pub fn name(self) -> &'static str {
        match self {
            Self::Flash(HeadDim::D64) => "flash_64",
            Self::Flash(HeadDim::D128) => "flash_128",
            Self::Elements(Element::Bf16) => "elements_bf16",
            Self::Elements(Element::F32) => "elements_f32",
        }
    }

    /// The macros, before anything else in the source.
    pub fn defines(self) -> String {
        match self {
            Self::Flash(d) => format!("#define HEAD_DIM {}\n", d.width()),
            Self::Elements(element) => {
                format!("#define ELEMENT_BF16 {}\n", u8::from(element == Element::Bf16))
            }
        }
    }

    /// The whole source, for NVRTC.
    pub fn device_source(self) -> String {
        format!("{}{}\n{}", self.defines(), Self::INSTRUCTIONS, self.kernels())
    }

    /// The kernels' source.
    pub fn kernels(self) -> String {
        let files: &[&str] = match self {
            Self::Flash(_) => &[
                include_str!("cuda/flash_tiles.cu"),
                include_str!("cuda/flash_forward.cu"),
                include_str!("cuda/flash_backward.cu"),
            ],
            Self::Elements(_) => &[
                include_str!("cuda/elements.cu"),
                include_str!("cuda/scores.cu"),
                include_str!("cuda/optimizer.cu"),
                include_str!("cuda/norm.cu"),
                include_str!("cuda/pointwise.cu"),
                include_str!("cuda/cross_entropy.cu"),
                include_str!("cuda/embedding.cu"),
            ],
        };
        files.join("\n")
    }
}

/// One launch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// The program that holds the kernel.
    pub program: Program,
    /// The kernel's name.
    pub kernel: &'static str,
    /// Blocks in x and y.
    pub grid: [u32; 2],
    /// Threads of a block.
    pub threads: u32,
    /// Dynamic shared memory of a block.
    pub shared_bytes: u32,
    /// One word per argument: an address, or a number in the low bytes (little-endian), as the kernel declares it.
    pub arguments: Vec<u64>,
}

impl Call {
    pub(super) fn new(program: Program, kernel: &'static str, grid: [usize; 2]) -> Self {
        Self {
            program,
            kernel,
            grid: grid.map(|n| u32::try_from(n).expect("a grid is far smaller than 2^32 blocks")),
            threads: 256,
            shared_bytes: 0,
            arguments: Vec::new(),
        }
    }

    pub(super) fn threads(mut self, threads: u32) -> Self {
        self.threads = threads;
        self
    }

    pub(super) fn shared(mut self, bytes: usize) -> Self {
        self.shared_bytes = u32::try_from(bytes).expect("shared memory is far smaller than 4 GiB");
        self
    }

    pub(super) fn address(mut self, address: Address) -> Self {
        self.arguments.push(address.0);
        self
    }

    /// An `int` of the kernel.
    pub(super) fn int(mut self, value: usize) -> Self {
        let value = i32::try_from(value).expect("sizes are checked against 2^31 before a launch");
        self.arguments.push(u64::from(value.cast_unsigned()));
        self
    }

    /// An `i64` or `u64` of the kernel.
    pub(super) fn long(mut self, value: u64) -> Self {
        self.arguments.push(value);
        self
    }

    pub(super) fn float(mut self, value: f32) -> Self {
        self.arguments.push(u64::from(value.to_bits()));
        self
    }
}

/// A place where kernels run and buffers live.
pub trait Machine {
    /// Copies `bytes` to the machine; the buffer lives as long as the machine.
    ///
    /// # Errors
    /// The machine has no memory left, or fails.
    fn upload(&mut self, bytes: &[u8]) -> Result<Address>;

    /// Runs a launch to its end.
    ///
    /// # Errors
    /// The kernel cannot be compiled, found or launched, or it failed.
    fn run(&mut self, call: &Call) -> Result<()>;

    /// Multiplies matrices; the library that does it is the machine's.
    ///
    /// # Errors
    /// It fails.
    fn multiply(&mut self, product: &Product) -> Result<()>;

    /// Copies `n` bytes from the machine.
    ///
    /// # Errors
    /// The machine fails.
    fn download(&mut self, from: Address, n: usize) -> Result<Vec<u8>>;
}
