//! Norms and activations against `f64`.

mod common;

use common::Random;
use understudy_kernels::{add_assign, gelu_tanh_mul, rms_norm, rms_norm_rows, silu_mul};

fn close(got: f32, exact: f64) -> bool {
    (f64::from(got) - exact).abs() <= 4e-7 * exact.abs() + 1e-30
}

#[test]
fn activations_agree_with_f64() {
    let gates: Vec<f32> = (-4000..=4000).map(|i| i as f32 * 0.005).collect();
    let up = Random(3).floats(gates.len());
    let (mut silu, mut gelu) = (gates.clone(), gates.clone());
    silu_mul(&mut silu, &up);
    gelu_tanh_mul(&mut gelu, &up);
    for (i, (x, up)) in gates.iter().zip(&up).enumerate() {
        let (x, up) = (f64::from(*x), f64::from(*up));
        assert!(close(silu[i], x / (1.0 + (-x).exp()) * up), "silu({x}): {}", silu[i]);
        let u = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x.powi(3));
        let exact = x / (1.0 + (-2.0 * u).exp()) * up;
        // The exponent's own rounding grows with its size.
        let allowed = (4e-7 + 5e-7 * u.abs()) * exact.abs() + 1e-30;
        assert!((f64::from(gelu[i]) - exact).abs() <= allowed, "gelu({x}): {}", gelu[i]);
    }
}

#[test]
fn activations_saturate() {
    let mut gate = [100.0, 1e30, -100.0, f32::NAN];
    silu_mul(&mut gate, &[1.0; 4]);
    assert_eq!(gate[..2], [100.0, 1e30]);
    assert!(gate[2].abs() < 1e-30 && gate[3].is_nan());
}

#[test]
fn norms_agree_with_f64_at_any_length() {
    let mut random = Random(4);
    for len in [1, 7, 8, 9, 64, 576, 1003] {
        let (x, weight) = (random.floats(3 * len), random.floats(len));
        let mut out = vec![f32::NAN; 3 * len];
        rms_norm_rows(&x, &weight, 1e-5, &mut out);
        for (x, out) in x.chunks_exact(len).zip(out.chunks_exact(len)) {
            let squares: f64 = x.iter().map(|x| f64::from(*x).powi(2)).sum();
            let scale = 1.0 / (squares / len as f64 + f64::from(1e-5f32)).sqrt();
            for (i, out) in out.iter().enumerate() {
                assert!(close(*out, f64::from(x[i]) * scale * f64::from(weight[i])));
            }
            let mut alone = vec![f32::NAN; len];
            rms_norm(x, &weight, 1e-5, &mut alone);
            assert_eq!(alone, out);
        }
    }
}

#[test]
fn sums_are_elementwise() {
    let mut a = [1.0, 2.0, 3.0];
    add_assign(&mut a, &[0.5, -2.0, 1.0]);
    assert_eq!(a, [1.5, 0.0, 4.0]);
}
