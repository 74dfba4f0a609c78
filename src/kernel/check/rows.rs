//! RMSNorm, cross-entropy and the embedding's gradient.

use super::F32_LIMIT;
use super::bench::Bench;
use crate::error::Result;
use crate::kernel::embedding::{self, Order};
use crate::kernel::{Element, rows};

pub(super) fn all(bench: &mut Bench, element: Element) -> Result<()> {
    for shape in [[1, 8], [3, 256], [270, 100], [2, 1000]] {
        norm(bench, element, shape)?;
    }
    for shape in [[1, 3], [2, 255], [3, 257], [2, 5000]] {
        cross_entropy(bench, element, shape)?;
    }
    for (n, width) in [(1, 8), (300, 64), (700, 260)] {
        embedding(bench, element, n, width)?;
    }
    Ok(())
}

fn norm(bench: &mut Bench, element: Element, [n, width]: [usize; 2]) -> Result<()> {
    let eps = 1e-3;
    let (x, x_values) = bench.random(element, n * width)?;
    let (gain, gain_values) = bench.random(element, width)?;
    let (dy, dy_values) = bench.random(element, n * width)?;
    let (y, dx) = (
        bench.poisoned(element, n * width)?,
        bench.poisoned(element, n * width)?,
    );
    let sums = bench.poisoned(Element::F32, rows::norm_blocks(n) * width)?;
    let (gain_gradient, gain_before) = bench.random(Element::F32, width)?;
    bench.run(&rows::rms_norm(element, [n, width], eps, x, gain, y))?;
    bench.run(&rows::rms_norm_backward(
        element,
        [n, width],
        eps,
        [x, gain, dy],
        dx,
        sums,
    ))?;
    bench.run(&rows::add_column_sums(
        rows::norm_blocks(n),
        width,
        sums,
        gain_gradient,
    ))?;

    let (mut expected_y, mut expected_dx, mut expected_gain) = (Vec::new(), Vec::new(), gain_before);
    for (x, dy) in x_values.chunks(width).zip(dy_values.chunks(width)) {
        let mean = |f: &dyn Fn(usize) -> f64| (0..width).map(f).sum::<f64>() / width as f64;
        let inverse = 1.0 / (mean(&|j| x[j] * x[j]) + f64::from(eps)).sqrt();
        let projection = mean(&|j| dy[j] * gain_values[j] * x[j] * inverse);
        for j in 0..width {
            let normal = x[j] * inverse;
            expected_y.push(normal * gain_values[j]);
            expected_dx.push(inverse * (dy[j] * gain_values[j] - normal * projection));
            expected_gain[j] += dy[j] * normal;
        }
    }
    let label = |what: &str| format!("rms norm {what}, {element:?}, {n} x {width}");
    bench.compare(label("y"), element, y, &expected_y, element.limit())?;
    bench.compare(label("dx"), element, dx, &expected_dx, element.limit())?;
    bench.compare(
        label("gain"),
        Element::F32,
        gain_gradient,
        &expected_gain,
        F32_LIMIT,
    )
}

fn cross_entropy(bench: &mut Bench, element: Element, [n, vocab]: [usize; 2]) -> Result<()> {
    let logits: Vec<f64> = (0..n * vocab).map(|_| 30.0 + 3.0 * bench.normal()).collect();
    let (logits, values) = bench.put(element, &logits)?;
    let targets: Vec<u32> = (0..n).map(|_| (bench.uniform() * vocab as f64) as u32).collect();
    let (weights, weight_values) = bench.random(Element::F32, n)?;
    let on_machine = bench.upload(bytemuck::cast_slice(&targets))?;
    let ce = bench.poisoned(Element::F32, n)?;
    bench.run(&rows::cross_entropy(
        element,
        [n, vocab],
        logits,
        on_machine,
        weights,
        ce,
    ))?;

    let (mut expected_ce, mut expected) = (Vec::new(), Vec::new());
    for ((row, &target), weight) in values.chunks(vocab).zip(&targets).zip(&weight_values) {
        let sum: f64 = row.iter().map(|x| (x - 30.0).exp()).sum();
        expected_ce.push(30.0 + sum.ln() - row[target as usize]);
        for (j, x) in row.iter().enumerate() {
            let own = f64::from(u8::from(j == target as usize));
            expected.push(weight * ((x - 30.0).exp() / sum - own));
        }
    }
    let label = |what: &str| format!("cross-entropy {what}, {element:?}, {n} x {vocab}");
    bench.compare(label("ce"), Element::F32, ce, &expected_ce, F32_LIMIT)?;
    bench.compare(label("gradient"), element, logits, &expected, element.limit())
}

fn embedding(bench: &mut Bench, element: Element, n: usize, width: usize) -> Result<()> {
    let vocab = 50u32;
    // Half of the positions hold one id, as masked ones do.
    let id = |bench: &mut Bench| match bench.uniform() < 0.5 {
        true => 7,
        false => (bench.uniform() * f64::from(vocab)) as u32,
    };
    let ids: Vec<u32> = (0..n).map(|_| id(bench)).collect();
    let (dx, dx_values) = bench.random(element, n * width)?;
    let (table, mut expected) = bench.random(Element::F32, vocab as usize * width)?;
    let made = Order::of(&ids);
    let lists = [
        bench.upload(bytemuck::cast_slice(&made.order))?,
        bench.upload(bytemuck::cast_slice(&made.pieces))?,
        bench.upload(bytemuck::cast_slice(&made.several))?,
    ];
    let partial = bench.poisoned(Element::F32, made.n_slots * width)?;
    for call in embedding::add(element, width, &made, dx, lists, table, partial) {
        bench.run(&call)?;
    }
    for (&id, dx) in ids.iter().zip(dx_values.chunks(width)) {
        let row = &mut expected[id as usize * width..][..width];
        row.iter_mut().zip(dx).for_each(|(to, x)| *to += x);
    }
    let label = format!("embedding gradient, {element:?}, {n} x {width}");
    bench.compare(label, Element::F32, table, &expected, F32_LIMIT)
}
