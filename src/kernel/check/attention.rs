//! Attention: flash kernels, and the steps between matrix products.

use super::bench::Bench;
use super::{BF16_LIMIT, Extent, F32_LIMIT};
use crate::error::Result;
use crate::kernel::attention::Sizes;
use crate::kernel::flash::{self, Backward, Qkv, Work};
use crate::kernel::products::{self, Attention};
use crate::kernel::scores::{self, Chunk};
use crate::kernel::{Element, HeadDim, KEY_TILE, QUERY_TILE, tiles};

/// Lengths of segments, query heads, key heads, factor of the scores over 1 / sqrt(d).
type Shape = (&'static [u32], usize, usize, f64);

/// Around the tiles of 64 and 128 rows; many segments, length 1 among them; groups of 1, 2 and 4 query heads; scores so
/// large that a forgotten maximum, or a lone key with a very negative score, overflows.
const SHAPES: [Shape; 9] = [
    (&[150, 1, 65, 40], 2, 1, 1.0),
    (&[70, 1, 1, 1, 1, 128, 1, 1, 1, 2], 4, 2, 100.0),
    (&[1], 1, 1, 1.0),
    (&[63], 2, 2, 1.0),
    (&[64], 2, 1, 1.0),
    (&[65], 4, 1, 1.0),
    (&[127, 128, 129], 4, 2, 1.0),
    (&[1, 1, 2, 3, 1, 5, 8, 13, 1], 4, 1, 1.0),
    (&[300, 17, 129], 2, 2, 1.0),
];
/// Segments of one token have no gradient of q and k at all, only what rounding leaves.
const GRADIENT_FLOOR: f64 = 1e-3;
/// The first of [`SHAPES`] reach every branch.
const N_BRIEF: usize = 2;

pub(super) fn flash(bench: &mut Bench, d: HeadDim, extent: Extent) -> Result<()> {
    let n_shapes = if extent == Extent::Brief {
        N_BRIEF
    } else {
        SHAPES.len()
    };
    SHAPES[..n_shapes]
        .iter()
        .try_for_each(|shape| flash_shape(bench, d, shape))
}

fn flash_shape(bench: &mut Bench, d: HeadDim, &(lens, heads, kv_heads, sharpness): &Shape) -> Result<()> {
    let bf16 = Element::Bf16;
    let cu_seqlens = boundaries(lens);
    let n = lens.iter().sum::<u32>() as usize;
    let width = d.width();
    let scale = (sharpness / (width as f64).sqrt()) as f32;
    let sizes = Sizes {
        n,
        heads,
        kv_heads,
        scale,
    };
    let (n_q, n_kv) = (n * heads * width, n * kv_heads * width);
    let (q, k, v) = (
        bench.random(bf16, n_q)?,
        bench.random(bf16, n_kv)?,
        bench.random(bf16, n_kv)?,
    );
    let d_o = bench.random(bf16, n_q)?;
    let qkv = Qkv {
        q: q.0,
        k: k.0,
        v: v.0,
    };

    let reference = Reference::of(&cu_seqlens, sizes, width, [&q.1, &k.1, &v.1, &d_o.1]);
    let mut work = |size| -> Result<Work> {
        let list = tiles(&cu_seqlens, size);
        Ok(Work {
            tiles: bench.upload(bytemuck::cast_slice(&list))?,
            n: list.len(),
        })
    };
    let (queries, keys) = (work(QUERY_TILE)?, work(KEY_TILE)?);
    let (o, lse) = (
        bench.poisoned(bf16, n_q)?,
        bench.poisoned(Element::F32, n * heads)?,
    );
    bench.run(&flash::forward(d, sizes, queries, qkv, o, lse))?;
    let label = |what: &str| {
        format!("flash {what}, d {width}, lengths {lens:?}, heads {heads}/{kv_heads}, x{sharpness}")
    };
    bench.compare(label("o"), bf16, o, &reference.o, BF16_LIMIT)?;
    bench.compare(label("lse"), Element::F32, lse, &reference.lse, F32_LIMIT)?;

    let delta = bench.poisoned(Element::F32, n * heads)?;
    bench.run(&flash::delta(d, sizes, o, d_o.0, delta))?;
    let from = Backward {
        d_o: d_o.0,
        lse,
        delta,
    };
    let (dq, dq_added) = (bench.poisoned(bf16, n_q)?, bench.zeros(Element::F32, n_q)?);
    bench.run(&flash::backward_q(d, sizes, queries, qkv, from, dq))?;
    for (dq, name) in [(None, ""), (Some(dq_added), " beside dq")] {
        let out = [bench.poisoned(bf16, n_kv)?, bench.poisoned(bf16, n_kv)?];
        bench.run(&flash::backward_kv(d, sizes, keys, qkv, from, dq, out))?;
        bench.compare_above(
            GRADIENT_FLOOR,
            label(&format!("dk{name}")),
            bf16,
            out[0],
            &reference.dk,
            BF16_LIMIT,
        )?;
        bench.compare_above(
            GRADIENT_FLOOR,
            label(&format!("dv{name}")),
            bf16,
            out[1],
            &reference.dv,
            BF16_LIMIT,
        )?;
    }
    bench.compare_above(GRADIENT_FLOOR, label("dq"), bf16, dq, &reference.dq, BF16_LIMIT)?;
    bench.compare_above(
        GRADIENT_FLOOR,
        label("dq added"),
        Element::F32,
        dq_added,
        &reference.dq,
        BF16_LIMIT,
    )
}

/// Attention as products around the kernels of the scores.
pub(super) fn products(bench: &mut Bench, element: Element) -> Result<()> {
    for (lens, heads, kv_heads, d) in [
        (&[5, 1, 33][..], 4, 2, 16),
        (&[40], 2, 1, 80),
        (&[20, 30], 2, 2, 8),
    ] {
        let cu_seqlens = boundaries(lens);
        let n = lens.iter().sum::<u32>() as usize;
        let scale = 1.0 / (d as f32).sqrt();
        let sizes = Sizes {
            n,
            heads,
            kv_heads,
            scale,
        };
        let (n_q, n_kv) = (n * heads * d, n * kv_heads * d);
        let (q, k, v) = (
            bench.random(element, n_q)?,
            bench.random(element, n_kv)?,
            bench.random(element, n_kv)?,
        );
        let d_o = bench.random(element, n_q)?;
        let expected = Reference::of(&cu_seqlens, sizes, d, [&q.1, &k.1, &v.1, &d_o.1]);
        let lse = bench.poisoned(Element::F32, n * heads)?;
        let qkv = Qkv {
            q: q.0,
            k: k.0,
            v: v.0,
        };
        let attention = Attention {
            element,
            sizes,
            d,
            cu_seqlens: &cu_seqlens,
            qkv,
            lse,
        };
        let scores = attention.n_scores();
        let mut space = |element| bench.poisoned(element, scores);
        let (s, dp, p, ds) = (
            space(Element::F32)?,
            space(Element::F32)?,
            space(element)?,
            space(element)?,
        );
        let (o, dq) = (bench.poisoned(element, n_q)?, bench.poisoned(element, n_q)?);
        bench.follow(&attention.forward(o, s, p))?;

        let delta: Vec<f64> = (0..heads * n)
            .map(|at| {
                let row = (at % n * heads + at / n) * d..(at % n * heads + at / n + 1) * d;
                expected.o[row.clone()]
                    .iter()
                    .zip(&d_o.1[row])
                    .map(|(a, b)| a * b)
                    .sum()
            })
            .collect();
        let (delta, _) = bench.put(Element::F32, &delta)?;
        let (dk, dv) = (bench.zeros(Element::F32, n_kv)?, bench.zeros(Element::F32, n_kv)?);
        let to = products::Backward {
            d_o: d_o.0,
            delta,
            scores: [s, dp],
            weights: [p, ds],
            dq,
            dk,
            dv,
        };
        bench.follow(&attention.backward(to))?;
        let label = |what: &str| {
            format!("products {what}, {element:?}, lengths {lens:?}, heads {heads}/{kv_heads} of {d}")
        };
        bench.compare(label("o"), element, o, &expected.o, element.limit())?;
        bench.compare(label("lse"), Element::F32, lse, &expected.lse, F32_LIMIT)?;
        bench.compare(label("dq"), element, dq, &expected.dq, element.limit())?;
        bench.compare(label("dk"), Element::F32, dk, &expected.dk, element.limit())?;
        bench.compare(label("dv"), Element::F32, dv, &expected.dv, element.limit())?;
    }
    Ok(())
}

/// Softmax and gradient of scores, with products made up front.
pub(super) fn scores(bench: &mut Bench, element: Element) -> Result<()> {
    for (rows, width, kv_heads, group) in [(1, 1, 1, 1), (3, 255, 2, 2), (2, 257, 1, 4), (2, 1000, 2, 1)] {
        let chunk = Chunk {
            kv_heads,
            rows,
            width,
            head_stride: group * rows,
            scale: 0.7,
        };
        let n = kv_heads * rows * width;
        // Scores of any size: their maximum must be subtracted.
        let s: Vec<f64> = (0..n).map(|_| 100.0 + 4.0 * bench.normal()).collect();
        let (s, s_values) = bench.put(Element::F32, &s)?;
        let (dp, dp_values) = bench.random(Element::F32, n)?;
        let (delta, delta_values) = bench.random(Element::F32, kv_heads * chunk.head_stride)?;
        let lse = bench.zeros(Element::F32, kv_heads * chunk.head_stride)?;
        let outputs = [0; 3].map(|_| bench.poisoned(element, n));
        let [p, p_again, ds] = outputs;
        let (p, p_again, ds) = (p?, p_again?, ds?);
        bench.run(&scores::softmax(element, chunk, s, p, lse))?;
        bench.run(&scores::gradient(
            element,
            chunk,
            [s, dp],
            [p_again, ds],
            [lse, delta],
        ))?;

        let scale = f64::from(chunk.scale);
        let mut expected_lse = vec![0.0; kv_heads * chunk.head_stride];
        let (mut expected_p, mut expected_ds) = (Vec::new(), Vec::new());
        for (row, (s, dp)) in s_values.chunks(width).zip(dp_values.chunks(width)).enumerate() {
            let figure = row / rows * chunk.head_stride + row % rows;
            let lse = log_sum_exp(s.iter().map(|x| x * scale));
            expected_lse[figure] = lse;
            for (s, dp) in s.iter().zip(dp) {
                let p = (s * scale - lse).exp();
                expected_p.push(p);
                expected_ds.push(scale * p * (dp - delta_values[figure]));
            }
        }
        let label = |what: &str| format!("score {what}, {element:?}, {kv_heads} x {rows} x {width}");
        // The scores' own rounding to f32 is amplified by the exponential.
        let limit = element.limit() * if element == Element::F32 { 10.0 } else { 1.0 };
        bench.compare(label("softmax"), element, p, &expected_p, limit)?;
        bench.compare(label("lse"), Element::F32, lse, &expected_lse, F32_LIMIT)?;
        bench.compare(label("p again"), element, p_again, &expected_p, limit)?;
        bench.compare(label("ds"), element, ds, &expected_ds, limit)?;
    }
    Ok(())
}

/// `lens` as boundaries.
fn boundaries(lens: &[u32]) -> Vec<u32> {
    let ends = lens.iter().scan(0, |end, len| {
        *end += len;
        Some(*end)
    });
    std::iter::once(0).chain(ends).collect()
}

fn log_sum_exp(x: impl Iterator<Item = f64> + Clone) -> f64 {
    let high = x.clone().fold(f64::NEG_INFINITY, f64::max);
    high + x.map(|x| (x - high).exp()).sum::<f64>().ln()
}

/// Attention by the definition.
struct Reference {
    o: Vec<f64>,
    lse: Vec<f64>,
    dq: Vec<f64>,
    dk: Vec<f64>,
    dv: Vec<f64>,
}

impl Reference {
    fn of(cu_seqlens: &[u32], sizes: Sizes, d: usize, [q, k, v, d_o]: [&[f64]; 4]) -> Self {
        let Sizes {
            n, heads, kv_heads, ..
        } = sizes;
        let scale = f64::from(sizes.scale);
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let add = |to: &mut [f64], factor: f64, from: &[f64]| {
            to.iter_mut().zip(from).for_each(|(to, x)| *to += factor * x);
        };
        let mut made = Self {
            o: vec![0.0; q.len()],
            lse: vec![0.0; n * heads],
            dq: vec![0.0; q.len()],
            dk: vec![0.0; k.len()],
            dv: vec![0.0; v.len()],
        };
        for segment in cu_seqlens.windows(2) {
            let segment = segment[0] as usize..segment[1] as usize;
            for (head, i) in (0..heads).flat_map(|head| segment.clone().map(move |i| (head, i))) {
                let own = (i * heads + head) * d..(i * heads + head + 1) * d;
                let kv = |j: usize| {
                    let at = (j * kv_heads + head / (heads / kv_heads)) * d;
                    at..at + d
                };
                let scores: Vec<f64> = segment
                    .clone()
                    .map(|j| scale * dot(&q[own.clone()], &k[kv(j)]))
                    .collect();
                let lse = log_sum_exp(scores.iter().copied());
                made.lse[head * n + i] = lse;
                for (j, score) in segment.clone().zip(&scores) {
                    add(&mut made.o[own.clone()], (score - lse).exp(), &v[kv(j)]);
                }
                let delta = dot(&made.o[own.clone()], &d_o[own.clone()]);
                for (j, score) in segment.clone().zip(&scores) {
                    let p = (score - lse).exp();
                    let ds = scale * p * (dot(&d_o[own.clone()], &v[kv(j)]) - delta);
                    add(&mut made.dq[own.clone()], ds, &k[kv(j)]);
                    add(&mut made.dk[kv(j)], ds, &q[own.clone()]);
                    add(&mut made.dv[kv(j)], p, &d_o[own.clone()]);
                }
            }
        }
        made
    }
}
