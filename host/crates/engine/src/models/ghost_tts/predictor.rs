//! What a phone's duration, pitch and energy are predicted by: twice convolution, ReLU, layer norm, then one number a phone
//! (the variance predictor of FastSpeech 2, Ren et al. 2021).

use primal_device::grid::Grid;

use crate::backend::{Backend, Sequences};
use crate::memory::{Act, Kind, Plan, Span};
use crate::nn::convolution::ConvolutionLayer;
use crate::nn::linear::GAIN;
use crate::nn::norm::{Norm, NormActivations, NormKind};
use crate::nn::parameters::Specs;
use crate::nn::{Backward, GradientSink, Parameters};
use crate::ops::{LeakyRelu, LeakyReluBackward};

/// The parameters of a predictor.
#[derive(Clone, Copy, Debug)]
pub struct PredictorIds {
    layers: [(ConvolutionLayer, Norm); 2],
    out: ConvolutionLayer,
    width: usize,
}

impl PredictorIds {
    /// Names the parameters, for inputs of width `dim`.
    pub fn new(specs: &mut Specs, name: &str, dim: usize, width: usize, kernel: usize, grid: Option<&'static Grid>) -> Self {
        let layers = [(1, dim), (2, width)].map(|(i, inputs)| {
            let convolution = ConvolutionLayer::new(specs, &format!("{name}.conv{i}"), [width, inputs], kernel, grid, 1.0);
            (convolution, Norm::new(specs, &format!("{name}.norm{i}"), NormKind::Layer, width))
        });
        Self { layers, out: ConvolutionLayer::new(specs, &format!("{name}.out"), [1, width], 1, grid, GAIN), width }
    }
}

/// A predictor over its activations.
#[derive(Clone, Copy, Debug)]
pub struct Predictor {
    ids: PredictorIds,
    /// After each ReLU, `[rows, width]`, and after the norm that follows.
    kept: [(Span<f32>, NormActivations); 2],
    predictions: Span<f32>,
}

impl Predictor {
    /// Reserves activations for at most `rows` phones.
    pub fn plan(ids: PredictorIds, plan: &mut Plan, name: &str, rows: usize) -> Self {
        let kept = [1, 2].map(|i| {
            let rectified = plan.span(Kind::Activation, format!("{name}.relu{i}"), rows * ids.width);
            (rectified, NormActivations::plan(plan, Act::F32, &format!("{name}.norm{i}"), NormKind::Layer, rows, ids.width))
        });
        Self { ids, kept, predictions: plan.span(Kind::Activation, format!("{name}.predictions"), rows) }
    }

    /// The predictions, `[rows]`.
    pub fn predictions(&self, rows: usize) -> Span<f32> {
        self.predictions.slice(0, rows)
    }

    fn kept(&self, layer: usize, rows: usize) -> (Span<f32>, NormActivations) {
        let (rectified, norm) = &self.kept[layer];
        (rectified.slice(0, rows * self.ids.width), norm.first(rows))
    }

    /// Predicts from x `[rows, dim]`.
    pub fn forward<B: Backend>(&self, b: &mut B, p: &Parameters, mut x: Span<f32>, phones: Sequences) {
        let rows = phones.rows();
        for (i, (convolution, norm)) in self.ids.layers.iter().enumerate() {
            let (rectified, kept) = self.kept(i, rows);
            convolution.forward(b, p, rectified, x, phones, false);
            b.run(LeakyRelu { y: rectified, x: rectified, slope: 0.0 });
            norm.forward(b, p, &kept, rectified);
            x = kept.y.f32();
        }
        self.ids.out.forward(b, p, self.predictions(rows), x, phones, false);
    }

    /// Adds the gradient of x to `dx`, from that of the predictions; `scratch` holds two matrices `[rows, width]`.
    pub fn backward<B: Backend, S: GradientSink<B>>(
        &self,
        pass: &mut Backward<B, S>,
        dx: Span<f32>,
        dy: Span<f32>,
        x: Span<f32>,
        phones: Sequences,
        scratch: [Span<f32>; 2],
    ) {
        let (ids, rows) = (&self.ids, phones.rows());
        let [d_normed, d_rectified] = scratch.map(|span| span.slice(0, rows * ids.width));
        let (_, last) = self.kept(1, rows);
        ids.out.backward(pass, dy, last.y.f32(), phones);
        ids.out.backward_input(pass, d_normed, dy, phones, false);
        for (i, (convolution, norm)) in ids.layers.iter().enumerate().rev() {
            let (rectified, kept) = self.kept(i, rows);
            pass.b.zero(d_rectified);
            norm.backward(pass, &kept, d_rectified, d_normed, rectified);
            pass.b.run(LeakyReluBackward { dx: d_rectified, dy: d_rectified, x: rectified, slope: 0.0 });
            let input = if i == 0 { x } else { self.kept(i - 1, rows).1.y.f32() };
            convolution.backward(pass, d_rectified, input, phones);
            let (d_input, accumulate) = if i == 0 { (dx, true) } else { (d_normed, false) };
            convolution.backward_input(pass, d_input, d_rectified, phones, accumulate);
        }
    }
}
