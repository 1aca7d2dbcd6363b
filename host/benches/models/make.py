"""Tiny random models of each architecture with transformers, and the logits of models: python make.py models FOLDER, python make.py logits FOLDER..."""

import json
import pathlib
import sys

import torch
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCAB = 160
TOKENS = [(7 * i * i + 3 * i) % VOCAB for i in range(50)]

LIKE_LLAMA = {
    "vocab_size": VOCAB,
    "hidden_size": 96,
    "intermediate_size": 160,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
LLAMA3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 32}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32}

MODELS = {
    "llama": (LlamaForCausalLM, LlamaConfig(**LIKE_LLAMA, rms_norm_eps=1e-5)),
    "llama-tied": (LlamaForCausalLM, LlamaConfig(**LIKE_LLAMA, tie_word_embeddings=True, rope_theta=500000.0)),
    "llama-wide-heads": (LlamaForCausalLM, LlamaConfig(**LIKE_LLAMA, head_dim=32)),
    "llama-linear": (LlamaForCausalLM, LlamaConfig(**LIKE_LLAMA, rope_scaling={"rope_type": "linear", "factor": 4.0})),
    "llama-llama3": (LlamaForCausalLM, LlamaConfig(**LIKE_LLAMA, rope_scaling=LLAMA3)),
    "llama-yarn": (LlamaForCausalLM, LlamaConfig(**LIKE_LLAMA, rope_scaling=YARN)),
    "mistral": (MistralForCausalLM, MistralConfig(**LIKE_LLAMA, sliding_window=None)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**LIKE_LLAMA)),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**LIKE_LLAMA, head_dim=32, tie_word_embeddings=True)),
    "gpt2": (
        GPT2LMHeadModel,
        GPT2Config(vocab_size=VOCAB, n_embd=96, n_layer=3, n_head=6, n_positions=128, initializer_range=0.2, bos_token_id=0, eos_token_id=0),
    ),
}


def tokenizer() -> str:
    """One token for each of 160 characters."""
    vocab = {chr(256 + i): i for i in range(VOCAB)}
    return json.dumps({
        "version": "1.0",
        "added_tokens": [],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    })


def main(root: pathlib.Path):
    for name, (kind, config) in MODELS.items():
        for dtype, saving in (
            (torch.float32, {}),
            (torch.bfloat16, {"max_shard_size": "100KB"}),
            (torch.float16, {"safe_serialization": False}),
        ):
            torch.manual_seed(1)
            model = kind(config).eval()
            with torch.no_grad():
                # Norms and biases start as ones and zeros, which would hide where they are missing.
                for parameter in model.parameters():
                    if parameter.dim() == 1:
                        parameter.add_(torch.randn_like(parameter) * 0.1)
            folder = root / f"{name}-{str(dtype).removeprefix('torch.')}"
            model.to(dtype).save_pretrained(folder, **saving)
            (folder / "tokenizer.json").write_text(tokenizer())
            # The weights as they are stored, in f32 arithmetic. In a new model: conversion rounds the angles of positions, too.
            again = kind(config).eval()
            again.load_state_dict(model.to(torch.float32).state_dict())
            write_logits(again, folder)


def write_logits(model, folder: pathlib.Path):
    with torch.no_grad():
        logits = model(torch.tensor([TOKENS])).logits[0]
    (folder / "logits.json").write_text(json.dumps({"tokens": TOKENS, "last": logits[-1].tolist()}))


if sys.argv[1] == "models":
    main(pathlib.Path(sys.argv[2]))
else:
    for folder in map(pathlib.Path, sys.argv[2:]):
        write_logits(AutoModelForCausalLM.from_pretrained(folder).eval(), folder)
