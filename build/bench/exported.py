"""A ConvNeXt in the file formats of other engines, each written the way that its engine runs fastest.

    write_litert(arrays, spec, Path("a.tflite"), int8=True); write_onnx(arrays, spec, Path("a.onnx"))

Both take pixels 0..255 (B, H, W, 3) float32 and give logits (B, classes). LiteRT gets our folded graph; ONNX Runtime has
operators of its own for LayerNorm and GELU, which no converter from TensorFlow finds, so its graph is written here.
"""

from pathlib import Path

import numpy as np

from submission import contract
from submission.convnext import NORM_EPSILON, PIXEL_DEVIATION, PIXEL_MEAN, SIZES


def write_litert(arrays: dict[str, np.ndarray], spec: dict, path: Path, *, int8: bool) -> None:
    """Write a .tflite; int8: kernels of 8 bits, activations quantized as they come (dynamic range quantization)."""
    import tensorflow as tf

    from submission.folded_convnext import forward

    network = forward(arrays, spec)
    traced = tf.function(
        lambda pixels: network(pixels),
        input_signature=[tf.TensorSpec((None, *contract.IMAGE_SHAPE), tf.float32)],
        autograph=False,
    ).get_concrete_function()
    converter = tf.lite.TFLiteConverter.from_concrete_functions([traced], tf.Module())
    if int8:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    path.write_bytes(converter.convert())


def write_onnx(arrays: dict[str, np.ndarray], spec: dict, path: Path) -> None:
    """Write a float32 .onnx: LayerNorm and GELU as one node each, the rest as in `submission.convnext`."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes: list = []
    constants: dict[str, np.ndarray] = {}

    def constant(name: str, array: np.ndarray) -> str:
        constants[name] = np.ascontiguousarray(array)
        return name

    def add(operator: str, *inputs: str, domain: str = "", **attributes) -> str:
        nodes.append(helper.make_node(operator, inputs, [f"x{len(nodes)}"], domain=domain, **attributes))
        return nodes[-1].output[0]

    def weight(name: str) -> str:
        return constant(name, arrays[name])

    def channels_first(x: str) -> str:
        return add("Transpose", x, perm=[0, 3, 1, 2])

    def channels_last(x: str) -> str:
        return add("Transpose", x, perm=[0, 2, 3, 1])

    def convolve(x: str, name: str, strides: int) -> str:
        kernel = constant(f"{name}/kernel", arrays[f"{name}/kernel"].transpose(3, 2, 0, 1))
        return add("Conv", x, kernel, weight(f"{name}/bias"), strides=[strides] * 2)

    def norm(x: str, name: str) -> str:
        return add(
            "LayerNormalization", x, weight(f"{name}/gamma"), weight(f"{name}/beta"), axis=-1, epsilon=NORM_EPSILON
        )

    def affine(x: str, name: str) -> str:
        return add("Add", add("MatMul", x, weight(f"{name}/kernel")), weight(f"{name}/bias"))

    depths, _ = SIZES[spec["size"]]
    centred = add("Sub", "pixels", constant("mean", np.array(PIXEL_MEAN, np.float32)))
    x = add("Mul", centred, constant("scale", (1 / np.array(PIXEL_DEVIATION)).astype(np.float32)))
    x = norm(channels_last(convolve(channels_first(x), "stem_conv", spec["stem_patch"])), "stem_norm")
    for stage, depth in enumerate(depths):
        if stage:
            x = channels_first(norm(x, f"downsample_{stage}_norm"))
            x = channels_last(convolve(x, f"downsample_{stage}_conv", 2))
        for block in range(depth):
            name = f"stage_{stage}_block_{block}"
            kernel = constant(f"{name}_depthwise/kernel", arrays[f"{name}_depthwise/kernel"].transpose(2, 3, 0, 1))
            group = arrays[f"{name}_depthwise/bias"].size
            branch = add(
                "Conv", channels_first(x), kernel, weight(f"{name}_depthwise/bias"), group=group, pads=[3, 3, 3, 3]
            )
            branch = affine(norm(channels_last(branch), f"{name}_norm"), f"{name}_expand")
            branch = add("Gelu", branch, domain="com.microsoft")
            branch = add("Mul", affine(branch, f"{name}_project"), weight(f"{name}_scale/gamma"))
            x = add("Add", x, branch)
    x = add("ReduceMean", x, constant("sides", np.array([1, 2], np.int64)), keepdims=0)
    nodes.append(helper.make_node("Identity", [affine(norm(x, "head_norm"), "logits")], ["answer"]))
    graph = helper.make_graph(
        nodes,
        "convnext",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n", *contract.IMAGE_SHAPE])],
        [helper.make_tensor_value_info("answer", TensorProto.FLOAT, ["n", spec["classes"]])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    imports = [helper.make_opsetid("", 18), helper.make_opsetid("com.microsoft", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=9), path)


def write_onnx_int8(source: Path, path: Path) -> None:
    """Quantize an .onnx file's products: kernels of 8 bits, activations as they come."""
    import logging

    from onnx import TensorProto
    from onnxruntime.quantization import QuantType, quantize_dynamic

    # onnx infers no types behind GELU, an operator of ONNX Runtime's own domain, and a warning advises to infer them.
    logging.getLogger().disabled = True
    try:
        quantize_dynamic(
            source,
            path,
            op_types_to_quantize=["MatMul"],
            weight_type=QuantType.QInt8,
            extra_options={"DefaultTensorType": TensorProto.FLOAT},
        )
    finally:
        logging.getLogger().disabled = False
