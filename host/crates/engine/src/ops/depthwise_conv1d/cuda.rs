//! Depthwise convolution on CUDA.

use primal_device::kernels::depthwise_conv1d as kernels;

use super::DepthwiseConv1d;
use crate::backend::RunOn;
use crate::backend::cuda::Cuda;
use crate::backend::cuda::launch::size;

impl RunOn<Cuda> for DepthwiseConv1d {
    fn run_on(self, cuda: &mut Cuda) {
        let (shape, n) = (self.shape, self.y.len());
        let sequences = shape.sequences;
        let sizes =
            [sequences.count(), sequences.longest(), sequences.rows(), self.weight.len() / shape.kernel, shape.kernel, shape.dilation];
        let [count, len, rows, channels, taps, dilation] = sizes.map(size);
        let (y, x, weight) = (cuda.write(self.y), cuda.read(self.x), cuda.read(self.weight));
        let (bias, at) = (cuda.bias(self.bias), cuda.offsets(sequences));
        cuda.launch([n, 1], kernels::depthwise_conv1d(y, x, weight, bias, at, count, len, rows, channels, taps, dilation));
    }
}
