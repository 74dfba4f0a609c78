use candle_core::{DType, Device, Tensor, Var};

use super::{cross_attention, varlen_attention, varlen_attention_backward};
use crate::model::testing::{random, relative_error, values};

/// Queries, keys, values and an output gradient for `n` tokens.
fn inputs(n: usize, heads: usize, kv_heads: usize, d: usize, dtype: DType) -> [Tensor; 4] {
    [
        random(&[n, heads, d], 1, dtype),
        random(&[n, kv_heads, d], 2, dtype),
        random(&[n, kv_heads, d], 3, dtype),
        random(&[n, heads, d], 4, dtype),
    ]
}

fn boundaries(lengths: &[usize]) -> Vec<u32> {
    let mut ends = vec![0];
    ends.extend(lengths.iter().scan(0, |end, len| {
        *end += *len as u32;
        Some(*end)
    }));
    ends
}

/// The plain definition in f64: output `[n, H, D]` and log-sum-exp `[H, n]`.
fn plain(q: &Tensor, k: &Tensor, v: &Tensor, cu: &[u32], scale: f64) -> (Vec<f64>, Vec<f64>) {
    let (n, heads, d) = q.dims3().unwrap();
    let kv_heads = k.dim(1).unwrap();
    let (q, k, v) = (values(q), values(k), values(v));
    let (mut o, mut lse) = (vec![0.0; n * heads * d], vec![0.0; heads * n]);
    for pair in cu.windows(2) {
        let segment = pair[0] as usize..pair[1] as usize;
        for (i, head) in segment.clone().flat_map(|i| (0..heads).map(move |h| (i, h))) {
            let kv = head / (heads / kv_heads);
            let at = |j: usize| (j * kv_heads + kv) * d;
            let q = &q[(i * heads + head) * d..][..d];
            let dot = |j: usize| q.iter().zip(&k[at(j)..]).map(|(a, b)| a * b).sum::<f64>() * scale;
            let sum: f64 = segment.clone().map(|j| dot(j).exp()).sum();
            lse[head * n + i] = sum.ln();
            for j in segment.clone() {
                let p = dot(j).exp() / sum;
                for c in 0..d {
                    o[(i * heads + head) * d + c] += p * v[at(j) + c];
                }
            }
        }
    }
    (o, lse)
}

/// Shapes at and around the edges of the tiles: heads, key/value heads, width, segment lengths.
fn shapes() -> Vec<(usize, usize, usize, Vec<usize>)> {
    vec![
        (1, 1, 2, vec![1]),
        (4, 4, 16, vec![1, 7, 1, 64, 3]),
        (4, 2, 8, vec![127, 128, 129]),
        (8, 1, 4, vec![33, 2]),
        (2, 2, 8, vec![1023, 1025]),
        (3, 1, 6, vec![1100]),
    ]
}

#[test]
fn output_and_log_sum_exp_equal_the_plain_definition() {
    for (heads, kv_heads, d, lengths) in shapes() {
        let n = lengths.iter().sum();
        let cu = boundaries(&lengths);
        for (dtype, tolerance) in [(DType::F32, 1e-6), (DType::F64, 1e-12), (DType::BF16, 2e-2)] {
            let [q, k, v, _] = inputs(n, heads, kv_heads, d, dtype);
            let (o, lse) = varlen_attention(&q, &k, &v, &cu, 0.3).unwrap();
            assert_eq!((o.dims3().unwrap(), o.dtype()), ((n, heads, d), dtype));
            let (wanted, wanted_lse) = plain(&q, &k, &v, &cu, 0.3);
            let wanted = Tensor::from_vec(wanted, (n, heads, d), &Device::Cpu).unwrap();
            let wanted_lse = Tensor::from_vec(wanted_lse, (heads, n), &Device::Cpu).unwrap();
            let errors = (relative_error(&o, &wanted), relative_error(&lse, &wanted_lse));
            assert!(
                errors.0 < tolerance && errors.1 < tolerance,
                "{lengths:?} {dtype:?}: {errors:?}"
            );
        }
    }
}

/// Σ o · weights of the composed form in f64.
fn weighted(q: &Tensor, k: &Tensor, v: &Tensor, weights: &Tensor, cu: &[u32]) -> f64 {
    let (o, _) = varlen_attention(q, k, v, cu, 0.7).unwrap();
    values(&(o * weights).unwrap()).iter().sum()
}

#[test]
fn gradients_equal_finite_differences() {
    let lengths = [3, 1, 5];
    let cu = boundaries(&lengths);
    let [q, k, v, d_o] = inputs(9, 4, 2, 6, DType::F64);
    let (o, lse) = varlen_attention(&q, &k, &v, &cu, 0.7).unwrap();
    let (dq, dk, dv) = varlen_attention_backward(&q, &k, &v, &o, &lse, &d_o, &cu, 0.7).unwrap();
    let step = 1e-5;
    for (which, gradient) in [dq, dk, dv].iter().enumerate() {
        let found = values(gradient);
        for (index, found) in found.iter().enumerate().step_by(7) {
            let moved = |by: f64| {
                let mut all = [q.clone(), k.clone(), v.clone()];
                let mut x = values(&all[which]);
                x[index] += by;
                all[which] = Tensor::from_vec(x, all[which].shape(), &Device::Cpu).unwrap();
                weighted(&all[0], &all[1], &all[2], &d_o, &cu)
            };
            let wanted = (moved(step) - moved(-step)) / (2.0 * step);
            assert!(
                (found - wanted).abs() < 1e-7,
                "{which}, {index}: {found} {wanted}"
            );
        }
    }
}

#[test]
fn tiled_gradients_equal_the_composed_ones() {
    for (heads, kv_heads, d, lengths) in shapes() {
        let n = lengths.iter().sum();
        let cu = boundaries(&lengths);
        let run = |dtype: DType| {
            let [q, k, v, d_o] = inputs(n, heads, kv_heads, d, dtype);
            let (o, lse) = varlen_attention(&q, &k, &v, &cu, 0.3).unwrap();
            varlen_attention_backward(&q, &k, &v, &o, &lse, &d_o, &cu, 0.3).unwrap()
        };
        let (found, wanted) = (run(DType::F32), run(DType::F64));
        let errors = [
            relative_error(&found.0, &wanted.0),
            relative_error(&found.1, &wanted.1),
            relative_error(&found.2, &wanted.2),
        ];
        // A segment of one token has a softmax of one: q and k have no gradient but rounding.
        let alone = lengths == [1];
        assert!(
            errors[2] < 1e-5 && (alone || errors.iter().all(|&e| e < 1e-5)),
            "{lengths:?}: {errors:?}"
        );
    }
}

#[test]
fn composed_gradients_equal_those_of_automatic_differentiation() {
    let [q, k, v, d_o] = inputs(24, 4, 4, 8, DType::F64);
    let (o, lse) = varlen_attention(&q, &k, &v, &[0, 24], 0.5).unwrap();
    let found = varlen_attention_backward(&q, &k, &v, &o, &lse, &d_o, &[0, 24], 0.5).unwrap();
    let vars =
        [q, k, v].map(|x| Var::from_tensor(&x.transpose(0, 1).unwrap().contiguous().unwrap()).unwrap());
    let [q, k, v] = vars.each_ref().map(Var::as_tensor);
    let scores = (q.matmul(&k.t().unwrap()).unwrap() * 0.5).unwrap().exp().unwrap();
    let p = scores.broadcast_div(&scores.sum_keepdim(2).unwrap()).unwrap();
    let o = p.matmul(v).unwrap().transpose(0, 1).unwrap();
    let store = (o * d_o).unwrap().sum_all().unwrap().backward().unwrap();
    for (var, found) in vars.iter().zip([found.0, found.1, found.2]) {
        let wanted = store.get(var).unwrap().transpose(0, 1).unwrap();
        assert!(relative_error(&found, &wanted) < 1e-12);
    }
}

#[test]
fn queries_of_another_count_see_every_key() {
    let [q, k, v, _] = inputs(300, 4, 2, 8, DType::F32);
    let (o, _) = varlen_attention(&q, &k, &v, &[0, 300], 0.4).unwrap();
    let some = q.narrow(0, 40, 200).unwrap();
    for dtype in [DType::F32, DType::F64] {
        let cast = |x: &Tensor| x.to_dtype(dtype).unwrap();
        let found = cross_attention(&cast(&some), &cast(&k), &cast(&v), 0.4).unwrap();
        assert!(relative_error(&found, &o.narrow(0, 40, 200).unwrap()) < 1e-6);
    }
    assert!(
        cross_attention(
            &some,
            &k.narrow(0, 0, 0).unwrap(),
            &v.narrow(0, 0, 0).unwrap(),
            0.4
        )
        .is_err()
    );
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    let lengths = [700, 3, 1, 1500];
    let cu = boundaries(&lengths);
    let [q, k, v, d_o] = inputs(2204, 6, 3, 8, DType::F32);
    let run = |threads: usize| -> Vec<Vec<f64>> {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let (o, lse) = varlen_attention(&q, &k, &v, &cu, 0.3).unwrap();
            let (dq, dk, dv) = varlen_attention_backward(&q, &k, &v, &o, &lse, &d_o, &cu, 0.3).unwrap();
            [o, lse, dq, dk, dv].iter().map(values).collect()
        })
    };
    let one = run(1);
    assert!(one == run(3) && one == run(8));
}

#[test]
fn large_scores_neither_overflow_nor_vanish() {
    let [q, k, v, _] = inputs(40, 1, 1, 8, DType::F32);
    let (o, lse) = varlen_attention(&(q * 100.0).unwrap(), &(k * 100.0).unwrap(), &v, &[0, 40], 1.0).unwrap();
    assert!(values(&o).iter().chain(&values(&lse)).all(|x| x.is_finite()));
    // The softmax picks one key, so each output is one of the values.
    let (o, v) = (values(&o), values(&v));
    let is_a_value = |row: &[f64]| {
        v.chunks(8)
            .any(|v| v.iter().zip(row).all(|(a, b)| (a - b).abs() < 1e-3))
    };
    assert!(o.chunks(8).filter(|row| is_a_value(row)).count() > 35);
}

#[test]
fn segments_and_shapes_that_do_not_fit_are_errors() {
    let [q, k, v, _] = inputs(4, 3, 3, 2, DType::F32);
    for cu in [
        &[][..],
        &[0],
        &[0, 3],
        &[1, 4],
        &[0, 2, 2, 4],
        &[0, 3, 2, 4],
        &[0, 5],
    ] {
        assert!(varlen_attention(&q, &k, &v, cu, 1.0).is_err(), "{cu:?}");
    }
    let two_heads = k.narrow(1, 0, 2).unwrap().contiguous().unwrap();
    assert!(varlen_attention(&q, &two_heads, &two_heads, &[0, 4], 1.0).is_err());
    assert!(varlen_attention(&q, &k, &v.to_dtype(DType::F64).unwrap(), &[0, 4], 1.0).is_err());
}
