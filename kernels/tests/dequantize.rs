//! Every stored type decodes to what candle decodes it to.
#![allow(clippy::unwrap_used)] // helpers outside the test functions

mod common;

use candle_core::Device;
use candle_core::quantized::{GgmlDType, QStorage, QTensor};
use common::Random;
use understudy_kernels::{QuantType, ShapeError, dequantize};

fn candle(ty: QuantType, bytes: &[u8], len: usize) -> Vec<f32> {
    let dtype = match ty {
        QuantType::F32 => GgmlDType::F32,
        QuantType::F16 => GgmlDType::F16,
        QuantType::BF16 => GgmlDType::BF16,
        QuantType::Q4_0 => GgmlDType::Q4_0,
        QuantType::Q4_1 => GgmlDType::Q4_1,
        QuantType::Q5_0 => GgmlDType::Q5_0,
        QuantType::Q5_1 => GgmlDType::Q5_1,
        QuantType::Q8_0 => GgmlDType::Q8_0,
        QuantType::Q4K => GgmlDType::Q4K,
        QuantType::Q5K => GgmlDType::Q5K,
        QuantType::Q6K => GgmlDType::Q6K,
    };
    let storage = QStorage::from_data(bytes.to_vec().into(), &Device::Cpu, dtype).unwrap();
    let tensor = QTensor::new(storage, len).unwrap();
    tensor.dequantize(&Device::Cpu).unwrap().to_vec1().unwrap()
}

#[test]
fn every_type_decodes_as_candle_does() {
    let mut random = Random(1);
    for ty in QuantType::ALL {
        let len = 256 * 40;
        let bytes = random.weights(ty, len);
        let mut ours = vec![f32::NAN; len];
        dequantize(ty, &bytes, &mut ours).unwrap();
        for (i, (ours, theirs)) in ours.iter().zip(candle(ty, &bytes, len)).enumerate() {
            // Equal bits, save that a zero may differ in sign.
            assert!(*ours == theirs, "{} element {i}: {ours} is not {theirs}", ty.name());
        }
    }
}

#[test]
fn half_precision_decodes_at_every_bit_pattern() {
    let bytes: Vec<u8> = (0..=u16::MAX).flat_map(u16::to_le_bytes).collect();
    let mut ours = vec![0.0; 1 << 16];
    dequantize(QuantType::F16, &bytes, &mut ours).unwrap();
    for (ours, theirs) in ours.iter().zip(candle(QuantType::F16, &bytes, 1 << 16)) {
        assert!(ours.to_bits() == theirs.to_bits() || (ours.is_nan() && theirs.is_nan()));
    }
}

#[test]
fn plain_floats_decode_at_any_length() {
    let mut random = Random(2);
    for ty in [QuantType::F32, QuantType::F16, QuantType::BF16] {
        for len in [0, 1, 7, 8, 9, 31, 32, 33, 65] {
            let bytes = random.weights(ty, len);
            let mut ours = vec![f32::NAN; len];
            dequantize(ty, &bytes, &mut ours).unwrap();
            if len > 0 {
                assert_eq!(ours, candle(ty, &bytes, len));
            }
        }
    }
}

#[test]
fn wrong_sizes_are_errors() {
    let ty = QuantType::Q4K;
    let partial = dequantize(ty, &[0; 144], &mut [0.0; 128]);
    assert_eq!(partial, Err(ShapeError::PartialBlock { ty, cols: 128 }));
    let short = dequantize(ty, &[0; 143], &mut [0.0; 256]);
    assert_eq!(short, Err(ShapeError::Bytes { ty, found: 143, needed: 144 }));
}

#[test]
fn ids_and_sizes_agree_with_candle() {
    for ty in QuantType::ALL {
        assert_eq!(QuantType::from_ggml_id(ty.ggml_id()), Some(ty));
        let bytes = vec![0; ty.block_bytes()];
        assert_eq!(candle(ty, &bytes, ty.block_len()), vec![0.0; ty.block_len()], "{}", ty.name());
    }
    assert_eq!(QuantType::from_ggml_id(4), None);
}
