//! Attention as matrix products of a library around the kernels of [`super::scores`]: any element type and head width.
//!
//! A piece is a chunk of query rows of one segment, for one query head of every key head, so that the products of all key
//! heads are one batched call. Memory is what a piece's scores take, at any length.

use super::attention::Sizes;
use super::call::{Address, Call, Element};
use super::flash::Qkv;
use super::scores::{self, Chunk};

/// Scores that exist at once.
const SCORES: usize = 1 << 26;

/// One row-major matrix per key head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Matrices {
    /// First element of the first one.
    pub start: Address,
    /// Their type.
    pub element: Element,
    /// Rows, as the product sees them.
    pub rows: usize,
    /// Columns, as the product sees them.
    pub columns: usize,
    /// Elements from row to row in memory; columns, if transposed.
    pub row_stride: usize,
    /// Elements from matrix to matrix.
    pub stride: usize,
    /// Whether the product sees the transpose of what is in memory.
    pub transposed: bool,
}

impl Matrices {
    fn transposed(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            transposed: !self.transposed,
            ..self
        }
    }
}

/// `out = left · right`, or `out += …`, for `n` matrices; f32 arithmetic.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Product {
    /// `[rows, inner]`.
    pub left: Matrices,
    /// `[inner, columns]`.
    pub right: Matrices,
    /// `[rows, columns]`, not transposed.
    pub out: Matrices,
    /// Whether it is added to what is there.
    pub add: bool,
    /// How many.
    pub n: usize,
}

/// What happens next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// A call of the library.
    Product(Product),
    /// A launch.
    Call(Call),
}

/// Attention over `cu_seqlens`.
#[derive(Debug, Clone, Copy)]
pub struct Attention<'a> {
    /// Type of q, k, v and o.
    pub element: Element,
    /// Its sizes.
    pub sizes: Sizes,
    /// Width of a head.
    pub d: usize,
    /// Segment boundaries.
    pub cu_seqlens: &'a [u32],
    /// q, k and v, `element`.
    pub qkv: Qkv,
    /// Log-sum-exp, `[heads, n]` f32.
    pub lse: Address,
}

/// Working space and results of [`Attention::backward`]. The scores have [`Attention::n_scores`] elements each.
#[derive(Debug, Clone, Copy)]
pub struct Backward {
    /// Gradient of the output, `[n, heads, d]`, `element`.
    pub d_o: Address,
    /// Row sums of `d_o * o`, `[heads, n]` f32.
    pub delta: Address,
    /// Scores and their gradient before the softmax, f32.
    pub scores: [Address; 2],
    /// Probabilities, and the scores' gradient, `element`.
    pub weights: [Address; 2],
    /// `[n, heads, d]`, `element`.
    pub dq: Address,
    /// `[n, kv_heads, d]` f32, zero before.
    pub dk: Address,
    /// `[n, kv_heads, d]` f32, zero before.
    pub dv: Address,
}

impl Attention<'_> {
    /// Elements of the largest piece's scores.
    pub fn n_scores(&self) -> usize {
        let sizes = self
            .pieces()
            .into_iter()
            .map(|p| self.sizes.kv_heads * p.rows * p.width);
        sizes.max().unwrap_or(0)
    }

    /// Fills `o: [n, heads, d]` and the log-sum-exp. `s` (f32) and `p` are working space of [`Self::n_scores`] elements.
    pub fn forward(&self, o: Address, s: Address, p: Address) -> Vec<Step> {
        let Qkv { q, k, v } = self.qkv;
        let steps = self.pieces().into_iter().flat_map(|piece| {
            let queries = |at| piece.queries(at, self.element);
            let keys = |at| piece.keys(at, self.element);
            let (scores, weights) = (piece.weights(s, Element::F32), piece.weights(p, self.element));
            [
                piece.product(queries(q), keys(k).transposed(), scores, false),
                Step::Call(scores::softmax(
                    self.element,
                    piece.chunk(),
                    s,
                    p,
                    piece.figure(self.lse),
                )),
                piece.product(weights, keys(v), queries(o), false),
            ]
        });
        steps.collect()
    }

    /// Fills dq, and adds to dk and dv over chunks of queries and over the query heads of a group, in a fixed order.
    pub fn backward(&self, to: Backward) -> Vec<Step> {
        let Qkv { q, k, v } = self.qkv;
        let ([s, dp], [p, ds]) = (to.scores, to.weights);
        let steps = self.pieces().into_iter().flat_map(|piece| {
            let queries = |at| piece.queries(at, self.element);
            let keys = |at| piece.keys(at, self.element);
            let sums = |at| piece.keys(at, Element::F32);
            let weights = |at| piece.weights(at, self.element);
            let figures = [piece.figure(self.lse), piece.figure(to.delta)];
            [
                piece.product(
                    queries(q),
                    keys(k).transposed(),
                    piece.weights(s, Element::F32),
                    false,
                ),
                piece.product(
                    queries(to.d_o),
                    keys(v).transposed(),
                    piece.weights(dp, Element::F32),
                    false,
                ),
                Step::Call(scores::gradient(
                    self.element,
                    piece.chunk(),
                    [s, dp],
                    [p, ds],
                    figures,
                )),
                piece.product(weights(ds), keys(k), queries(to.dq), false),
                piece.product(weights(ds).transposed(), queries(q), sums(to.dk), true),
                piece.product(weights(p).transposed(), queries(to.d_o), sums(to.dv), true),
            ]
        });
        steps.collect()
    }

    fn pieces(&self) -> Vec<Piece> {
        let Sizes { heads, kv_heads, .. } = self.sizes;
        let mut pieces = Vec::new();
        for segment in self.cu_seqlens.windows(2) {
            let (begin, end) = (segment[0] as usize, segment[1] as usize);
            let most = (SCORES / (kv_heads * (end - begin))).max(1);
            for row in (begin..end).step_by(most) {
                pieces.extend((0..heads / kv_heads).map(|member| Piece {
                    sizes: self.sizes,
                    d: self.d,
                    row,
                    rows: most.min(end - row),
                    begin,
                    width: end - begin,
                    member,
                }));
            }
        }
        pieces
    }
}

/// Query rows `row..row + rows` against the segment `begin..begin + width`, for the query head `member` of each group.
#[derive(Clone, Copy)]
struct Piece {
    sizes: Sizes,
    d: usize,
    row: usize,
    rows: usize,
    begin: usize,
    width: usize,
    member: usize,
}

impl Piece {
    fn chunk(&self) -> Chunk {
        let Sizes {
            n,
            heads,
            kv_heads,
            scale,
        } = self.sizes;
        Chunk {
            kv_heads,
            rows: self.rows,
            width: self.width,
            head_stride: heads / kv_heads * n,
            scale,
        }
    }

    /// Its first number in a tensor `[heads, n]` f32.
    fn figure(&self, tensor: Address) -> Address {
        tensor.offset((self.member * self.sizes.n + self.row) * 4)
    }

    /// Its rows of a tensor `[n, heads, d]`.
    fn queries(&self, tensor: Address, element: Element) -> Matrices {
        let Sizes { heads, kv_heads, .. } = self.sizes;
        let first = (self.row * heads + self.member) * self.d;
        Matrices {
            start: tensor.offset(first * element.bytes()),
            element,
            rows: self.rows,
            columns: self.d,
            row_stride: heads * self.d,
            stride: heads / kv_heads * self.d,
            transposed: false,
        }
    }

    /// The segment's rows of a tensor `[n, kv_heads, d]`.
    fn keys(&self, tensor: Address, element: Element) -> Matrices {
        let first = self.begin * self.sizes.kv_heads * self.d;
        Matrices {
            start: tensor.offset(first * element.bytes()),
            element,
            rows: self.width,
            columns: self.d,
            row_stride: self.sizes.kv_heads * self.d,
            stride: self.d,
            transposed: false,
        }
    }

    /// Working space as `[kv_heads, rows, width]`.
    fn weights(&self, space: Address, element: Element) -> Matrices {
        Matrices {
            start: space,
            element,
            rows: self.rows,
            columns: self.width,
            row_stride: self.width,
            stride: self.rows * self.width,
            transposed: false,
        }
    }

    fn product(&self, left: Matrices, right: Matrices, out: Matrices, add: bool) -> Step {
        Step::Product(Product {
            left,
            right,
            out,
            add,
            n: self.sizes.kv_heads,
        })
    }
}
