//! Inference requests: the JSON object, and what of it can be checked without knowing the model.
//!
//! Members the protocol does not name are passed over, as are parameters that belong to extensions that are
//! not offered and do not change the answer (`priority`, `timeout`): clients send both.

use super::super::error::{FieldError, Problem};
use super::super::extract::{Object, from_json, optional_object};
use super::super::number::{Checker, Number, Whole};
use super::super::serving::refusal;
use super::body::split;
use super::datatype::Datatype;
use super::tensor::InputTensor;
use crate::data::InputSpec;
use crate::formats::{Dtype, Values, raw};
use bytes::Bytes;
use serde::de::{Deserializer, Error, IgnoredAny, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::marker::PhantomData;
use utoipa::ToSchema;

/// Bytes of an `id`, which is echoed.
const MAX_ID: usize = 1_024;

/// One inference.
#[derive(Debug, Deserialize, ToSchema)]
pub struct InferRequest {
    /// Comes back with the answer.
    #[serde(default)]
    #[schema(max_length = 1024)]
    id: Option<String>,
    #[serde(default, deserialize_with = "optional_object")]
    parameters: Option<RequestParameters>,
    /// The one tensor, `input`.
    #[schema(value_type = Vec<InputTensor>, min_items = 1, max_items = 1)]
    inputs: AtMost<Object<InputTensor>, 1>,
    /// Which tensors to answer: all without it.
    #[serde(default)]
    #[schema(value_type = Option<Vec<RequestedOutput>>, max_items = 3)]
    outputs: Option<AtMost<Object<RequestedOutput>, 3>>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct RequestParameters {
    /// Whether outputs that do not say it themselves are answered behind the JSON.
    #[serde(default)]
    binary_data_output: Option<bool>,
    /// Refused: the models keep no state between requests.
    #[serde(default)]
    #[schema(ignore)]
    sequence_id: Option<IgnoredAny>,
}

/// What a model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputName {
    /// `FP32 [N, classes]`
    Probabilities,
    /// `FP32 [N, classes]`, before the softmax
    Logits,
    /// `INT64 [N]`, the most probable class
    Label,
}

impl OutputName {
    pub const ALL: [Self; 3] = [Self::Probabilities, Self::Logits, Self::Label];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Probabilities => "probabilities",
            Self::Logits => "logits",
            Self::Label => "label",
        }
    }

    pub const fn datatype(self) -> Datatype {
        match self {
            Self::Probabilities | Self::Logits => Datatype::Fp32,
            Self::Label => Datatype::Int64,
        }
    }
}

/// A tensor to answer.
#[derive(Debug, Deserialize, ToSchema)]
pub struct RequestedOutput {
    name: OutputName,
    #[serde(default, deserialize_with = "optional_object")]
    parameters: Option<OutputParameters>,
}

#[derive(Debug, Deserialize, ToSchema)]
pub struct OutputParameters {
    /// Whether to answer it behind the JSON, little-endian.
    #[serde(default)]
    binary_data: Option<bool>,
    /// Answer that many classes instead, best first, as `BYTES [N, classification]` of `value:index:name`.
    #[serde(default)]
    #[schema(value_type = Option<u32>, minimum = 1)]
    classification: Option<Number>,
    /// Refused: there is no shared memory.
    #[serde(default)]
    #[schema(ignore)]
    shared_memory_region: Option<IgnoredAny>,
}

/// One tensor of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    pub name: OutputName,
    pub is_binary: bool,
    /// The number of classes, if they are wanted instead of the numbers.
    pub n_best: Option<usize>,
}

/// A request whose model is not known yet.
#[derive(Debug)]
pub struct Request {
    pub id: Option<String>,
    input: Input,
    outputs: Vec<RequestedOutput>,
    binary_by_default: bool,
}

#[derive(Debug)]
enum Input {
    /// With what stands behind the JSON.
    Tensor(Box<InputTensor>, Bytes),
    /// Bytes alone: `UINT8` for images, `FP32` for vectors, as many rows as they are.
    Raw(Bytes),
}

impl Request {
    /// A body of `json_length` bytes of JSON and then tensors, or of JSON alone.
    ///
    /// # Errors
    ///
    /// 400 if it cannot be read, 422 at what must change.
    pub fn read(body: &Bytes, json_length: Option<usize>) -> Result<Self, Problem> {
        let (json, binary) = split(body, json_length.unwrap_or(body.len()))?;
        let Object(request): Object<InferRequest> = from_json(&json)?;
        if request.id.as_ref().is_some_and(|id| id.len() > MAX_ID) {
            return Err(refused("/id", format!("must have at most {MAX_ID} bytes")));
        }
        let parameters = request.parameters;
        if parameters.as_ref().is_some_and(|parameters| parameters.sequence_id.is_some()) {
            return Err(refused("/parameters/sequence_id", "is not offered: the models keep no state"));
        }
        let Some(Object(tensor)) = request.inputs.0.into_iter().next() else {
            return Err(refused("/inputs", "must hold the one input, `input`"));
        };
        Ok(Self {
            id: request.id,
            input: Input::Tensor(Box::new(tensor), binary),
            outputs: request.outputs.into_iter().flat_map(|AtMost(list)| list).map(|Object(o)| o).collect(),
            binary_by_default: parameters
                .and_then(|parameters| parameters.binary_data_output)
                .unwrap_or(false),
        })
    }

    /// A body that is the input's bytes and nothing else. All outputs are wanted.
    pub fn raw(body: Bytes, answer_is_binary: bool) -> Self {
        Self { id: None, input: Input::Raw(body), outputs: Vec::new(), binary_by_default: answer_is_binary }
    }

    /// The tensors to answer, in their order, of a model with `n_classes`.
    ///
    /// # Errors
    ///
    /// 422 at what must change.
    pub fn wanted(&self, n_classes: usize) -> Result<Vec<Wanted>, Problem> {
        if self.outputs.is_empty() {
            let all = OutputName::ALL.iter();
            return Ok(all
                .map(|&name| Wanted { name, is_binary: self.binary_by_default, n_best: None })
                .collect());
        }
        let mut wanted: Vec<Wanted> = Vec::with_capacity(self.outputs.len());
        for (index, output) in self.outputs.iter().enumerate() {
            if wanted.iter().any(|earlier| earlier.name == output.name) {
                return Err(refused(&format!("/outputs/{index}/name"), "is there twice"));
            }
            wanted.push(output.wanted(self.binary_by_default, index, n_classes)?);
        }
        Ok(wanted)
    }

    /// The rows to answer: see [`InputTensor::rows`].
    pub fn rows(self, input: &InputSpec) -> Result<Values, Problem> {
        match self.input {
            Input::Tensor(tensor, binary) => tensor.rows(binary, input),
            Input::Raw(body) => {
                let dtype = match input {
                    InputSpec::Image { .. } => Dtype::U8,
                    InputSpec::Vector { .. } => Dtype::F32,
                };
                raw::decode(body, dtype, input).map_err(|fault| refusal(vec![fault]))
            }
        }
    }
}

impl RequestedOutput {
    fn wanted(&self, binary_by_default: bool, index: usize, n_classes: usize) -> Result<Wanted, Problem> {
        let Some(parameters) = &self.parameters else {
            return Ok(Wanted { name: self.name, is_binary: binary_by_default, n_best: None });
        };
        let at = |member: &str| format!("/outputs/{index}/parameters/{member}");
        if parameters.shared_memory_region.is_some() {
            let detail = "is not offered; the tensor comes with the answer";
            return Err(refused(&at("shared_memory_region"), detail));
        }
        let n_best = match parameters.classification {
            None => None,
            Some(_) if self.name == OutputName::Label => {
                let detail = "is for `probabilities` and `logits`: a label is a class already";
                return Err(refused(&at("classification"), detail));
            }
            Some(number) => {
                let mut checker = Checker::default();
                let classes = Whole { min: 1, max: n_classes as u64 };
                let n_best = checker.whole(&at("classification"), Some(number), classes, 1);
                Some(checker.finish(n_best as usize)?)
            }
        };
        Ok(Wanted { name: self.name, is_binary: parameters.binary_data.unwrap_or(binary_by_default), n_best })
    }
}

fn refused(pointer: &str, detail: impl Into<String>) -> Problem {
    Problem::invalid(vec![FieldError::new(pointer, detail)])
}

/// A list of at most `MAX` elements; what is beyond is not read.
#[derive(Debug)]
pub struct AtMost<T, const MAX: usize>(pub Vec<T>);

impl<'de, T: Deserialize<'de>, const MAX: usize> Deserialize<'de> for AtMost<T, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T, const MAX: usize>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>, const MAX: usize> Visitor<'de> for List<T, MAX> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Vec<T>, A::Error> {
                let mut elements = Vec::new();
                while elements.len() < MAX {
                    let Some(element) = seq.next_element()? else { return Ok(elements) };
                    elements.push(element);
                }
                match seq.next_element::<IgnoredAny>()? {
                    Some(_) => Err(A::Error::custom(format!("must have at most {MAX} elements"))),
                    None => Ok(elements),
                }
            }
        }

        deserializer.deserialize_seq(List::<T, MAX>(PhantomData)).map(Self)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::error::Code;
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use proptest::{option, sample::select};
    use serde_json::{Value, json};

    const IMAGE: InputSpec = InputSpec::Image { height: 1, width: 2 };
    const VECTOR: InputSpec = InputSpec::Vector { n_features: 2, columns: None };

    /// The request's JSON and what stands behind it, as one body.
    fn framed(json: &Value, binary: &[u8]) -> (Bytes, usize) {
        let json = json.to_string();
        (Bytes::from([json.as_bytes(), binary].concat()), json.len())
    }

    fn rows(json: &Value, binary: &[u8], input: &InputSpec) -> Result<Values, Problem> {
        let (body, json_length) = framed(json, binary);
        Request::read(&body, Some(json_length))?.rows(input)
    }

    fn tensor(datatype: &str, shape: &Value, data: &Value) -> Value {
        json!({ "inputs": [{ "name": "input", "datatype": datatype, "shape": shape, "data": data }] })
    }

    fn binary_tensor(datatype: &str, shape: &Value, size: usize) -> Value {
        json!({ "inputs": [{ "name": "input", "datatype": datatype, "shape": shape,
                             "parameters": { "binary_data_size": size } }] })
    }

    #[track_caller]
    fn assert_refused<T: fmt::Debug>(result: Result<T, Problem>, pointer: &str) {
        let problem = result.unwrap_err();
        let pointers: Vec<_> = problem.errors.iter().map(|error| error.pointer.as_str()).collect();
        assert_eq!((problem.code, &pointers[..]), (Code::InvalidRequest, &[pointer][..]), "{problem:?}");
    }

    #[test]
    fn numbers_of_every_type_and_place_become_the_same_rows() {
        let expected = Values::F32(vec![3.0, 0.0, 1.0, 2.0]);
        let binary = |size: usize, number: fn(u8) -> Vec<u8>| {
            let bytes: Vec<u8> = [3, 0, 1, 2].into_iter().flat_map(number).collect();
            assert_eq!(bytes.len(), 4 * size);
            bytes
        };
        for (datatype, size, bytes) in [
            ("UINT8", 1, binary(1, |n| n.to_le_bytes().into())),
            ("INT8", 1, binary(1, |n| n.to_le_bytes().into())),
            ("UINT16", 2, binary(2, |n| u16::from(n).to_le_bytes().into())),
            ("INT16", 2, binary(2, |n| i16::from(n).to_le_bytes().into())),
            ("UINT32", 4, binary(4, |n| u32::from(n).to_le_bytes().into())),
            ("INT32", 4, binary(4, |n| i32::from(n).to_le_bytes().into())),
            ("UINT64", 8, binary(8, |n| u64::from(n).to_le_bytes().into())),
            ("INT64", 8, binary(8, |n| i64::from(n).to_le_bytes().into())),
            ("FP32", 4, binary(4, |n| f32::from(n).to_le_bytes().into())),
            ("FP64", 8, binary(8, |n| f64::from(n).to_le_bytes().into())),
        ] {
            let by_binary = rows(&binary_tensor(datatype, &json!([2, 2]), 4 * size), &bytes, &VECTOR);
            assert_eq!(by_binary.unwrap(), expected, "{datatype}");
            for data in [json!([3, 0, 1, 2]), json!([[3, 0], [1, 2.0]])] {
                let by_json = rows(&tensor(datatype, &json!([2, 2]), &data), b"", &VECTOR);
                assert_eq!(by_json.unwrap(), expected, "{datatype} {data}");
            }
        }
    }

    #[test]
    fn images_have_three_shapes() {
        for shape in [json!([2, 2]), json!([2, 1, 2]), json!([2, 1, 1, 2])] {
            let bytes = rows(&binary_tensor("UINT8", &shape, 4), &[0, 255, 51, 7], &IMAGE).unwrap();
            assert_eq!(bytes, Values::U8(Bytes::from_static(&[0, 255, 51, 7])));
            let floats = rows(&tensor("FP32", &shape, &json!([0, 255, 51, 7])), b"", &IMAGE).unwrap();
            assert_eq!(floats, Values::F32(vec![0.0, 255.0, 51.0, 7.0]));
        }
    }

    #[test]
    fn shapes_that_are_no_rows_are_refused() {
        for shape in [
            json!([]),
            json!([2]),
            json!([0, 2]),
            json!([1, 3]),
            json!([1, 1, 1, 3]),
            json!([1, 2, 1]),
            json!([4_097, 2]),
        ] {
            assert_refused(rows(&tensor("FP32", &shape, &json!([1, 2])), b"", &IMAGE), "/inputs/0/shape");
        }
        assert_refused(
            rows(&tensor("FP32", &json!([1, 1, 2]), &json!([1, 2])), b"", &VECTOR),
            "/inputs/0/shape",
        );
        for (shape, pointer) in [
            (json!([-1, 2]), "/inputs/0/shape/0"),
            (json!([1, 2.5]), "/inputs/0/shape/1"),
            (json!([1, 1e20]), "/inputs/0/shape/1"),
            (json!(["1", 2]), "/inputs/0/shape/0"),
            (json!([1, 1, 1, 1, 1]), "/inputs/0/shape"),
            (json!(7), "/inputs/0/shape"),
        ] {
            assert_refused(rows(&tensor("FP32", &shape, &json!([1, 2])), b"", &IMAGE), pointer);
        }
    }

    #[test]
    fn numbers_the_input_cannot_have_are_pointed_at() {
        for (datatype, data, input, pointer) in [
            ("FP32", json!([0, 256]), IMAGE, "/inputs/0/data/1"),
            ("FP32", json!([[0, -0.5]]), IMAGE, "/inputs/0/data/0/1"),
            ("UINT8", json!([0.5, 0]), IMAGE, "/inputs/0/data/0"),
            ("INT64", json!([0, 16_777_217]), VECTOR, "/inputs/0/data/1"),
            ("FP32", json!([0, 1e39]), VECTOR, "/inputs/0/data/1"),
            ("FP32", json!([0, null]), VECTOR, "/inputs/0/data/1"),
            ("FP32", json!([0, true]), VECTOR, "/inputs/0/data/1"),
            ("FP32", json!([[0], 1]), VECTOR, "/inputs/0/data/1"),
            ("FP32", json!([0]), VECTOR, "/inputs/0/data"),
            ("FP32", json!([[0], [1]]), VECTOR, "/inputs/0/data"),
            ("FP32", json!("AAAA"), VECTOR, "/inputs/0/data"),
        ] {
            assert_refused(rows(&tensor(datatype, &json!([1, 2]), &data), b"", &input), pointer);
        }
        for bad in [f32::NAN, f32::INFINITY, -1.0, 256.0] {
            let bytes: Vec<u8> = [0.0, 0.0, 0.0, bad].iter().flat_map(|v: &f32| v.to_le_bytes()).collect();
            let request = binary_tensor("FP32", &json!([2, 2]), 16);
            assert_refused(rows(&request, &bytes, &IMAGE), "/inputs/0/data/1/1");
            assert_eq!(rows(&request, &bytes, &VECTOR).is_err(), !bad.is_finite());
        }
        let huge = binary_tensor("FP64", &json!([1, 2]), 16);
        let bytes: Vec<u8> = [1e39_f64, 0.0].iter().flat_map(|v| v.to_le_bytes()).collect();
        assert_refused(rows(&huge, &bytes, &VECTOR), "/inputs/0/data/0/0");
        let bytes: Vec<u8> = [i64::MAX, 0].iter().flat_map(|v| v.to_le_bytes()).collect();
        let request = binary_tensor("INT64", &json!([1, 2]), 16);
        assert_refused(rows(&request, &bytes, &VECTOR), "/inputs/0/data/0/0");
    }

    #[test]
    fn what_is_no_request_is_pointed_at() {
        let good = tensor("FP32", &json!([1, 2]), &json!([1, 2]));
        let changed = |change: fn(&mut Value)| {
            let mut request = good.clone();
            change(&mut request);
            rows(&request, b"", &VECTOR)
        };
        for (pointer, result) in [
            ("/inputs", changed(|r| r["inputs"] = json!([]))),
            ("/inputs", changed(|r| r["inputs"] = json!([r["inputs"][0], r["inputs"][0]]))),
            ("/inputs", changed(|r| *r = json!({}))),
            ("", changed(|r| *r = json!([]))),
            ("/inputs/0", changed(|r| r["inputs"][0] = json!(["input", [1, 2], "FP32"]))),
            ("/inputs/0/name", changed(|r| r["inputs"][0]["name"] = json!("x"))),
            ("/inputs/0/datatype", changed(|r| r["inputs"][0]["datatype"] = json!("BOOL"))),
            ("/inputs/0/datatype", changed(|r| r["inputs"][0]["datatype"] = json!("BYTES"))),
            ("/inputs/0/data", changed(|r| r["inputs"][0]["data"] = Value::Null)),
            ("/id", changed(|r| r["id"] = json!("x".repeat(1_025)))),
            ("/id", changed(|r| r["id"] = json!(7))),
            ("/parameters", changed(|r| r["parameters"] = json!([]))),
            ("/parameters/sequence_id", changed(|r| r["parameters"] = json!({ "sequence_id": 1 }))),
            (
                "/inputs/0/parameters/shared_memory_region",
                changed(|r| r["inputs"][0]["parameters"] = json!({ "shared_memory_region": "x" })),
            ),
            (
                "/inputs/0/parameters/binary_data_size",
                changed(|r| r["inputs"][0]["parameters"] = json!({ "binary_data_size": -1 })),
            ),
            ("/inputs/0/data", changed(|r| r["inputs"][0]["parameters"] = json!({ "binary_data_size": 0 }))),
        ] {
            assert_refused(result, pointer);
        }
        let unknown = changed(|r| {
            r["model_name"] = json!("m");
            r["parameters"] = json!({ "priority": 1, "timeout": 2, "mine": "x" });
            r["inputs"][0]["parameters"] = json!({ "content_type": "np" });
        });
        assert_eq!(unknown.unwrap(), Values::F32(vec![1.0, 2.0]));
    }

    #[test]
    fn lengths_that_do_not_add_up_are_refused() {
        let request = binary_tensor("UINT8", &json!([1, 2]), 2);
        let code = |binary: &[u8]| rows(&request, binary, &IMAGE).map_err(|problem| problem.code);
        assert!(code(&[1, 2]).is_ok());
        assert_eq!(code(&[1]), Err(Code::BadRequest));
        assert_eq!(code(&[1, 2, 3]), Err(Code::BadRequest));
        let json = tensor("UINT8", &json!([1, 2]), &json!([1, 2]));
        assert_eq!(rows(&json, &[1], &IMAGE).unwrap_err().code, Code::BadRequest);
        let short = binary_tensor("FP32", &json!([1, 2]), 2);
        assert_refused(rows(&short, &[1, 2], &IMAGE), "/inputs/0/parameters/binary_data_size");
        let (body, json_length) = framed(&request, &[1, 2]);
        for (length, code) in
            [(body.len() + 1, Code::BadRequest), (json_length - 1, Code::InvalidJson), (0, Code::InvalidJson)]
        {
            assert_eq!(Request::read(&body, Some(length)).unwrap_err().code, code, "{length}");
        }
        assert_eq!(Request::read(&body, None).unwrap_err().code, Code::InvalidJson);
    }

    #[test]
    fn raw_bodies_are_rows_of_the_inputs_own_type() {
        let raw = |body: &'static [u8], input| Request::raw(Bytes::from_static(body), true).rows(input);
        assert_eq!(raw(&[1, 2, 3, 4], &IMAGE).unwrap(), Values::U8(Bytes::from_static(&[1, 2, 3, 4])));
        assert_eq!(raw(&[0; 8], &VECTOR).unwrap(), Values::F32(vec![0.0, 0.0]));
        assert_refused(raw(&[1], &IMAGE), "");
        assert_refused(raw(&[0; 9], &VECTOR), "");
        assert_refused(raw(&[], &IMAGE), "");
    }

    proptest! {
        #[test]
        fn whatever_is_sent_becomes_whole_rows_of_finite_numbers_or_a_problem(
            datatype in select(&["UINT8", "INT16", "UINT64", "FP16", "FP32", "FP64"][..]),
            shape in prop_oneof![select(vec![vec![1, 2], vec![2, 2], vec![2, 1, 1, 2]]), vec(-1_i64..5_000, 0..6)],
            numbers in option::of(prop_oneof![vec(0_u16..300, 2..5), vec(0_u16..256, 4)]),
            binary in option::of(prop_oneof![vec(any::<u8>(), 0..33), vec(any::<u8>(), 4), vec(any::<u8>(), 8)]),
            wrong_by in prop_oneof![4 => Just(0_usize), 1 => 0_usize..500],
        ) {
            let size = binary.as_ref().map(Vec::len);
            let binary = binary.unwrap_or_default();
            let request = json!({ "inputs": [{ "name": "input", "datatype": datatype, "shape": shape,
                                               "data": numbers, "parameters": { "binary_data_size": size } }] });
            let (body, json_length) = framed(&request, &binary);
            for input in [IMAGE, VECTOR] {
                let read = Request::read(&body, Some(json_length + wrong_by)).and_then(|r| r.rows(&input));
                let Ok(rows) = read else { continue };
                let n_values = rows.len();
                prop_assert!(n_values > 0 && n_values.is_multiple_of(2));
                if let Values::F32(values) = rows {
                    let is_image = matches!(input, InputSpec::Image { .. });
                    let fits = |v: &f32| v.is_finite() && (!is_image || (0.0..=255.0).contains(v));
                    prop_assert!(values.iter().all(fits), "{values:?}");
                }
            }
        }
    }

    fn wanted(outputs: &Value) -> Result<Vec<Wanted>, Problem> {
        let mut request = tensor("FP32", &json!([1, 2]), &json!([1, 2]));
        request["outputs"] = outputs.clone();
        request["parameters"] = json!({ "binary_data_output": true });
        Request::read(&Bytes::from(request.to_string()), None)?.wanted(3)
    }

    #[test]
    fn outputs_are_all_or_those_named() {
        use OutputName::{Label, Logits, Probabilities};
        let binary = |name| Wanted { name, is_binary: true, n_best: None };
        for none in [Value::Null, json!([])] {
            assert_eq!(wanted(&none).unwrap(), [Probabilities, Logits, Label].map(binary));
        }
        let named = json!([
            { "name": "label" },
            { "name": "logits", "parameters": { "classification": 2, "binary_data": false } },
        ]);
        let best = Wanted { name: Logits, is_binary: false, n_best: Some(2) };
        assert_eq!(wanted(&named).unwrap(), [binary(Label), best]);
    }

    #[test]
    fn outputs_there_are_not_are_refused() {
        let with = |parameters: Value| json!([{ "name": "logits", "parameters": parameters }]);
        for (outputs, pointer) in [
            (json!([{ "name": "score" }]), "/outputs/0/name"),
            (json!([{ "name": "label" }, { "name": "label" }]), "/outputs/1/name"),
            (json!([{}]), "/outputs/0/name"),
            (json!(["label"]), "/outputs/0"),
            (json!({}), "/outputs"),
            (json!([{ "name": "label" }, { "name": "logits" }, { "name": "probabilities" }, {}]), "/outputs"),
            (with(json!({ "classification": 0 })), "/outputs/0/parameters/classification"),
            (with(json!({ "classification": 4 })), "/outputs/0/parameters/classification"),
            (with(json!({ "classification": 1.5 })), "/outputs/0/parameters/classification"),
            (with(json!({ "binary_data": 1 })), "/outputs/0/parameters/binary_data"),
            (with(json!({ "shared_memory_region": "x" })), "/outputs/0/parameters/shared_memory_region"),
            (
                json!([{ "name": "label", "parameters": { "classification": 1 } }]),
                "/outputs/0/parameters/classification",
            ),
        ] {
            assert_refused(wanted(&outputs), pointer);
        }
    }
}
