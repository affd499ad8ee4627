use super::{Artifact, ArtifactError, Artifacts, Model};
use crate::data::InputSpec;
use crate::nn::{
    BatchReport, Features, Mlp, Observer, Problem, Recipe, Samples, Shape, Standard, State, train,
};
use proptest::prelude::*;
use safetensors::SafeTensors;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use uuid::Uuid;

fn model(widths: Vec<usize>, output_relu: bool, params: impl Iterator<Item = f32>) -> Model {
    let shape = Shape { widths, output_relu };
    let params: Vec<f32> = params.take(shape.n_params()).collect();
    Model {
        input: InputSpec::Vector { n_features: shape.n_features() as u32, columns: None },
        class_names: (0..shape.n_classes()).map(|c| format!("class \"{c}\"")).collect(),
        mlp: Mlp::from_params(shape, &params),
        lineage: BTreeMap::from([("run".into(), "r".into()), ("recipe".into(), r#"{"mode":"nn"}"#.into())]),
    }
}

fn small() -> Model {
    model(vec![3, 4, 2], true, (0..).map(|i| i as f32 / 7.0))
}

fn folder() -> (tempfile::TempDir, Artifacts) {
    let dir = tempfile::tempdir().unwrap();
    let artifacts = Artifacts::open(dir.path()).unwrap();
    (dir, artifacts)
}

fn any_model() -> impl Strategy<Value = Model> {
    let finite = prop::num::f32::NORMAL | prop::num::f32::SUBNORMAL | prop::num::f32::ZERO;
    (prop::collection::vec(1_usize..9, 2..6), any::<bool>(), prop::collection::vec(finite, 1..50))
        .prop_map(|(widths, relu, values)| model(widths, relu, values.into_iter().cycle()))
}

proptest! {
    #[test]
    fn a_model_survives_its_file_bit_for_bit(model in any_model()) {
        let read = Model::decode(&model.encode()).unwrap();
        let bits = |m: &Model| m.mlp.to_params().into_iter().map(f32::to_bits).collect::<Vec<_>>();
        prop_assert_eq!(bits(&read), bits(&model));
        prop_assert_eq!(&read, &model);
        prop_assert_eq!(read.encode(), model.encode());
    }

    #[test]
    fn a_damaged_file_is_refused_or_read_but_never_panics(at in 0_usize..600, with in any::<u8>()) {
        let mut bytes = small().encode();
        let at = at % bytes.len();
        bytes[at] = with;
        let _ = Model::decode(&bytes);
    }

    #[test]
    fn a_file_cut_short_is_refused(keep in 0_usize..2_000) {
        let bytes = small().encode();
        let keep = keep % bytes.len();
        prop_assert!(Model::decode(&bytes[..keep]).is_err());
    }

    #[test]
    fn noise_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Model::decode(&bytes).is_err());
    }
}

#[test]
fn anyone_can_read_the_file_and_weights_lie_out_by_in() {
    let model = small();
    let bytes = model.encode();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let weight = file.tensor("layers.0.weight").unwrap();
    assert_eq!(weight.shape(), [4, 3]);
    assert_eq!(file.tensor("layers.1.bias").unwrap().shape(), [2]);
    let (stored, _) = weight.data().as_chunks::<4>();
    // input 2 to output 1
    assert_eq!(f32::from_le_bytes(stored[3 + 2]), model.mlp.row_major(0)[2 * 4 + 1]);
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let metadata = header.metadata().clone().unwrap();
    assert_eq!(metadata["output_relu"], "true");
    assert_eq!(metadata["scale"], "1");
    assert_eq!(metadata["lineage.run"], "r");
}

#[test]
fn images_say_how_they_are_scaled() {
    let mut model = model(vec![6, 2], false, std::iter::repeat(0.5));
    model.input = InputSpec::Image { height: 2, width: 3 };
    let bytes = model.encode();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let scale: f32 = header.metadata().as_ref().unwrap()["scale"].parse().unwrap();
    assert_eq!(scale.to_bits(), (1.0_f32 / 255.0).to_bits());
    assert_eq!(Model::decode(&bytes).unwrap(), model);
}

#[test]
fn columns_may_have_names_as_many_as_there_are() {
    let mut model = small();
    let named = |names: &[&str]| InputSpec::Vector {
        n_features: 3,
        columns: Some(names.iter().map(|&name| name.to_owned()).collect()),
    };
    model.input = named(&["a", "b", "c"]);
    assert_eq!(Model::decode(&model.encode()).unwrap(), model);
    for names in [&["a", "b"][..], &["a", "b", "a"]] {
        model.input = named(names);
        check_refused(&model.encode(), "2 different names");
    }
}

#[track_caller]
fn check_refused(bytes: &[u8], why: &str) {
    let error = Model::decode(bytes).unwrap_err();
    assert!(error.contains(why), "{error}");
}

/// Replaces text in the header by text of the same length.
fn with_header(from: &str, to: &str) -> Vec<u8> {
    assert_eq!(from.len(), to.len());
    let bytes = small().encode();
    let at = bytes.windows(from.len()).position(|w| w == from.as_bytes()).unwrap();
    let mut changed = bytes;
    changed[at..at + to.len()].copy_from_slice(to.as_bytes());
    changed
}

#[test]
fn what_does_not_fit_is_named() {
    check_refused(&with_header("lethe.mlp.v1", "lethe.mlp.v9"), "this program reads `lethe.mlp.v1`");
    check_refused(&with_header("layers.1.bias", "layers.7.bias"), "no tensor `layers.1.bias`");
    check_refused(&with_header(r#"\"n_features\":3"#, r#"\"n_features\":5"#), "its input has 5 values");
    check_refused(&with_header(r#""shape":[4,3]"#, r#""shape":[3,4]"#), "`layers.0.bias` has the shape [4]");
    check_refused(&with_header(r#""scale":"1""#, r#""scale":"2""#), "scaled by `2`");
    check_refused(&u64::MAX.to_le_bytes(), "its header claims");
    check_refused(&[1, 2, 3], "too short");

    let mut infinite = small();
    infinite.mlp.params_mut()[3] = f32::INFINITY;
    check_refused(&infinite.encode(), "not finite");
}

#[test]
fn an_image_of_absurd_size_is_refused_without_overflow() {
    let mut absurd = small();
    absurd.input = InputSpec::Image { height: u32::MAX, width: u32::MAX };
    check_refused(&absurd.encode(), "its first layer 3");
}

#[test]
fn a_stored_model_comes_back_and_its_digest_repeats() {
    let (_dir, artifacts) = folder();
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    let (digest, size) = artifacts.models.put(one, &small()).unwrap();
    assert_eq!(artifacts.models.put(two, &small()).unwrap(), (digest.clone(), size));
    assert_eq!(artifacts.models.get(one, &digest).unwrap(), small());
    assert_eq!(artifacts.models.read(one).unwrap().len() as u64, size);
}

#[test]
fn a_file_that_changed_on_disk_is_damaged_and_a_lost_one_missing() {
    let (dir, artifacts) = folder();
    let id = Uuid::now_v7();
    let (digest, _) = artifacts.models.put(id, &small()).unwrap();
    let path = dir.path().join("models").join(format!("{id}.safetensors"));
    let mut bytes = std::fs::read(&path).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&path, bytes).unwrap();
    assert!(
        matches!(artifacts.models.get(id, &digest), Err(ArtifactError::Damaged { id: named, .. }) if named == id)
    );
    artifacts.models.remove(id).unwrap();
    artifacts.models.remove(id).unwrap();
    assert!(
        matches!(artifacts.models.get(id, &digest), Err(ArtifactError::Missing { id: named, .. }) if named == id)
    );
}

#[test]
fn sweeping_removes_what_no_row_speaks_of_and_touches_nothing_else() {
    let (dir, artifacts) = folder();
    let (kept, lost) = (Uuid::now_v7(), Uuid::now_v7());
    let (digest, _) = artifacts.models.put(kept, &small()).unwrap();
    artifacts.models.put(lost, &small()).unwrap();
    let weights = dir.path().join("models");
    std::fs::write(weights.join(format!("{}.tmp", Uuid::now_v7())), "half").unwrap();
    std::fs::write(weights.join("README.txt"), "mine").unwrap();
    assert_eq!(artifacts.models.sweep(&[kept]).unwrap(), 2);
    assert!(artifacts.models.get(kept, &digest).is_ok());
    assert!(matches!(artifacts.models.read(lost), Err(ArtifactError::Missing { .. })));
    assert!(weights.join("README.txt").exists());
}

#[test]
fn the_weights_digest_knows_the_network_and_not_its_history() {
    let mut other = small();
    other.lineage.clear();
    assert_eq!(other.weights_digest(), small().weights_digest());
    other.mlp.params_mut()[0] += 1.0;
    assert_ne!(other.weights_digest(), small().weights_digest());
}

/// Keeps the last state it is offered.
struct Keeper(Option<State>);

impl Observer for Keeper {
    fn on_boundary(&mut self, _: &BatchReport, state: &dyn Fn() -> State) -> ControlFlow<()> {
        self.0 = Some(state());
        ControlFlow::Continue(())
    }
}

#[test]
fn a_state_survives_its_file_bit_for_bit_and_a_model_is_not_one() {
    let labels = [0, 1, 2, 0, 1, 2];
    let features: Vec<f32> = (0..24).map(|i| i as f32 / 7.0).collect();
    let samples = Samples::new(Features::F32(&features), &labels, 4, 3);
    let recipe = Standard { hidden: vec![5], epochs: 2, batch_size: 2, holdout: 0.0, ..Standard::new(3) };
    let mut keeper = Keeper(None);
    let problem = Problem { train: samples, excluded: &[], test: samples };
    train(&Recipe::Standard(recipe), &problem, &mut keeper).unwrap();
    let state = keeper.0.unwrap();
    let (_dir, artifacts) = folder();
    let (id, copy) = (Uuid::now_v7(), Uuid::now_v7());
    let (digest, _) = artifacts.checkpoints.put(id, &state).unwrap();
    artifacts.checkpoints.copy(id, &digest, copy).unwrap();
    artifacts.checkpoints.remove(id).unwrap();
    assert_eq!(artifacts.checkpoints.get(copy, &digest).unwrap(), state);
    assert!(State::decode(&small().encode()).unwrap_err().contains("lethe.checkpoint.v1"));
    assert!(Model::decode(&state.encode()).is_err());
}
