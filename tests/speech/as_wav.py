#!/usr/bin/env python3
"""Writes a recording (FLAC, WAV) as WAV of 16 bits: python as_wav.py FROM TO. Needs soundfile."""
import sys

import soundfile

wave, rate = soundfile.read(sys.argv[1], dtype="int16")
soundfile.write(sys.argv[2], wave, rate, subtype="PCM_16")
