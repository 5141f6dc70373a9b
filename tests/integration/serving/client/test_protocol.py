"""TF Serving's messages without TensorFlow, and with it."""

from __future__ import annotations

import subprocess
import sys


def test_tensorflow_is_not_needed_and_can_be_had_afterwards() -> None:
    script = (
        "import sys, time\n"
        "import serving.client.grpc as client\n"
        "assert 'tensorflow' not in sys.modules\n"
        "tensor = client.to_tensor('DT_FLOAT', [1.5, 2.0])\n"
        "import tensorflow as tf\n"
        "assert tf.make_ndarray(tensor).tolist() == [1.5, 2.0]\n"
        "assert client.read_rows(tf.make_tensor_proto([[1, 2], [3, 3]], tf.int64)) == [[1, 2], [3, 3]]\n"
        "from tensorflow_serving.apis import predict_pb2\n"
        "predict_pb2.PredictRequest().inputs['x'].CopyFrom(tf.make_tensor_proto([1.0]))\n"
    )

    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
