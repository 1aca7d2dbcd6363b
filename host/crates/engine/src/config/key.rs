//! The key `architecture` of a `[model]` table, which says what the other keys describe.

use std::marker::PhantomData;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::table::ModelTable;

/// The field of that name in the table of `M`: it has no value but [`ModelTable::ARCHITECTURE`], which a file may leave out.
pub struct Architecture<M>(PhantomData<fn() -> M>);

impl<M> Default for Architecture<M> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<M> Clone for Architecture<M> {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<M> PartialEq for Architecture<M> {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl<M: ModelTable> std::fmt::Debug for Architecture<M> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(M::ARCHITECTURE)
    }
}

impl<M: ModelTable> Serialize for Architecture<M> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        M::ARCHITECTURE.serialize(s)
    }
}

impl<'de, M: ModelTable> Deserialize<'de> for Architecture<M> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        let found = String::deserialize(d)?;
        let message = || serde::de::Error::custom(format!("{found:?}, expected {:?}", M::ARCHITECTURE));
        if found == M::ARCHITECTURE { Ok(Self::default()) } else { Err(message()) }
    }
}
