use std::f64::consts::TAU;

use super::{Rope, RopeMethod, RopeScaling};
use crate::model::testing::{ids, tensors, values};

const THETA: f64 = 500_000.0;

fn scaled(method: RopeMethod, target_len: u32, d_crit: Option<u32>) -> Rope {
    let scaling = RopeScaling {
        method,
        train_len: 4096,
        target_len,
        d_crit,
    };
    Rope::new(THETA, 128, &scaling).unwrap()
}

/// Target length; then λ and θ' of the baseline, of the diffusion-aware rule, and of it with critical dimension 73. By arithmetic in
/// f64 from the published formulas, for a model trained on 4096 tokens with base 500,000 and heads of 128.
const TABLE: [(u32, [f64; 3], [f64; 3]); 7] = [
    (
        8192,
        [3.3998, 3.5308, 1.9550],
        [1_699_887.0, 1_765_383.0, 977_506.0],
    ),
    (
        16384,
        [13.5991, 12.5408, 6.5915],
        [6_799_550.0, 6_270_380.0, 3_295_740.0],
    ),
    (
        24576,
        [30.5980, 26.3220, 13.4198],
        [15_298_987.0, 13_161_012.0, 6_709_895.0],
    ),
    (
        32768,
        [54.3964, 44.5429, 22.2237],
        [27_198_198.0, 22_271_460.0, 11_111_851.0],
    ),
    (
        65536,
        [217.5856, 158.2099, 74.9290],
        [108_792_793.0, 79_104_927.0, 37_464_491.0],
    ),
    (
        131_072,
        [870.3423, 561.9380, 252.6290],
        [435_171_170.0, 280_968_986.0, 126_314_511.0],
    ),
    (
        262_144,
        [3481.3694, 1995.9205, 851.7589],
        [1_740_684_681.0, 997_960_227.0, 425_879_428.0],
    ),
];

#[test]
fn factors_and_bases_are_those_of_the_published_formulas() {
    for (target, lambdas, thetas) in TABLE {
        let ropes = [
            scaled(RopeMethod::NtkCritical, target, None),
            scaled(RopeMethod::DiffusionNtk, target, None),
            scaled(RopeMethod::DiffusionNtk, target, Some(73)),
        ];
        assert_eq!(ropes.each_ref().map(|r| r.d_crit), [Some(64), Some(70), Some(73)]);
        for ((rope, lambda), theta) in ropes.iter().zip(lambdas).zip(thetas) {
            assert!(
                (rope.lambda - lambda).abs() <= 5.1e-5,
                "{target}: {} {lambda}",
                rope.lambda
            );
            assert!(
                (rope.theta / theta - 1.0).abs() < 1e-6,
                "{target}: {} {theta}",
                rope.theta
            );
            assert!(rope.notes.is_empty());
        }
    }
}

#[test]
fn the_critical_pair_turns_once_in_the_target_length() {
    for target in [8192, 100_000, 131_072] {
        for (method, reach, own) in [
            (RopeMethod::NtkCritical, 1.0, 65),
            (RopeMethod::DiffusionNtk, 2.0, 73),
        ] {
            for d_crit in [None, Some(own), Some(31)] {
                let rope = scaled(method, target, d_crit);
                let exponent = f64::from(rope.d_crit.unwrap()) / 128.0;
                let period = TAU * rope.theta.powf(exponent);
                assert!(
                    (period / (reach * f64::from(target)) - 1.0).abs() < 1e-12,
                    "{method} {target}"
                );
            }
        }
    }
}

#[test]
fn known_factors_of_other_methods_and_models() {
    for (s, lambda) in [
        (2, 2.02),
        (4, 4.09),
        (8, 8.27),
        (16, 16.72),
        (32, 33.81),
        (64, 68.37),
    ] {
        let rope = scaled(RopeMethod::Ntk, 4096 * s, None);
        assert!((rope.lambda - lambda).abs() < 5e-3, "{s}: {}", rope.lambda);
    }
    for (method, d_crit, lambda) in [
        (RopeMethod::NtkCritical, 54, 647.6),
        (RopeMethod::DiffusionNtk, 62, 197.6),
    ] {
        let scaling = RopeScaling {
            method,
            train_len: 2048,
            target_len: 32768,
            d_crit: None,
        };
        let rope = Rope::new(1e6, 128, &scaling).unwrap();
        assert_eq!(rope.d_crit, Some(d_crit));
        assert!((rope.lambda - lambda).abs() < 0.05, "{}", rope.lambda);
    }
}

#[test]
fn interpolation_and_yarn_change_single_wavelengths() {
    let plain = scaled(RopeMethod::None, 4096, None);
    let (pi, yarn) = (
        scaled(RopeMethod::Pi, 131_072, None),
        scaled(RopeMethod::Yarn, 131_072, None),
    );
    assert_eq!((pi.theta, yarn.theta), (THETA, THETA));
    for i in 0..64 {
        let stretch = |rope: &Rope| f64::from(plain.inv_freq[i]) / f64::from(rope.inv_freq[i]);
        assert!((stretch(&pi) - 32.0).abs() < 1e-5);
        let expected = match i {
            0..=14 => 1.0,
            32.. => 32.0,
            _ => {
                assert!(stretch(&yarn) > 1.0 && stretch(&yarn) < 32.0, "{i}");
                continue;
            }
        };
        assert!(
            (stretch(&yarn) - expected).abs() < 1e-5,
            "{i}: {}",
            stretch(&yarn)
        );
    }
    assert!((yarn.amplitude - 1.3466).abs() < 5e-5);
    let (cos, sin) = yarn.tables(&[0]);
    assert!(
        cos.iter().all(|&c| (f64::from(c) - yarn.amplitude).abs() < 1e-6) && sin.iter().all(|&s| s == 0.0)
    );
}

#[test]
fn a_factor_below_one_is_clamped_and_said() {
    let rope = scaled(RopeMethod::NtkCritical, 4096, None);
    assert_eq!((rope.lambda, rope.theta), (1.0, THETA));
    assert!(rope.notes[0].contains("0.8499"), "{:?}", rope.notes);
    let rope = scaled(RopeMethod::DiffusionNtk, 4096, None);
    assert!(rope.lambda == 1.0 && rope.notes.len() == 1, "{:?}", rope.notes);
}

#[test]
fn wrong_lengths_and_dimensions_are_errors() {
    let new = |head_dim, method, train_len, target_len, d_crit| {
        Rope::new(
            THETA,
            head_dim,
            &RopeScaling {
                method,
                train_len,
                target_len,
                d_crit,
            },
        )
    };
    let diffusion = RopeMethod::DiffusionNtk;
    for (wrong, text) in [
        (new(128, diffusion, 0, 10, None), "train_len"),
        (new(128, diffusion, 4096, 2048, None), "from 4096 to 2048"),
        (new(128, RopeMethod::Pi, 1, u32::MAX, None), "target_len"),
        (new(128, diffusion, 4096, 8192, Some(0)), "critical dimension 0"),
        (
            new(128, diffusion, 4096, 8192, Some(129)),
            "critical dimension 129",
        ),
        (new(128, RopeMethod::Yarn, 4096, 8192, Some(64)), "no meaning"),
        (new(128, diffusion, 3, 8192, None), "no critical dimension"),
        (new(7, diffusion, 4096, 8192, None), "even"),
    ] {
        let message = wrong.map(|_| ()).unwrap_err().to_string();
        assert!(message.contains(text), "{message}");
    }
    assert!(Rope::new(f64::NAN, 128, &RopeScaling::NONE).is_err());
    assert!(
        "linear"
            .parse::<RopeMethod>()
            .unwrap_err()
            .to_string()
            .contains("diffusion_ntk")
    );
    for method in RopeMethod::ALL {
        assert_eq!(method.name().parse::<RopeMethod>().unwrap(), method);
        new(2, method, 4096, 8192, None).unwrap();
    }
}

/// The reference's power function is not exact: 1 of its 192 inverse frequencies here is off by one unit in the last place,
/// which a position multiplies.
#[test]
fn tables_equal_the_reference_where_its_inverse_frequencies_are_exact() {
    let reference = tensors("rope_tables.safetensors");
    let positions = ids(&reference["positions"]);
    assert_eq!(positions.last(), Some(&262_143));
    let mut n_unlike = 0;
    for (name, theta) in [
        ("theta10k", 1e4),
        ("theta500k", THETA),
        ("theta_diff128k", 280_968_985.68),
    ] {
        let rope = Rope::new(theta, 128, &RopeScaling::NONE).unwrap();
        let (cos, sin) = rope.tables(&positions);
        let get = |key: &str| values(&reference[&format!("{name}.{key}")]);
        let (frequencies, wanted_cos, wanted_sin) = (get("inv_freq"), get("cos"), get("sin"));
        for (pair, wanted) in frequencies.iter().enumerate() {
            let off = (f64::from(rope.inv_freq[pair]) - wanted).abs();
            n_unlike += u32::from(off > 0.0);
            assert!(off <= wanted * 1.5e-7, "{name} {pair}");
            for (row, &position) in positions.iter().enumerate() {
                let at = row * 64 + pair;
                let rounding = if off > 0.0 { wanted * 6e-8 } else { 0.0 };
                let allowed = 1.5e-7 + (off + rounding) * f64::from(position);
                assert!(
                    (f64::from(cos[at]) - wanted_cos[at]).abs() <= allowed,
                    "{name} cos {pair} at {position}"
                );
                assert!(
                    (f64::from(sin[at]) - wanted_sin[at]).abs() <= allowed,
                    "{name} sin {pair} at {position}"
                );
            }
        }
    }
    assert!(n_unlike <= 1, "{n_unlike} inverse frequencies differ");
}

#[test]
fn drawings_show_every_method_and_both_lengths() {
    for head_dim in [2, 64, 128, 512] {
        let ropes: Vec<Rope> = RopeMethod::ALL
            .iter()
            .map(|&method| {
                let scaling = RopeScaling {
                    method,
                    train_len: 4096,
                    target_len: 131_072,
                    d_crit: None,
                };
                Rope::new(THETA, head_dim, &scaling).unwrap()
            })
            .collect();
        let (text, image) = (
            super::chart(&ropes, 4096, 131_072),
            super::svg(&ropes, 4096, 131_072),
        );
        for word in RopeMethod::ALL
            .iter()
            .map(|m| m.name())
            .chain(["trained 4096", "target 131072"])
        {
            assert!(
                text.contains(word) && image.contains(word),
                "{head_dim} {word}:\n{text}"
            );
        }
        assert_eq!(image.matches("<polyline").count(), 6);
        assert!(text.lines().all(|line| line.chars().count() < 140));
    }
}
