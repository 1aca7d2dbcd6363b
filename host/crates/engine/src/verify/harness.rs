//! What a row of the case table is, and how its modes run on any back end.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use half::f16;
use xxhash_rust::xxh3::xxh3_64;

use super::buffers::{Handle, Value};
use crate::backend::{Backend, Op};
use crate::memory::{Act, Kind, Plan};

pub use super::buffers::{CaseBuffers, CaseSpans, Data, below, between, normal, random, stored, unset};

/// Elements that the gradient mode differentiates numerically in each operand.
const GRADIENT_SAMPLES: usize = 40;
/// Step of the central differences; in `f64` their error is about its square.
const GRADIENT_STEP: f64 = 1e-4;
/// What the differences add to a case's tolerance, relative to the gradient.
const GRADIENT_RELATIVE: f64 = 1e-5;
/// Larger cases are left out of the gradient mode: each sample costs two naive forward passes.
const GRADIENT_MAX_VALUES: usize = 20_000;
/// Smaller cases are left out of the speed mode: they time the call, not the op.
const SPEED_MIN_VALUES: usize = 50_000;

/// What a result loses where it is stored in half precision: half a unit in the last place, of a normal or of a subnormal number.
const HALF: Tolerance = Tolerance { absolute: 1.0 / (1u64 << 25) as f64, relative: 1.0 / (1u64 << 11) as f64 };

/// What may differ between the back end and the reference: `absolute + relative · |expected|`.
#[derive(Clone, Copy, Debug)]
pub struct Tolerance {
    /// In the unit of the values.
    pub absolute: f64,
    /// As a part of the expected value.
    pub relative: f64,
}

type Run<B> = Box<dyn Fn(&mut B, &CaseSpans) + Send + Sync>;
type Loss = Box<dyn Fn(&CaseBuffers) -> f64 + Send + Sync>;

/// A gradient that a buffer holds after the op.
#[derive(Clone, Copy, Debug)]
pub enum Slope {
    /// `Overwrites(x, dx)`: the op writes ∂loss/∂x to dx.
    Overwrites(usize, usize),
    /// `Adds(x, dx)`: the op adds the gradient of `x` to `dx`.
    Adds(usize, usize),
}

/// One row of the table.
pub struct Case<B> {
    /// Name of the [`Op`], or of the method of [`Backend`] that copies or clears.
    pub op: &'static str,
    /// Shape and variant.
    pub shape: String,
    buffers: Vec<Data>,
    run: Run<B>,
    reference: Box<dyn Fn(&mut CaseBuffers) + Send + Sync>,
    gradient: Option<(Loss, Vec<Slope>)>,
    tolerance: Tolerance,
    flops: f64,
    only_for_speed: bool,
    /// What the compare mode found: the checksum of each buffer.
    found: OnceLock<Vec<u64>>,
}

impl<B: Backend> Case<B> {
    /// A row without gradient check. Outputs that the op overwrites should start as [`unset`].
    pub fn new<O: Op>(
        shape: String,
        buffers: Vec<Data>,
        op: impl Fn(&CaseSpans) -> O + Send + Sync + 'static,
        reference: impl Fn(&mut CaseBuffers) + Send + Sync + 'static,
        tolerance: Tolerance,
    ) -> Self {
        Self::of_memory(O::NAME, shape, buffers, move |b: &mut B, s: &CaseSpans| b.run(op(s)), reference, tolerance)
    }

    /// A row of a method of [`Backend`] that is no op.
    pub fn of_memory(
        op: &'static str,
        shape: String,
        buffers: Vec<Data>,
        run: impl Fn(&mut B, &CaseSpans) + Send + Sync + 'static,
        reference: impl Fn(&mut CaseBuffers) + Send + Sync + 'static,
        tolerance: Tolerance,
    ) -> Self {
        Self {
            op,
            shape,
            buffers,
            run: Box::new(run),
            reference: Box::new(reference),
            gradient: None,
            tolerance,
            flops: 0.0,
            only_for_speed: false,
            found: OnceLock::new(),
        }
    }

    /// The row with these buffers, activations, in that form.
    #[must_use]
    pub fn in_form(mut self, act: Act, buffers: &[usize]) -> Self {
        if act == Act::F32 {
            return self;
        }
        for &i in buffers {
            let Data::F32(values) = &self.buffers[i] else { panic!("buffer {i} does not hold floats") };
            self.buffers[i] = Data::F16(values.iter().copied().map(f16::from_f32).collect());
        }
        self.shape += &format!(", {}", act.name());
        self
    }

    /// The row with so much more that may differ, for what it reads is rounded.
    #[must_use]
    pub fn off_by(mut self, absolute: f64) -> Self {
        self.tolerance.absolute += absolute;
        self
    }

    /// Checks the gradients that the op writes against differences of `loss`, a function of the buffers before the op.
    pub fn gradient(mut self, slopes: &[Slope], loss: impl Fn(&CaseBuffers) -> f64 + Send + Sync + 'static) -> Self {
        self.gradient = Some((Box::new(loss), slopes.to_vec()));
        self
    }

    /// Floating-point operations, for the speed mode of products.
    pub fn flops(mut self, flops: usize) -> Self {
        self.flops = flops as f64;
        self
    }

    /// Too large for the naive reference: a shape that smaller rows check, at a realistic size.
    pub fn only_for_speed(mut self) -> Self {
        self.only_for_speed = true;
        self
    }

    /// Whether the other modes than speed cover this row.
    pub fn is_checked(&self) -> bool {
        !self.only_for_speed
    }

    /// Whether the gradient mode covers this row.
    pub fn has_gradient(&self) -> bool {
        self.gradient.is_some() && self.len() <= GRADIENT_MAX_VALUES
    }

    /// Whether the speed mode covers this row.
    pub fn has_speed(&self) -> bool {
        self.len() >= SPEED_MIN_VALUES
    }

    /// Values of all buffers.
    pub fn len(&self) -> usize {
        self.buffers.iter().map(Data::len).sum()
    }

    fn name(&self) -> String {
        format!("{} {}", self.op, self.shape)
    }

    fn place(&self, make: fn(&mut Plan) -> B) -> (B, CaseSpans) {
        let mut plan = Plan::default();
        let spans = self.buffers.iter().enumerate().map(|(i, data)| {
            let name = format!("{}.{i}", self.op);
            match data {
                Data::F32(x) => Handle::F32(plan.span(Kind::Activation, name, x.len())),
                Data::F16(x) => Handle::F16(plan.span(Kind::Activation, name, x.len())),
                Data::U32(x) => Handle::U32(plan.span(Kind::Activation, name, x.len())),
                Data::U8(x) => Handle::U8(plan.span(Kind::Activation, name, x.len())),
            }
        });
        let spans = CaseSpans(spans.collect());
        (make(&mut plan), spans)
    }

    fn upload(&self, backend: &mut B, spans: &CaseSpans) {
        for (i, data) in self.buffers.iter().enumerate() {
            match data {
                Data::F32(x) => backend.upload(spans.f(i), x),
                Data::F16(x) => backend.upload(spans.h(i), x),
                Data::U32(x) => backend.upload(spans.u(i), x),
                Data::U8(x) => backend.upload(spans.b(i), x),
            }
        }
    }

    /// Waits until the op is done, where the call only queues it: by the download of one value.
    fn wait(&self, backend: &mut B, spans: &CaseSpans) {
        match self.buffers[0] {
            Data::F32(_) => backend.download(spans.f(0).slice(0, 1), &mut [0.0]),
            Data::F16(_) => backend.download(spans.h(0).slice(0, 1), &mut [f16::ZERO]),
            Data::U32(_) => backend.download(spans.u(0).slice(0, 1), &mut [0]),
            Data::U8(_) => backend.download(spans.b(0).slice(0, 1), &mut [0]),
        }
    }

    /// All buffers after the op.
    ///
    /// # Errors
    /// A device that failed.
    pub fn results(&self, make: fn(&mut Plan) -> B) -> Result<Vec<Data>, String> {
        let (mut backend, spans) = self.place(make);
        self.upload(&mut backend, &spans);
        (self.run)(&mut backend, &spans);
        let mut results = self.buffers.clone();
        for (i, data) in results.iter_mut().enumerate() {
            match data {
                Data::F32(x) => backend.download(spans.f(i), x),
                Data::F16(x) => backend.download(spans.h(i), x),
                Data::U32(x) => backend.download(spans.u(i), x),
                Data::U8(x) => backend.download(spans.b(i), x),
            }
        }
        backend.fault().map_err(|error| format!("{}: {error}", self.name()))?;
        Ok(results)
    }

    /// The bytes of all buffers after the op.
    ///
    /// # Errors
    /// A device that failed.
    pub fn bytes(&self, make: fn(&mut Plan) -> B) -> Result<Vec<Vec<u8>>, String> {
        Ok(self.results(make)?.iter().map(Data::bytes).collect())
    }

    /// Compare mode: every buffer against the reference; a buffer that the reference does not touch must not have changed.
    pub fn compare(&self, make: fn(&mut Plan) -> B) -> Result<(), String> {
        let mut expected = CaseBuffers::new(&self.buffers);
        (self.reference)(&mut expected);
        let results = self.results(make)?;
        self.found.get_or_init(|| checksums(&results));
        for (i, (got, before)) in results.iter().zip(&self.buffers).enumerate() {
            let what = format!("{}: buffer {i}", self.name());
            if !expected.written[i] {
                // NaN is not equal to itself, so bits are compared.
                if got.bytes() != before.bytes() {
                    return Err(format!("{what} is read-only and was changed"));
                }
                continue;
            }
            match (got, &expected.values[i]) {
                (Data::F32(got), Value::Float(expected)) => {
                    let pairs = got.iter().zip(expected).enumerate().map(|(j, (&g, &e))| (j, f64::from(g), e));
                    self.worst(&what, pairs, self.tolerance)?;
                }
                (Data::F16(got), Value::Float(expected)) => {
                    let pairs = got.iter().zip(expected).enumerate().map(|(j, (&g, &e))| (j, f64::from(g), e));
                    let Tolerance { absolute, relative } = self.tolerance;
                    self.worst(&what, pairs, Tolerance { absolute: absolute + HALF.absolute, relative: relative + HALF.relative })?;
                }
                (Data::U32(got), Value::Word(expected)) => same(&what, got, [expected, expected], |g, e, _| g == e)?,
                (Data::U8(got), Value::Byte(expected)) => same(&what, got, [expected, expected], |g, e, _| g == e)?,
                (Data::U8(got), Value::Either(low, high, cell)) => {
                    same(&what, got, [low, high], |g, a, b| [*cell, !cell].iter().all(|mask| g & mask == a & mask || g & mask == b & mask))?
                }
                _ => return Err(format!("{what}: the reference has another type")),
            }
        }
        Ok(())
    }

    /// Whether the op leaves the same bytes once more.
    pub fn repeats(&self, make: fn(&mut Plan) -> B) -> Result<(), String> {
        let again = checksums(&self.results(make)?);
        let first = match self.found.get() {
            Some(first) => first,
            None => &checksums(&self.results(make)?),
        };
        match first.iter().zip(&again).position(|(first, again)| first != again) {
            Some(buffer) => Err(format!("{}: buffer {buffer} differs in another run", self.name())),
            None => Ok(()),
        }
    }

    /// Gradient mode: what the op wrote against central differences of the loss, taken in `f64`.
    pub fn check_gradient(&self, make: fn(&mut Plan) -> B) -> Result<(), String> {
        let Some((loss, slopes)) = &self.gradient else { return Ok(()) };
        let (before, after) = (CaseBuffers::new(&self.buffers), CaseBuffers::new(&self.results(make)?));
        for &slope in slopes {
            let (x, dx, adds) = match slope {
                Slope::Overwrites(x, dx) => (x, dx, false),
                Slope::Adds(x, dx) => (x, dx, true),
            };
            let len = before.f(x).len();
            // An odd stride visits rows and columns alike.
            let stride = (len / GRADIENT_SAMPLES) | 1;
            let pairs = (0..len).step_by(stride).map(|j| {
                let moved = |by: f64| {
                    let mut values = before.clone();
                    let mut operand = values.f(x).to_vec();
                    operand[j] += by;
                    values.set(x, operand);
                    loss(&values)
                };
                let slope = (moved(GRADIENT_STEP) - moved(-GRADIENT_STEP)) / (2.0 * GRADIENT_STEP);
                (j, after.f(dx)[j], if adds { before.f(dx)[j] + slope } else { slope })
            });
            let tolerance = Tolerance { relative: self.tolerance.relative + GRADIENT_RELATIVE, ..self.tolerance };
            self.worst(&format!("{}: gradient {slope:?}", self.name()), pairs, tolerance)?;
        }
        Ok(())
    }

    fn worst(&self, what: &str, pairs: impl Iterator<Item = (usize, f64, f64)>, tolerance: Tolerance) -> Result<(), String> {
        let mut worst = (0.0, String::from("exact"));
        for (j, got, expected) in pairs {
            let (error, allowed) = ((got - expected).abs(), tolerance.absolute + tolerance.relative * expected.abs());
            // A NaN counts as infinitely far off.
            let off = if got == expected {
                0.0
            } else if error.is_nan() {
                f64::INFINITY
            } else {
                error / allowed
            };
            if off > worst.0 {
                worst = (off, format!("[{j}]: got {got:e}, expected {expected:e}, error {error:.1e}, tolerance {allowed:.1e}"));
            }
        }
        let line = format!("{what}: {}", worst.1);
        println!("{line}");
        if worst.0 > 1.0 { Err(line) } else { Ok(()) }
    }

    /// Speed mode: the fastest of several runs, each on fresh inputs. GB/s counts every buffer once.
    pub fn speed(&self, make: fn(&mut Plan) -> B) -> String {
        let (mut backend, spans) = self.place(make);
        let (start, mut best, mut runs) = (Instant::now(), Duration::MAX, 0);
        while runs < 5 || (runs < 500 && start.elapsed() < Duration::from_millis(200)) {
            self.upload(&mut backend, &spans);
            let begin = Instant::now();
            (self.run)(&mut backend, &spans);
            self.wait(&mut backend, &spans);
            best = best.min(begin.elapsed());
            runs += 1;
        }
        if let Err(fault) = backend.fault() {
            return format!("{:<58} FAILED: {fault}", self.name());
        }
        let nanoseconds = best.as_secs_f64() * 1e9;
        let bytes: usize = self.buffers.iter().map(|data| data.bytes().len()).sum();
        let rate = if self.flops > 0.0 {
            format!("{:8.2} GFLOP/s", self.flops / nanoseconds)
        } else {
            format!("{:8.2} GB/s   ", bytes as f64 / nanoseconds)
        };
        format!("{:<58} {nanoseconds:>12.0} ns  {rate}", self.name())
    }
}

fn checksums(buffers: &[Data]) -> Vec<u64> {
    buffers.iter().map(|data| xxh3_64(&data.bytes())).collect()
}

fn same<T: Copy + std::fmt::Debug>(what: &str, got: &[T], [low, high]: [&[T]; 2], right: impl Fn(T, T, T) -> bool) -> Result<(), String> {
    if got.len() != low.len() {
        return Err(format!("{what}: {} values, expected {}", got.len(), low.len()));
    }
    let wrong: Vec<usize> = (0..got.len()).filter(|&j| !right(got[j], low[j], high[j])).collect();
    match wrong.first() {
        None => {
            println!("{what}: exact");
            Ok(())
        }
        Some(&j) => {
            let (got, low, high, count) = (got[j], low[j], high[j], wrong.len());
            Err(format!("{what}[{j}]: got {got:?}, expected {low:?} or {high:?}, tolerance 0; {count} are wrong"))
        }
    }
}
