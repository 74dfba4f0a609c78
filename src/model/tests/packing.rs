//! What packing promises: documents of a row do not see each other, and their losses are those they have alone.

use crate::model::testing::{Noisy, loss_and_gradients, made, parity_model, relative_error, values};
use crate::model::{Gradients, Model, Tokens};

/// Logits of every token at running positions.
fn all_logits(model: &Model, ids: &[u32], cu_seqlens: &[u32]) -> Vec<Vec<f32>> {
    let positions: Vec<u32> = (0..ids.len() as u32).collect();
    let tokens = Tokens {
        ids,
        positions: &positions,
        cu_seqlens,
    };
    let hidden = model.hidden(&tokens).unwrap();
    model
        .logits(&hidden, &positions, cu_seqlens)
        .unwrap()
        .to_vec2()
        .unwrap()
}

#[test]
fn a_change_in_one_document_leaves_the_others_bit_for_bit() {
    let models = [parity_model(), made(&super::families::dream().to_string(), 2)];
    for model in models {
        let row = Noisy::random(model.config(), &[40, 24, 36], 8);
        let mut changed = row.ids.clone();
        changed[..40].iter_mut().for_each(|id| *id = (*id + 1) % 29);
        changed[64..].iter_mut().for_each(|id| *id = (*id + 2) % 29);
        let logits = |ids: &[u32], cu: &[u32]| all_logits(&model, ids, cu)[40..64].to_vec();
        assert!(logits(&row.ids, &row.cu_seqlens) == logits(&changed, &row.cu_seqlens));
        // The same change is seen when attention is full.
        let (before, after) = (logits(&row.ids, &[0, 100]), logits(&changed, &[0, 100]));
        assert!(before.iter().zip(&after).all(|(a, b)| a != b));
    }
}

#[test]
fn the_loss_of_a_packed_row_is_the_sum_of_its_documents_losses() {
    let models = [parity_model(), made(&super::families::dream().to_string(), 2)];
    for model in models {
        let row = Noisy::random(model.config(), &[30, 1, 50], 9);
        let mut packed = Gradients::zeros(&model).unwrap();
        let whole = loss_and_gradients(&model, &row, &mut packed);
        let (mut separate, mut sum) = (Gradients::zeros(&model).unwrap(), 0.0);
        for pair in row.cu_seqlens.windows(2) {
            let own = |i: &u32| (pair[0]..pair[1]).contains(i);
            let kept: Vec<usize> = (0..row.rows.len()).filter(|&i| own(&row.rows[i])).collect();
            let document = Noisy {
                ids: row.ids[pair[0] as usize..pair[1] as usize].to_vec(),
                rows: kept.iter().map(|&i| row.rows[i] - pair[0]).collect(),
                targets: kept.iter().map(|&i| row.targets[i]).collect(),
                weights: kept.iter().map(|&i| row.weights[i]).collect(),
                cu_seqlens: vec![0, pair[1] - pair[0]],
            };
            sum += loss_and_gradients(&model, &document, &mut separate).loss;
        }
        assert!((whole.loss - sum).abs() < 1e-5 * sum, "{} {sum}", whole.loss);
        for (index, gradient) in packed.iter() {
            let name = &model.params()[index].name;
            let error = relative_error(gradient, separate.get(index).unwrap());
            assert!(error < 2e-5, "{name}: {error:e}");
        }
    }
}

#[test]
fn a_token_that_is_not_masked_has_no_part_in_the_loss() {
    let model = parity_model();
    let mut row = Noisy::random(model.config(), &[20], 9);
    let mut grads = Gradients::zeros(&model).unwrap();
    (row.rows, row.targets, row.weights) = (Vec::new(), Vec::new(), Vec::new());
    let loss = loss_and_gradients(&model, &row, &mut grads);
    assert_eq!(
        (loss.loss, loss.ce.len(), grads.squared_norm().unwrap()),
        (0.0, 0, 0.0)
    );
}

#[test]
fn a_loss_in_chunks_of_rows_equals_that_of_the_whole_logits() {
    // 16 rows of logits exist at once with this vocabulary.
    let text = super::families::llada().to_string().replace(
        "\"vocab_size\":33,\"embedding_size\":36",
        "\"vocab_size\":1048576,\"embedding_size\":1048576",
    );
    let text = text
        .replace("\"d_model\":24", "\"d_model\":6")
        .replace("\"n_heads\":6,\"n_kv_heads\":2", "\"n_heads\":3,\"n_kv_heads\":3");
    let model = made(&text, 3);
    let row = Noisy::random(model.config(), &[80], 9);
    assert!(row.rows.len() > 32);
    let loss = loss_and_gradients(&model, &row, &mut Gradients::zeros(&model).unwrap());
    let positions: Vec<u32> = (0..80).collect();
    let tokens = Tokens {
        ids: &row.ids,
        positions: &positions,
        cu_seqlens: &row.cu_seqlens,
    };
    let hidden = model.hidden(&tokens).unwrap();
    for at in [0, 15, 16, 17, row.rows.len() - 1] {
        let logits = model.logits(&hidden, &[row.rows[at]], &row.cu_seqlens).unwrap();
        let logits: Vec<f32> = logits.get(0).unwrap().to_vec1().unwrap();
        let sum: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        let wanted = sum.ln() - f64::from(logits[row.targets[at] as usize]);
        assert!(
            (f64::from(loss.ce[at]) - wanted).abs() < 1e-4,
            "{at}: {} {wanted}",
            loss.ce[at]
        );
    }
}

#[test]
fn arguments_that_do_not_fit_are_errors() {
    let model = parity_model();
    let hidden = model.embed(&[1, 2, 3]).unwrap();
    let cu = [0, 3];
    assert!(
        model
            .head_loss(&hidden, &[0, 1], &[5], &[1.0], &cu, None)
            .is_err()
    );
    assert!(model.head_loss(&hidden, &[3], &[5], &[1.0], &cu, None).is_err());
    assert!(model.head_loss(&hidden, &[0], &[512], &[1.0], &cu, None).is_err());
    assert!(model.logits(&hidden, &[3], &cu).is_err());
    let error = model.embed(&[1, 512]).unwrap_err().to_string();
    assert!(error.contains("512") && error.contains("tokenizer"), "{error}");
    assert!(model.context(&[0, 1], &[0, 3]).is_err() && model.context(&[], &[0]).is_err());
    let loss = model.head_loss(&hidden, &[2], &[5], &[2.0], &cu, None).unwrap();
    assert!(loss.d_hidden.is_none() && (loss.loss - 2.0 * f64::from(loss.ce[0])).abs() < 1e-6);
    assert_eq!(values(&hidden).len(), 3 * 64);
}
