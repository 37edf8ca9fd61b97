//! Differential test against hyper, over the committed corpus and seeded mutants of it. See
//! `support/differential.rs` for what is compared and which disagreements are allowed.

#[expect(unreachable_pub, reason = "the fuzz crate includes these files as public modules")]
mod support {
    pub mod differential;
    pub mod mutate;
    pub mod stream;
}

use std::path::Path;

use support::differential::{compare, runtime};
use support::mutate::{Random, mutate};
use support::stream::{End, read_requests};

const MUTANTS: u64 = 4_000;

/// (name, bytes) of every file of the corpus.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus/requests");
    let mut files: Vec<_> = std::fs::read_dir(folder)
        .expect("the corpus is part of the repository")
        .map(|entry| {
            let path = entry.expect("a readable folder").path();
            let name = path.file_name().expect("a file").to_string_lossy().into_owned();
            (name, std::fs::read(&path).expect("a readable file"))
        })
        .collect();
    files.sort();
    assert!(files.len() > 50, "the corpus is not where it is expected");
    files
}

#[test]
fn corpus_agrees_with_hyper() {
    let runtime = runtime();
    for (name, data) in corpus() {
        eprintln!("{name}");
        compare(&runtime, &data);
    }
}

/// `ok-*` are read to the end of the input or to a request that closes, all others are refused.
#[test]
fn corpus_is_judged_as_named() {
    for (name, data) in corpus() {
        let (messages, end) = read_requests(&data, || usize::MAX);
        if name.starts_with("ok-") {
            assert!(!messages.is_empty() && !matches!(end, End::Refused(_)), "{name}: {end:?}");
        } else {
            assert!(matches!(end, End::Refused(_)), "{name}: {end:?} after {} messages", messages.len());
        }
    }
}

#[test]
fn mutants_agree_with_hyper() {
    let runtime = runtime();
    let corpus = corpus();
    let (mut accepted, mut whole) = (0, 0);
    for seed in 0..MUTANTS {
        let mut random = Random(seed);
        let (name, data) = &corpus[random.below(corpus.len())];
        let mutant = mutate(data, &mut random);
        eprintln!("seed {seed} of {name}");
        compare(&runtime, &mutant);
        let (messages, end) = read_requests(&mutant, || usize::MAX);
        accepted += usize::from(!messages.is_empty());
        whole += usize::from(!matches!(end, End::Refused(_)));
    }
    // Mutants that are all refused would prove nothing.
    assert!(accepted > 400 && whole > 200, "{accepted} of {MUTANTS} accepted, {whole} without refusal");
}
