#!/usr/bin/env python3
"""What speech sounds like, in figures that stand in for ears.

    python quality.py NAME=FOLDER...
    python quality.py --spectrogram OUT.png SOUND SOUND...

Scores the WAV and FLAC files of each folder (mono) and prints one JSON object a line: name, files, seconds, and over the files
  distillmos           DistillMOS (Stahl and Gamper 2025), 1 to 5: naturalness as a listener would rate it; with its 95 % interval (bootstrap over files)
  ovrl, sig, bak, p808 DNSMOS P.835 (Reddy et al. 2022): overall, speech, background, and P.808; ovrl with its interval
  comb_quiet, comb_loud  dB by which the spectrum at multiples of the hop rate, 86.13 Hz, stands above its neighbours: what a vocoder's frames leave in the sound
  mel_variance         variance over time of the log-mel (nepers squared), a mean over bands: too smooth a spectrum has less
  f0_median, f0_range  Hz, and semitones between the 5th and 95th percentile of voiced frames (DIO, StoneMask)
  f0_deviation         semitones: standard deviation of voiced frames
  pause_share          of the time between the first and the last sound, how much is silence of a tenth of a second and longer
  spoken               seconds between the first and the last sound, of all files

The second form draws the sounds' spectrograms below each other, from 0 to 4 kHz, where the lines that a vocoder leaves are seen.
"""
import json
import pathlib
import sys

import numpy as np
import soundfile
from scipy.signal import resample_poly

HOP_RATE = 22050 / 256
QUIET_SHARE = 0.3  # of the frames that are not silent


def files_of(folder):
    return sorted(p for p in pathlib.Path(folder).iterdir() if p.suffix in (".wav", ".flac"))


def resampled(wave, rate, wanted):
    common = np.gcd(rate, wanted)
    return wave if rate == wanted else resample_poly(wave, wanted // common, rate // common).astype(np.float32)


def comb_frames(wave):
    """Power spectra at 22,050 Hz of windows of 8,192 samples (bins of 2.7 Hz) without those of silence, and their levels in dB."""
    size, step = 8192, 2048
    if len(wave) < size:
        wave = np.pad(wave, (0, size - len(wave)))
    at = np.arange(0, len(wave) - size + 1, step)
    power = np.abs(np.fft.rfft(wave[at[:, None] + np.arange(size)] * np.hanning(size))) ** 2
    level = 10 * np.log10(power.mean(1) + 1e-12)
    keep = level > level.max() - 70
    return power[keep], level[keep]


def comb(power):
    """Mean over multiples of the hop rate up to 8 kHz of the level of the line (three bins) over the median of its neighbours (8 to 30 Hz away), in dB."""
    mean, bin_hz, excess = power.mean(0), 22050 / 8192, []
    for k in range(2, int(8000 / HOP_RATE) + 1):
        centre = k * HOP_RATE / bin_hz
        bins = np.arange(len(mean))
        near = np.abs(bins - centre)
        line = mean[near <= 1.5].mean()
        around = np.median(mean[(near >= 8 / bin_hz) & (near <= 30 / bin_hz)])
        excess.append(10 * np.log10((line + 1e-20) / (around + 1e-20)))
    return float(np.mean(excess))


def mel_variance(wave):
    """Mean over bands of the variance of the log-mel over frames within 60 dB of the loudest."""
    import librosa
    mel = librosa.feature.melspectrogram(y=wave, sr=22050, n_fft=1024, hop_length=256, n_mels=80, fmax=8000, power=1.0)
    log = np.log(np.maximum(mel, 1e-5))
    loud = log.max(0) > log.max() - 60 / 8.686
    return float(log[:, loud].var(1).mean())


def voiced_f0(wave):
    import pyworld
    wave = wave.astype(np.float64)
    rough, at = pyworld.dio(wave, 22050, f0_floor=60, f0_ceil=500)
    f0 = pyworld.stonemask(wave, rough, at, 22050)
    return f0[f0 > 0]


def pauses(wave):
    """Seconds between the first and the last sound, and how many of them are pauses; sound is within 40 dB of the loudest tenth of the frames."""
    wave = np.pad(wave, (0, -len(wave) % 256))
    power = np.square(wave.reshape(-1, 256)).mean(1)
    level = 10 * np.log10(power + 1e-12)
    sound = np.flatnonzero(level > np.quantile(level, 0.9) - 40)
    gaps = np.diff(sound) - 1
    return (sound[-1] - sound[0] + 1) / HOP_RATE, gaps[gaps >= 0.1 * HOP_RATE].sum() / HOP_RATE


def spectrogram(wave):
    """Grey levels [rows, columns] of the lower 4 kHz: a column each 128 samples at 22,050 Hz, a row each 10.8 Hz, 70 dB from white to black."""
    size, step = 1024, 128
    at = np.arange(0, len(wave) - size + 1, step)
    power = np.abs(np.fft.rfft(wave[at[:, None] + np.arange(size)] * np.hanning(size), 2 * size)) ** 2
    level = 10 * np.log10(power[:, :int(4000 * 2 * size / 22050)] + 1e-12)
    return np.clip(255 * (level.max() - level) / 70, 0, 255).astype(np.uint8).T[::-1]


def draw(out, paths):
    from PIL import Image
    pictures = []
    for path in paths:
        wave, rate = soundfile.read(path, dtype="float32")
        pictures.append(spectrogram(resampled(wave, rate, 22050)))
    columns = min(picture.shape[1] for picture in pictures)
    line = np.zeros((4, columns), np.uint8)
    rows = [row for picture in pictures for row in (picture[:, :columns], line)][:-1]
    # Sixteen greys are enough to look at.
    Image.fromarray(np.concatenate(rows)).quantize(16).save(out, optimize=True)


def interval(values, rounds=2000):
    drawn = np.random.default_rng(1).choice(values, (rounds, len(values))).mean(1)
    return [round(float(q), 3) for q in np.percentile(drawn, [2.5, 97.5])]


def main(pairs):
    import distillmos
    import torch
    from speechmos import dnsmos
    model = distillmos.ConvTransformerSQAModel().eval()
    for name, folder in (pair.split("=", 1) for pair in pairs):
        distill, dns, spectra, levels, variance, f0, silence, seconds = [], [], [], [], [], [], [], 0.0
        for path in files_of(folder):
            wave, rate = soundfile.read(path, dtype="float32")
            if wave.ndim != 1:
                sys.exit(f"{path}: expected one channel, found {wave.shape[1]}")
            seconds += len(wave) / rate
            low = np.clip(resampled(wave, rate, 16000), -1, 1)
            with torch.no_grad():
                distill.append(model(torch.from_numpy(low)[None]).item())
            dns.append(dnsmos.run(low, 16000))
            wave = resampled(wave, rate, 22050)
            power, level = comb_frames(wave)
            spectra.append(power)
            levels.append(level)
            variance.append(mel_variance(wave))
            f0.append(voiced_f0(wave))
            silence.append(pauses(wave))
        if not distill:
            sys.exit(f"{folder}: expected WAV or FLAC files, found none")
        spectra, levels, f0 = np.concatenate(spectra), np.concatenate(levels), np.concatenate(f0)
        quiet = levels <= np.quantile(levels, QUIET_SHARE)
        part = lambda key: [float(row[key]) for row in dns]
        low, high = np.percentile(f0, [5, 95])
        spoken, paused = np.sum(silence, 0)
        print(json.dumps(dict(
            name=name, files=len(distill), seconds=round(seconds, 1),
            distillmos=round(float(np.mean(distill)), 3), distillmos_interval=interval(distill),
            ovrl=round(float(np.mean(part("ovrl_mos"))), 3), ovrl_interval=interval(part("ovrl_mos")),
            sig=round(float(np.mean(part("sig_mos"))), 3), bak=round(float(np.mean(part("bak_mos"))), 3), p808=round(float(np.mean(part("p808_mos"))), 3),
            comb_quiet=round(comb(spectra[quiet]), 2), comb_loud=round(comb(spectra[~quiet]), 2),
            mel_variance=round(float(np.mean(variance)), 3),
            f0_median=round(float(np.median(f0)), 1), f0_range=round(float(12 * np.log2(high / low)), 2), f0_deviation=round(float(12 * np.log2(f0).std()), 2),
            spoken=round(float(spoken), 1), pause_share=round(float(paused / spoken), 4))), flush=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--spectrogram"]:
        draw(sys.argv[2], sys.argv[3:])
    else:
        main(sys.argv[1:])
