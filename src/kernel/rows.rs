//! Launches of what works on whole rows: RMSNorm and cross-entropy.

use super::call::{Address, Call, Element, Program};
use super::scores::SCRATCH_BYTES;

/// Rows of the sums that [`rms_norm_backward`] of `n` rows makes.
pub fn norm_blocks(n: usize) -> usize {
    n.clamp(1, 264)
}

/// `y = gain x / rms(x)`; `x`, `y`: `[n, width]`, `gain: [width]`.
pub fn rms_norm(
    element: Element,
    [n, width]: [usize; 2],
    eps: f32,
    x: Address,
    gain: Address,
    y: Address,
) -> Call {
    Call::new(Program::Elements(element), "rms_norm", [n, 1])
        .shared(SCRATCH_BYTES)
        .address(x)
        .address(gain)
        .address(y)
        .int(width)
        .float(eps)
}

/// `dx`, and the gain's gradient as `gain_sums: [norm_blocks(n), width]` f32, to be added up by [`add_column_sums`].
pub fn rms_norm_backward(
    element: Element,
    [n, width]: [usize; 2],
    eps: f32,
    [x, gain, dy]: [Address; 3],
    dx: Address,
    gain_sums: Address,
) -> Call {
    Call::new(
        Program::Elements(element),
        "rms_norm_backward",
        [norm_blocks(n), 1],
    )
    .shared(SCRATCH_BYTES + width * 4)
    .address(x)
    .address(gain)
    .address(dy)
    .address(dx)
    .address(gain_sums)
    .int(n)
    .int(width)
    .float(eps)
}

/// `total: [width] += sums: [rows, width]` over the rows, f32.
pub fn add_column_sums(rows: usize, width: usize, sums: Address, total: Address) -> Call {
    Call::new(
        Program::Elements(Element::F32),
        "add_column_sums",
        [width.div_ceil(256), 1],
    )
    .address(sums)
    .address(total)
    .int(rows)
    .int(width)
}

/// `ce: [rows]` f32 of `logits: [rows, vocab]`, whose place their gradient takes: `weight (softmax - onehot)`.
/// `targets: [rows]` u32, each below `vocab`; `weights: [rows]` f32.
pub fn cross_entropy(
    element: Element,
    [rows, vocab]: [usize; 2],
    logits: Address,
    targets: Address,
    weights: Address,
    ce: Address,
) -> Call {
    Call::new(Program::Elements(element), "cross_entropy", [rows, 1])
        .shared(SCRATCH_BYTES)
        .address(logits)
        .address(targets)
        .address(weights)
        .address(ce)
        .int(vocab)
}
