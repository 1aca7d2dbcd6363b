#!/usr/bin/env python3
"""Make a speech corpus with phone durations from plain text and a free voice.

    apt-get install festival festlex-cmu festlex-poslex festvox-us-slt-hts
    pip install numpy scipy soundfile
    python make_corpus.py --text FIRST.txt --text SECOND.txt --out corpus --minutes 70 --heldout-minutes 5
    primal-host tts-train --data corpus

Sentences of 5 to 20 words are drawn (seeded) from the text files: training sentences from the first
95 % of each file, held-out sentences from the last 5 %. Festival's `cmu_us_slt_arctic_hts` voice
reads them at 32 kHz; the audio is resampled to 22.05 kHz and peak-normalised to 0.95.

Output folder:
    wavs/ID.wav           22,050 Hz, mono, 16 bit, a whole number of 256-sample frames
    train.jsonl           one object a line: id, text, words, word_spans, phones, durations_frames,
    heldout.jsonl         n_frames, wav (path relative to the folder)
    train_sentences.txt   the sentences, in the order of the ids
    heldout_sentences.txt

Phones are ARPAbet in upper case, vowels with a stress digit (0 or 1: the voice's lexicon knows no
secondary stress), SIL for a pause. `word_spans` gives for each word [first, end) indices into
`phones`. Durations are in frames of 256 samples; cumulative boundaries are rounded, not durations,
so that they sum to `n_frames`, the length of the HiFi-GAN log-mel of the file.
"""
import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import scipy.signal as ss
import soundfile as sf

RATE, HOP, PEAK = 22050, 256, 0.95
VOICE_RATE = 32000
VOWELS = set("AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW".split())
CONSONANTS = set("B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH".split())
ABBREVIATION = re.compile(
    r"\b(Mr|Mrs|Ms|Dr|St|Messrs|Hon|Col|Capt|Gen|Lt|Esq|Rev|Jr|Sr|No|Vol|viz|etc|i\.e|e\.g|U\.S|[A-Z])\.")

SCHEME = """(voice_cmu_us_slt_arctic_hts)
(define (dump id text)
  (let ((u (utt.synth (eval (list 'Utterance 'Text text)))) (f (fopen (string-append id ".seg") "w")))
    (utt.save.wave u (string-append id ".wav") 'riff)
    (mapcar (lambda (s) (format f "%s\\t%s\\t%s\\t%s\\t%s\\t%.6f\\n" (item.name s)
        (item.feat s "R:SylStructure.parent.stress") (item.feat s "R:SylStructure.parent.parent.name")
        (item.feat s "pos_in_syl") (item.feat s "R:SylStructure.parent.pos_in_word") (item.feat s "end")))
      (utt.relation.items u 'Segment))
    (fclose f)))
"""


def sentences(text):
    """Clean sentences: 5 to 20 words, letters, commas, semicolons and apostrophes only."""
    text = re.sub(r"[ \t]*\n[ \t]*", "\n", text)
    for paragraph in re.split(r"\n{2,}", text):
        paragraph = ABBREVIATION.sub(lambda m: m.group(0)[:-1] + "\x00", re.sub(r"\s+", " ", paragraph))
        for s in re.split(r"(?<=[.?!])\s+", paragraph):
            words = s.split()
            if (5 <= len(words) <= 20 and re.fullmatch(r"[A-Z][A-Za-z' ,;]*[a-z][.?!]", s)
                    and not re.search(r"\b[A-Z]{2,}\b|(^|[ ,;])'|'([ ,;.?!]|$)|,,|;;", s)):
                yield s


def choose(paths, seed):
    """(training, held-out) sentence lists, shuffled, files in equal shares, no sentence twice."""
    rng = random.Random(seed)
    pools = ([], [])
    for path in paths:
        raw = open(path, "rb").read()
        cut = raw.rfind(b"\n", 0, int(len(raw) * 0.95)) + 1
        for pool, part in zip(pools, (raw[:cut], raw[cut:])):
            found = sorted(set(sentences(part.decode("utf-8", "replace"))))
            rng.shuffle(found)
            pool.append(found)
    def interleave(lists):
        return [s for row in zip(*[l[:min(map(len, lists))] for l in lists]) for s in row]
    train, heldout = map(interleave, pools)
    key = lambda s: re.sub(r"[^a-z]+", " ", s.lower())
    known = {key(s) for s in train}
    return train, [s for s in heldout if key(s) not in known]


# -90 dB stop band from 11,025 Hz up, flat to 10.0 kHz.
UP, DOWN = 441, 640
FILTER = ss.firwin(2 * 64 * DOWN + 1, (11025 - 492) / (VOICE_RATE * UP / 2), window=("kaiser", 9.0))


def arpabet(name, stress):
    if name in ("pau", "h#", "brth", "#", "sil"):
        return "SIL"
    if name in ("ax", "axr"):
        return {"ax": "AH0", "axr": "ER0"}[name]
    p = {"dx": "T", "el": "L", "em": "M", "en": "N", "nx": "N", "hv": "HH"}.get(name, name).upper()
    if p in VOWELS:
        return p + ("1" if stress == "1" else "0")
    assert p in CONSONANTS, f"unknown phone {name!r}"
    return p


def read_resampled(path):
    """What the voice said, at 22.05 kHz, cut to whole frames and normalised."""
    y, rate = sf.read(path, dtype="float64")
    assert rate == VOICE_RATE, f"voice gave {rate} Hz, expected {VOICE_RATE}"
    y = ss.resample_poly(y, UP, DOWN, window=FILTER)
    y = y[:len(y) // HOP * HOP]
    return y * (PEAK / np.abs(y).max())


def finish(out, work, uid, text):
    """Resample, normalise, quantise the durations; returns the metadata object."""
    y = read_resampled(f"{work}/{uid}.wav")
    n = len(y) // HOP
    phones, ends, words, spans = [], [], [], []
    for line in open(f"{work}/{uid}.seg"):
        name, stress, word, in_syl, in_word, end = line.rstrip("\n").split("\t")
        p = arpabet(name, stress)
        if p != "SIL":
            if in_syl == "0" and in_word == "0":
                words.append(word.lower())
                spans.append([len(phones), len(phones)])
            spans[-1][1] = len(phones) + 1
        phones.append(p)
        ends.append(float(end))
    bounds = np.minimum(np.round(np.array(ends) * RATE / HOP).astype(int), n)
    bounds[-1] = n
    durations = np.diff(bounds, prepend=0)
    # The voice splits a possessive off ("elinor", "'s"), though its phone belongs to the word: keep the text's words.
    tokens = re.findall(r"[a-z']+", text.lower())
    assert len(tokens) == len(words) and all(t.startswith(w) for t, w in zip(tokens, words)), f"{uid}: {words}"
    words = tokens
    assert durations.sum() == n and len(durations) == len(phones)
    assert (durations >= 0).all(), f"{uid}: times run backwards"
    sf.write(f"{out}/wavs/{uid}.wav", y, RATE, subtype="PCM_16")
    return dict(id=uid, text=text, words=words, word_spans=spans, phones=phones,
                durations_frames=durations.tolist(), n_frames=n, wav=f"wavs/{uid}.wav")


def speak(out, work, items):
    """One festival process for a chunk of (id, sentence)."""
    first = items[0][0]
    with open(f"{work}/{first}.scm", "w") as f:
        f.write(SCHEME + "".join(f'(dump "{work}/{uid}" "{text}")\n' for uid, text in items))
    subprocess.run(["festival", "-b", f"{work}/{first}.scm"], check=True)
    meta = []
    for uid, text in items:
        meta.append(finish(out, work, uid, text))
        os.remove(f"{work}/{uid}.wav")
        os.remove(f"{work}/{uid}.seg")
    return meta


def main():
    a = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    a.add_argument("--text", action="append", required=True, help="a plain text file (repeatable)")
    a.add_argument("--out", required=True, help="the folder to write")
    a.add_argument("--minutes", type=float, default=70, help="training audio")
    a.add_argument("--heldout-minutes", type=float, default=5)
    a.add_argument("--seed", type=int, default=1)
    a.add_argument("--jobs", type=int, default=2)
    a = a.parse_args()
    if not shutil.which("festival"):
        return "make_corpus.py: festival is not installed\n  hint: apt-get install festival festlex-cmu festlex-poslex festvox-us-slt-hts"
    missing = [path for path in a.text if not os.path.isfile(path)]
    if missing:
        return f"make_corpus.py: --text {missing[0]}: there is no such file"
    os.makedirs(f"{a.out}/wavs", exist_ok=True)
    with tempfile.TemporaryDirectory() as work, ThreadPoolExecutor(a.jobs) as pool:
        train, heldout = choose(a.text, a.seed)
        for name, pool_sentences, minutes in [("heldout", heldout, a.heldout_minutes), ("train", train, a.minutes)]:
            print(f"{name}: {len(pool_sentences)} usable sentences", flush=True)
            meta, frames, at = [], 0, 0
            target = minutes * 60 * RATE / HOP
            while frames < target and at < len(pool_sentences):
                chunks = []
                for _ in range(a.jobs):
                    # about 4.5 s a sentence; small chunks near the end
                    size = max(1, min(60, int((target - frames) * HOP / RATE / 4.5 / a.jobs)))
                    part = [(f"{name}_{i:05d}", s) for i, s in enumerate(pool_sentences[at:at + size], at)]
                    at += size
                    if part:
                        chunks.append(part)
                for m in pool.map(lambda c: speak(a.out, work, c), chunks):
                    meta += m
                frames = sum(m["n_frames"] for m in meta)
                print(f"{name}: {len(meta)} sentences, {frames * HOP / RATE / 60:.1f} min", flush=True)
            with open(f"{a.out}/{name}.jsonl", "w") as f:
                f.writelines(json.dumps(m) + "\n" for m in meta)
            with open(f"{a.out}/{name}_sentences.txt", "w") as f:
                f.writelines(m["text"] + "\n" for m in meta)
            zero = sum(d == 0 for m in meta for d in m["durations_frames"])
            print(f"{name}: done, {sum(len(m['phones']) for m in meta)} phones, {zero} of zero frames", flush=True)


if __name__ == "__main__":
    sys.exit(main())
