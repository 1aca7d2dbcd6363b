//! Activations that a forward pass keeps for its backward pass: their place, and how they are stored there.

use half::f16;
use serde::{Deserialize, Serialize};

use super::{Kind, Plan, Span};

/// How kept activations are stored; whatever it is, ops compute in `f32`. To add a form: a line here, in [`Activation`], and what the compiler names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// Single precision.
    #[default]
    F32,
    /// Half precision (IEEE 754 binary16), rounded to nearest, ties to even: relative rounding of 2⁻¹¹ and values up to 65504.
    F16,
}

impl Act {
    /// All forms.
    pub const ALL: &[Self] = &[Self::F32, Self::F16];

    /// The name in configurations and flags.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
        }
    }

    /// The form of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|act| act.name() == name)
    }
}

/// The place of activations, in one of the forms of [`Act`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Activation {
    /// [`Act::F32`].
    F32(Span<f32>),
    /// [`Act::F16`].
    F16(Span<f16>),
}

impl From<Span<f32>> for Activation {
    fn from(span: Span<f32>) -> Self {
        Self::F32(span)
    }
}

impl Activation {
    /// Reserves `len` values.
    pub fn plan(plan: &mut Plan, act: Act, name: impl Into<String>, len: usize) -> Self {
        Self::plan_as(Kind::Activation, plan, act, name, len)
    }

    /// Reserves `len` values of another kind.
    pub fn plan_as(kind: Kind, plan: &mut Plan, act: Act, name: impl Into<String>, len: usize) -> Self {
        match act {
            Act::F32 => Self::F32(plan.span(kind, name, len)),
            Act::F16 => Self::F16(plan.span(kind, name, len)),
        }
    }

    /// How they are stored.
    pub fn act(self) -> Act {
        match self {
            Self::F32(_) => Act::F32,
            Self::F16(_) => Act::F16,
        }
    }

    /// Number of values.
    #[expect(clippy::len_without_is_empty, reason = "a place is a size, not a collection")]
    pub fn len(self) -> usize {
        match self {
            Self::F32(span) => span.len(),
            Self::F16(span) => span.len(),
        }
    }

    /// The `len` values from `start`.
    ///
    /// # Panics
    /// If they are not inside the place.
    pub fn slice(self, start: usize, len: usize) -> Self {
        match self {
            Self::F32(span) => Self::F32(span.slice(start, len)),
            Self::F16(span) => Self::F16(span.slice(start, len)),
        }
    }

    /// The span, if they are `f32`.
    pub fn as_f32(self) -> Option<Span<f32>> {
        match self {
            Self::F32(span) => Some(span),
            Self::F16(_) => None,
        }
    }

    /// The span, for what takes `f32` alone.
    ///
    /// # Panics
    /// If the activations are stored in another form: who plans them decides what can use them.
    pub fn f32(self) -> Span<f32> {
        self.as_f32().unwrap_or_else(|| panic!("{} activations in {}, where f32 alone is taken", self.len(), self.act().name()))
    }
}
