#!/usr/bin/env python3
"""Train the source-filter vocoder: log-mel [80, T] in, waveform [256 T] at 22,050 Hz out. CPU or GPU.

    pip install torch numpy soundfile safetensors 'setuptools<81' pyworld
    python train_vocoder.py train    --data CORPUS --out RUN --steps 20000          # or --until 18:30, or both: the first that ends counts
    python train_vocoder.py evaluate --data CORPUS --weights RUN/vocoder.safetensors --out FOLDER
    python train_vocoder.py train    --data CORPUS --out RUN --init F --drawn MELS --steps 3000   # for one acoustic model
    python train_vocoder.py export   --weights RUN/checkpoint.pt --out vocoder.safetensors
    python train_vocoder.py pitch    --data CORPUS --cache RUN/f0                   # F0 of every recording, once; train does it too

`primal-host tts-mels` writes mels.safetensors: the spectrograms that an acoustic model draws of the same utterances, as long as the recordings.
CORPUS holds train.jsonl and heldout.jsonl, with `id` and `wav` (FLAC or WAV, a path relative to the folder) in each line. `train` goes on with
RUN/checkpoint.pt where there is one: stop it, or kill it, and give the same command again. Beside it, every --save-minutes: vocoder.safetensors (f16,
averaged weights); metrics.jsonl grows line by line. The learning rate rises over 50 steps, stays, and falls by a cosine over the last --decay of the plan.

Model: harmonics of F0 and white noise, each shaped by a filter that a network draws at frame rate, added by an inverse STFT. The filter of the
harmonics is of minimum phase, turned by a learnt correction. Neural source-filter: Wang et al. 2019; ISTFT head: Siuzdak 2023 (Vocos);
ConvNeXt: Liu et al. 2022. Loss: the spectral energy distance (Gritsenko et al. 2020), its repulsive term weighted by --apart.
"""
import argparse, json, math, os, signal, sys, time
from datetime import datetime, timedelta
from functools import cached_property

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F

RATE, HOP, BANDS = 22050, 256, 80
MEL_SIZE = 1024
SIZE, STEP, BINS = 512, 128, 257  # the filters' STFT: two half-frames a frame
SCALES = (128, 256, 512, 1024, 2048)  # windows of the loss
F0_CENTRE = math.log2(190)  # the F0 net speaks in octaves from here
F0_FLOOR, F0_CEILING = 75.0, 450.0
SOURCE_LIMIT = 10000.0  # Hz: no harmonic above
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


class BadInput(Exception):
    """What the user can mend: printed without a traceback, exit status 2."""


# ------------------------------------------------------------------------------------------------------------------------------ mel

def mel_edges():
    """The 82 corner frequencies of Slaney's scale, Hz: linear to 1 kHz, logarithmic above."""
    top = 15 + math.log(8) * 27 / math.log(6.4)
    mels = np.linspace(0, top, BANDS + 2)
    return np.where(mels < 15, mels * 200 / 3, 1000 * np.exp((mels - 15) * math.log(6.4) / 27))


def mel_filters():
    """Triangles of unit area, [80, 513]."""
    edges, hz = mel_edges(), np.arange(MEL_SIZE // 2 + 1) * RATE / MEL_SIZE
    low, mid, high = edges[:-2, None], edges[1:-1, None], edges[2:, None]
    triangles = np.clip(np.minimum((hz - low) / (mid - low), (high - hz) / (high - mid)), 0, None)
    return torch.tensor(triangles * 2 / (high - low), dtype=torch.float32)


MEL_FILTERS = mel_filters().to(DEVICE)
WINDOWS = {n: torch.hann_window(n, device=DEVICE) for n in {SIZE, MEL_SIZE, *SCALES}}


def transform(wave, size, hop, pad=0):
    """Hann STFT of [B, N] without centring, after reflecting `pad` samples at both ends: complex [B, size / 2 + 1, frames]."""
    if pad:
        wave = F.pad(wave[:, None], (pad, pad), mode="reflect")[:, 0]
    return torch.stft(wave, size, hop, size, WINDOWS[size], center=False, return_complex=True)


def power(spectrum):
    return spectrum.real.square() + spectrum.imag.square()


def log_mel(wave):
    """[B, 256 T] -> [B, 80, T], natural logarithm, HiFi-GAN's convention."""
    magnitude = torch.sqrt(power(transform(wave, MEL_SIZE, HOP, (MEL_SIZE - HOP) // 2)) + 1e-9)
    return torch.log((MEL_FILTERS @ magnitude).clamp(min=1e-5))


def blur(mel, sigma=1.0):
    """[B, 80, T], smoothed by a Gaussian over bands and frames: as an acoustic model's mel is smoother than a recording's."""
    taps = torch.exp(-0.5 * (torch.arange(-4, 5, device=mel.device) / sigma) ** 2)
    taps = taps / taps.sum()
    return F.conv2d(F.pad(mel[:, None], (4, 4, 4, 4), mode="replicate"), torch.outer(taps, taps)[None, None])[:, 0]


# ------------------------------------------------------------------------------------------------------------------------------ model

def envelope():
    """Matrix [257, 80] and offset [257] from log-mel to the log amplitude of a bin, in units of white noise of variance 1.

    A bin averages the bands around it, by a Gaussian as wide as a band, and at least 110 Hz, so that single harmonics do not show.
    """
    edges, hz = mel_edges(), np.minimum(np.arange(BINS) * RATE / SIZE, 7900.0)
    centres = edges[1:-1]
    spacing = np.gradient(centres)
    weights = spacing * np.exp(-0.5 * ((hz[:, None] - centres) / np.maximum(spacing, 110.0)) ** 2)
    weights /= weights.sum(1, keepdims=True)
    # White noise of variance 1 has this log-mel: magnitude sqrt(sum of the squared window), times the area of the filter in bins.
    white = np.log(mel_filters().numpy().sum(1) * math.sqrt(0.375 * MEL_SIZE))
    return torch.tensor(weights, dtype=torch.float32), torch.tensor(-weights @ white, dtype=torch.float32)


def harmonics(f0, start=None):
    """F0 [B, T] in Hz, positive everywhere -> [B, 256 T]: equal cosines at all its multiples up to 10 kHz, of unit spectral density.

    `start` [B] is the first phase, in turns. Phase is summed in f64: f32 would drift within seconds. The sum over k of cos(k phi) is Dirichlet's
    kernel; between two whole numbers of harmonics it is interpolated, so that the highest one comes and goes without a click.
    """
    hz = F.interpolate(f0[:, None], scale_factor=HOP, mode="linear", align_corners=False)[:, 0]
    turns = torch.cumsum(hz.double() / RATE, 1)
    if start is not None:
        turns = turns + start[:, None]
    phi = (2 * math.pi * turns.frac()).float()
    count = SOURCE_LIMIT / hz
    whole = count.floor()
    sine = torch.sin(phi / 2)
    pole = sine.abs() < 1e-4
    divisor = torch.where(pole, torch.ones_like(sine), 2 * sine)

    def kernel(k):
        return torch.where(pole, k + 0.5, torch.sin((k + 0.5) * phi) / divisor)

    return (torch.lerp(kernel(whole), kernel(whole + 1), count - whole) - 0.5) * torch.sqrt(4 * hz / RATE)


def half_frames(wave):
    """[B, 256 T] -> complex [B, 257, 2 T]; half-frame j is centred at sample 128 j + 64."""
    return transform(wave, SIZE, STEP, (SIZE - STEP) // 2)


def overlap_add(spectrum):
    """complex [B, 257, 2 T] -> [B, 256 T]: the inverse of `half_frames` (the squared windows sum to 1.5)."""
    frames = torch.fft.irfft(spectrum, dim=1) * (WINDOWS[SIZE][:, None] / 1.5)
    length = (spectrum.shape[2] - 1) * STEP + SIZE
    cut = (SIZE - STEP) // 2
    return F.fold(frames, (1, length), (1, SIZE), stride=(1, STEP))[:, 0, 0, cut:length - cut]


def minimum_phase(log_amplitude):
    """[B, 257, frames] -> the phase in radians of the minimum-phase filter with this log amplitude, by its folded cepstrum."""
    cepstrum = torch.fft.irfft(log_amplitude, dim=1)
    fold = torch.zeros(SIZE, 1, device=cepstrum.device)
    fold[1:SIZE // 2], fold[0], fold[SIZE // 2] = 2, 1, 1
    return torch.fft.rfft(cepstrum * fold, dim=1).imag


class PitchNet(nn.Module):
    """Log-mel [B, 80, T] -> octaves of F0 from 190 Hz, logit of voicing: [B, 2, T]."""

    def __init__(self, channels=96, layers=4, kernel=5):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv1d(channels if i else BANDS, channels, kernel, padding=kernel // 2) for i in range(layers))
        self.out = nn.Conv1d(channels, 2, 1)

    def forward(self, mel):
        x = (mel + 5) / 3
        for i, conv in enumerate(self.convs):
            y = F.leaky_relu(conv(x), 0.1)
            x = x + y if i else y
        return self.out(x)


class Block(nn.Module):
    """ConvNeXt block, [B, C, T]."""

    def __init__(self, channels, hidden, kernel, scale):
        super().__init__()
        self.depth = nn.Conv1d(channels, channels, kernel, padding=kernel // 2, groups=channels)
        self.norm = nn.LayerNorm(channels)
        self.up, self.down = nn.Linear(channels, hidden), nn.Linear(hidden, channels)
        self.scale = nn.Parameter(torch.full((channels,), scale))

    def forward(self, x):
        y = self.norm(self.depth(x).transpose(1, 2))
        return x + (self.scale * self.down(F.gelu(self.up(y)))).transpose(1, 2)


class Vocoder(nn.Module):
    def __init__(self, channels=256, hidden=768, blocks=6, kernel=3, phase="minimum"):
        super().__init__()
        if phase != "minimum":
            raise BadInput(f"weights with phase = {phase!r}: this program knows only 'minimum'")
        self.config = dict(channels=channels, hidden=hidden, blocks=blocks, kernel=kernel, phase=phase)
        self.pitch = PitchNet()
        self.pre = nn.Conv1d(BANDS + 1, channels, kernel, padding=kernel // 2)
        self.blocks = nn.ModuleList(Block(channels, hidden, kernel, 1 / blocks) for _ in range(blocks))
        self.norm = nn.LayerNorm(channels)
        self.head = nn.Linear(channels, 2 * 3 * BINS)
        nn.init.normal_(self.head.weight, std=0.002)
        nn.init.zeros_(self.head.bias)
        with torch.no_grad():
            self.head.bias.view(2, 3, BINS)[:, 2] = -1.5  # noise begins well below the harmonics
        for name, value in zip(("envelope", "offset"), envelope()):
            self.register_buffer(name, value, persistent=False)

    def f0(self, mel):
        """[B, T] in Hz, also where there is no voice."""
        return torch.exp2(self.pitch(mel)[:, 0].clamp(-2, 1.5) + F0_CENTRE)

    def filters(self, mel, f0):
        """Log amplitude and phase correction for the harmonics, log amplitude for the noise: each [B, 257, 2 T]."""
        octaves = torch.log2(f0) - F0_CENTRE
        x = self.pre(torch.cat([(mel + 5) / 3, 2 * octaves[:, None]], 1))
        for block in self.blocks:
            x = block(x)
        x = self.head(self.norm(x.transpose(1, 2)))
        voice, turn, noise = x.view(len(x), -1, 3, BINS).permute(2, 0, 3, 1)
        base = F.interpolate(self.envelope @ mel + self.offset[:, None], scale_factor=2, mode="linear", align_corners=False)
        return base + voice, 4 * turn, base + noise

    def forward(self, mel, f0=None, start=None, draws=1):
        """`draws` waves [B, 256 T] that differ in their noise."""
        f0 = self.f0(mel) if f0 is None else f0
        voice, turn, noise = self.filters(mel, f0)
        source = harmonics(f0, start)
        fixed = torch.polar(torch.exp(voice), minimum_phase(voice) + turn) * half_frames(source)
        gain = torch.exp(noise)
        return [overlap_add(fixed + gain * half_frames(torch.randn_like(source))) for _ in range(draws)]


def build(config, state):
    model = Vocoder(**config)
    model.load_state_dict(state)
    return model.to(DEVICE)


def load(path):
    """A model from an export (.safetensors) or from a checkpoint's averaged weights."""
    if not os.path.isfile(path):
        raise BadInput(f"--weights {path}: expected a file that `train` or `export` wrote, found none")
    if not path.endswith(".safetensors"):
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return build(saved["config"], saved["average"]).eval()
    from safetensors import safe_open
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
        return build(config, {k: file.get_tensor(k).float() for k in file.keys()}).eval()


def write_export(config, state, step, path):
    from safetensors.torch import save_file
    half = {k: v.detach().half().cpu().contiguous() for k, v in state.items()}
    metadata = dict(architecture="source_filter", config=json.dumps(config), steps=str(step),
                    mel="HiFi-GAN 22050 Hz, 1024/256, 80 bands 0-8000 Hz, ln(max(., 1e-5))")
    save_file(half, path + ".tmp", metadata=metadata)
    os.replace(path + ".tmp", path)


# ------------------------------------------------------------------------------------------------------------------------------ loss

def spectra(wave):
    """For each scale: log magnitude, 0 for white noise of variance 1, and its compressed (square-rooted) magnitude, [B, bins, frames]."""
    out = []
    for n in SCALES:
        log = 0.5 * torch.log(power(transform(wave, n, n // 4)) / (0.375 * n) + 1e-9)
        out.append((log, torch.exp(0.5 * log)))
    return out


def distance(a, b):
    """Mean over scales and frames of the RMS over bins of the difference of log magnitudes, + L1 of compressed magnitudes."""
    total = 0
    for (log_a, root_a), (log_b, root_b) in zip(a, b):
        total = total + ((log_a - log_b).square().mean(1) + 1e-6).sqrt().mean() + (root_a - root_b).abs().mean()
    return total / len(SCALES)


def energy_distance(draw, other, target, apart):
    """Of two draws to the recording; `apart` = 1 makes it a proper scoring rule, 0 an ordinary spectral loss."""
    both, target = spectra(torch.cat([draw, other])), spectra(target)
    one, two = ([tuple(q[half] for q in scale) for scale in both] for half in (slice(None, len(draw)), slice(len(draw), None)))
    near = distance(one, target) + distance(two, target)
    return near - apart * distance(one, two), near / 2


def pitch_loss(model, mel, f0, voiced, jitter):
    """L1 of log F0, a tenth of it where there is no voice, and cross-entropy of voicing."""
    octaves, logit = model.pitch(mel + jitter * torch.randn_like(mel)).unbind(1)
    error = (octaves - (torch.log2(f0) - F0_CENTRE)).abs() * (0.1 + 0.9 * voiced)
    return 5 * error.mean() + 0.2 * F.binary_cross_entropy_with_logits(logit, voiced)


# ------------------------------------------------------------------------------------------------------------------------------ data

def track(wave):
    """F0 [2, T] in Hz at the middles of frames by two trackers, each refined by StoneMask; 0: no voice."""
    import pyworld
    x, frames, rows = wave.astype(np.float64), len(wave) // HOP, []
    for tracker in (pyworld.dio, pyworld.harvest):
        rough, at = tracker(x, RATE, f0_floor=F0_FLOOR, f0_ceil=F0_CEILING, frame_period=1000 * STEP / RATE)
        fine = pyworld.stonemask(x, rough, at, RATE)[1::2][:frames]
        rows.append(np.pad(fine, (0, frames - len(fine))))
    return np.stack(rows).astype(np.float32)


def consensus(tracks):
    """[2, T] of `track` -> F0 [T] everywhere above 0, voicing [T].

    DIO where it hears a voice, since its F0 explains a little more of the signal; Harvest where only that does, in a third of the voiced frames.
    Between voiced stretches F0 is interpolated on a logarithmic scale.
    """
    dio, harvest = tracks
    f0 = np.where(dio > 0, dio, harvest)
    voiced = f0 > 0
    if voiced.any():
        at = np.arange(len(f0))
        f0 = np.exp(np.interp(at, at[voiced], np.log(f0[voiced])))
    else:
        f0 = np.full(len(f0), 2 ** F0_CENTRE)
    return f0.astype(np.float32), voiced.astype(np.float32)


def recording(path):
    import soundfile
    if not os.path.isfile(path):
        raise BadInput(f"{path}: the corpus names it, and it is not there")
    wave, rate = soundfile.read(path, dtype="float32")
    if rate != RATE or wave.ndim != 1:
        raise BadInput(f"{path}: expected {RATE} Hz, mono; found {rate} Hz, {wave.ndim} channel axes")
    return wave[:len(wave) // HOP * HOP]


class Utterance:
    """A recording of the corpus, read when it is first needed: a start, and a start again, costs nothing."""

    drawn = None  # [80, T] of the acoustic model, where there is one

    def __init__(self, folder, row, cache):
        self.name, self.frames = row["id"], row["n_frames"]
        self.path, self.pitch_path = os.path.join(folder, row["wav"]), os.path.join(cache, row["id"] + ".npy")

    @cached_property
    def wave(self):
        """[256 T]"""
        wave = recording(self.path)
        if len(wave) != self.frames * HOP:
            raise BadInput(f"{self.path}: expected the {self.frames} frames of {HOP} samples that the corpus states, found {len(wave) // HOP}")
        return torch.from_numpy(wave)

    @cached_property
    def mel(self):
        """[80, T]"""
        return log_mel(self.wave[None].to(DEVICE))[0].cpu()

    @cached_property
    def tracks(self):
        """[2, T] of `track`, from the cache where it is there."""
        if os.path.isfile(self.pitch_path):
            tracks = np.load(self.pitch_path)
            if tracks.shape != (2, self.frames):
                raise BadInput(f"{self.pitch_path}: expected F0 of shape (2, {self.frames}), found {tracks.shape}; delete it, and it is made again")
            return tracks
        tracks = track(self.wave.numpy())
        os.makedirs(os.path.dirname(self.pitch_path), exist_ok=True)
        np.save(self.pitch_path + ".tmp.npy", tracks)
        os.replace(self.pitch_path + ".tmp.npy", self.pitch_path)
        return tracks

    @cached_property
    def pitch(self):
        """F0 [T] in Hz, voicing [T]."""
        return tuple(map(torch.from_numpy, consensus(self.tracks)))

    def piece(self, first, frames, drawn=False):
        """Wave, mel (the acoustic model's, if `drawn`), F0, voicing of some frames."""
        cut = slice(first, first + frames)
        mel = self.drawn if drawn else self.mel
        return self.wave[first * HOP:(first + frames) * HOP], mel[:, cut], *(q[cut] for q in self.pitch)


def read_corpus(folder, split, cache):
    path = os.path.join(folder, split + ".jsonl")
    if not os.path.isfile(path):
        raise BadInput(f"--data {folder}: expected {split}.jsonl in it, found none; make_corpus.py writes one")
    with open(path, encoding="utf-8") as file:
        return [Utterance(folder, json.loads(line), cache) for line in file]


def read_drawn(path, items):
    """Gives each utterance the spectrogram that an acoustic model draws of it."""
    from safetensors import safe_open
    if not os.path.isfile(path):
        raise BadInput(f"--drawn {path}: expected a file that `primal-host tts-mels` wrote, found none")
    with safe_open(path, "pt") as file:
        names = set(file.keys())
        for item in items:
            shape = list(file.get_slice(item.name).get_shape()) if item.name in names else None
            if shape != [item.frames, BANDS]:
                raise BadInput(f"--drawn {path}: expected {item.name} of shape {[item.frames, BANDS]}, found {shape or 'none'}; draw it of this corpus")
            item.drawn = file.get_tensor(item.name).float().T.contiguous()


def batch(items, shares, rng, size, frames, drawn_share):
    """`size` random pieces of `frames` frames: wave, mel, F0, voicing; and which of them have a drawn mel, [size, 1, 1]."""
    chosen = [items[i] for i in rng.choice(len(items), size, p=shares)]
    drawn = rng.random(size) < drawn_share
    pieces = [item.piece(int(rng.integers(0, item.frames - frames + 1)), frames, is_drawn) for item, is_drawn in zip(chosen, drawn)]
    return [torch.stack(q).to(DEVICE) for q in zip(*pieces)], torch.from_numpy(drawn).float().view(-1, 1, 1).to(DEVICE)


# ------------------------------------------------------------------------------------------------------------------------------ training

@torch.no_grad()
def measure(model, held, apart):
    """Means over held-out utterances, of drawn mels where there are some: loss with the trackers' F0 and with the model's own, the latter's error in cents where there is voice,
    and the share of voiced frames more than 50 cents off."""
    rows = []
    for seed, item in enumerate(held):
        torch.manual_seed(seed)
        wave, mel, f0, voiced = (q[None].to(DEVICE) for q in item.piece(0, item.frames, item.drawn is not None))
        own = model.f0(mel)
        losses = [energy_distance(*model(mel, hz, draws=2), wave, apart)[0].item() for hz in (f0, own)]
        cents = 1200 * torch.log2(own / f0).abs()[voiced > 0]
        rows.append([*losses, cents.median().item(), (cents > 50).float().mean().item()])
    return dict(zip(("heldout", "heldout_own_f0", "cents", "off_50_cents"), np.mean(rows, 0).tolist()))


class Plan:
    """How far the run is, 0 to 1: by steps, by the clock, or by whichever is further."""

    def __init__(self, steps, until, begun):
        self.steps, self.begun, self.end = steps, begun, None
        if until:
            try:
                end = datetime.combine(datetime.now(), datetime.strptime(until, "%H:%M").time())
            except ValueError:
                raise BadInput(f"--until {until}: expected a time of day as HH:MM") from None
            if end < datetime.now():
                end += timedelta(days=1)
            self.end = end.timestamp()

    def progress(self, step):
        return max(step / self.steps if self.steps else 0, (time.time() - self.begun) / (self.end - self.begun) if self.end else 0)

    def rate(self, step, decay):
        """Share of the peak learning rate, or None: the run is over."""
        progress = self.progress(step)
        if progress >= 1:
            return None
        rise = min(1, (step + 1) / 50)
        fall = max(0, progress - (1 - decay)) / decay
        return rise * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fall)))


class Run:
    """What a checkpoint holds: model, its running average, optimizer, step, seconds spent, when it began."""

    def __init__(self, args):
        self.out, self.path = args.out, os.path.join(args.out, "checkpoint.pt")
        os.makedirs(args.out, exist_ok=True)
        self.step, self.seconds, self.begun = 0, 0.0, time.time()
        if os.path.isfile(self.path):
            saved = torch.load(self.path, map_location=DEVICE, weights_only=True)
            self.model, self.average = (build(saved["config"], saved[k]) for k in ("model", "average"))
            self.step, self.seconds, self.begun = saved["step"], saved["seconds"], saved["begun"]
        elif args.init:
            self.model, self.average = load(args.init).train(), load(args.init)
        else:
            self.model = Vocoder().to(DEVICE)
            self.average = build(self.model.config, self.model.state_dict())
        self.optimizer = torch.optim.AdamW(self.model.parameters(), args.lr, betas=(0.8, 0.99), weight_decay=0.01)
        if self.step:
            self.optimizer.load_state_dict(saved["optimizer"])
        self.metrics = open(os.path.join(args.out, "metrics.jsonl"), "a")

    def say(self, **row):
        line = json.dumps({k: round(v, 5) if isinstance(v, float) else v for k, v in row.items()})
        print(line, flush=True)
        self.metrics.write(line + "\n")
        self.metrics.flush()

    def save(self):
        torch.save(dict(config=self.model.config, model=self.model.state_dict(), average=self.average.state_dict(), optimizer=self.optimizer.state_dict(),
                        step=self.step, seconds=self.seconds, begun=self.begun), self.path + ".tmp")
        os.replace(self.path + ".tmp", self.path)
        write_export(self.model.config, self.average.state_dict(), self.step, os.path.join(self.out, "vocoder.safetensors"))

    @torch.no_grad()
    def follow(self, decay):
        keep = min(decay, self.step / (self.step + 10))
        for mean, value in zip(self.average.parameters(), self.model.parameters()):
            mean.lerp_(value, 1 - keep)


def train_step(run, args, items, shares):
    """One update; returns its losses. Batch and noise depend on seed and step alone, so that a run that was stopped goes on with what it would have seen."""
    rng = np.random.default_rng([args.seed, run.step])
    torch.manual_seed(int(rng.integers(2 ** 62)))
    (wave, mel, f0, voiced), drawn = batch(items, shares, rng, args.batch, args.frames, args.drawn_share if args.drawn else 0)
    # Blur each piece by a random share, mostly a small one; what an acoustic model draws is smooth already.
    mel = mel + (1 - drawn) * args.smooth * torch.rand(len(mel), 1, 1, device=DEVICE) ** 2 * (blur(mel) - mel)
    inner = slice(2 * HOP, -2 * HOP)  # the ends of a piece lack their neighbours
    draws = [x[:, inner] for x in run.model(mel, f0, torch.rand(len(f0), device=DEVICE), draws=2)]
    energy, near = energy_distance(*draws, wave[:, inner], args.apart)
    pitch = pitch_loss(run.model, mel, f0, voiced, args.jitter)
    run.optimizer.zero_grad(set_to_none=True)
    (energy + pitch).backward()
    norm = nn.utils.clip_grad_norm_(run.model.parameters(), args.clip)
    if torch.isfinite(norm):
        run.optimizer.step()
    run.step += 1
    run.follow(args.average)
    return np.array([energy.item(), near.item(), pitch.item(), norm.item()])


def train(args):
    if not args.steps and not args.until:
        raise BadInput("train: expected --steps N or --until HH:MM, found neither")
    run = Run(args)
    plan = Plan(args.steps, args.until, run.begun)
    cache = args.cache or os.path.join(args.out, "f0")
    items = [item for item in read_corpus(args.data, "train", cache) if item.frames >= args.frames]
    held = read_corpus(args.data, "heldout", cache)[:8]
    if args.drawn:
        read_drawn(args.drawn, items + held)
    shares = np.array([item.frames for item in items], float)
    minutes, shares = shares.sum() * HOP / RATE / 60, shares / shares.sum()
    run.say(step=run.step, utterances=len(items), minutes=minutes, device=DEVICE,
            parameters=sum(p.numel() for p in run.model.parameters()), **{k: v for k, v in vars(args).items() if k not in ("data", "out", "cache", "command")})
    stop = []
    for name in (signal.SIGTERM, signal.SIGINT):
        signal.signal(name, lambda *_: stop.append(name))
    begin, before, saved, sums = time.time(), run.seconds, time.time(), []
    while not stop and (rate := plan.rate(run.step, args.decay)) is not None:
        for group in run.optimizer.param_groups:
            group["lr"] = args.lr * rate
        sums.append(train_step(run, args, items, shares))
        run.seconds = before + time.time() - begin
        if run.step % args.log_every == 0:
            run.say(step=run.step, seconds=run.seconds, lr=args.lr * rate, **dict(zip(("energy", "near", "pitch", "grad"), np.mean(sums, 0).tolist())))
            sums = []
        if run.step % args.measure_every == 0:
            run.say(step=run.step, seconds=run.seconds, **measure(run.average, held, args.apart))
        if time.time() - saved > 60 * args.save_minutes:
            run.save()
            saved = time.time()
    run.save()
    run.say(step=run.step, seconds=run.seconds, progress=plan.progress(run.step), **measure(run.average, held, args.apart))


def evaluate(args):
    """Copy synthesis of the held-out utterances, with the model's own F0."""
    import soundfile
    model = load(args.weights)
    held = read_corpus(args.data, "heldout", args.cache or os.path.join(args.out, "f0"))[:args.utterances]
    os.makedirs(args.out, exist_ok=True)
    spent = 0.0
    for seed, item in enumerate(held):
        torch.manual_seed(seed)
        mel = item.mel[None].to(DEVICE)
        mel = blur(mel, args.blur) if args.blur else mel
        begin = time.time()
        with torch.no_grad():
            out = model(mel)[0][0].cpu()
        spent += time.time() - begin
        soundfile.write(os.path.join(args.out, item.name + ".wav"), out.clamp(-1, 1).numpy(), RATE)
    length = sum(item.frames for item in held) * HOP / RATE
    print(json.dumps(dict(utterances=len(held), seconds=length, real_time_factor=spent / length, **measure(model, held, args.apart))))


def export(args):
    """Averaged weights as a file, or their mean with those of another file: a run that began from it may lie between the two at its best."""
    model = load(args.weights)
    saved = torch.load(args.weights, map_location="cpu", weights_only=True) if args.weights.endswith(".pt") else {}
    state = model.state_dict()
    if args.mean_with:
        other = load(args.mean_with)
        if other.config != model.config:
            raise BadInput(f"--mean-with {args.mean_with}: expected a model of {model.config}, found one of {other.config}")
        state = {name: (value + other.state_dict()[name]) / 2 for name, value in state.items()}
    write_export(model.config, state, saved.get("step", "unknown"), args.out)


def pitch(args):
    """Fill the cache, and say how far the two trackers agree."""
    totals = np.zeros(4)
    for split in ("heldout", "train"):
        for item in read_corpus(args.data, split, args.cache):
            dio, harvest = item.tracks
            both = (dio > 0) & (harvest > 0)
            apart = 1200 * np.abs(np.log2(dio[both] / harvest[both])) > 50
            totals += len(dio), (dio > 0).sum(), (harvest > 0).sum(), apart.sum()
    print(json.dumps(dict(zip(("frames", "voiced_by_dio", "voiced_by_harvest", "more_than_50_cents_apart"), totals.tolist()))))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    t, e, x, p = (commands.add_parser(f.__name__, help=f.__doc__) for f in (train, evaluate, export, pitch))
    t.add_argument("--steps", type=int, help="the plan, in steps")
    t.add_argument("--until", metavar="HH:MM", help="the plan, by the clock, from the run's first start; a later time on resuming raises the rate again")
    t.add_argument("--init", metavar="FILE", help="begin with these weights (.safetensors or .pt)")
    t.add_argument("--drawn", metavar="FILE", help="spectrograms of an acoustic model, as `primal-host tts-mels` writes them, to learn from as well")
    t.add_argument("--drawn-share", type=float, default=0.75, help="share of the pieces whose spectrogram is the acoustic model's")
    t.add_argument("--batch", type=int, default=16, help="pieces a step")
    t.add_argument("--frames", type=int, default=48, help="frames a piece")
    t.add_argument("--lr", type=float, default=1e-3, help="peak learning rate of AdamW")
    t.add_argument("--decay", type=float, default=0.4, help="share of the plan in which the rate falls")
    t.add_argument("--clip", type=float, default=5.0, help="greatest norm of the gradient")
    t.add_argument("--smooth", type=float, default=1.0, help="greatest share of a blurred mel in the input")
    t.add_argument("--jitter", type=float, default=0.1, help="noise on the mel that the F0 net reads")
    t.add_argument("--average", type=float, default=0.999, help="decay of the averaged weights")
    t.add_argument("--save-minutes", type=float, default=5.0)
    t.add_argument("--log-every", type=int, default=50, metavar="STEPS")
    t.add_argument("--measure-every", type=int, default=500, metavar="STEPS", help="on eight held-out utterances")
    t.add_argument("--seed", type=int, default=1)
    e.add_argument("--utterances", type=int, help="only the first so many")
    e.add_argument("--blur", type=float, default=0.0, help="smooth the mel by this sigma, in bands and frames")
    x.add_argument("--mean-with", metavar="FILE", help="export the mean of --weights and these")
    for c in (t, e):
        c.add_argument("--apart", type=float, default=0.3, help="weight of the distance between two draws")
    for c in (t, e, p):
        c.add_argument("--data", required=True, metavar="CORPUS")
        c.add_argument("--cache", metavar="FOLDER", required=c is p, help="F0 of the recordings, a file each (default: f0 in --out)")
    for c in (e, x):
        c.add_argument("--weights", required=True, metavar="FILE")
    for c in (t, e, x):
        c.add_argument("--out", required=True)
    for c in (t, e, p):
        c.add_argument("--threads", type=int, default=1, help="of torch; two wait for each other where the machine has other work")
    args = parser.parse_args()
    torch.set_num_threads(getattr(args, "threads", 1))
    try:
        {f.__name__: f for f in (train, evaluate, export, pitch)}[args.command](args)
    except BadInput as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
