//! Every tokenizer on any text and any numbers: text comes back as it was, at once and token by token.
#![no_main]

use libfuzzer_sys::fuzz_target;
use primal_engine::config::Tokenizer;
use primal_host::data::Encode;

fn streamed(tokenizer: Tokenizer, tokens: &[u32]) -> String {
    let mut decoder = tokenizer.stream_decoder();
    let mut text: String = tokens.iter().map(|&token| decoder.push(token)).collect();
    text += &decoder.finish();
    assert_eq!(decoder.finish(), "", "a finished decoder holds nothing back");
    text
}

fuzz_target!(|input: (&str, Vec<u32>)| {
    let (text, numbers) = input;
    for tokenizer in Tokenizer::ALL {
        let tokens = tokenizer.encode(text);
        assert!(tokens.iter().all(|&token| (token as usize) < tokenizer.vocab_size()));
        assert_eq!(tokens.iter().map(|&token| tokenizer.bytes_of(token)).sum::<usize>(), text.len());
        assert_eq!(tokenizer.decode(&tokens), text);
        assert_eq!(streamed(tokenizer, &tokens), text);
        // Any numbers, and the same ones inside of the vocabulary.
        let known: Vec<u32> = numbers.iter().map(|number| number % tokenizer.vocab_size() as u32).collect();
        for numbers in [&numbers, &known] {
            assert_eq!(streamed(tokenizer, numbers), tokenizer.decode(numbers));
        }
    }
});
