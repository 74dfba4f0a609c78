//! Against the reference implementation's float32 numbers; see `fixtures/parity/README.md`.

use std::collections::HashMap;

use candle_core::Tensor;

use crate::model::testing::{boundaries, ids, largest_difference, manifest, parity_model, tensors};
use crate::model::{Model, Rope, RopeScaling, Tokens};

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
    assert!(names.len() >= 11, "{names:?}");
    for name in names {
        let (found, wanted) = case(name, &expected);
        let worst = largest_difference(&found, &wanted);
        assert!(worst <= 5e-5, "{name}: {worst:e}");
        println!("{name}: {worst:e}");
    }
}
