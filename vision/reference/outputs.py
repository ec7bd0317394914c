"""Runs every model under Python's ONNX Runtime and prints what vision/src/onnx/parity.rs expects of it, and
tests/it/models.rs of the second reader.

    python3 -m venv venv && venv/bin/pip install -r requirements.txt
    venv/bin/python outputs.py DATA/models

Input value i is ((7919 * i) mod 255) / 128 - 1. Of each output: its values at 0, 1/7, 1/3, 1/2, 4/5 and the end, and the
mean of its magnitudes.
"""

import pathlib
import sys

import numpy
import onnxruntime

# Name in the registry, file, input shape.
MODELS = [
    ("FACE_DETECT", "fr_detect.onnx", (1, 3, 240, 320)),
    ("FACE_LANDMARK", "fr_landmark.onnx", (1, 1, 64, 64)),
    ("FACE_FEATURE", "fr_feature.onnx", (1, 3, 112, 112)),
    ("FACE_LIVENESS", "fr_liveness.onnx", (1, 3, 128, 128)),
    ("FACE_POSE", "fr_pose.onnx", (1, 3, 224, 224)),
    ("FACE_EYE", "fr_eye.onnx", (1, 1, 24, 24)),
    ("PLATE_DETECT", "clp_det.onnx", (1, 3, 96, 160)),
    ("PLATE_READ", "clp_v2_c_rec.onnx", (1, 3, 32, 320)),
    ("SECOND_READ", "ch_PP-OCRv4_rec_infer.onnx", (1, 3, 48, 320)),
]


def rows(folder: pathlib.Path):
    """One row of the table per model and output."""
    for name, file, shape in MODELS:
        session = onnxruntime.InferenceSession(folder / file, providers=["CPUExecutionProvider"])
        count = int(numpy.prod(shape))
        values = (numpy.arange(count, dtype=numpy.int64) * 7919 % 255).astype(numpy.float32) / 128 - 1
        outputs = session.run(None, {session.get_inputs()[0].name: values.reshape(shape)})
        for index, output in enumerate(outputs):
            flat = output.reshape(-1)
            last = flat.size
            samples = [flat[i] for i in (0, last // 7, last // 3, last // 2, last * 4 // 5, last - 1)]
            mean = numpy.abs(flat.astype(numpy.float64)).mean()
            numbers = ", ".join(f"{value:.7g}" for value in samples)
            yield f"(&{name}, &{list(shape)}, {index}, [{numbers}], {mean:.8g}),"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: outputs.py FOLDER_OF_MODELS (what set-up made with second_reader = true: DATA/models)")
    for row in rows(pathlib.Path(sys.argv[1])):
        print(row)
