//! A vocoder's safetensors file in parts, to be changed and written again.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors, serialize};

/// The tensors and metadata of a file.
pub struct Parts {
    pub tensors: BTreeMap<String, (Dtype, Vec<usize>, Vec<u8>)>,
    pub metadata: HashMap<String, String>,
}

impl Parts {
    pub fn of(path: impl AsRef<Path>) -> Self {
        let bytes = fs::read(path).expect("a fixture");
        let file = SafeTensors::deserialize(&bytes).expect("safetensors");
        let tensors = file.tensors().into_iter().map(|(name, view)| (name, (view.dtype(), view.shape().to_vec(), view.data().to_vec())));
        let metadata = SafeTensors::read_metadata(&bytes).expect("a header").1.metadata().clone().expect("metadata");
        Self { tensors: tensors.collect(), metadata }
    }

    pub fn bytes(&self) -> Vec<u8> {
        let views =
            self.tensors.iter().map(|(name, (dtype, shape, data))| (name, TensorView::new(*dtype, shape.clone(), data).expect("a tensor")));
        serialize(views, Some(self.metadata.clone())).expect("safetensors")
    }
}
