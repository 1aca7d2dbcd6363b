//! Every tokenizer on any text and any numbers: text comes back as it was, at once and token by token.
#![no_main]

use libfuzzer_sys::fuzz_target;
use primal_engine::config::Tokenizer;
use primal_host::data::TextCodec;

fn streamed(codec: &TextCodec, tokens: &[u32]) -> String {
    let mut decoder = codec.stream_decoder();
    let mut text: String = tokens.iter().map(|&token| decoder.push(token)).collect();
    text += &decoder.finish();
    assert_eq!(decoder.finish(), "", "a finished decoder holds nothing back");
    text
}

fuzz_target!(|input: (&str, Vec<u32>)| {
    let (text, numbers) = input;
    for codec in Tokenizer::ALL.map(|tokenizer| TextCodec::named(tokenizer).expect("no file is needed")) {
        let tokens = codec.encode(text);
        assert!(tokens.iter().all(|&token| (token as usize) < codec.vocab_size()));
        assert_eq!(tokens.iter().map(|&token| codec.bytes_of(token)).sum::<usize>(), text.len());
        assert_eq!(codec.decode(&tokens), text);
        assert_eq!(streamed(&codec, &tokens), text);
        // Any numbers, and the same ones inside of the vocabulary.
        let known: Vec<u32> = numbers.iter().map(|number| number % codec.vocab_size() as u32).collect();
        for numbers in [&numbers, &known] {
            assert_eq!(streamed(&codec, numbers), codec.decode(numbers));
        }
    }
});
