//! Against the reference implementation's float32 numbers; see `fixtures/parity/README.md`.

use std::collections::HashMap;

use candle_core::Tensor;

use crate::model::testing::{
    Noisy, boundaries, ids, largest_difference, loss_and_gradients, manifest, parity_model, relative_error,
    tensors, values,
};
use crate::model::{Gradients, Model, Rope, RopeScaling, Tokens};

/// The smallest masking probability of the reference.
const EPS: f32 = 1e-3;

/// The model with another base, as a checkpoint with that `rope_theta` would have.
fn with_theta(theta: f64) -> Model {
    let mut model = parity_model();
    model.rope = Rope::new(theta, model.config().head_dim, &RopeScaling::NONE).unwrap();
    model
}

/// Logits of a case and what they should be.
fn case(name: &str, expected: &HashMap<String, Tensor>) -> (Tensor, Tensor) {
    let about = &manifest()["cases"][format!("mha/{name}")];
    let get = |key: &str| expected.get(&format!("{name}.{key}"));
    let input = ids(get("input_ids").unwrap());
    let n = input.len() as u32;
    let positions = get("position_ids").map_or_else(|| (0..n).collect(), ids);
    let cu_seqlens = match about["doc_mask"].as_bool().unwrap() {
        true => boundaries(&ids(get("doc_ids").unwrap())),
        false => vec![0, n],
    };
    let model = with_theta(about["theta"].as_f64().unwrap());
    let tokens = Tokens {
        ids: &input,
        positions: &positions,
        cu_seqlens: &cu_seqlens,
    };
    let hidden = model.hidden(&tokens).unwrap();
    let rows = get("rows").map_or_else(|| (0..n).collect(), ids);
    let logits = model.logits(&hidden, &rows, &cu_seqlens).unwrap();
    (logits, get("logits").unwrap().clone())
}

#[test]
fn logits_equal_the_reference_in_every_case() {
    let expected = tensors("expected.safetensors");
    let mut names: Vec<&str> = expected
        .keys()
        .filter_map(|key| key.strip_suffix(".logits"))
        .collect();
    names.sort_unstable();
    assert_eq!(names.len(), 11, "{names:?}");
    for name in names {
        let (found, wanted) = case(name, &expected);
        let worst = largest_difference(&found, &wanted);
        assert!(worst <= 5e-5, "{name}: {worst:e}");
    }
}

#[test]
fn hidden_states_equal_the_reference_layer_by_layer() {
    let expected = tensors("expected.safetensors");
    let model = parity_model();
    let input = ids(&expected["full_8.input_ids"]);
    let positions: Vec<u32> = (0..8).collect();
    let cx = model.context(&positions, &[0, 8]).unwrap();
    let embedded = model.embed(&input).unwrap();
    let first = model.block(0, &embedded, &cx).unwrap();
    for (state, index) in [(embedded, 0), (first, 1)] {
        let wanted = expected["full_8.hidden_states"].get(index).unwrap();
        assert!(largest_difference(&state, &wanted) <= 1e-5, "state {index}");
    }
}

/// A row of the reference's batches with one masking probability per token.
fn noisy(expected: &HashMap<String, Tensor>, batch: &str, row: usize, p: &[f32], divisor: f32) -> Noisy {
    let get = |key: &str| expected[&format!("{batch}.{key}")].get(row).unwrap();
    let (clean, shown) = (ids(&get("clean")), ids(&get("noisy")));
    let u: Vec<f32> = get("u").to_vec1().unwrap();
    let rows: Vec<u32> = (0..clean.len() as u32)
        .filter(|&i| u[i as usize] < p[i as usize])
        .collect();
    for i in 0..clean.len() {
        let masked = rows.contains(&(i as u32));
        assert_eq!(shown[i], if masked { 511 } else { clean[i] });
    }
    Noisy {
        targets: rows.iter().map(|&i| clean[i as usize]).collect(),
        weights: rows.iter().map(|&i| 1.0 / p[i as usize] / divisor).collect(),
        ids: shown,
        rows,
        cu_seqlens: vec![0, clean.len() as u32],
    }
}

#[test]
fn loss_and_gradient_norms_equal_the_reference() {
    let expected = tensors("expected.safetensors");
    let model = parity_model();
    let mut grads = Gradients::zeros(&model).unwrap();
    let t: Vec<f32> = expected["loss.t"].to_vec1().unwrap();
    let (mut loss, mut ce) = (0.0, Vec::new());
    for (row, t) in t.iter().enumerate() {
        let p = vec![(1.0 - EPS) * t + EPS; 48];
        let part = loss_and_gradients(&model, &noisy(&expected, "loss", row, &p, 96.0), &mut grads);
        loss += part.loss;
        ce.extend(part.ce);
    }
    let about = &manifest()["cases"]["mha/loss"];
    assert!((loss - about["value"].as_f64().unwrap()).abs() <= 1e-5, "{loss}");
    let norm = grads.squared_norm().unwrap().sqrt();
    assert!(
        (norm / about["grad_norm"].as_f64().unwrap() - 1.0).abs() < 1e-5,
        "{norm}"
    );
    let wanted = about["grad_norms"].as_object().unwrap();
    assert_eq!(wanted.len(), model.params().len());
    for (index, gradient) in grads.iter() {
        let name = &model.params()[index].name;
        let norm = values(gradient).iter().map(|x| x * x).sum::<f64>().sqrt();
        let relative = norm / wanted[name].as_f64().unwrap() - 1.0;
        assert!(relative.abs() < 2e-5, "{name}: {relative:e}");
        if let Some(whole) = expected.get(&format!("loss.grad.{name}")) {
            assert!(relative_error(gradient, whole) < 2e-5, "{name}");
        }
    }
    // The reference lists the cross entropies of the masked tokens, weighted.
    let listed: Vec<f32> = expected["loss.token_loss"].to_vec1().unwrap();
    assert_eq!(ce.len(), listed.len());
}

#[test]
fn the_loss_of_packed_documents_equals_the_reference() {
    let expected = tensors("expected.safetensors");
    let model = parity_model();
    let documents = ids(&expected["packed.doc_ids"]);
    let t: Vec<f32> = expected["packed.t_doc"].to_vec1().unwrap();
    let first = documents[0];
    let p: Vec<f32> = documents
        .iter()
        .map(|&document| (1.0 - EPS) * t[(document - first) as usize] + EPS)
        .collect();
    let mut row = noisy(&expected, "packed", 0, &p, 64.0);
    row.cu_seqlens = boundaries(&documents);
    let mut grads = Gradients::zeros(&model).unwrap();
    let part = loss_and_gradients(&model, &row, &mut grads);
    let about = &manifest()["cases"]["mha/packed"];
    assert!(
        (part.loss - about["value"].as_f64().unwrap()).abs() <= 1e-5,
        "{}",
        part.loss
    );
    let norm = grads.squared_norm().unwrap().sqrt();
    assert!(
        (norm / about["grad_norm"].as_f64().unwrap() - 1.0).abs() < 1e-5,
        "{norm}"
    );
}
