#!/usr/bin/env python3
"""Lets the voice that the models learnt from say each line of a file: FOLDER/0001.wav and so on, at 22,050 Hz.

    python teacher.py sentences.txt FOLDER

Needs festival, festlex-cmu, festlex-poslex and festvox-us-slt-hts, and numpy, scipy and soundfile.
"""
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parents[2] / "models/voices/slt"))
import make_corpus as recipe
import soundfile as sf


def main(sentences, folder):
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    lines = pathlib.Path(sentences).read_text().split("\n")
    named = [(f"{number:04}", line) for number, line in enumerate(lines, 1) if line.strip()]
    with tempfile.TemporaryDirectory() as work:
        calls = "".join('(dump "{}/{}" "{}")\n'.format(work, name, line.replace('"', "")) for name, line in named)
        script = pathlib.Path(work) / "say.scm"
        script.write_text(recipe.SCHEME + calls)
        subprocess.run(["festival", "-b", script], check=True)
        for name, _ in named:
            sf.write(folder / f"{name}.wav", recipe.read_resampled(f"{work}/{name}.wav"), recipe.RATE, subtype="PCM_16")


if __name__ == "__main__":
    main(*sys.argv[1:])
