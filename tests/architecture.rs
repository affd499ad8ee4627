//! The arrows of ARCHITECTURE.md, and the other invariants that can be read off the source.

#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a folder or file of `src/`, with its text.
fn sources(place: &str) -> Vec<(PathBuf, String)> {
    let mut pending = vec![root().join("src").join(place)];
    let mut found = Vec::new();
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            found.push((path, text));
        }
    }
    assert!(!found.is_empty(), "nothing at src/{place}");
    found
}

/// Lines of code that name one of `words`: comments and documentation do not count.
fn mentions(text: &str, words: &[&str]) -> Vec<String> {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    code.filter(|line| words.iter().any(|word| line.contains(word))).map(str::to_owned).collect()
}

fn assert_never_mentions(place: &str, words: &[&str]) {
    for (path, text) in sources(place) {
        let found = mentions(&text, words);
        assert!(found.is_empty(), "{} must not know {words:?}: {found:?}", path.display());
    }
}

/// What the mathematics is used by: it knows none of it.
const ABOVE: [&str; 7] = [
    "crate::jobs",
    "crate::http",
    "crate::store",
    "crate::data",
    "crate::domain",
    "crate::cli",
    "crate::artifacts",
];

/// What pure mathematics has no business with.
const OUTSIDE: [&str; 10] = [
    "tokio",
    "axum",
    "sqlx",
    "serde_json",
    "reqwest",
    "std::fs",
    "std::io",
    "std::net",
    "std::time",
    "tracing",
];

#[test]
fn the_training_core_knows_no_io_no_clock_and_no_upper_layer() {
    assert_never_mentions("nn", &ABOVE);
    assert_never_mentions("nn", &["crate::unlearn", "crate::checks", "crate::diagnosis", "crate::health"]);
    assert_never_mentions("nn", &OUTSIDE);
}

#[test]
fn unlearning_depends_on_the_training_core_alone() {
    assert_never_mentions("unlearn", &ABOVE);
    assert_never_mentions("unlearn", &["crate::checks", "crate::diagnosis", "crate::health"]);
    assert_never_mentions("unlearn", &OUTSIDE);
}

#[test]
fn a_diagnosis_depends_on_the_training_core_and_the_health_rules_alone() {
    assert_never_mentions("diagnosis", &ABOVE);
    assert_never_mentions("diagnosis", &["crate::unlearn", "crate::checks"]);
    // its tests write a trial down
    for (path, text) in sources("diagnosis").into_iter().filter(|(path, _)| !path.ends_with("tests.rs")) {
        assert_eq!(mentions(&text, &OUTSIDE), [""; 0], "{}", path.display());
    }
}

#[test]
fn checks_of_the_data_depend_on_the_training_core_alone() {
    assert_never_mentions("checks", &ABOVE);
    assert_never_mentions("checks", &["crate::unlearn", "crate::diagnosis", "crate::health"]);
    assert_never_mentions("checks", &OUTSIDE);
}

#[test]
fn nothing_below_http_knows_axum() {
    let below = ["jobs", "store", "data", "domain", "artifacts", "chart", "formats", "inference", "webhooks"];
    for place in below {
        assert_never_mentions(place, &["axum", "crate::http", "crate::cli", "StatusCode"]);
    }
}

#[test]
fn decoders_are_bytes_in_and_numbers_out() {
    let outside = [
        "tokio",
        "axum",
        "sqlx",
        "reqwest",
        "std::fs",
        "std::net",
        "std::time",
        "tracing",
        "serde_json::Value",
    ];
    assert_never_mentions("formats", &outside);
    let others =
        ["crate::http", "crate::jobs", "crate::store", "crate::inference", "crate::nn", "crate::artifacts"];
    assert_never_mentions("formats", &others);
}

#[test]
fn the_store_knows_no_engine_and_the_nouns_know_no_verbs() {
    assert_never_mentions("store", &["crate::jobs", "crate::nn::train", "crate::artifacts", "crate::data::"]);
    assert_never_mentions("domain", &["crate::jobs", "crate::store", "crate::http", "sqlx", "tokio"]);
}

#[test]
fn who_tells_of_runs_knows_nothing_of_how_they_are_made() {
    let others = ["crate::jobs", "crate::nn", "crate::unlearn", "crate::data::", "crate::artifacts"];
    assert_never_mentions("webhooks", &others);
}

#[test]
fn unsafe_code_stays_in_the_instruction_sets_and_the_team() {
    for (path, text) in sources("") {
        if !path.ends_with("nn/simd.rs") && !path.ends_with("nn/team.rs") {
            let found = mentions(&text, &["unsafe ", "unsafe{", "expect(unsafe_code"]);
            assert!(found.is_empty(), "{}: {found:?}", path.display());
        }
    }
}

/// `a * b + c` rounds twice, and what `f32::mul_add` becomes depends on the target: kernels have `Simd` for it.
#[test]
fn kernels_leave_multiply_add_to_the_instruction_sets() {
    for (path, text) in sources("nn") {
        if !path.ends_with("nn/simd.rs") {
            let found: Vec<String> =
                mentions(&text, &[".mul_add("]).into_iter().filter(|line| !line.contains("S::")).collect();
            assert!(found.is_empty(), "{}: {found:?}", path.display());
        }
    }
}

/// The platform's `exp`, `ln`, `sin` … differ between C libraries; where bits matter `libm` is used.
#[test]
fn bits_never_depend_on_the_platforms_transcendental_functions() {
    let methods =
        [".exp()", ".ln()", ".log2()", ".sin()", ".cos()", ".powf(", ".tanh()", ".ln_1p()", ".exp_m1()"];
    for place in ["nn", "unlearn", "checks", "diagnosis", "data/digits"] {
        for (path, text) in sources(place) {
            let is_test = path.ends_with("twin.rs") || path.ends_with("tests.rs");
            let shipped = text.split("#[cfg(test)]").next().unwrap_or_default();
            let found = mentions(shipped, &methods);
            assert!(is_test || found.is_empty(), "{}: {found:?}", path.display());
        }
    }
}

#[test]
fn every_dependency_says_why_it_is_there_or_is_named_by_the_product() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let dependencies =
        manifest.split("\n[dependencies]\n").nth(1).unwrap().split("\n[[bench]]").next().unwrap();
    let named = [
        "axum",
        "tokio",
        "serde",
        "serde_json",
        "tower-http",
        "uuid",
        "tracing",
        "tracing-subscriber",
        "clap",
    ];
    for line in dependencies.lines() {
        let Some((name, _)) = line.split_once(" = ") else { continue };
        assert!(named.contains(&name) || line.contains(" # "), "say beside `{name}` what it is for");
    }
}

#[test]
fn architecture_names_only_tests_that_exist() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut code = String::new();
    for (_, text) in sources("") {
        code.push_str(&text);
    }
    let mut pending = vec![root().join("tests")];
    while let Some(path) = pending.pop() {
        if path.is_dir() {
            pending.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            code.push_str(&fs::read_to_string(&path).unwrap());
        }
    }
    let mut named = 0;
    for line in page.lines().filter(|line| line.contains("Invariant")) {
        let tests: Vec<&str> =
            line.split('`').filter(|word| word.contains('_') && !word.contains("::")).collect();
        assert!(!tests.is_empty(), "this invariant names no test: {line}");
        for test in tests {
            assert!(code.contains(&format!("fn {test}(")), "no test is called `{test}`");
            named += 1;
        }
    }
    assert!(named > 0, "ARCHITECTURE.md states no invariant");
}
