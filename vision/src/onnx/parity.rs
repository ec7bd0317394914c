//! The models give here what they gave where they were measured: ONNX Runtime 1.32 under Python, on the same tensors.
//! `vision/reference/outputs.py` prints the table.

use super::Model;
use crate::models::{
    FACE_DETECT, FACE_EYE, FACE_FEATURE, FACE_LANDMARK, FACE_LIVENESS, FACE_POSE, ModelSpec, PLATE_DETECT, PLATE_READ,
    Provider, RuntimePaths,
};

/// Model, input shape, output, six of its values (at 0, 1/7, 1/3, 1/2, 4/5 and the end) and its mean magnitude.
type Expected = (&'static ModelSpec, &'static [usize], usize, [f32; 6], f64);

/// Input value i is ((7919 · i) mod 255) / 128 − 1.
const EXPECTED: &[Expected] = &[
    (&FACE_DETECT, &[1, 3, 240, 320], 0, [0.9344971, 0.9592196, 0.9623653, 0.9627075, 0.9505935, 0.06861686], 0.5),
    (
        &FACE_DETECT,
        &[1, 3, 240, 320],
        1,
        [0.003538707, 0.1512166, 0.4115227, 0.3685701, 0.4196791, 1.268355],
        0.50007196,
    ),
    (
        &FACE_LANDMARK,
        &[1, 1, 64, 64],
        0,
        [0.1628808, 0.8563724, 0.1992958, 0.5576588, 0.6521713, 0.6490202],
        0.49923905,
    ),
    (
        &FACE_FEATURE,
        &[1, 3, 112, 112],
        0,
        [-0.0551041, -0.03367875, 0.07557604, -0.0208137, 0.001620069, -0.05166051],
        0.056783921,
    ),
    (&FACE_LIVENESS, &[1, 3, 128, 128], 0, [0.1488211, 0.1488211, 3.895695, 3.895695, -4.044477, -4.044477], 2.6963311),
    (&FACE_POSE, &[1, 3, 224, 224], 0, [-2.031766, 0.7343649, 3.250681, -1.127088, -2.552858, -1.995153], 2.0846886),
    (&FACE_POSE, &[1, 3, 224, 224], 1, [-1.459102, -1.477009, 1.605043, 0.1241953, 0.1040782, -1.403915], 1.3449953),
    (&FACE_POSE, &[1, 3, 224, 224], 2, [-1.530218, 0.1685172, -0.333227, 2.405446, -0.1666359, -1.388884], 1.3011415),
    (&FACE_EYE, &[1, 1, 24, 24], 0, [20.84015, 20.84015, 20.84015, -19.02282, -19.02282, -19.02282], 19.931485),
    (
        &PLATE_DETECT,
        &[1, 3, 96, 160],
        0,
        [1.187018, 0.2358059, 0.04346782, -0.1651593, 1.845846, -1.609376],
        0.66785577,
    ),
    (&PLATE_DETECT, &[1, 3, 96, 160], 1, [0.9999838, 0.9990278, 0.9996487, 0.9999253, 0.9988735, 0.0001147207], 0.5),
    (&PLATE_DETECT, &[1, 3, 96, 160], 2, [3.611505, 3.354469, 1.981002, 0.8714265, 11.35107, -0.8498888], 2.1218219),
    (
        &PLATE_READ,
        &[1, 3, 32, 320],
        0,
        [0.3993725, 0.0001887531, 2.432723e-06, 0.9882174, 0.9801306, 2.65517e-05],
        0.01369863,
    ),
];

/// Largest difference allowed, for values up to 1; in proportion above.
const TOLERANCE: f32 = 1e-5;

#[test]
fn every_model_gives_the_measured_numbers() {
    let paths = crate::testkit::runtime();
    for (spec, shape, output, samples, magnitude) in EXPECTED {
        let model = Model::open(spec, &paths).expect("the runtime files are there");
        let input: Vec<f32> =
            (0..shape.iter().product::<usize>() as u64).map(|i| (i * 7919 % 255) as f32 / 128.0 - 1.0).collect();
        let values = model.run(shape, &input, |out| Ok(out.tensor(*output)?.to_vec())).expect("runs");
        let m = values.len();
        for (at, want) in [0, m / 7, m / 3, m / 2, m * 4 / 5, m - 1].into_iter().zip(samples) {
            let apart = (values[at] - want).abs() / want.abs().max(1.0);
            assert!(apart <= TOLERANCE, "{} output {output} at {at}: {} against {want}", spec.id, values[at]);
        }
        let mean = values.iter().map(|v| f64::from(v.abs())).sum::<f64>() / m as f64;
        assert!((mean - magnitude).abs() <= 1e-5 * magnitude.max(1.0), "{} output {output}: {mean}", spec.id);
    }
}

#[test]
fn many_threads_share_a_model_and_get_the_same_numbers() {
    let paths = crate::testkit::runtime();
    let model = Model::open(&FACE_EYE, &paths).expect("the runtime files are there");
    let run = |seed: usize| {
        let input: Vec<f32> = (0..24 * 24).map(|i| ((i * seed) % 97) as f32 / 97.0).collect();
        model.run(&[1, 1, 24, 24], &input, |out| Ok(out.tensor(0)?.to_vec())).expect("runs")
    };
    let alone: Vec<_> = (1..9).map(run).collect();
    let together: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (1..9).map(|seed| scope.spawn(move || run(seed))).collect();
        threads.into_iter().map(|thread| thread.join().expect("does not panic")).collect()
    });
    assert_eq!(alone, together);
}

#[test]
fn a_wrong_shape_is_an_error_that_names_the_model() {
    let model = Model::open(&FACE_EYE, &crate::testkit::runtime()).expect("the runtime files are there");
    let error = model.run(&[1, 1, 9, 9], &[0.0; 81], |out| Ok(out.tensor(0)?.len())).expect_err("24 × 24 is wanted");
    assert!(error.to_string().contains("fr_eye"), "{error}");
    assert!(model.run(&[1, 1, 24, 24], &[0.0; 576], |out| Ok(out.tensor(0)?.len())).is_ok(), "and still works");
}

#[test]
fn hardware_that_the_library_cannot_use_is_named_with_the_remedy() {
    let paths = RuntimePaths { provider: Provider::Cuda, ..crate::testkit::runtime() };
    let error = Model::open(&FACE_EYE, &paths).expect_err("set-up's library has no CUDA").to_string();
    assert!(error.contains("on cuda") && error.contains("recognition.provider"), "{error}");
}
