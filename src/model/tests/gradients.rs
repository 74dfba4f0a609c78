//! What backward passes promise beyond their values.

use candle_core::DType;

use super::families::{dream, llada};
use crate::model::testing::{Noisy, loss_and_gradients, made, relative_error, values};
use crate::model::{Gradients, LoraOptions, Model};

fn gradients(model: &Model, row: &Noisy) -> Gradients {
    let mut grads = Gradients::zeros(model).unwrap();
    loss_and_gradients(model, row, &mut grads);
    grads
}

#[test]
fn the_number_of_threads_does_not_change_a_bit_of_loss_or_gradients() {
    let model = made(&llada().to_string(), 1);
    let row = Noisy::random(model.config(), &[300, 20, 1], 2);
    let run = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new()
            .num_threads(threads)
            .build()
            .unwrap();
        pool.install(|| {
            let mut grads = Gradients::zeros(&model).unwrap();
            let loss = loss_and_gradients(&model, &row, &mut grads);
            let all: Vec<Vec<f64>> = grads.iter().map(|(_, gradient)| values(gradient)).collect();
            (loss.loss, loss.ce, all)
        })
    };
    let one = run(1);
    assert!(one == run(2) && one == run(7));
}

#[test]
fn gradients_of_several_rows_add_up_and_can_be_cleared() {
    let model = made(&dream().to_string(), 1);
    let rows = [
        Noisy::random(model.config(), &[30], 2),
        Noisy::random(model.config(), &[7, 9], 3),
    ];
    let mut both = gradients(&model, &rows[0]);
    loss_and_gradients(&model, &rows[1], &mut both);
    let (first, second) = (gradients(&model, &rows[0]), gradients(&model, &rows[1]));
    for (index, sum) in both.iter() {
        let parts = (first.get(index).unwrap() + second.get(index).unwrap()).unwrap();
        assert!(
            relative_error(sum, &parts) < 1e-5,
            "{}",
            model.params()[index].name
        );
    }
    both.clear().unwrap();
    assert_eq!(both.squared_norm().unwrap(), 0.0);
}

#[test]
fn in_bfloat16_gradients_are_those_of_float32_up_to_rounding() {
    let text = llada().to_string();
    let (exact, mut rounded) = (made(&text, 1), made(&text, 1));
    for param in &mut rounded.params {
        param.tensor = param.tensor.to_dtype(DType::BF16).unwrap();
    }
    let row = Noisy::random(exact.config(), &[40, 30], 2);
    let (wanted, found) = (gradients(&exact, &row), gradients(&rounded, &row));
    for (index, gradient) in found.iter() {
        assert_eq!(gradient.dtype(), DType::F32);
        let error = relative_error(gradient, wanted.get(index).unwrap());
        assert!(error < 5e-2, "{}: {error}", exact.params()[index].name);
    }
}

#[test]
fn adapters_start_without_effect_train_alone_and_merge() {
    let mut model = made(&dream().to_string(), 1);
    let row = Noisy::random(model.config(), &[12, 8], 4);
    let loss = |model: &Model| loss_and_gradients(model, &row, &mut Gradients::zeros(model).unwrap()).loss;
    let (plain, n_params) = (loss(&model), model.params().len());
    let options = LoraOptions {
        rank: 4,
        alpha: 8.0,
        targets: ["q", "k", "v", "o", "gate", "up", "down"]
            .map(str::to_owned)
            .to_vec(),
    };
    model.attach_lora(&options, 7).unwrap();
    assert_eq!(loss(&model), plain);
    let grads = gradients(&model, &row);
    assert_eq!(grads.iter().count(), 2 * 7 * 2);
    assert!(
        grads
            .iter()
            .all(|(index, _)| index >= n_params && model.is_trainable(index))
    );
    // One step of plain descent on B, then on both: every adapter is reached.
    for _ in 0..2 {
        let grads = gradients(&model, &row);
        for (index, gradient) in grads.iter() {
            let step = (gradient * 0.02).unwrap();
            let new = (&model.params()[index].tensor - step).unwrap();
            model.set_param(index, new).unwrap();
        }
    }
    let grads = gradients(&model, &row);
    for (index, gradient) in grads.iter() {
        let norm: f64 = values(gradient).iter().map(|g| g * g).sum();
        assert!(norm > 0.0, "{}", model.params()[index].name);
    }
    let trained = loss(&model);
    assert!(trained < plain - 1e-3, "{trained} {plain}");
    model.merge_lora().unwrap();
    assert_eq!(model.params().len(), n_params);
    assert!((loss(&model) - trained).abs() < 1e-4 && model.is_trainable(0));
}

#[test]
fn wrong_adapters_are_errors_and_leave_the_model_as_it_was() {
    let mut model = made(&llada().to_string(), 1);
    let n_params = model.params().len();
    let options = |rank: usize, targets: &[&str]| LoraOptions {
        rank,
        alpha: 1.0,
        targets: targets.iter().map(|&t| t.to_owned()).collect(),
    };
    for wrong in [
        options(0, &["q"]),
        options(4, &[]),
        options(99, &["q"]),
        options(4, &["q", "qkv"]),
        options(4, &["q", "q"]),
    ] {
        assert!(model.attach_lora(&wrong, 0).is_err(), "{wrong:?}");
        assert_eq!((model.params().len(), model.is_trainable(0)), (n_params, true));
    }
    model.attach_lora(&options(4, &["q"]), 0).unwrap();
    assert!(model.attach_lora(&options(4, &["k"]), 0).is_err());
    let directory = tempfile::tempdir().unwrap();
    assert!(model.save(directory.path(), DType::F32).is_err());
}
