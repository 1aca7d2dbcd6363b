"""A training step of the project that PRIMAL began as, in PyTorch on the CPU: a peer that makes one step for every line it reads, and answers with
the seconds it took.

    python seed_step.py CLONE BATCH SEQ_LEN THREADS    # CLONE: git directory of batteryphil/Primal-Discrete-LLM-Training

The model and the step are those of primal_train_ghost.py at the commit below, as they are, but for two things: the device, and a loop over
512 rows at a time where the nearest level is looked for, without which 24 GB of memory do not suffice.
"""
import subprocess, sys, time, types
import torch, torch.utils.checkpoint

COMMIT = "84a32e0"


def module(clone):
    show = ["git", "-C", clone, "show", f"{COMMIT}:primal_train_ghost.py"]
    source = subprocess.run(show, check=True, capture_output=True, text=True).stdout
    source = source.replace('"device": "cuda"', '"device": "cpu"').replace("sys.stdout.reconfigure(encoding='utf-8')", "")
    loaded = types.ModuleType("seed")
    exec(compile(source.split('if __name__ == "__main__"')[0], "primal_train_ghost.py", "exec"), loaded.__dict__)
    for layer, levels, name in ((loaded.GhostLinear, loaded.PRIMAL_LUT, "quantize_to_indices"),
                                (loaded.FineGhostLinear, loaded.FINE_LUT, "quantize_to_indices_fine")):
        nearest = lambda rows, levels: torch.argmin((rows.unsqueeze(-1) - levels).abs(), -1).to(torch.uint8)
        setattr(layer, name, lambda self, w, levels=levels: torch.cat([nearest(rows, levels) for rows in w.split(512)]))
    return loaded


def main():
    clone, batch, seq_len, threads = sys.argv[1], *map(int, sys.argv[2:])
    torch.set_num_threads(threads)
    seed = module(clone)
    model = seed.GhostGPT(dict(seed.CONFIG))
    model.train()
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=4.5e-4)
    layers = [layer for layer in model.modules() if isinstance(layer, seed.GhostLinear)]

    def step():
        tokens = torch.randint(0, seed.CONFIG["vocab_size"], (batch, seq_len + 1))
        began = time.perf_counter()
        _, loss = model(tokens[:, :-1], targets=tokens[:, 1:])
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():
            for layer in layers:
                layer.apply_votes(0.002)
        return time.perf_counter() - began

    step()
    print(f"PyTorch {torch.__version__.split('+')[0]}", flush=True)
    for _ in sys.stdin:
        print(step(), flush=True)


main()
