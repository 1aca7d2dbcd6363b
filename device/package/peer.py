#!/usr/bin/env python3
"""The same model in PyTorch, as one would write it for speed: bf16 autocast, fused attention, fused AdamW, eager and compiled.

    python3 peer.py [--batch 64] [--seq-len 512] [--seconds 80]

Prints `figure NAME VALUE` lines: tokens/s (median of steps after the warm-up), milliseconds of a step, peak memory in MiB.
The tokens are random: speed does not depend on them. Steps are timed by events of the device.
"""

import argparse
import statistics
import time

import torch
from torch import nn
from torch.nn import functional as F

# gpt-0.1b, with the vocabulary of GPT-2 padded to a multiple of 64.
LAYERS, DIM, HEADS, VOCAB, CONTEXT = 13, 768, 12, 50_304, 512
WARM_UP, STEPS = 3, 20


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(DIM), nn.LayerNorm(DIM)
        self.qkv, self.out = nn.Linear(DIM, 3 * DIM, bias=False), nn.Linear(DIM, DIM, bias=False)
        self.up, self.down = nn.Linear(DIM, 4 * DIM, bias=False), nn.Linear(4 * DIM, DIM, bias=False)

    def forward(self, x):
        batch, seq, _ = x.shape
        q, k, v = (part.view(batch, seq, HEADS, DIM // HEADS).transpose(1, 2) for part in self.qkv(self.norm1(x)).split(DIM, dim=2))
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, seq, DIM))
        return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))


class Gpt(nn.Module):
    def __init__(self):
        super().__init__()
        self.tokens, self.positions = nn.Embedding(VOCAB, DIM), nn.Embedding(CONTEXT, DIM)
        self.blocks = nn.ModuleList(Block() for _ in range(LAYERS))
        self.norm, self.head = nn.LayerNorm(DIM), nn.Linear(DIM, VOCAB, bias=False)

    def forward(self, inputs, targets):
        x = self.tokens(inputs) + self.positions(torch.arange(inputs.shape[1], device=inputs.device))
        for block in self.blocks:
            x = block(x)
        return F.cross_entropy(self.head(self.norm(x)).view(-1, VOCAB), targets.view(-1))


def measure(name, batch, seq_len, deadline, compiled):
    torch.manual_seed(1)
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    model = Gpt().cuda()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
    forward = torch.compile(model) if compiled else model
    tokens = torch.randint(50_257, (batch, seq_len + 1), device="cuda")
    inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
    milliseconds = []
    for step in range(WARM_UP + STEPS):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        with torch.autocast("cuda", dtype=torch.bfloat16):
            loss = forward(inputs, targets)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        end.record()
        end.synchronize()
        if step >= WARM_UP:
            milliseconds.append(start.elapsed_time(end))
        if time.monotonic() > deadline:
            break
    if not milliseconds:
        print(f"{name}: no step after the warm-up within the time", flush=True)
        return
    median = statistics.median(milliseconds)
    print(f"{name}: loss {loss.item():.4f}, {len(milliseconds)} steps of {min(milliseconds):.2f} to {max(milliseconds):.2f} ms", flush=True)
    print(f"figure peer.{name}.tokens_per_second {batch * seq_len / median * 1000:.0f}")
    print(f"figure peer.{name}.step_ms {median:.3f}")
    print(f"figure peer.{name}.peak_mib {torch.cuda.max_memory_allocated() >> 20}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seq-len", type=int, default=CONTEXT)
    parser.add_argument("--seconds", type=float, default=80)
    arguments = parser.parse_args()
    if not 1 <= arguments.seq_len <= CONTEXT:
        parser.error(f"--seq-len: expected 1 to {CONTEXT}, found {arguments.seq_len}")
    if not torch.cuda.is_available():
        parser.error("expected a GPU that PyTorch sees, found none")
    began = time.monotonic()
    print(f"figure peer.torch {torch.__version__}", flush=True)
    # Half of the time at most without compilation, what is left with it.
    measure("eager", arguments.batch, arguments.seq_len, began + arguments.seconds / 2, compiled=False)
    measure("compiled", arguments.batch, arguments.seq_len, began + arguments.seconds, compiled=True)


if __name__ == "__main__":
    main()
