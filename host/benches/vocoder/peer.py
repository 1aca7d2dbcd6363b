"""The same generator in ONNX Runtime on one thread: a peer that runs once for every line it reads, and answers with the
seconds it took, and how many of them on the processor.

    python peer.py VOCODER.safetensors MEL FRAMES AUDIO    # MEL: float32 [frames, mels]; AUDIO: written after the first run
"""
import json, sys, time
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open


def graph(tensors, config, mels):
    nodes, constants = [], []

    def node(kind, inputs, **attributes):
        nodes.append(helper.make_node(kind, inputs, [f"v{len(nodes)}"], **attributes))
        return nodes[-1].output[0]

    def convolve(name, x, kind="Conv", **attributes):
        for part in ("weight", "bias"):
            constants.append(numpy_helper.from_array(tensors[f"{name}.{part}"].astype(np.float32), f"{name}.{part}"))
        return node(kind, [x, f"{name}.weight", f"{name}.bias"], **attributes)

    def same(name, x, dilation=1):
        padding = (tensors[f"{name}.weight"].shape[2] - 1) // 2 * dilation
        return convolve(name, x, pads=[padding] * 2, dilations=[dilation])

    active = lambda x, slope=0.1: node("LeakyRelu", [x], alpha=slope)
    x = same("conv_pre", "mel")
    kernels = config["resblock_kernel_sizes"]
    for i, (rate, kernel) in enumerate(zip(config["upsample_rates"], config["upsample_kernel_sizes"])):
        x = convolve(f"ups.{i}", active(x), "ConvTranspose", strides=[rate], pads=[(kernel - rate) // 2] * 2)
        blocks = []
        for j, dilations in enumerate(config["resblock_dilation_sizes"]):
            y, block = x, f"resblocks.{i * len(kernels) + j}"
            for k, dilation in enumerate(dilations):
                if config["resblock"] == "1":
                    z = same(f"{block}.convs2.{k}", active(same(f"{block}.convs1.{k}", active(y), dilation)))
                else:
                    z = same(f"{block}.convs.{k}", active(y), dilation)
                y = node("Add", [z, y])
            blocks.append(y)
        constants.append(numpy_helper.from_array(np.float32(len(blocks)), f"count.{i}"))
        x = node("Div", [node("Sum", blocks), f"count.{i}"])
    x = node("Tanh", [same("conv_post", active(x, 0.01))])
    value = lambda name, channels: helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, None])
    return helper.make_model(helper.make_graph(nodes, "hifigan", [value("mel", mels)], [value(x, 1)], constants),
                             opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main():
    path, mel, frames, out = sys.argv[1:]
    with safe_open(path, "np") as file:
        config, tensors = json.loads(file.metadata()["config"]), {name: file.get_tensor(name) for name in file.keys()}
    x = np.fromfile(mel, np.float32).reshape(int(frames), -1).T[None].copy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = graph(tensors, config, x.shape[1])
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    session.run(None, {"mel": x})[0].tofile(out)
    print(f"ONNX Runtime {onnxruntime.__version__}", flush=True)
    for _ in sys.stdin:
        start = time.perf_counter(), time.process_time()
        session.run(None, {"mel": x})
        print(time.perf_counter() - start[0], time.process_time() - start[1], flush=True)


if __name__ == "__main__":
    main()
