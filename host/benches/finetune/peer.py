"""The same fine-tuning in PyTorch, as a peer: AdamW on all weights of a model's blocks, or LoRA (Hu et al. 2021): low-rank adapters on their linear layers,
which stay as they are.

    python peer.py JOB.json    # written by peer.rs, which says what is in it

Rates, order of the data, moments and clipping are those of the job, and so the program's own. The adapters' sum is scaled by alpha / rank = 2; A begins as
linear layers of PyTorch do (Kaiming's uniform), B with zeros.
"""
import json, math, os, statistics, sys, time

import numpy as np, torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn
from transformers import AutoModelForCausalLM

SCALE = 2.0


class Adapted(nn.Module):
    """A linear layer and its adapters."""

    def __init__(self, linear, rank):
        super().__init__()
        self.linear = linear
        self.a = nn.Parameter(torch.empty(rank, linear.in_features))
        self.b = nn.Parameter(torch.zeros(linear.out_features, rank))
        nn.init.kaiming_uniform_(self.a, a=math.sqrt(5))

    def forward(self, x):
        return self.linear(x) + SCALE * ((x @ self.a.T) @ self.b.T)

    def merged(self):
        self.linear.weight += SCALE * (self.b @ self.a)
        return self.linear


def each_linear(module):
    return [(parent, name, child) for parent in module.modules() for name, child in parent.named_children() if isinstance(child, nn.Linear)]


def main():
    with open(sys.argv[1]) as file:
        job = json.load(file)
    torch.set_num_threads(job["threads"])
    torch.manual_seed(job["seed"])
    model = AutoModelForCausalLM.from_pretrained(job["model"], torch_dtype=torch.float32)
    model.requires_grad_(False)
    blocks = model.model.layers
    if job["rank"]:
        for parent, name, linear in each_linear(blocks):
            setattr(parent, name, Adapted(linear, job["rank"]))
        trained = [p for name, p in blocks.named_parameters() if name.endswith((".a", ".b"))]
    else:
        trained = [*blocks.parameters(), *model.model.norm.parameters()]
    for parameter in trained:
        parameter.requires_grad_()
    betas, decay = (job["beta1"], job["beta2"]), job["weight_decay"]
    optimizer = torch.optim.AdamW(trained, lr=0.0, betas=betas, eps=1e-8, weight_decay=decay, fused=True)

    seq_len, steps = job["seq_len"], len(job["rates"])
    rows = torch.from_numpy(np.fromfile(job["rows"], np.uint32).astype(np.int64)).view(-1, 3, seq_len)

    def loss(inputs, targets, documents):
        # Targets beyond the end of a text, and of what is not learnt, are none.
        targets = targets.where(targets < 2**32 - 1, -100)
        several = {}
        if documents[0] != documents[-1]:
            sees = (documents[:, None] == documents).tril()
            positions = torch.arange(seq_len) - torch.searchsorted(documents, documents)
            several = {"attention_mask": sees[None, None], "position_ids": positions[None]}
        return nn.functional.cross_entropy(model(inputs[None], use_cache=False, **several).logits[0], targets)

    @torch.no_grad()
    def validation():
        counts = [(targets < 2**32 - 1).sum().item() for _, targets, _ in rows[steps:]]
        return sum(loss(*row).item() * n for row, n in zip(rows[steps:], counts)) / sum(counts)

    print(f"PyTorch {torch.__version__}, {sum(p.numel() for p in trained):,} parameters are trained", flush=True)
    seconds, curve = [], []
    for step, (rate, row) in enumerate(zip(job["rates"], rows)):
        began = time.perf_counter()
        optimizer.param_groups[0]["lr"] = rate
        value = loss(*row)
        value.backward()
        nn.utils.clip_grad_norm_(trained, job["clip"])
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - began)
        every, done = job["validate_every"], step + 1
        if every and (done % every == 0 or done == steps):
            curve.append((done, validation()))
        print(f"step {done}: loss {value.item():.6f}, {seconds[-1]:.2f} s", flush=True)

    # Before weights are written.
    with open("/proc/self/status") as file:
        peak = next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM:"))
    if job["merged"]:
        with torch.no_grad():
            for parent, name, child in [(p, n, c) for p in blocks.modules() for n, c in p.named_children() if isinstance(c, Adapted)]:
                setattr(parent, name, child.merged())
        state = model.state_dict()
        with safe_open(os.path.join(job["model"], "model.safetensors"), "pt") as file:
            merged = {name: state[name].contiguous() for name in file.keys()}
        save_file(merged, os.path.join(job["merged"], "model.safetensors"), {"format": "pt"})
    with open(job["result"], "w") as file:
        json.dump({"seconds": statistics.median(seconds), "peak_mib": peak, "curve": curve}, file)


main()
