//! The objective, the passes and the optimizer together, against the reference implementation's numbers in
//! `fixtures/parity`.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};

use super::objective::Masked;
use super::optimizer::Optimizer;
use super::recipe::{self, Decay, StateDtype};
use super::{Loss, forward, forward_backward};
use crate::dataset::RealTokens;
use crate::error::Error;
use crate::model::{Gradients, LoadOptions, Model, RopeScaling};

fn fixtures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/parity")
}

fn reference() -> HashMap<String, Tensor> {
    candle_core::safetensors::load(fixtures().join("expected.safetensors"), &Device::Cpu).unwrap()
}

fn model() -> Model {
    let options = LoadOptions {
        device: Device::Cpu,
        dtype: DType::F32,
        rope: RopeScaling::NONE,
    };
    Model::load(&fixtures(), &options).unwrap()
}

fn numbers(tensor: &Tensor) -> Vec<f64> {
    let flat = tensor.flatten_all().unwrap().to_dtype(DType::F64).unwrap();
    flat.to_vec1().unwrap()
}

fn ids(tensor: &Tensor) -> Vec<u32> {
    numbers(tensor).into_iter().map(|id| id as u32).collect()
}

fn row(ids: Vec<u32>, segments: Vec<u32>) -> RealTokens {
    RealTokens {
        positions: (0..ids.len() as u32).collect(),
        cu_seqlens: segments.clone(),
        segments,
        ids,
    }
}

/// Rows and masks of the case `loss`: two rows, one t per row.
fn loss_case(expected: &HashMap<String, Tensor>) -> Vec<(RealTokens, Masked)> {
    let (clean, u, t) = (
        &expected["loss.clean"],
        numbers(&expected["loss.u"]),
        numbers(&expected["loss.t"]),
    );
    let (n_rows, n) = clean.dims2().unwrap();
    let clean = ids(clean);
    (0..n_rows)
        .map(|index| {
            let tokens = row(clean[index * n..][..n].to_vec(), vec![0, n as u32]);
            let p = (1.0 - 1e-3) * t[index] + 1e-3;
            let scale = 1.0 / (n_rows * n) as f64;
            let masked = Masked::draw(&tokens.segments, &[p], scale, |i| u[index * n + i as usize]);
            (tokens, masked)
        })
        .collect()
}

fn step(model: &Model, rows: &[(RealTokens, Masked)], gradients: &mut Gradients) -> Loss {
    gradients.clear().unwrap();
    let mut loss = Loss::default();
    for (tokens, masked) in rows {
        loss.add(&forward_backward(model, tokens, masked, gradients).unwrap());
    }
    loss
}

fn settings() -> recipe::Optimizer {
    recipe::Optimizer {
        lr: 1e-3,
        beta1: 0.9,
        beta2: 0.95,
        eps: 1e-8,
        weight_decay: 0.1,
        decay: Decay::All,
        state: StateDtype::F32,
        offload: false,
        clip_norm: 0.0,
    }
}

#[test]
fn the_loss_and_its_masks_equal_the_reference() {
    let expected = reference();
    let rows = loss_case(&expected);
    let noisy: Vec<u32> = rows
        .iter()
        .flat_map(|(tokens, masked)| masked.apply(&tokens.ids, 511).0)
        .collect();
    assert_eq!(noisy, ids(&expected["loss.noisy"]));
    let model = model();
    let mut loss = Loss::default();
    rows.iter()
        .for_each(|(tokens, masked)| loss.add(&forward(&model, tokens, masked).unwrap()));
    let wanted = numbers(&expected["loss.value"])[0];
    assert!(
        (loss.weighted - wanted).abs() < 1e-5,
        "{} and {wanted}",
        loss.weighted
    );
    assert_eq!(loss.n_masked as usize, expected["loss.token_loss"].elem_count());
}

#[test]
fn the_loss_of_a_packed_row_with_one_t_per_document_equals_the_reference() {
    let expected = reference();
    let clean = ids(&expected["packed.clean"]);
    let documents = ids(&expected["packed.doc_ids"]);
    let n = clean.len() as u32;
    let mut segments: Vec<u32> = (1..n)
        .filter(|&i| documents[i as usize] != documents[i as usize - 1])
        .collect();
    segments.insert(0, 0);
    segments.push(n);
    let p: Vec<f64> = numbers(&expected["packed.t_doc"])
        .iter()
        .map(|t| (1.0 - 1e-3) * t + 1e-3)
        .collect();
    let u = numbers(&expected["packed.u"]);
    let masked = Masked::draw(&segments, &p, 1.0 / f64::from(n), |i| u[i as usize]);
    let tokens = row(clean, segments);
    assert_eq!(masked.apply(&tokens.ids, 511).0, ids(&expected["packed.noisy"]));
    let loss = forward(&model(), &tokens, &masked).unwrap().weighted;
    let wanted = numbers(&expected["packed.value"])[0];
    assert!((loss - wanted).abs() < 1e-5, "{loss} and {wanted}");
}

#[test]
fn six_steps_of_adamw_give_the_losses_and_the_weight_of_the_reference() {
    let expected = reference();
    let rows = loss_case(&expected);
    let mut model = model();
    let mut gradients = Gradients::zeros(&model).unwrap();
    let mut optimizer = Optimizer::new(&model, &settings(), 0).unwrap();
    for (count, wanted) in (1..).zip(numbers(&expected["adamw.losses"])) {
        let loss = step(&model, &rows, &mut gradients).weighted;
        assert!((loss - wanted).abs() < 1e-4, "step {count}: {loss} and {wanted}");
        optimizer
            .update(&mut model, &gradients, count, 1e-3, 1.0)
            .unwrap();
    }
    let name = "model.transformer.blocks.0.q_proj.weight";
    let found = model.params().iter().find(|param| param.name == name).unwrap();
    let wanted = numbers(&expected[&format!("adamw.after6.{name}")]);
    let worst = numbers(&found.tensor)
        .into_iter()
        .zip(wanted)
        .map(|(a, b)| (a - b).abs());
    let worst = worst.fold(0.0, f64::max);
    assert!(worst < 1e-4, "{worst:e}");
}

#[test]
fn accumulated_gradients_are_those_of_the_rows_alone_added_up() {
    let rows = loss_case(&reference());
    let model = model();
    let mut both = Gradients::zeros(&model).unwrap();
    let mut alone = Gradients::zeros(&model).unwrap();
    step(&model, &rows, &mut both);
    let mut sums: Vec<Vec<f64>> = both.iter().map(|(_, g)| vec![0.0; g.elem_count()]).collect();
    for one in rows {
        step(&model, &[one], &mut alone);
        for (sum, (_, gradient)) in sums.iter_mut().zip(alone.iter()) {
            sum.iter_mut()
                .zip(numbers(gradient))
                .for_each(|(sum, g)| *sum += g);
        }
    }
    for (sum, (index, gradient)) in sums.iter().zip(both.iter()) {
        let worst = sum
            .iter()
            .zip(numbers(gradient))
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f64::max);
        assert!(worst < 1e-6, "{}: {worst:e}", model.params()[index].name);
        assert!(
            sum.iter().any(|&g| g != 0.0),
            "{} has no gradient",
            model.params()[index].name
        );
    }
}

#[test]
fn a_restored_state_goes_on_to_the_same_bits_and_one_of_another_shape_is_refused() {
    for state in [StateDtype::F32, StateDtype::Bf16] {
        let rows = loss_case(&reference());
        let settings = recipe::Optimizer { state, ..settings() };
        let mut model = model();
        let mut gradients = Gradients::zeros(&model).unwrap();
        let mut optimizer = Optimizer::new(&model, &settings, 7).unwrap();
        step(&model, &rows, &mut gradients);
        optimizer.update(&mut model, &gradients, 1, 1e-3, 1.0).unwrap();
        let saved: HashMap<String, (DType, Vec<u8>)> = optimizer
            .saved()
            .map(|part| {
                let bytes = part.bytes().unwrap().into_owned();
                (part.name, (part.dtype, bytes))
            })
            .collect();
        let mut restored = Optimizer::new(&model, &settings, 7).unwrap();
        let get = |name: &str| saved.get(name).map(|(dtype, bytes)| (*dtype, &bytes[..]));
        let unfit = |name: &str| Error::usage(name.to_owned());
        restored.restore(get, unfit).unwrap();
        let bits = |optimizer: &Optimizer| -> Vec<Vec<u8>> {
            let parts = optimizer.saved();
            parts.map(|part| part.bytes().unwrap().into_owned()).collect()
        };
        assert_eq!(bits(&restored), bits(&optimizer));
        let missing = restored.restore(|name| get(name).filter(|_| !name.contains("ln_f")), unfit);
        assert_eq!(
            missing.unwrap_err().to_string(),
            "m.model.transformer.ln_f.weight"
        );
        let short = restored.restore(|name| get(name).map(|(dtype, bytes)| (dtype, &bytes[4..])), unfit);
        assert!(short.is_err());
    }
}

#[test]
fn weights_in_sixteen_bits_learn_with_32_bit_copies_and_with_random_rounding() {
    let rows = loss_case(&reference());
    for state in [StateDtype::F32, StateDtype::Bf16] {
        let settings = recipe::Optimizer { state, ..settings() };
        let options = LoadOptions {
            device: Device::Cpu,
            dtype: DType::BF16,
            rope: RopeScaling::NONE,
        };
        let mut model = Model::load(&fixtures(), &options).unwrap();
        let mut gradients = Gradients::zeros(&model).unwrap();
        let mut optimizer = Optimizer::new(&model, &settings, 0).unwrap();
        let mut losses = Vec::new();
        for count in 1..=6 {
            losses.push(step(&model, &rows, &mut gradients).weighted);
            optimizer
                .update(&mut model, &gradients, count, 1e-3, 1.0)
                .unwrap();
        }
        // The reference goes from 6.48 to 4.58 in 32 bits.
        assert!(
            (losses[0] - 6.48).abs() < 0.1 && (losses[5] - 4.58).abs() < 0.2,
            "{losses:?}"
        );
        let masters = optimizer
            .saved()
            .filter(|part| part.name.starts_with("master."))
            .count();
        assert_eq!(masters > 0, state == StateDtype::F32);
    }
}
