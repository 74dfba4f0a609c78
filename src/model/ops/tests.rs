//! Each operation: composed against finite differences in f64, fused against composed.

use candle_core::{DType, Device, Tensor};

use super::{gather_rows, rms_norm, rms_norm_backward, scatter_add_rows, swiglu, swiglu_backward};
use crate::model::rope::rotate;
use crate::model::testing::{random, relative_error, values};

const EPS: f64 = 1e-5;

/// An operation of two tensors, its gradients, and where to try it.
struct Operation {
    name: &'static str,
    inputs: fn(DType) -> [Tensor; 2],
    forward: fn(&Tensor, &Tensor) -> Tensor,
    backward: fn(&Tensor, &Tensor, &Tensor) -> (Tensor, Option<Tensor>),
}

fn operations() -> Vec<Operation> {
    vec![
        Operation {
            name: "rms_norm",
            inputs: |dtype| [random(&[70, 37], 1, dtype), random(&[37], 2, dtype)],
            forward: |x, gain| rms_norm(x, gain, EPS).unwrap(),
            backward: |x, gain, dy| {
                let (dx, d_gain) = rms_norm_backward(x, gain, EPS, dy).unwrap();
                (dx, Some(d_gain))
            },
        },
        Operation {
            name: "swiglu",
            inputs: |dtype| [random(&[70, 37], 1, dtype), random(&[70, 37], 2, dtype)],
            forward: |gate, up| swiglu(gate, up).unwrap(),
            backward: |gate, up, dy| {
                let (d_gate, d_up) = swiglu_backward(gate, up, dy).unwrap();
                (d_gate, Some(d_up))
            },
        },
        Operation {
            name: "rotate",
            // The second is a table of angles, which has no gradient.
            inputs: |dtype| [random(&[70, 3, 10], 1, dtype), random(&[70, 5], 2, DType::F32)],
            forward: |x, angles| rotate(x, &angles.cos().unwrap(), &angles.sin().unwrap(), false).unwrap(),
            backward: |_, angles, dy| {
                (
                    rotate(dy, &angles.cos().unwrap(), &angles.sin().unwrap(), true).unwrap(),
                    None,
                )
            },
        },
    ]
}

#[test]
fn gradients_equal_finite_differences() {
    for operation in operations() {
        let inputs = (operation.inputs)(DType::F64);
        let output = (operation.forward)(&inputs[0], &inputs[1]);
        let dy = random(output.dims(), 9, DType::F64);
        let (first, second) = (operation.backward)(&inputs[0], &inputs[1], &dy);
        for (which, gradient) in [Some(first), second].into_iter().enumerate() {
            let Some(gradient) = gradient else { continue };
            for (index, found) in values(&gradient).into_iter().enumerate().step_by(11) {
                let moved = |by: f64| -> f64 {
                    let mut inputs = inputs.clone();
                    let mut x = values(&inputs[which]);
                    x[index] += by;
                    inputs[which] = Tensor::from_vec(x, inputs[which].shape(), &Device::Cpu).unwrap();
                    let output = (operation.forward)(&inputs[0], &inputs[1]);
                    values(&(output * &dy).unwrap()).iter().sum()
                };
                let wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5;
                let name = operation.name;
                assert!(
                    (found - wanted).abs() < 1e-7,
                    "{name} {which} {index}: {found} {wanted}"
                );
            }
        }
    }
}

#[test]
fn fused_loops_equal_the_composed_operations() {
    for operation in operations() {
        let run = |dtype: DType| {
            let inputs = (operation.inputs)(dtype);
            let output = (operation.forward)(&inputs[0], &inputs[1]);
            let dy = random(output.dims(), 9, dtype);
            let (first, second) = (operation.backward)(&inputs[0], &inputs[1], &dy);
            let second = second.unwrap_or_else(|| first.clone());
            [output, first, second]
        };
        let (fused, composed, rounded) = (run(DType::F32), run(DType::F64), run(DType::BF16));
        for index in 0..3 {
            let error = relative_error(&fused[index], &composed[index]);
            assert!(error < 1e-6, "{} {index}: {error:e}", operation.name);
            let error = relative_error(&rounded[index], &composed[index]);
            assert!(error < 1.5e-2, "{} {index} in bf16: {error:e}", operation.name);
        }
    }
}

#[test]
fn rows_are_gathered_and_their_gradients_summed_by_number() {
    let table = random(&[300, 6], 1, DType::F32);
    let numbers = [7u32, 299, 7, 0, 7, 140];
    let gathered = gather_rows(&table, &numbers).unwrap();
    let wanted = table
        .index_select(&Tensor::new(&numbers, &Device::Cpu).unwrap(), 0)
        .unwrap();
    assert_eq!(values(&gathered), values(&wanted));
    assert!(gather_rows(&table, &[300]).is_err());

    let rows = random(&[6, 6], 2, DType::F32);
    let sums = random(&[300, 6], 3, DType::F32);
    let index = Tensor::new(&numbers, &Device::Cpu).unwrap();
    let wanted = sums.index_add(&index, &rows, 0).unwrap();
    scatter_add_rows(&sums, &numbers, &rows).unwrap();
    assert!(relative_error(&sums, &wanted) < 1e-6);
}
