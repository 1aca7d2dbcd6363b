//! The seam between models and devices: buffers in an arena, and the ops on them.
//!
//! A model plans its [`Span`]s, asks the back end to allocate the plan, and calls ops by name. No op takes or returns a host pointer except
//! [`Backend::upload`], [`Backend::download`] and [`Backend::map`], so a back end may keep its arena on a device and queue the ops.
//! All matrices are row-major; all activations are `f32`.
//!
//! To add an op: a method here, a file of its name in `cpu/`, a row in the case table `verify/ops.rs` with its reference and gradient check.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod cuda_plan;

use std::sync::Arc;

use bytemuck::Pod;
use primal_device::grid::VoteBits;
use primal_device::grid::{self, GridId};
use primal_device::rules::votes::VoteRule;

use crate::Result;
use crate::memory::{Plan, Span};

/// A linear layer's weight, `[out_features, in_features]`.
#[derive(Clone, Copy, Debug)]
pub struct Weight {
    /// Rows.
    pub out_features: usize,
    /// Columns.
    pub in_features: usize,
    /// On the grid, or float.
    pub storage: Storage,
}

/// How a weight is kept.
#[derive(Clone, Copy, Debug)]
pub enum Storage {
    /// 4-bit codes and one scale a row.
    Grid(GridWeight),
    /// `f32` values, `[out_features, in_features]`.
    Float(Span<f32>),
}

/// A weight on a grid: `w[i][j] = scale[i] · level[code[i][j]]`.
#[derive(Clone, Copy, Debug)]
pub struct GridWeight {
    /// Which levels.
    pub grid: GridId,
    /// Packed codes, `[out_features, row_bytes(in_features)]`, low nibble first, padding nibbles at the zero level.
    pub codes: Span<u8>,
    /// Row scales, `[out_features]`.
    pub scale: Span<f32>,
}

impl Weight {
    /// The grid weight.
    ///
    /// # Panics
    /// If the weight is float: callers decide by the optimizer, not by the data.
    pub fn grid(&self) -> &GridWeight {
        match &self.storage {
            Storage::Grid(grid) => grid,
            Storage::Float(_) => panic!("a float weight has no grid"),
        }
    }

    /// Bytes of one packed row of codes.
    pub fn row_bytes(&self) -> usize {
        grid::row_bytes(self.in_features)
    }
}

/// What the vote rule keeps of a weight between steps.
#[derive(Clone, Copy, Debug)]
pub struct VoteState {
    /// Votes, `[out_features, padded(in_features)]`: one `i8` a weight, or two packed 4-bit votes (excess 8) a byte.
    pub votes: Span<u8>,
    /// 8 or 4 bits a vote.
    pub bits: VoteBits,
    /// Running mean square of each row of the gradient (R), `[out_features]`.
    pub row: Span<f32>,
    /// Running mean square of each column of the gradient (C), `[in_features]`.
    pub column: Span<f32>,
}

impl VoteState {
    /// Bytes of the votes of one row.
    pub fn row_bytes(bits: VoteBits, in_features: usize) -> usize {
        match bits {
            VoteBits::Eight => grid::padded(in_features),
            VoteBits::Four => grid::padded(in_features) / 2,
        }
    }
}

/// The key of a tensor's random numbers in one step (Philox; the weight's index is the counter).
#[derive(Clone, Copy, Debug)]
pub struct RandomKey {
    /// The run's seed.
    pub seed: u64,
    /// The tensor's number in the model.
    pub tensor: u32,
    /// The step, or the number of the micro-batch since the start.
    pub step: u64,
}

/// One casting of votes.
#[derive(Clone, Copy, Debug)]
pub struct VoteCast {
    /// The rule's constants.
    pub rule: VoteRule,
    /// Learning rate of this casting, in units of weight.
    pub lr: f32,
    /// Decay of R and C.
    pub beta2: f32,
    /// `1 − β₂^t`: corrects C for its start at zero.
    pub bias_correction: f32,
    /// Random numbers.
    pub key: RandomKey,
}

/// One AdamW step (Loshchilov & Hutter 2019) on a float tensor.
#[derive(Clone, Copy, Debug)]
pub struct AdamWStep {
    /// Learning rate.
    pub lr: f32,
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Added to the root of the second moment.
    pub eps: f32,
    /// Decoupled weight decay, times `lr`.
    pub weight_decay: f32,
    /// Number of this step, from 1: bias correction.
    pub t: u64,
    /// The gradient is scaled by `min(1, max_norm / norm)`, where `norm²` is the first value of `norm_squared` given to the op.
    pub max_norm: f32,
    /// Smallest value after the step; `f32::NEG_INFINITY` for none. Keeps row scales positive.
    pub floor: f32,
}

impl AdamWStep {
    /// What all elements share: `lr / (1 − β₁ᵗ)`, `1 − lr · weight_decay` and `1 / (1 − β₂ᵗ)`.
    pub(crate) fn factors(&self) -> [f32; 3] {
        let t = self.t.min(i32::MAX as u64) as i32;
        let rate = f64::from(self.lr) / (1.0 - f64::from(self.beta1).powi(t));
        let second = 1.0 / (1.0 - f64::from(self.beta2).powi(t));
        [rate as f32, 1.0 - self.lr * self.weight_decay, second as f32]
    }
}

/// Where sequences lie in the rows of a matrix: one after another, without padding.
#[derive(Clone, Copy, Debug)]
pub enum Sequences {
    /// `count` sequences of `len` rows.
    Equal {
        /// Sequences.
        count: usize,
        /// Rows of each.
        len: usize,
    },
    /// Sequence `i` has the rows `offsets[i]..offsets[i + 1]`.
    Ragged {
        /// `[sequences + 1]`, ascending, from 0 to `rows`.
        offsets: Span<u32>,
        /// Rows of all sequences.
        rows: usize,
        /// Rows of the longest sequence, or more.
        longest: usize,
    },
}

impl Sequences {
    /// Number of sequences.
    pub fn count(&self) -> usize {
        match *self {
            Self::Equal { count, .. } => count,
            Self::Ragged { offsets, .. } => offsets.len() - 1,
        }
    }
    /// Rows of all sequences.
    pub fn rows(&self) -> usize {
        match *self {
            Self::Equal { count, len } => count * len,
            Self::Ragged { rows, .. } => rows,
        }
    }
    /// Rows of the longest sequence, or more.
    pub fn longest(&self) -> usize {
        match *self {
            Self::Equal { len, .. } => len,
            Self::Ragged { longest, .. } => longest,
        }
    }
}

/// Shape of a multi-head attention within sequences: q, k, v and out are `[rows, heads · head_dim]`.
#[derive(Clone, Copy, Debug)]
pub struct AttentionShape {
    /// Which rows attend to each other.
    pub sequences: Sequences,
    /// Heads.
    pub heads: usize,
    /// Width of a head; the scores are divided by its root.
    pub head_dim: usize,
    /// Whether a row sees only itself and earlier rows.
    pub causal: bool,
}

impl AttentionShape {
    /// `heads · head_dim`.
    pub fn dim(&self) -> usize {
        self.heads * self.head_dim
    }
    /// Rows of all sequences.
    pub fn tokens(&self) -> usize {
        self.sequences.rows()
    }
}

/// Shape of a convolution within sequences: row `t` of y is made of the rows `t + (tap − (kernel − 1)/2) · dilation` of x, where rows outside
/// of the sequence count as zeros, so that y has as many rows as x. The weight is `[out, kernel · in]`, column `tap · in + channel`.
#[derive(Clone, Copy, Debug)]
pub struct ConvolutionShape {
    /// Which rows belong together.
    pub sequences: Sequences,
    /// Taps; odd.
    pub kernel: usize,
    /// Rows from tap to tap.
    pub dilation: usize,
}

/// A back end that commands can be run on.
pub trait Device: Backend + Sized + 'static {
    /// Adds what the ops need for themselves to the plan.
    fn plan_scratch(plan: &mut Plan);

    /// Whether its ops can run attention of that shape, and others over as many rows.
    ///
    /// # Errors
    /// Bad input that names the limit.
    fn require(_attention: &AttentionShape) -> Result<()> {
        Ok(())
    }

    /// Bytes that an arena could have now, if that is known.
    ///
    /// # Errors
    /// There is no such device.
    fn available_memory() -> Result<Option<usize>>;

    /// Plans the scratch and allocates the arena.
    ///
    /// # Errors
    /// The device cannot be used.
    fn open(plan: &mut Plan) -> Result<Self>;

    /// Bytes of the arena.
    fn arena_bytes(&self) -> usize;

    /// What the device is: names and facts.
    ///
    /// # Errors
    /// There is no such device, or it cannot be used.
    fn describe() -> Result<Vec<(&'static str, String)>>;
}

/// The tokens by ascending id, those of an id in order, to `order`: a counting sort. Ids are below the length of `places`, which it uses.
pub fn by_id(ids: &[u32], places: &mut [u32], order: &mut [u32]) {
    places.fill(0);
    ids.iter().for_each(|&id| places[id as usize] += 1);
    let mut before = 0;
    for place in places.iter_mut() {
        before += std::mem::replace(place, before);
    }
    for (token, &id) in ids.iter().enumerate() {
        order[places[id as usize] as usize] = token as u32;
        places[id as usize] += 1;
    }
}

/// Memory for one plan, and the ops.
///
/// Written spans must not overlap other spans of the same call unless the op says so.
pub trait Backend {
    /// Copies from the host.
    fn upload<T: Pod>(&mut self, to: Span<T>, from: &[T]);
    /// Copies to the host, after all queued ops; zeros if the device failed.
    fn download<T: Pod>(&mut self, from: Span<T>, to: &mut [T]);
    /// Whether all ops so far did what they had to. Who goes by what it downloaded asks first: a device that failed runs no op any more.
    ///
    /// # Errors
    /// What failed first. The CPU does not fail.
    fn fault(&self) -> Result<()> {
        Ok(())
    }
    /// Makes a read-only file part available to ops as a span; on the CPU without a copy.
    fn map(&mut self, file: &Arc<memmap2::Mmap>, range: std::ops::Range<usize>) -> Span<u8>;
    /// `to = from`.
    fn copy<T: Pod>(&mut self, to: Span<T>, from: Span<T>);
    /// `to = 0`.
    fn zero<T: Pod>(&mut self, to: Span<T>);

    /// `y[r] = table[ids[r]] + positions[r mod seq]`; y `[tokens, dim]`, table `[vocab, dim]`, positions `[≥ seq, dim]`.
    fn embedding(&mut self, y: Span<f32>, table: Span<f32>, positions: Span<f32>, ids: Span<u32>, seq: usize, dim: usize);
    /// Adds the gradients of [`Backend::embedding`] to `d_table` and `d_positions`, tokens in order. `order` are the tokens as [`by_id`] sorts
    /// them: where those of an id are.
    #[expect(clippy::too_many_arguments, reason = "an op names all its operands")]
    fn embedding_backward(
        &mut self,
        d_table: Span<f32>,
        d_positions: Span<f32>,
        dy: Span<f32>,
        ids: Span<u32>,
        order: Span<u32>,
        seq: usize,
        dim: usize,
    );

    /// `y = (x − mean) · rstd · gamma + beta` over rows of `dim` (Ba et al. 2016, ε = 1e-5); keeps `mean` and `rstd`, `[rows]`.
    #[expect(clippy::too_many_arguments, reason = "an op names all its operands")]
    fn layer_norm(&mut self, y: Span<f32>, mean: Span<f32>, rstd: Span<f32>, x: Span<f32>, gamma: Span<f32>, beta: Span<f32>, dim: usize);
    /// `dx += ∂/∂x`, `d_gamma += …`, `d_beta += …`.
    #[expect(clippy::too_many_arguments, reason = "an op names all its operands")]
    fn layer_norm_backward(
        &mut self,
        dx: Span<f32>,
        d_gamma: Span<f32>,
        d_beta: Span<f32>,
        dy: Span<f32>,
        x: Span<f32>,
        mean: Span<f32>,
        rstd: Span<f32>,
        gamma: Span<f32>,
        dim: usize,
    );

    /// `y = x · Wᵀ`; x `[rows, in]`, y `[rows, stride]`, of which the first `out` columns are written: rows may be padded, here and in the
    /// gradients of y.
    fn linear(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, rows: usize);
    /// `dx = dy · W`, or `dx += dy · W`.
    fn linear_backward_input(&mut self, dx: Span<f32>, dy: Span<f32>, weight: &Weight, rows: usize, accumulate: bool);
    /// `dw = dyᵀ · x`, or `dw += dyᵀ · x`; dw `[out, in]`, dy `[rows, stride]`, x `[rows, in]`.
    fn linear_backward_weight(&mut self, dw: Span<f32>, dy: Span<f32>, x: Span<f32>, rows: usize, accumulate: bool);

    /// Softmax attention; `lse` keeps the log-sum-exp of each row of scores: `[heads, len]` of each sequence, one after another.
    fn attention(&mut self, out: Span<f32>, lse: Span<f32>, q: Span<f32>, k: Span<f32>, v: Span<f32>, shape: AttentionShape);
    /// Overwrites dq, dk, dv.
    #[expect(clippy::too_many_arguments, reason = "an op names all its operands")]
    fn attention_backward(
        &mut self,
        dq: Span<f32>,
        dk: Span<f32>,
        dv: Span<f32>,
        d_out: Span<f32>,
        out: Span<f32>,
        lse: Span<f32>,
        q: Span<f32>,
        k: Span<f32>,
        v: Span<f32>,
        shape: AttentionShape,
    );

    /// The attention of one query, over the cached keys and values of its own and all earlier tokens; q and out `[heads · head_dim]`, k and v
    /// `[tokens, heads · head_dim]`.
    fn cached_attention(&mut self, out: Span<f32>, q: Span<f32>, k: Span<f32>, v: Span<f32>, heads: usize);

    /// `y = ½x(1 + tanh(√(2/π)(x + 0.044715x³)))` (Hendrycks & Gimpel 2016).
    fn gelu(&mut self, y: Span<f32>, x: Span<f32>);
    /// `dx = dy · gelu′(x)`; dx may be dy itself.
    fn gelu_backward(&mut self, dx: Span<f32>, dy: Span<f32>, x: Span<f32>);
    /// `y = a + b`; y may be a itself.
    fn add(&mut self, y: Span<f32>, a: Span<f32>, b: Span<f32>);

    /// `y = leaky_relu(x)`: x where positive, else `slope · x` (Maas et al. 2013; slope 0 is ReLU); y may be x itself.
    fn leaky_relu(&mut self, y: Span<f32>, x: Span<f32>, slope: f32);
    /// `dx = dy · leaky_relu′(x)`, where x may be the op's result if the slope is not negative; dx may be dy itself.
    fn leaky_relu_backward(&mut self, dx: Span<f32>, dy: Span<f32>, x: Span<f32>, slope: f32);
    /// `y = tanh(x)`; y may be x itself.
    fn tanh(&mut self, y: Span<f32>, x: Span<f32>);
    /// `dx = dy · (1 − y²)`, from the op's result; dx may be dy itself.
    fn tanh_backward(&mut self, dx: Span<f32>, dy: Span<f32>, y: Span<f32>);

    /// `y[r] = table[ids[r]]`, or `y[r] += …`; y `[rows, dim]`, table `[entries, dim]`.
    fn gather(&mut self, y: Span<f32>, table: Span<f32>, ids: Span<u32>, dim: usize, accumulate: bool);
    /// `d_table[ids[r]] += dy[r]`, in the order of r.
    fn gather_backward(&mut self, d_table: Span<f32>, dy: Span<f32>, ids: Span<u32>, dim: usize);

    /// Convolution of x `[rows, in]` to y `[rows, out]`, plus `bias` `[out]`; `y = …`, or `y += …`. See [`ConvolutionShape`].
    fn conv1d(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, bias: Option<Span<f32>>, shape: ConvolutionShape, accumulate: bool);
    /// The gradient of [`Backend::conv1d`]'s x: `dx = …`, or `dx += …`.
    fn conv1d_backward_input(&mut self, dx: Span<f32>, dy: Span<f32>, weight: &Weight, shape: ConvolutionShape, accumulate: bool);
    /// The gradient of [`Backend::conv1d`]'s weight, `[out, kernel · in]`: `dw = …`, or `dw += …`.
    fn conv1d_backward_weight(&mut self, dw: Span<f32>, dy: Span<f32>, x: Span<f32>, shape: ConvolutionShape, accumulate: bool);
    /// `d_bias[j] += Σ_r dy[r][j]` in a fixed order; dy `[rows, len of d_bias]`.
    fn bias_backward(&mut self, d_bias: Span<f32>, dy: Span<f32>);
    /// Transposed convolution of one sequence x `[rows, in]` to y `[stride · rows, out]`, plus `bias` `[out]`: row `stride · t + tap −
    /// (kernel − stride)/2` of y gets row `t` of x times the weight's rows of that tap. The weight is `[kernel · out, in]`, row `tap · out +
    /// channel`; `kernel ≥ stride`, both even or both odd. Forward only: vocoders are run here, not trained.
    fn conv_transpose1d(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight, bias: Option<Span<f32>>, stride: usize);

    /// `losses[r] = Σ_j |x[r][j] − target[r][j]|` and `dx = sign(x − target) · gradient_scale`; x `[rows, dim]`, `losses` `[rows]`.
    fn absolute_error(&mut self, losses: Span<f32>, dx: Span<f32>, x: Span<f32>, target: Span<f32>, gradient_scale: f32);
    /// `losses[r] = Σ_j (x[r][j] − target[r][j])²` and `dx = 2(x − target) · gradient_scale`.
    fn squared_error(&mut self, losses: Span<f32>, dx: Span<f32>, x: Span<f32>, target: Span<f32>, gradient_scale: f32);

    /// Cross entropy of logits against `targets`, over the first `vocab` columns of `[rows, stride]`; writes each row's loss in nats to `losses` and turns the logits into
    /// `(softmax − onehot) · gradient_scale` in place. A target of `u32::MAX` is masked: loss and gradient 0.
    fn cross_entropy(&mut self, logits: Span<f32>, losses: Span<f32>, targets: Span<u32>, vocab: usize, gradient_scale: f32);

    /// `sum[0] = Σ x` in a fixed order.
    fn sum(&mut self, sum: Span<f32>, x: Span<f32>);
    /// `sum[0] += Σ x²` in a fixed order.
    fn sum_squares(&mut self, sum: Span<f32>, x: Span<f32>);
    /// One AdamW step on `value`; none where `norm_squared` is not finite, so that what caused it can still be told from the rest.
    fn adamw(&mut self, value: Span<f32>, gradient: Span<f32>, moments: [Span<f32>; 2], norm_squared: Span<f32>, step: &AdamWStep);

    /// `d_scale[i] += Σ_j dw[i][j] · level[code[i][j]]`.
    fn scale_gradient(&mut self, d_scale: Span<f32>, dw: Span<f32>, weight: &Weight);
    /// Updates R and C with `dw` and adds each weight's vote.
    fn vote(&mut self, weight: &Weight, state: &VoteState, dw: Span<f32>, cast: &VoteCast);
    /// Flips the weights whose votes agree; `counts` is `[flipped, at a rail]` after it.
    fn flip(&mut self, weight: &Weight, state: &VoteState, rule: &VoteRule, counts: Span<u32>);
    /// Rows with more than `share` of their weights at a rail: scale times `factor`, codes re-encoded, remainders into the votes.
    fn rescale_rows(&mut self, weight: &Weight, state: &VoteState, rule: &VoteRule, share: f32, factor: f32);
    /// The seed's vote: ±1 where |dw| > mean + z·std of |dw| over the tensor.
    fn poltergeist_vote(&mut self, weight: &Weight, votes: Span<u8>, dw: Span<f32>, z: f32);
    /// The seed's flip: where |votes| ≥ consensus, with the row's probability; clears the votes. `counts` as in [`Backend::flip`].
    fn poltergeist_flip(&mut self, weight: &Weight, votes: Span<u8>, consensus: u32, key: RandomKey, counts: Span<u32>);
    /// Shadow weights to the nearest code; `counts` as in [`Backend::flip`].
    fn quantize(&mut self, weight: &Weight, shadow: Span<f32>, counts: Span<u32>);
    /// Straight-through estimator with a learned step (LSQ, Esser et al. 2020): from `dw`, `d_shadow += dw` inside the rails and
    /// `d_scale += …`. `d_shadow` may not be `dw`.
    fn straight_through(&mut self, d_shadow: Span<f32>, d_scale: Span<f32>, dw: Span<f32>, shadow: Span<f32>, weight: &Weight);
    /// `counts[code] = number of weights with that code`, 16 values.
    fn level_histogram(&mut self, counts: Span<u32>, weight: &Weight);

    /// One token's `y = x · Wᵀ` for decoding: each code is read once, and dot products are exact integers of x rounded to steps of
    /// max|x| / 4095. A float weight goes the way of [`Backend::linear`].
    fn lut_gemv(&mut self, y: Span<f32>, x: Span<f32>, weight: &Weight);
}
