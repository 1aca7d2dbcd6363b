"""Makes a byte-pair vocabulary: the tokens above the 256 bytes, in the order in which they are joined, as a JSON list.

    pip install tokenizers
    python models/make_vocabulary.py --size 1024 --out host/src/data/english1k.json TEXT...

`english1k.json` was made from 3 MB of the generated stories and 3 MB of Jane Austen's novels (Project Gutenberg).
"""

import argparse
import json

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, default=1024)
parser.add_argument("--out", required=True)
parser.add_argument("texts", nargs="+", help="UTF-8 text; the first 3 million characters of each are used")
arguments = parser.parse_args()

pieces = []
for path in arguments.texts:
    with open(path, encoding="utf-8") as file:
        text = file.read(3_000_000)
    pieces += [text[at : at + 100_000] for at in range(0, len(text), 100_000)]

bytes_as_characters = pre_tokenizers.ByteLevel.alphabet()
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
tokenizer.train_from_iterator(
    pieces,
    trainers.BpeTrainer(vocab_size=arguments.size, initial_alphabet=bytes_as_characters, show_progress=False),
)
tokens = sorted(tokenizer.get_vocab().items(), key=lambda item: item[1])[256:]
plain = [token.replace("Ġ", " ").replace("Ċ", "\n") for token, _ in tokens]
assert all(token.isascii() for token in plain), "the texts have frequent characters beyond ASCII"
with open(arguments.out, "w", encoding="utf-8") as file:
    json.dump(plain, file, indent=0)
    file.write("\n")
print(f"{len(plain)} tokens above the bytes")
