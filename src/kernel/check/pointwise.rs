//! RoPE, SwiGLU and sums.

use super::bench::Bench;
use crate::error::Result;
use crate::kernel::{Element, pointwise};

pub(super) fn all(bench: &mut Bench, element: Element) -> Result<()> {
    for shape in [[1, 1, 2], [5, 3, 64], [3, 2, 128]] {
        rope(bench, element, shape)?;
    }
    for n in [1, 255, 257, 5000] {
        swiglu(bench, element, n)?;
        accumulate(bench, element, n)?;
    }
    Ok(())
}

fn accumulate(bench: &mut Bench, element: Element, n: usize) -> Result<()> {
    let (sum, sums) = bench.random(Element::F32, n)?;
    let (x, xs) = bench.random(element, n)?;
    bench.run(&pointwise::accumulate(element, n, sum, x))?;
    let expected: Vec<f64> = sums.iter().zip(&xs).map(|(sum, x)| sum + x).collect();
    let label = format!("accumulate, {element:?}, {n}");
    // Only the sum is rounded, whatever the type of x: the limit is that of f32.
    bench.compare(label, Element::F32, sum, &expected, Element::F32.limit())
}

fn rope(bench: &mut Bench, element: Element, [n, heads, dim]: [usize; 3]) -> Result<()> {
    let half = dim / 2;
    let angles: Vec<f64> = (0..n * half).map(|_| bench.uniform() * 100.0).collect();
    let (x, x_values) = bench.random(element, n * heads * dim)?;
    let (cosine, cosines) = bench.put(Element::F32, &angles.iter().map(|a| a.cos()).collect::<Vec<_>>())?;
    let (sine, sines) = bench.put(Element::F32, &angles.iter().map(|a| a.sin()).collect::<Vec<_>>())?;
    for (back, sign) in [(false, 1.0), (true, -1.0)] {
        let y = bench.poisoned(element, n * heads * dim)?;
        bench.run(&pointwise::rope(
            element,
            [n, heads, dim],
            back,
            [x, y],
            [cosine, sine],
        ))?;
        let mut expected = x_values.clone();
        for (row, x) in x_values.chunks(dim).enumerate() {
            for pair in 0..half {
                let angle = row / heads * half + pair;
                let (c, s) = (cosines[angle], sign * sines[angle]);
                expected[row * dim + pair] = x[pair] * c - x[pair + half] * s;
                expected[row * dim + pair + half] = x[pair + half] * c + x[pair] * s;
            }
        }
        let direction = if back { " back" } else { "" };
        let label = format!("rope{direction}, {element:?}, {n} x {heads} x {dim}");
        bench.compare(label, element, y, &expected, element.limit())?;
    }
    Ok(())
}

fn swiglu(bench: &mut Bench, element: Element, n: usize) -> Result<()> {
    let (gate, gates) = bench.random(element, n)?;
    let (up, ups) = bench.random(element, n)?;
    let (dy, dys) = bench.random(element, n)?;
    let out = [0; 3].map(|_| bench.poisoned(element, n));
    let [y, d_gate, d_up] = out;
    let (y, d_gate, d_up) = (y?, d_gate?, d_up?);
    bench.run(&pointwise::swiglu(element, n, gate, up, y))?;
    bench.run(&pointwise::swiglu_backward(
        element,
        n,
        [gate, up, dy],
        [d_gate, d_up],
    ))?;

    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let expect = |f: &dyn Fn(f64, f64, f64) -> f64| -> Vec<f64> {
        (0..n).map(|i| f(gates[i], ups[i], dys[i])).collect()
    };
    let label = |what: &str| format!("swiglu {what}, {element:?}, {n}");
    let limit = element.limit();
    bench.compare(
        label("y"),
        element,
        y,
        &expect(&|g, u, _| g * sigmoid(g) * u),
        limit,
    )?;
    bench.compare(
        label("d up"),
        element,
        d_up,
        &expect(&|g, _, d| d * g * sigmoid(g)),
        limit,
    )?;
    let slope = |g: f64| sigmoid(g) * (1.0 + g * (1.0 - sigmoid(g)));
    bench.compare(
        label("d gate"),
        element,
        d_gate,
        &expect(&|g, u, d| d * u * slope(g)),
        limit,
    )
}
