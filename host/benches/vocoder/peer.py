"""The same network in ONNX Runtime on one thread: a peer that runs once for every line it reads, and answers with the
seconds it took, and how many of them on the processor.

    python peer.py VOCODER.safetensors MEL FRAMES OUT    # MEL: float32 [frames, mels]; OUT: what the first run made, float32

A HiFi-GAN's output is its samples. Of a source-filter vocoder as its training exports it, it is that of the networks: [frames, 1542].
"""
import json, sys, time
import numpy as np, onnx, onnxruntime
from onnx import TensorProto, helper, numpy_helper
from safetensors import safe_open


class Graph:
    def __init__(self, tensors):
        self.tensors, self.nodes, self.constants = tensors, [], []

    def node(self, kind, inputs, **attributes):
        self.nodes.append(helper.make_node(kind, inputs, [f"v{len(self.nodes)}"], **attributes))
        return self.nodes[-1].output[0]

    def constant(self, value, kind=np.float32):
        self.constants.append(numpy_helper.from_array(np.asarray(value, kind), f"c{len(self.constants)}"))
        return self.constants[-1].name

    def convolve(self, name, x, kind="Conv", **attributes):
        return self.node(kind, [x, *(self.constant(self.tensors[f"{name}.{part}"]) for part in ("weight", "bias"))], **attributes)

    def same(self, name, x, dilation=1, **attributes):
        padding = (self.tensors[f"{name}.weight"].shape[2] - 1) // 2 * dilation
        return self.convolve(name, x, pads=[padding] * 2, dilations=[dilation], **attributes)

    def active(self, x, slope=0.1):
        return self.node("LeakyRelu", [x], alpha=slope)

    def model(self, name, mels, out, shape):
        value = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        graph = helper.make_graph(self.nodes, name, [value("mel", [1, mels, None])], [value(out, shape)], self.constants)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def hifigan(tensors, config, mels):
    g = Graph(tensors)
    x = g.same("conv_pre", "mel")
    kernels = config["resblock_kernel_sizes"]
    for i, (rate, kernel) in enumerate(zip(config["upsample_rates"], config["upsample_kernel_sizes"])):
        x = g.convolve(f"ups.{i}", g.active(x), "ConvTranspose", strides=[rate], pads=[(kernel - rate) // 2] * 2)
        blocks = []
        for j, dilations in enumerate(config["resblock_dilation_sizes"]):
            y, block = x, f"resblocks.{i * len(kernels) + j}"
            for k, dilation in enumerate(dilations):
                if config["resblock"] == "1":
                    z = g.same(f"{block}.convs2.{k}", g.active(g.same(f"{block}.convs1.{k}", g.active(y), dilation)))
                else:
                    z = g.same(f"{block}.convs.{k}", g.active(y), dilation)
                y = g.node("Add", [z, y])
            blocks.append(y)
        x = g.node("Div", [g.node("Sum", blocks), g.constant(len(blocks))])
    x = g.node("Tanh", [g.same("conv_post", g.active(x, 0.01))])
    return g.model("hifigan", mels, x, [1, 1, None])


def source_filter(tensors, config, mels):
    g = Graph(tensors)
    transpose = lambda x: g.node("Transpose", [x], perm=[0, 2, 1])

    def linear(name, x):
        product = g.node("MatMul", [x, g.constant(tensors[f"{name}.weight"].T)])
        return g.node("Add", [product, g.constant(tensors[f"{name}.bias"])])

    def norm(name, x):
        return g.node("LayerNormalization", [x, *(g.constant(tensors[f"{name}.{part}"]) for part in ("weight", "bias"))], epsilon=1e-5)

    def gelu(x):
        bent = g.node("Erf", [g.node("Div", [x, g.constant(np.sqrt(2))])])
        return g.node("Mul", [g.node("Mul", [x, g.node("Add", [bent, g.constant(1)])]), g.constant(0.5)])

    scaled = g.node("Div", [g.node("Add", ["mel", g.constant(5)]), g.constant(3)])
    x = g.active(g.same("pitch.convs.0", scaled))
    layers = sum(name.startswith("pitch.convs.") and name.endswith(".weight") for name in tensors)
    for i in range(1, layers):
        x = g.node("Add", [x, g.active(g.same(f"pitch.convs.{i}", x))])
    octaves = g.node("Slice", [g.same("pitch.out", x), *(g.constant([n], np.int64) for n in (0, 1, 1))])
    octaves = g.node("Mul", [g.node("Clip", [octaves, g.constant(-2), g.constant(1.5)]), g.constant(2)])
    x = g.same("pre", g.node("Concat", [scaled, octaves], axis=1))
    for i in range(config["blocks"]):
        y = norm(f"blocks.{i}.norm", transpose(g.same(f"blocks.{i}.depth", x, group=config["channels"])))
        y = linear(f"blocks.{i}.down", gelu(linear(f"blocks.{i}.up", y)))
        x = g.node("Add", [x, transpose(g.node("Mul", [y, g.constant(tensors[f"blocks.{i}.scale"])]))])
    return g.model("source_filter", mels, linear("head", norm("norm", transpose(x))), [1, None, 1542])


def main():
    path, mel, frames, out = sys.argv[1:]
    with safe_open(path, "np") as file:
        build = dict(hifigan=hifigan, source_filter=source_filter)[file.metadata()["architecture"]]
        config, tensors = json.loads(file.metadata()["config"]), {name: file.get_tensor(name).astype(np.float32) for name in file.keys()}
    x = np.fromfile(mel, np.float32).reshape(int(frames), -1).T[None].copy()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    model = build(tensors, config, x.shape[1])
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
