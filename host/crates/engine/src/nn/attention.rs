//! Multi-head self-attention (Vaswani et al. 2017): heads of queries may share keys and values (Ainslie et al. 2023), turn with their positions (Su et
//! al. 2021) and be normalised.

use primal_device::grid::Grid;

use super::linear::{LinearLayer, start_sigma};
use super::norm::{Norm, NormActivations, NormKind};
use super::parameters::{Parameters, Specs};
use super::pass::{Backward, GradientSink, Rows, first_rows};
use super::rotary::RotaryPlace;
use crate::backend::{AttentionShape, Backend, Sequences};
use crate::memory::{Act, Activation, Kind, Plan, Span};
use crate::ops::rope::RotaryPairs;
use crate::ops::{Attention, AttentionBackward, CachedAttention, Convert, Rope};

/// Which projections have biases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Biases {
    /// None.
    None,
    /// Those to queries, keys and values.
    Inputs,
    /// All.
    All,
}

/// Heads of an attention.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Heads {
    /// Heads of queries.
    pub count: usize,
    /// Heads of keys and values, which divide those of queries.
    pub kv: usize,
    /// Width of a head.
    pub width: usize,
    /// Whether a row sees only itself and earlier rows.
    pub causal: bool,
    /// Whether queries and keys turn with their positions, and which of their values together.
    pub rotary: Option<RotaryPairs>,
    /// ε of the norm of each query and key, if they have one.
    pub norms: Option<f32>,
    /// Which projections have biases.
    pub biases: Biases,
}

impl Heads {
    /// Heads that divide the width `dim` among them, without more.
    pub fn plain(dim: usize, count: usize, causal: bool) -> Self {
        Self { count, kv: count, width: dim / count, causal, rotary: None, norms: None, biases: Biases::None }
    }

    /// Values of a row of queries, keys and values.
    pub(super) fn widths(&self) -> [usize; 3] {
        [self.count, self.kv, self.kv].map(|heads| heads * self.width)
    }

    /// Values of a row of all gradients that the backward pass holds at a time.
    pub(super) fn gradients(&self) -> usize {
        let [q, k, v] = self.widths();
        q + k + v + if self.norms.is_some() { q + k } else { 0 }
    }

    /// The shape of the attention over these sequences.
    pub fn shape(&self, sequences: Sequences) -> AttentionShape {
        AttentionShape { sequences, heads: self.count, kv_heads: self.kv, head_dim: self.width, causal: self.causal }
    }
}

/// `y = softmax(q·kᵀ / √width)·v · Oᵀ`, where q, k and v are projections of x.
#[derive(Clone, Copy, Debug)]
pub struct SelfAttention {
    inputs: [LinearLayer; 3],
    o: LinearLayer,
    /// Of queries and of keys.
    norms: Option<[Norm; 2]>,
    heads: Heads,
}

/// What an attention's forward pass keeps for its backward pass.
#[derive(Clone, Copy, Debug)]
pub struct AttentionActivations {
    /// Queries, keys and values as they are multiplied, `[rows, heads · width]` each.
    pub(super) projections: [Activation; 3],
    pub(super) out: AttentionOutputs,
    /// Queries and keys before their norms, and what those keep.
    normed: Option<[(Span<f32>, NormActivations); 2]>,
    rotary: Option<RotaryPlace>,
    /// Keys and values of earlier rows, `[context, kv · width]` each.
    cache: Option<[Activation; 2]>,
}

/// What comes out of an attention.
#[derive(Clone, Copy, Debug)]
pub(super) struct AttentionOutputs {
    attended: Activation,
    /// The layer's output, `[rows, dim]`.
    pub y: Activation,
    /// `[rows, heads]`.
    lse: Span<f32>,
    rows: usize,
}

impl AttentionOutputs {
    /// Reserves them for at most so many rows.
    pub fn plan(plan: &mut Plan, act: Act, name: &str, rows: usize, dim: usize, heads: &Heads) -> Self {
        let attended = Activation::plan(plan, act, format!("{name}.attended"), rows * heads.count * heads.width);
        let y = Activation::plan(plan, act, format!("{name}.middle"), rows * dim);
        Self { attended, y, lse: plan.span(Kind::Activation, format!("{name}.lse"), rows * heads.count), rows }
    }

    fn first(&self, rows: usize) -> Self {
        let part = |matrix| first_rows(matrix, self.rows, rows);
        Self { attended: part(self.attended), y: part(self.y), lse: self.lse.slice(0, self.lse.len() / self.rows * rows), rows }
    }
}

impl AttentionActivations {
    /// Reserves them for at most so many rows.
    pub fn plan(plan: &mut Plan, act: Act, name: &str, rows: usize, dim: usize, heads: &Heads, rotary: Option<RotaryPlace>) -> Self {
        let [q, k, v] = heads.widths();
        let projections = [("q", q), ("k", k), ("v", v)];
        let projections = projections.map(|(part, width)| Activation::plan(plan, act, format!("{name}.{part}"), rows * width));
        let out = AttentionOutputs::plan(plan, act, name, rows, dim, heads);
        let normed = heads.norms.map(|epsilon| {
            [("q", projections[0], heads.count), ("k", projections[1], heads.kv)].map(|(part, y, count)| {
                let raw = plan.span(Kind::Activation, format!("{name}.{part}_raw"), y.len());
                let kind = NormKind::Rms { epsilon };
                (raw, NormActivations::plan_in(plan, &format!("{name}.{part}_norm"), kind, y, rows * count))
            })
        });
        Self { projections, out, normed, rotary, cache: None }
    }

    /// As above, with queries, keys and values in `place`, one after another.
    pub(super) fn plan_in(
        plan: &mut Plan,
        act: Act,
        name: &str,
        rows: usize,
        dim: usize,
        heads: &Heads,
        rotary: Option<RotaryPlace>,
        place: Activation,
    ) -> Self {
        let mut start = 0;
        let projections = heads.widths().map(|width| {
            start += rows * width;
            place.slice(start - rows * width, rows * width)
        });
        Self { projections, out: AttentionOutputs::plan(plan, act, name, rows, dim, heads), normed: None, rotary, cache: None }
    }

    /// These activations with a cache of their own for so many rows: all else is shared with `self`.
    pub fn with_own_cache(&self, plan: &mut Plan, name: &str, context: usize, act: Act) -> Self {
        let width = self.projections[1].len() / self.out.rows;
        let cache = ["keys", "values"].map(|part| Activation::plan_as(Kind::Cache, plan, act, format!("{name}.{part}"), context * width));
        Self { cache: Some(cache), ..*self }
    }

    /// The places of the first so many rows.
    pub fn first(&self, rows: usize) -> Self {
        let of = self.out.rows;
        let normed =
            self.normed.map(|normed| normed.map(|(raw, norm)| (raw.slice(0, raw.len() / of * rows), norm.first(norm.rows() / of * rows))));
        let projections = self.projections.map(|span| first_rows(span, of, rows));
        Self { projections, out: self.out.first(rows), normed, ..*self }
    }
}

impl SelfAttention {
    /// Names `<name>.q`, `.k`, `.v` and `.o`; `[heads · width, dim]` each, the last the other way round; and the biases and norms of `heads`.
    /// `residual` scales the start of the last.
    pub fn new(specs: &mut Specs, name: &str, dim: usize, heads: Heads, grid: Option<&'static Grid>, residual: f32) -> Self {
        let [q, k, v] = heads.widths();
        let mut layer = |part: &str, shape, sigma, bias: bool| {
            let name = format!("{name}.{part}");
            let layer = LinearLayer::new(specs, &name, shape, grid, sigma);
            if bias { layer.with_bias(specs, &name) } else { layer }
        };
        let (inputs, sigma) = (heads.biases != Biases::None, start_sigma(dim));
        let inputs = [("q", q), ("k", k), ("v", v)].map(|(part, width)| layer(part, [width, dim], sigma, inputs));
        let o = layer("o", [dim, q], start_sigma(q) * residual, heads.biases == Biases::All);
        let norms = heads.norms.map(|epsilon| {
            ["q_norm", "k_norm"].map(|part| Norm::new(specs, &format!("{name}.{part}"), NormKind::Rms { epsilon }, heads.width))
        });
        Self { inputs, o, norms, heads }
    }

    /// From x `[rows, dim]` to the output in `kept`.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &AttentionActivations, x: Activation, rows: Rows) {
        self.project(b, p, kept, x, rows);
        let AttentionActivations { projections: [q, k, v], out, .. } = kept.first(rows.count());
        match rows {
            Rows::Of(sequences) => b.run(Attention { out: out.attended, lse: out.lse, q, k, v, shape: self.heads.shape(sequences) }),
            Rows::After { past, count } => {
                let cache = kept.cache.expect("a plan with a cache");
                let [k, v] = [(cache[0], k), (cache[1], v)].map(|(cache, rows)| {
                    let width = rows.len() / count;
                    b.run(Convert { y: cache.slice(past * width, rows.len()), x: rows });
                    cache.slice(0, (past + count) * width)
                });
                let Heads { count: heads, kv: kv_heads, width: head_dim, .. } = self.heads;
                b.run(CachedAttention { out: out.attended.f32(), q: q.f32(), k, v, heads, kv_heads, head_dim });
            }
        }
        self.o.forward(b, p, out.y, out.attended, rows);
    }

    /// Queries, keys and values.
    pub fn project<B: Backend>(&self, b: &mut B, p: &Parameters, kept: &AttentionActivations, x: Activation, rows: Rows) {
        let kept = kept.first(rows.count());
        for (i, (layer, y)) in self.inputs.into_iter().zip(kept.projections).enumerate() {
            match (kept.normed, &self.norms) {
                (Some(normed), Some(norms)) if i < 2 => {
                    let (raw, norm) = normed[i];
                    layer.forward(b, p, raw, x, rows);
                    norms[i].forward(b, p, &norm, raw);
                }
                _ => layer.forward(b, p, y, x, rows),
            }
        }
        self.turn(b, &kept, kept.projections.map(|span| span.as_f32()), rows, false);
    }

    /// Turns queries and keys, or their gradients back.
    fn turn<B: Backend>(&self, b: &mut B, kept: &AttentionActivations, [q, k, _]: [Option<Span<f32>>; 3], rows: Rows, inverse: bool) {
        let Some(layout) = self.heads.rotary else { return };
        let (place, head_dim) = (kept.rotary.expect("a plan with rotary positions"), self.heads.width);
        for x in [q, k] {
            let (x, positions) = (x.expect("rotary positions of f32"), place.positions(rows));
            b.run(Rope { x, table: place.table, positions, head_dim, pairs: head_dim / 2, layout, inverse });
        }
    }

    /// Copies cached rows from `first` on to those from `to` on, without overlap, and turns their keys back by so many positions: `back`, `[rows]`, all
    /// the same.
    pub(super) fn move_cache<B: Backend>(&self, b: &mut B, kept: &AttentionActivations, first: usize, to: usize, back: Span<u32>) {
        let cache = kept.cache.expect("a plan with a cache");
        let [_, keys, values] = kept.first(back.len()).projections;
        let (width, head_dim) = (keys.len() / back.len(), self.heads.width);
        let layout = self.heads.rotary.expect("rotary positions");
        let table = kept.rotary.expect("a plan with rotary positions").table;
        for (cache, rows) in cache.into_iter().zip([keys, values]) {
            let at = |row: usize| cache.slice(row * width, rows.len());
            b.run(Convert { y: rows, x: at(first) });
            if rows == keys {
                b.run(Rope { x: rows.f32(), table, positions: back, head_dim, pairs: head_dim / 2, layout, inverse: true });
            }
            b.run(Convert { y: at(to), x: rows });
        }
    }

    /// Turns the gradient of what was attended to, `d_attended`, which [`SelfAttention::backward_output`] wrote and which may lie in `dx`, into that of x;
    /// `d_projections` holds those of queries, keys and values, and of the former two before their norms.
    #[expect(clippy::too_many_arguments, reason = "a backward pass names all its operands")]
    pub fn backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        kept: &AttentionActivations,
        dx: Span<f32>,
        d_attended: Span<f32>,
        x: Activation,
        sequences: Sequences,
        d_projections: Span<f32>,
    ) {
        let (rows, mut start) = (sequences.rows(), 0);
        let mut next = |width: usize| {
            start += rows * width;
            d_projections.slice(start - rows * width, rows * width)
        };
        let kept = kept.first(rows);
        let AttentionActivations { projections: [q, k, v], out, .. } = kept;
        let mut gradients = self.heads.widths().map(&mut next);
        let [dq, dk, dv] = gradients;
        let shape = self.heads.shape(sequences);
        pass.b.run(AttentionBackward { dq, dk, dv, d_out: d_attended, out: out.attended, lse: out.lse, q, k, v, shape });
        self.turn(pass.b, &kept, gradients.map(Some), Rows::Of(sequences), true);
        if let (Some(normed), Some(norms)) = (kept.normed, &self.norms) {
            for ((gradient, (raw, norm)), layer) in gradients.iter_mut().zip(normed).zip(norms) {
                let d_raw = next(gradient.len() / rows);
                pass.b.zero(d_raw);
                layer.backward(pass, &norm, d_raw, *gradient, raw);
                *gradient = d_raw;
            }
        }
        for (i, (layer, dy)) in self.inputs.into_iter().zip(gradients).enumerate() {
            layer.backward(pass, dx, dy, x, rows, i > 0);
        }
    }

    /// Writes the gradient of what was attended to, from that of the output.
    pub fn backward_output<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        kept: &AttentionActivations,
        d_attended: Span<f32>,
        dy: Span<f32>,
        sequences: Sequences,
    ) {
        let rows = sequences.rows();
        self.o.backward(pass, d_attended, dy, kept.out.first(rows).attended, rows, false);
    }

    /// Values of a row of what is attended to.
    pub(super) fn width(&self) -> usize {
        self.heads.count * self.heads.width
    }
}
