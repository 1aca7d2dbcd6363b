//! What `bench finetune` reckons by itself: how large adapters may be, what an arm gains, how many words are right, and which rates are tried.

#[path = "../host/benches/finetune/adapters.rs"]
mod adapters;
#[path = "../host/benches/finetune/gain.rs"]
mod gain;
#[path = "../host/benches/finetune/phones.rs"]
mod phones;
#[path = "../host/benches/shared/rates.rs"]
mod rates;
#[path = "../host/benches/g2p/score.rs"]
mod score;

#[test]
fn adapters_take_at_most_the_bytes_of_votes() {
    // A block of SmolLM2-135M: 3,538,944 votes; adapters of rank 1 have 10,176 parameters of 16 bytes.
    let block = [[576, 576], [192, 576], [192, 576], [576, 576], [1536, 576], [1536, 576], [576, 1536]];
    assert_eq!(adapters::rank(&block), 21);
    assert_eq!(adapters::rank(&block.repeat(30)), 21, "blocks change nothing");
    for (shapes, rank) in [(vec![[64, 64]], 2), (vec![[32, 32]], 1), (vec![[31, 31]], 0), (Vec::new(), 0)] {
        assert_eq!(adapters::rank(&shapes), rank, "{shapes:?}");
        let parameters: usize = shapes.iter().map(|[rows, columns]| (rows + columns) * rank).sum();
        assert!(16 * parameters <= shapes.iter().map(|[rows, columns]| rows * columns).sum());
    }
}

#[test]
fn matrices_of_blocks_are_adapted() {
    for (name, shape, is_adapted) in [
        ("model.layers.3.mlp.up_proj.weight", &[8, 4][..], true),
        ("model.layers.3.input_layernorm.weight", &[4], false),
        ("model.layers.3.self_attn.q_proj.bias", &[4], false),
        ("model.embed_tokens.weight", &[9, 4], false),
        ("lm_head.weight", &[9, 4], false),
    ] {
        assert_eq!(adapters::is_adapted(name, shape), is_adapted, "{name}");
    }
}

#[test]
fn gains_are_those_of_the_seeds_that_both_have() {
    let floats = [(1, 3.0), (2, 2.0)];
    for (tests, share) in
        [(&[(1, 3.5)][..], Some(0.5)), (&[(2, 2.5)], Some(0.75)), (&[(2, 2.5), (1, 3.5), (3, 9.0)], Some(2.0 / 3.0)), (&[(3, 9.0)], None)]
    {
        assert_eq!(gain::share(4.0, tests, &floats), share, "{tests:?}");
    }
}

#[test]
fn answers_are_compared_phone_by_phone() {
    let words = "{\"prompt\": \"c a t =\", \"completion\": \" K AE1 T\"}\n{\"prompt\": \"l e a d =\", \"completion\": \" L EH1 D\", \"others\": [\" L IY1 D\"]}\n\
        {\"prompt\": \"o x =\", \"completion\": \" AA1 K S\"}\n";
    let answers = |texts: [&str; 3]| texts.map(|text| serde_json::json!({ "text": text, "tokens": 9 }).to_string() + "\n").concat();
    let score = |texts| phones::score(words, &answers(texts));
    let all = score(["c a t = K AE1 T", "l e a d = L IY1 D\n", "o x = AA1 K S"]).expect("answers");
    assert_eq!((all.asked, all.right, all.phone_errors), (3, 1.0, 0.0));
    // A stress, a word that is none, and nothing: one, two more and three of nine phones.
    let few = score(["c a t = K AE0 T", "l e a d = L IY1 D and so", "o x ="]).expect("answers");
    assert_eq!((few.asked, few.right), (3, 0.0));
    assert!((few.phone_errors - 6.0 / 9.0).abs() < 1e-12, "{few:?}");
    let of_another = score(["c a t = K AE1 T", "o x = AA1 K S", "l e a d ="]).expect_err("another order");
    assert!(of_another.starts_with("word 2: "), "{of_another}");
    assert!(phones::score(words, "").is_err() && phones::score("", "").is_err());
    assert!(phones::score("{}\n", "{}\n").is_err_and(|error| error.starts_with("word 1: ")));
    assert_eq!(phones::first("a\nb\nc\n", 2), "a\nb\n");
    assert_eq!(phones::first(words, phones::MEASURED.max(phones::ASKED)), words, "fewer than there may be");
    // The longest words have some twenty phones, of two tokens at most.
    assert!(phones::TOKENS.parse::<usize>().is_ok_and(|tokens| tokens >= 40));
}

#[test]
fn the_best_rate_has_worse_ones_on_either_side() {
    // Losses are lowest at a rate: those that are tried by then, and the best.
    let first = [1e-4, 2e-4, 4e-4];
    let from = |lowest: f32| move |rate: f32| Some(f64::from((rate / lowest).log2().powi(2)));
    for (lowest, all) in [(2e-4, &first[..]), (1.1e-4, &[1e-4, 2e-4, 4e-4, 5e-5]), (1.5e-3, &[1e-4, 2e-4, 4e-4, 8e-4, 1.6e-3, 3.2e-3])] {
        assert_eq!(rates::wanted(&first, from(lowest)), all, "{lowest}");
        let best = rates::best(all, from(lowest)).expect("all have a loss");
        assert!((best / lowest).log2().abs() <= 0.5, "{best} for {lowest}");
    }
    // It ends somewhere, and begins with what there is.
    assert_eq!(rates::wanted(&first, from(1.0)).len(), rates::MOST);
    assert_eq!(rates::wanted(&first, |rate| from(1.0)(rate).filter(|_| rate > 1e-4)), first, "one has not been tried");
    assert_eq!(rates::best(&first, |rate| from(1.0)(rate).filter(|_| rate > 1e-4)), None);
    assert_eq!(rates::wanted(&[1e-4], from(1.0)), [1e-4], "an arm of one rate");
}
