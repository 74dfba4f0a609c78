//! Launches of RoPE, SwiGLU and sums.

use super::call::{Address, Call, Element, Program};

/// Blocks of a kernel whose threads walk over `n` elements.
pub(super) fn blocks(n: usize) -> usize {
    n.div_ceil(256).clamp(1, 16 * 1024)
}

/// `sum += x` over `n` elements; `sum` is f32.
pub fn accumulate(element: Element, n: usize, sum: Address, x: Address) -> Call {
    Call::new(Program::Elements(element), "accumulate", [blocks(n), 1])
        .address(sum)
        .address(x)
        .long(n as u64)
}

/// `y = x` turned by its angles, or back. `x`, `y`: `[n, heads, dim]`; `cosine`, `sine`: `[n, dim / 2]` f32.
pub fn rope(
    element: Element,
    [n, heads, dim]: [usize; 3],
    back: bool,
    [x, y]: [Address; 2],
    [cosine, sine]: [Address; 2],
) -> Call {
    Call::new(
        Program::Elements(element),
        "rope",
        [blocks(n * heads * dim / 2), 1],
    )
    .address(x)
    .address(y)
    .address(cosine)
    .address(sine)
    .long(n as u64)
    .int(heads)
    .int(dim)
    .float(if back { -1.0 } else { 1.0 })
}

/// `y = silu(gate) up` over `n` elements.
pub fn swiglu(element: Element, n: usize, gate: Address, up: Address, y: Address) -> Call {
    Call::new(Program::Elements(element), "swiglu", [blocks(n), 1])
        .address(gate)
        .address(up)
        .address(y)
        .long(n as u64)
}

/// The gradients of gate and up from that of y.
pub fn swiglu_backward(
    element: Element,
    n: usize,
    [gate, up, dy]: [Address; 3],
    [d_gate, d_up]: [Address; 2],
) -> Call {
    Call::new(Program::Elements(element), "swiglu_backward", [blocks(n), 1])
        .address(gate)
        .address(up)
        .address(dy)
        .address(d_gate)
        .address(d_up)
        .long(n as u64)
}
