//! The configuration of a generator, under the names of HiFi-GAN's own configuration files, and the layers that it asks for.

use serde::{Deserialize, Deserializer, Serialize};

use crate::{Error, Result};

/// Taps of the first and the last convolution.
pub const OUTER_KERNEL: usize = 7;
/// No published generator comes near; what is larger is a damaged file.
const LARGEST: usize = 1 << 14;

/// Shape of a generator (Kong et al. 2020, table 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HifiganConfig {
    /// Kind of the residual blocks.
    #[serde(alias = "resblock_type")]
    pub resblock: Resblock,
    /// Rows out for a row in, of each stage; their product is the hop size.
    #[serde(alias = "upsample_factors")]
    pub upsample_rates: Vec<usize>,
    /// Taps of each stage's transposed convolution.
    pub upsample_kernel_sizes: Vec<usize>,
    /// Channels before the first stage; each stage halves them.
    pub upsample_initial_channel: usize,
    /// Taps of each residual block of a stage.
    pub resblock_kernel_sizes: Vec<usize>,
    /// Dilations of each residual block's convolutions.
    pub resblock_dilation_sizes: Vec<Vec<usize>>,
    /// What lies beyond the ends of an utterance.
    #[serde(default, skip_serializing_if = "Padding::is_zeros")]
    pub padding: Padding,
}

/// What a residual block does for each of its dilations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub enum Resblock {
    /// A dilated convolution and a plain one.
    #[serde(rename = "1")]
    Pairs,
    /// A dilated convolution.
    #[serde(rename = "2")]
    Singles,
}

/// How a convolution goes on beyond the ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Padding {
    /// Zeros, as in HiFi-GAN.
    #[default]
    Zeros,
    /// The rows mirrored at the first and the last one, as in SpeechBrain. Transposed convolutions have zeros all the same.
    Reflect,
}

impl Padding {
    fn is_zeros(&self) -> bool {
        *self == Self::Zeros
    }
}

impl<'de> Deserialize<'de> for Resblock {
    /// `"1"` or `"2"`; some configurations have numbers.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Name {
            Number(u64),
            Text(String),
        }
        let name = match Name::deserialize(deserializer)? {
            Name::Number(number) => number.to_string(),
            Name::Text(text) => text,
        };
        match name.as_str() {
            "1" => Ok(Self::Pairs),
            "2" => Ok(Self::Singles),
            other => Err(serde::de::Error::custom(format!("resblock: expected \"1\" or \"2\", found {other:?}"))),
        }
    }
}

/// A convolution of the generator.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConvolutionSpec {
    /// Name of its tensors, without `.weight` and `.bias`.
    pub name: String,
    /// Channels in.
    pub inputs: usize,
    /// Channels out.
    pub outputs: usize,
    /// Taps.
    pub kernel: usize,
    /// How the taps lie.
    pub step: Step,
}

/// How the taps of a convolution lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A convolution with this dilation.
    Dilation(usize),
    /// A transposed convolution with this stride.
    Stride(usize),
}

impl ConvolutionSpec {
    /// Shape of the weight in a file: `[out, in, kernel]`, or `[in, out, kernel]` of a transposed convolution.
    pub fn weight_shape(&self) -> [usize; 3] {
        match self.step {
            Step::Dilation(_) => [self.outputs, self.inputs, self.kernel],
            Step::Stride(_) => [self.inputs, self.outputs, self.kernel],
        }
    }
}

impl HifiganConfig {
    /// Channels before stage `stage`, or after the stage before.
    pub fn channels(&self, stage: usize) -> usize {
        self.upsample_initial_channel >> stage
    }

    /// Checks that there is such a generator.
    ///
    /// # Errors
    /// Bad input that names the field.
    pub fn validate(&self, subject: &str) -> Result<()> {
        let stages = self.upsample_rates.len();
        let fail = |expected: String, found: String| {
            Err(Error::invalid(subject, expected, found, "give the configuration that the vocoder was trained with"))
        };
        let positive = |name: &str, values: &[usize]| match values.iter().find(|value| !(1..=LARGEST).contains(*value)) {
            Some(value) => fail(format!("`{name}` from 1 to {LARGEST}"), value.to_string()),
            None if values.is_empty() => fail(format!("`{name}` with a value or more"), "none".into()),
            None => Ok(()),
        };
        positive("upsample_rates", &self.upsample_rates)?;
        positive("upsample_kernel_sizes", &self.upsample_kernel_sizes)?;
        positive("upsample_initial_channel", &[self.upsample_initial_channel])?;
        positive("resblock_kernel_sizes", &self.resblock_kernel_sizes)?;
        if self.upsample_kernel_sizes.len() != stages {
            return fail(
                format!("{stages} `upsample_kernel_sizes`, as many as `upsample_rates`"),
                self.upsample_kernel_sizes.len().to_string(),
            );
        }
        if self.resblock_dilation_sizes.len() != self.resblock_kernel_sizes.len() {
            let expected = format!("{} `resblock_dilation_sizes`, as many as `resblock_kernel_sizes`", self.resblock_kernel_sizes.len());
            return fail(expected, self.resblock_dilation_sizes.len().to_string());
        }
        for dilations in &self.resblock_dilation_sizes {
            positive("resblock_dilation_sizes", dilations)?;
        }
        if let Some(kernel) = self.resblock_kernel_sizes.iter().find(|kernel| kernel.is_multiple_of(2)) {
            return fail("odd `resblock_kernel_sizes`".into(), kernel.to_string());
        }
        let mut pairs = self.upsample_rates.iter().zip(&self.upsample_kernel_sizes);
        if let Some((rate, kernel)) = pairs.find(|(rate, kernel)| kernel < rate || !(*kernel - *rate).is_multiple_of(2)) {
            return fail(format!("an `upsample_kernel_sizes` that is its rate, {rate}, or more by an even number"), kernel.to_string());
        }
        if stages >= 16 || !self.upsample_initial_channel.is_multiple_of(1 << stages) {
            return fail(
                format!("an `upsample_initial_channel` that {stages} stages can halve"),
                self.upsample_initial_channel.to_string(),
            );
        }
        match self.upsample_rates.iter().try_fold(1usize, |product, &rate| product.checked_mul(rate)) {
            Some(_) => Ok(()),
            None => fail("`upsample_rates` whose product is the hop size".into(), format!("{:?}", self.upsample_rates)),
        }
    }

    /// Samples of a frame.
    pub fn hop_size(&self) -> usize {
        self.upsample_rates.iter().product()
    }

    /// All convolutions in the order in which they are applied: [`Convolutions`] by index.
    pub fn convolutions(&self, num_mels: usize) -> Convolutions {
        let mut all = Vec::new();
        let mut add = |name: String, [inputs, outputs]: [usize; 2], kernel, step| {
            all.push(ConvolutionSpec { name, inputs, outputs, kernel, step });
            all.len() - 1
        };
        let pre = add("conv_pre".into(), [num_mels, self.channels(0)], OUTER_KERNEL, Step::Dilation(1));
        let mut blocks_before = 0;
        let mut stages = Vec::new();
        for (i, (&rate, &kernel)) in self.upsample_rates.iter().zip(&self.upsample_kernel_sizes).enumerate() {
            let [inputs, outputs] = [self.channels(i), self.channels(i + 1)];
            let up = add(format!("ups.{i}"), [inputs, outputs], kernel, Step::Stride(rate));
            let mut blocks = Vec::new();
            for (&kernel, dilations) in self.resblock_kernel_sizes.iter().zip(&self.resblock_dilation_sizes) {
                let block = format!("resblocks.{blocks_before}");
                blocks_before += 1;
                let square = [outputs, outputs];
                let units = dilations.iter().enumerate().map(|(j, &dilation)| match self.resblock {
                    Resblock::Pairs => vec![
                        add(format!("{block}.convs1.{j}"), square, kernel, Step::Dilation(dilation)),
                        add(format!("{block}.convs2.{j}"), square, kernel, Step::Dilation(1)),
                    ],
                    Resblock::Singles => vec![add(format!("{block}.convs.{j}"), square, kernel, Step::Dilation(dilation))],
                });
                blocks.push(units.collect());
            }
            stages.push(Stage { up, blocks });
        }
        let post = add("conv_post".into(), [self.channels(stages.len()), 1], OUTER_KERNEL, Step::Dilation(1));
        Convolutions { all, pre, stages, post }
    }
}

/// The convolutions of a generator, and their order.
#[derive(Clone, Debug)]
pub struct Convolutions {
    /// All convolutions, in the order in which they are applied.
    pub all: Vec<ConvolutionSpec>,
    /// Index in `all` of the first convolution.
    pub pre: usize,
    /// The stages.
    pub stages: Vec<Stage>,
    /// Index in `all` of the last convolution.
    pub post: usize,
}

impl Convolutions {
    /// Rows of audio for a frame.
    pub fn hop_size(&self) -> usize {
        let strides = self.stages.iter().map(|stage| match self.all[stage.up].step {
            Step::Stride(stride) => stride,
            Step::Dilation(_) => 1,
        });
        strides.product()
    }
}

/// A stage: a transposed convolution, and the mean of residual blocks over its result.
#[derive(Clone, Debug)]
pub struct Stage {
    /// The transposed convolution.
    pub up: usize,
    /// Of each block, the units; of each unit, the convolutions, before each of which lies a leaky ReLU.
    pub blocks: Vec<Vec<Vec<usize>>>,
}
