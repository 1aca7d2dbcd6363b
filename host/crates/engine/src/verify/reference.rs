//! The float ops as plain loops in `f64`, one function an op: slow, and meant to be read. Shapes as in `ops`.

use std::ops::Range;

/// Σ aᵢbᵢ.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    assert_eq!(a.len(), b.len());
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// `y[r] = table[ids[r]] + positions[r mod seq]`.
pub fn embedding(table: &[f64], positions: &[f64], ids: &[u32], seq: usize, dim: usize) -> Vec<f64> {
    let mut y = Vec::new();
    for (r, &id) in ids.iter().enumerate() {
        for c in 0..dim {
            y.push(table[id as usize * dim + c] + positions[r % seq * dim + c]);
        }
    }
    y
}

/// `(d_table, d_positions)`, of the sizes given.
pub fn embedding_backward(dy: &[f64], ids: &[u32], [vocab, positions, seq, dim]: [usize; 4]) -> (Vec<f64>, Vec<f64>) {
    let (mut d_table, mut d_positions) = (vec![0.0; vocab * dim], vec![0.0; positions * dim]);
    for (r, &id) in ids.iter().enumerate() {
        for c in 0..dim {
            d_table[id as usize * dim + c] += dy[r * dim + c];
            d_positions[r % seq * dim + c] += dy[r * dim + c];
        }
    }
    (d_table, d_positions)
}

/// `(y, mean, rstd)`.
pub fn layer_norm(x: &[f64], gamma: &[f64], beta: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let (mut y, mut means, mut rstds) = (Vec::new(), Vec::new(), Vec::new());
    let dim = gamma.len();
    for x in x.chunks(dim) {
        let mean = x.iter().sum::<f64>() / dim as f64;
        let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / dim as f64;
        let rstd = 1.0 / (variance + 1e-5).sqrt();
        for c in 0..dim {
            y.push((x[c] - mean) * rstd * gamma[c] + beta[c]);
        }
        means.push(mean);
        rstds.push(rstd);
    }
    (y, means, rstds)
}

/// `(dx, d_gamma, d_beta)`.
pub fn layer_norm_backward(dy: &[f64], x: &[f64], mean: &[f64], rstd: &[f64], gamma: &[f64]) -> (Vec<f64>, Vec<f64>, Vec<f64>) {
    let dim = gamma.len();
    let (mut dx, mut d_gamma, mut d_beta) = (Vec::new(), vec![0.0; dim], vec![0.0; dim]);
    for (r, (dy, x)) in dy.chunks(dim).zip(x.chunks(dim)).enumerate() {
        let normed: Vec<f64> = x.iter().map(|x| (x - mean[r]) * rstd[r]).collect();
        let d_normed: Vec<f64> = dy.iter().zip(gamma).map(|(dy, gamma)| dy * gamma).collect();
        let plain = d_normed.iter().sum::<f64>() / dim as f64;
        let by_normed = dot(&d_normed, &normed) / dim as f64;
        for c in 0..dim {
            dx.push(rstd[r] * (d_normed[c] - plain - normed[c] * by_normed));
            d_gamma[c] += dy[c] * normed[c];
            d_beta[c] += dy[c];
        }
    }
    (dx, d_gamma, d_beta)
}

/// `(y, rstd)`.
pub fn rms_norm(x: &[f64], gamma: &[f64], eps: f64) -> (Vec<f64>, Vec<f64>) {
    let dim = gamma.len();
    let rstd: Vec<f64> = x.chunks(dim).map(|x| 1.0 / (dot(x, x) / dim as f64 + eps).sqrt()).collect();
    let y = x.iter().enumerate().map(|(i, x)| x * rstd[i / dim] * gamma[i % dim]).collect();
    (y, rstd)
}

/// `(dx, d_gamma)`.
pub fn rms_norm_backward(dy: &[f64], x: &[f64], rstd: &[f64], gamma: &[f64]) -> (Vec<f64>, Vec<f64>) {
    let dim = gamma.len();
    let (mut dx, mut d_gamma) = (Vec::new(), vec![0.0; dim]);
    for (r, (dy, x)) in dy.chunks(dim).zip(x.chunks(dim)).enumerate() {
        let by_x = (0..dim).map(|c| dy[c] * gamma[c] * x[c]).sum::<f64>() / dim as f64;
        for c in 0..dim {
            dx.push(rstd[r] * dy[c] * gamma[c] - rstd[r].powi(3) * x[c] * by_x);
            d_gamma[c] += dy[c] * x[c] * rstd[r];
        }
    }
    (dx, d_gamma)
}

/// `y = x · Wᵀ`; x `[rows, inputs]`, w `[outputs, inputs]`.
pub fn linear(x: &[f64], w: &[f64], inputs: usize) -> Vec<f64> {
    x.chunks(inputs).flat_map(|x| w.chunks(inputs).map(move |w| dot(x, w))).collect()
}

/// The first `columns` of each row of `[rows, stride]`.
pub fn unpadded(x: &[f64], columns: usize, stride: usize) -> Vec<f64> {
    x.chunks(stride).flat_map(|row| &row[..columns]).copied().collect()
}

/// `[rows, stride]` with the first columns of each row replaced.
pub fn padded(before: &[f64], x: &[f64], columns: usize, stride: usize) -> Vec<f64> {
    let mut all = before.to_vec();
    for (row, x) in all.chunks_mut(stride).zip(x.chunks(columns)) {
        row[..columns].copy_from_slice(x);
    }
    all
}

/// `dx = dy · W`.
pub fn linear_backward_input(dy: &[f64], w: &[f64], inputs: usize) -> Vec<f64> {
    let outputs = w.len() / inputs;
    let mut dx = Vec::new();
    for dy in dy.chunks(outputs) {
        for i in 0..inputs {
            dx.push((0..outputs).map(|o| dy[o] * w[o * inputs + i]).sum());
        }
    }
    dx
}

/// `dw = dyᵀ · x`.
pub fn linear_backward_weight(dy: &[f64], x: &[f64], rows: usize) -> Vec<f64> {
    let (outputs, inputs) = (dy.len() / rows, x.len() / rows);
    let mut dw = vec![0.0; outputs * inputs];
    for r in 0..rows {
        for o in 0..outputs {
            for i in 0..inputs {
                dw[o * inputs + i] += dy[r * outputs + o] * x[r * inputs + i];
            }
        }
    }
    dw
}

/// The rows of each sequence.
fn sequences(offsets: &[u32]) -> impl Iterator<Item = Range<usize>> + use<'_> {
    offsets.windows(2).map(|pair| pair[0] as usize..pair[1] as usize)
}

/// Sizes of an attention, and who sees whom.
#[derive(Clone)]
pub struct AttentionSizes {
    /// First row of each sequence, and the number of all rows.
    pub offsets: Vec<u32>,
    pub heads: usize,
    pub kv_heads: usize,
    pub width: usize,
    pub causal: bool,
}

impl AttentionSizes {
    /// The values of one head of one row in `[rows, heads · width]`.
    fn at(&self, h: usize, row: usize) -> Range<usize> {
        let start = (row * self.heads + h) * self.width;
        start..start + self.width
    }

    /// The values of the key head that head h reads, of one row in `[rows, kv_heads · width]`.
    fn key_at(&self, h: usize, row: usize) -> Range<usize> {
        let start = (row * self.kv_heads + h / (self.heads / self.kv_heads)) * self.width;
        start..start + self.width
    }

    /// The rows of each sequence with each head.
    fn each(&self) -> impl Iterator<Item = (Range<usize>, usize)> + use<'_> {
        sequences(&self.offsets).flat_map(|rows| (0..self.heads).map(move |h| (rows.clone(), h)))
    }

    /// The rows that row `i` of a sequence sees.
    fn seen(&self, rows: &Range<usize>, i: usize) -> Range<usize> {
        rows.start..if self.causal { i + 1 } else { rows.end }
    }

    /// Scores of row `i` of one head against the rows that it sees.
    fn scores(&self, q: &[f64], k: &[f64], seen: Range<usize>, h: usize, i: usize) -> Vec<f64> {
        seen.map(|j| dot(&q[self.at(h, i)], &k[self.key_at(h, j)]) / (self.width as f64).sqrt()).collect()
    }
}

fn log_sum_exp(x: &[f64]) -> f64 {
    let max = x.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    max + x.iter().map(|x| (x - max).exp()).sum::<f64>().ln()
}

/// `(out, lse)`.
pub fn attention(q: &[f64], k: &[f64], v: &[f64], shape: &AttentionSizes) -> (Vec<f64>, Vec<f64>) {
    let (mut out, mut lse) = (vec![0.0; q.len()], Vec::new());
    for (rows, h) in shape.each() {
        for i in rows.clone() {
            let seen = shape.seen(&rows, i);
            let scores = shape.scores(q, k, seen.clone(), h, i);
            let total = log_sum_exp(&scores);
            for (j, score) in seen.zip(scores) {
                for (o, v) in out[shape.at(h, i)].iter_mut().zip(&v[shape.key_at(h, j)]) {
                    *o += (score - total).exp() * v;
                }
            }
            lse.push(total);
        }
    }
    (out, lse)
}

/// `[dq, dk, dv]`.
pub fn attention_backward(d_out: &[f64], q: &[f64], k: &[f64], v: &[f64], shape: &AttentionSizes) -> [Vec<f64>; 3] {
    let [mut dq, mut dk, mut dv] = [q, k, k].map(|x| vec![0.0; x.len()]);
    for (rows, h) in shape.each() {
        for i in rows.clone() {
            let seen = shape.seen(&rows, i);
            let scores = shape.scores(q, k, seen.clone(), h, i);
            let total = log_sum_exp(&scores);
            let p: Vec<f64> = scores.iter().map(|s| (s - total).exp()).collect();
            let row = shape.at(h, i);
            let dp: Vec<f64> = seen.clone().map(|j| dot(&d_out[row.clone()], &v[shape.key_at(h, j)])).collect();
            let mean = dot(&p, &dp);
            for (j, (p, dp)) in seen.zip(p.iter().zip(&dp)) {
                let ds = p * (dp - mean) / (shape.width as f64).sqrt();
                for (a, c) in row.clone().zip(shape.key_at(h, j)) {
                    dq[a] += ds * k[c];
                    dk[c] += ds * q[a];
                    dv[c] += p * d_out[a];
                }
            }
        }
    }
    [dq, dk, dv]
}

/// `½x(1 + tanh(√(2/π)(x + 0.044715x³)))`.
pub fn gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + (std::f64::consts::FRAC_2_PI.sqrt() * (x + 0.044715 * x.powi(3))).tanh())
}

/// The derivative of [`gelu`].
pub fn gelu_slope(x: f64) -> f64 {
    let root = std::f64::consts::FRAC_2_PI.sqrt();
    let t = (root * (x + 0.044715 * x.powi(3))).tanh();
    0.5 * (1.0 + t) + 0.5 * x * (1.0 - t * t) * root * (1.0 + 3.0 * 0.044715 * x * x)
}

/// `½x(1 + erf(x/√2))`.
pub fn erf_gelu(x: f64) -> f64 {
    0.5 * x * (1.0 + erf(x * std::f64::consts::FRAC_1_SQRT_2))
}

/// `2/√π · e^(−x²) · Σ 2ⁿx²ⁿ⁺¹ / (1 · 3 · … · (2n + 1))`, whose terms have one sign.
fn erf(x: f64) -> f64 {
    let (mut sum, mut term, mut n) = (0.0, x, 0.0);
    while term.abs() > 1e-17 * f64::abs(sum) {
        sum += term;
        n += 1.0;
        term *= 2.0 * x * x / (2.0 * n + 1.0);
    }
    std::f64::consts::FRAC_2_SQRT_PI * (-x * x).exp() * sum
}

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// `gate · σ(gate) · up`.
pub fn swiglu(gate: &[f64], up: &[f64]) -> Vec<f64> {
    gate.iter().zip(up).map(|(gate, up)| gate * sigmoid(*gate) * up).collect()
}

/// The gradients of gate and up.
pub fn swiglu_backward(dy: &[f64], gate: &[f64], up: &[f64]) -> [Vec<f64>; 2] {
    let slope = |x: f64| sigmoid(x) + x * sigmoid(x) * (1.0 - sigmoid(x));
    let d_gate = dy.iter().zip(gate).zip(up).map(|((dy, gate), up)| dy * up * slope(*gate)).collect();
    let d_up = dy.iter().zip(gate).map(|(dy, gate)| dy * gate * sigmoid(*gate)).collect();
    [d_gate, d_up]
}

/// The complex product of each pair with `cos + i·sin`, or its conjugate to turn back, row by row of `width`; the values of a pair are adjacent, or a half
/// of those that turn apart.
pub fn rope(x: &[f64], table: &[f64], positions: &[u32], [width, head_dim, pairs]: [usize; 3], adjacent: bool, back: bool) -> Vec<f64> {
    let mut y = x.to_vec();
    for (row, &position) in positions.iter().enumerate() {
        for head in (0..width).step_by(head_dim) {
            for pair in 0..pairs {
                let (a, b) = if adjacent { (2 * pair, 2 * pair + 1) } else { (pair, pair + pairs) };
                let (a, b) = (row * width + head + a, row * width + head + b);
                let at = position as usize * 2 * pairs + pair;
                let (cos, sin) = (table[at], if back { -table[at + pairs] } else { table[at + pairs] });
                (y[a], y[b]) = (x[a] * cos - x[b] * sin, x[a] * sin + x[b] * cos);
            }
        }
    }
    y
}

/// x where positive, else `slope · x`.
pub fn leaky_relu(x: f64, slope: f64) -> f64 {
    if x > 0.0 { x } else { slope * x }
}

/// `y[r] = table[ids[r]]`.
pub fn gather(table: &[f64], ids: &[u32], dim: usize) -> Vec<f64> {
    ids.iter().flat_map(|&id| &table[id as usize * dim..][..dim]).copied().collect()
}

/// What is added to a table of `entries`.
pub fn gather_backward(dy: &[f64], ids: &[u32], [entries, dim]: [usize; 2]) -> Vec<f64> {
    let mut d_table = vec![0.0; entries * dim];
    for (dy, &id) in dy.chunks(dim).zip(ids) {
        for c in 0..dim {
            d_table[id as usize * dim + c] += dy[c];
        }
    }
    d_table
}

/// Sizes of a convolution.
#[derive(Clone)]
pub struct ConvolutionSizes {
    /// First row of each sequence, and the number of all rows.
    pub offsets: Vec<u32>,
    pub inputs: usize,
    pub outputs: usize,
    pub kernel: usize,
    pub dilation: usize,
}

impl ConvolutionSizes {
    /// `f(row, tap, row of x)` for each tap of each row that reads a row of its own sequence.
    fn each_tap(&self, mut f: impl FnMut(usize, usize, usize)) {
        for rows in sequences(&self.offsets) {
            for t in rows.clone() {
                for tap in 0..self.kernel {
                    let back = (self.kernel - 1) / 2 * self.dilation;
                    // Rows before the sequence are beyond its end when they wrap around.
                    let source = (t + tap * self.dilation).wrapping_sub(back);
                    if rows.contains(&source) {
                        f(t, tap, source);
                    }
                }
            }
        }
    }

    fn rows(&self) -> usize {
        *self.offsets.last().expect("an end") as usize
    }

    /// Place of a weight in `[outputs, kernel · inputs]`.
    fn at(&self, output: usize, tap: usize, input: usize) -> usize {
        (output * self.kernel + tap) * self.inputs + input
    }
}

/// Without bias.
pub fn conv1d(x: &[f64], w: &[f64], of: &ConvolutionSizes) -> Vec<f64> {
    let mut y = vec![0.0; of.rows() * of.outputs];
    of.each_tap(|t, tap, source| {
        for o in 0..of.outputs {
            y[t * of.outputs + o] += dot(&x[source * of.inputs..][..of.inputs], &w[of.at(o, tap, 0)..][..of.inputs]);
        }
    });
    y
}

/// dx.
pub fn conv1d_backward_input(dy: &[f64], w: &[f64], of: &ConvolutionSizes) -> Vec<f64> {
    let mut dx = vec![0.0; of.rows() * of.inputs];
    of.each_tap(|t, tap, source| {
        for o in 0..of.outputs {
            for i in 0..of.inputs {
                dx[source * of.inputs + i] += dy[t * of.outputs + o] * w[of.at(o, tap, i)];
            }
        }
    });
    dx
}

/// dw.
pub fn conv1d_backward_weight(dy: &[f64], x: &[f64], of: &ConvolutionSizes) -> Vec<f64> {
    let mut dw = vec![0.0; of.outputs * of.kernel * of.inputs];
    of.each_tap(|t, tap, source| {
        for o in 0..of.outputs {
            for i in 0..of.inputs {
                dw[of.at(o, tap, i)] += dy[t * of.outputs + o] * x[source * of.inputs + i];
            }
        }
    });
    dw
}

/// Without bias; x and the result `[rows, channels]`, w `[kernel, channels]`, `of.inputs` the channels.
pub fn depthwise_conv1d(x: &[f64], w: &[f64], of: &ConvolutionSizes) -> Vec<f64> {
    let channels = of.inputs;
    let mut y = vec![0.0; of.rows() * channels];
    of.each_tap(|t, tap, source| (0..channels).for_each(|c| y[t * channels + c] += w[tap * channels + c] * x[source * channels + c]));
    y
}

/// `y[r] = bias` for `rows` rows.
pub fn bias(bias: &[f64], rows: usize) -> Vec<f64> {
    bias.repeat(rows)
}

/// Without bias; w `[kernel · outputs, inputs]`.
pub fn conv_transpose1d(x: &[f64], w: &[f64], [inputs, outputs, kernel, stride]: [usize; 4]) -> Vec<f64> {
    let rows = x.len() / inputs;
    let mut y = vec![0.0; stride * rows * outputs];
    for t in 0..rows {
        for tap in 0..kernel {
            let Some(row) = (stride * t + tap).checked_sub((kernel - stride) / 2).filter(|&row| row < stride * rows) else { continue };
            for o in 0..outputs {
                y[row * outputs + o] += dot(&x[t * inputs..][..inputs], &w[(tap * outputs + o) * inputs..][..inputs]);
            }
        }
    }
    y
}

/// Row losses `Σ |x − target|`.
pub fn absolute_error(x: &[f64], target: &[f64], dim: usize) -> Vec<f64> {
    x.chunks(dim).zip(target.chunks(dim)).map(|(x, target)| x.iter().zip(target).map(|(x, t)| (x - t).abs()).sum()).collect()
}

/// Row losses `Σ (x − target)²`.
pub fn squared_error(x: &[f64], target: &[f64], dim: usize) -> Vec<f64> {
    x.chunks(dim).zip(target.chunks(dim)).map(|(x, target)| x.iter().zip(target).map(|(x, t)| (x - t).powi(2)).sum()).collect()
}

/// `(losses, gradient)`; a target of `u32::MAX` is masked.
pub fn cross_entropy(logits: &[f64], targets: &[u32], vocab: usize, gradient_scale: f64) -> (Vec<f64>, Vec<f64>) {
    let (mut losses, mut gradient) = (Vec::new(), Vec::new());
    for (row, &target) in logits.chunks(vocab).zip(targets) {
        let total = log_sum_exp(row);
        let masked = target == u32::MAX;
        losses.push(if masked { 0.0 } else { total - row[target as usize] });
        for (c, logit) in row.iter().enumerate() {
            let onehot = f64::from(u8::from(c as u32 == target));
            gradient.push(if masked { 0.0 } else { ((logit - total).exp() - onehot) * gradient_scale });
        }
    }
    (losses, gradient)
}
