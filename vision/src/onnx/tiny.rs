//! Zeroes the weights of a model that are too small to matter and large enough to hurt.
//!
//! Training with weight decay leaves weights near 1e-40: denormal numbers, on which many processors multiply a hundred
//! times slower. The face describer has 8 938 of them and 170 000 more that make denormal products: 66 ms a face on an
//! Intel Xeon, 10 ms without them, and the same 512 numbers to the last bit.
//!
//! The file is changed in memory, after its sha256 was checked. Only the shape of the ONNX container (protocol buffers) is
//! read here: model.graph.initializer and the constants of model.graph.node.

use std::ops::Range;

/// Weights below this become zero. Activations are at most some thousands, results near 1 carry seven digits: 1e-15 times
/// anything here is far under the last of them.
const TOO_SMALL: f32 = 1e-15;

/// `TensorProto.DataType.FLOAT`.
const FLOAT: u64 = 1;

/// Zeroes tiny float32 weights in an ONNX file; returns how many. Bytes that are no ONNX file are left as they are.
pub(super) fn flush(model: &mut [u8]) -> usize {
    let mut tensors = Vec::new();
    for graph in parts(model, 0..model.len(), 7) {
        tensors.extend(parts(model, graph.clone(), 5));
        for node in parts(model, graph, 1) {
            for attribute in parts(model, node, 5) {
                tensors.extend(parts(model, attribute, 5));
            }
        }
    }
    let weights: Vec<_> = tensors
        .into_iter()
        .filter(|tensor| is_float(model, tensor.clone()))
        .flat_map(|tensor| parts(model, tensor, 9))
        .collect();
    let mut flushed = 0;
    for raw in weights {
        for value in model[raw].as_chunks_mut::<4>().0 {
            if f32::from_le_bytes(*value).abs() < TOO_SMALL && *value != [0; 4] {
                *value = [0; 4];
                flushed += 1;
            }
        }
    }
    flushed
}

fn is_float(bytes: &[u8], tensor: Range<usize>) -> bool {
    fields(bytes, tensor).any(|field| matches!(field, Field { number: 2, value: Value::Number(FLOAT) }))
}

/// The length-delimited fields of one number inside a message.
fn parts(bytes: &[u8], message: Range<usize>, number: u64) -> Vec<Range<usize>> {
    fields(bytes, message)
        .filter_map(|field| match field.value {
            Value::Part(range) if field.number == number => Some(range),
            _ => None,
        })
        .collect()
}

struct Field {
    number: u64,
    value: Value,
}

enum Value {
    Number(u64),
    Part(Range<usize>),
    Fixed,
}

/// The fields of a message, in order; ends at the first byte that cannot belong to one.
fn fields(bytes: &[u8], message: Range<usize>) -> impl Iterator<Item = Field> {
    let mut at = message.start;
    std::iter::from_fn(move || {
        if at >= message.end {
            return None;
        }
        let bytes = bytes.get(..message.end)?;
        let key = varint(bytes, &mut at)?;
        let length = match key & 7 {
            0 => return Some(Field { number: key >> 3, value: Value::Number(varint(bytes, &mut at)?) }),
            1 => 8,
            2 => usize::try_from(varint(bytes, &mut at)?).ok()?,
            5 => 4,
            _ => return None,
        };
        let start = at;
        at = start.checked_add(length).filter(|end| *end <= bytes.len())?;
        let value = if key & 7 == 2 { Value::Part(start..at) } else { Value::Fixed };
        Some(Field { number: key >> 3, value })
    })
}

fn varint(bytes: &[u8], at: &mut usize) -> Option<u64> {
    let mut value = 0u64;
    for shift in (0..64).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn message(number: u8, body: &[u8]) -> Vec<u8> {
        assert!(body.len() < 16_384);
        let mut out = vec![number << 3 | 2, (body.len() & 0x7f) as u8 | 0x80, (body.len() >> 7) as u8];
        out.extend(body);
        out
    }

    fn tensor(kind: u8, values: &[f32]) -> Vec<u8> {
        let raw: Vec<u8> = values.iter().flat_map(|v| v.to_le_bytes()).collect();
        // data_type behind the data, as some writers put it
        [message(9, &raw), vec![2 << 3, kind]].concat()
    }

    fn values(bytes: &[u8]) -> Vec<f32> {
        bytes.as_chunks::<4>().0.iter().map(|v| f32::from_le_bytes(*v)).collect()
    }

    #[test]
    fn tiny_weights_become_zero_and_everything_else_stays() {
        let weights = [1.0, 1e-40, -3e-16, 2e-15, 0.0, -0.5];
        let mut model = message(7, &message(5, &tensor(1, &weights)));
        let length = model.len();
        assert_eq!(flush(&mut model), 2);
        assert_eq!(values(&model[length - 2 - 24..length - 2]), [1.0, 0.0, 0.0, 2e-15, 0.0, -0.5]);
        assert_eq!(flush(&mut model), 0);
    }

    #[test]
    fn constants_are_weights_and_integers_are_not() {
        let mut constant = message(7, &message(1, &message(5, &message(5, &tensor(1, &[1e-40])))));
        assert_eq!(flush(&mut constant), 1);
        let mut integers = message(7, &message(5, &tensor(6, &[1e-40])));
        let before = integers.clone();
        assert_eq!(flush(&mut integers), 0);
        assert_eq!(integers, before);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived_and_only_ever_zeroed(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let mut changed = bytes.clone();
            flush(&mut changed);
            prop_assert!(bytes.iter().zip(&changed).all(|(before, after)| before == after || *after == 0));
        }
    }
}
