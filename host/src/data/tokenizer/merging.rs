//! Pairs merged by rank (Sennrich et al. 2016), by the `tokenizers` crate: cut, perhaps changed, and merged.

use std::ops::Range;

use tokenizers::models::bpe::BPE;
use tokenizers::{Model, NormalizedString, Normalizer, NormalizerWrapper, PreTokenizedString, PreTokenizer, PreTokenizerWrapper, Token};
use tokenizers::{OffsetReferential, OffsetType};

/// A vocabulary of merged pairs.
#[derive(Debug)]
pub struct Merging {
    pub normalizer: Option<NormalizerWrapper>,
    pub pre_tokenizer: Option<PreTokenizerWrapper>,
    pub model: BPE,
}

impl Merging {
    /// The tokens of a text in which those of `added` stand at such places.
    ///
    /// # Errors
    /// In words: a text that the vocabulary has nothing for.
    pub fn encode(&self, text: &str, added: &[(u32, Range<usize>)]) -> Result<Vec<u32>, String> {
        let mut parts = PreTokenizedString::from(text);
        let encoded = self.cut(&mut parts, added).and_then(|()| parts.tokenize(|part| self.model.tokenize(part.get())));
        encoded.map_err(|error| error.to_string())?;
        let splits = parts.get_splits(OffsetReferential::Original, OffsetType::None);
        Ok(splits.into_iter().flat_map(|(_, _, tokens)| tokens.iter().flatten()).map(|token| token.id).collect())
    }

    fn cut(&self, parts: &mut PreTokenizedString, added: &[(u32, Range<usize>)]) -> tokenizers::Result<()> {
        if !added.is_empty() {
            parts.split(|_, text| Ok(cut_out(&text, added)))?;
        }
        if let Some(normalizer) = &self.normalizer {
            parts.normalize(|text| normalizer.normalize(text))?;
        }
        self.pre_tokenizer.as_ref().map_or(Ok(()), |pre_tokenizer| pre_tokenizer.pre_tokenize(parts))
    }
}

/// The added tokens, and what is between them.
fn cut_out(text: &NormalizedString, added: &[(u32, Range<usize>)]) -> Vec<(NormalizedString, Option<Vec<Token>>)> {
    let slice = |range: Range<usize>| text.slice(tokenizers::normalizer::Range::Original(range));
    let mut parts = Vec::new();
    let mut end = 0;
    for (id, range) in added {
        parts.extend(slice(end..range.start).map(|between| (between, None)));
        let token = Token::new(*id, String::new(), (0, range.len()));
        parts.extend(slice(range.clone()).map(|name| (name, Some(vec![token]))));
        end = range.end;
    }
    parts.extend(slice(end..text.len_original()).map(|rest| (rest, None)));
    parts
}
