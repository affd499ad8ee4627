//! Rows as they may be written, and as they may not.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const IMAGE: InputSpec = InputSpec::Image { height: 1, width: 2 };

fn vector() -> InputSpec {
    InputSpec::Vector { n_features: 2, columns: None }
}

fn table() -> InputSpec {
    let columns = Some(vec!["age".to_owned(), "height".to_owned()]);
    InputSpec::Vector { n_features: 2, columns }
}

/// The values, or the places of the faults; none for what cannot be read at all.
fn read(text: &str, input: &InputSpec) -> Result<Values, Vec<String>> {
    let rows: JsonRows = serde_json::from_str(text).map_err(|_| vec![])?;
    rows.check("/inputs", input).map_err(|faults| faults.into_iter().map(|fault| fault.pointer).collect())
}

fn floats(values: &[f32]) -> Result<Values, Vec<String>> {
    Ok(Values::F32(values.to_vec()))
}

fn refused(pointers: &[&str]) -> Result<Values, Vec<String>> {
    Err(pointers.iter().map(|&pointer| pointer.to_owned()).collect())
}

#[test]
fn rows_are_read_flat() {
    assert_eq!(read("[[0,255],[51,102.5]]", &IMAGE), floats(&[0.0, 255.0, 51.0, 102.5]));
    assert_eq!(read("[[-1.5,1e30]]", &vector()), floats(&[-1.5, 1e30]));
    assert_eq!(read("[0,255]", &IMAGE), floats(&[0.0, 255.0]));
}

#[test]
fn what_is_wrong_is_pointed_at() {
    for (text, pointers) in [
        ("[]", &["/inputs"][..]),
        ("[[1]]", &["/inputs/0"]),
        ("[[1,2],[1,2,3]]", &["/inputs/1"]),
        ("[[1,256],[-1,0]]", &["/inputs/0/1", "/inputs/1/0"]),
        ("[1,2,3]", &["/inputs"]),
    ] {
        assert_eq!(read(text, &IMAGE), refused(pointers), "{text}");
    }
    for text in ["[[1,null]]", "[[1,\"2\"]]", "[[1e39,0]]", "[1,[2]]", "[[1],2]", "[1,{\"a\":2}]", "7", "{}"]
    {
        assert_eq!(read(text, &vector()), refused(&[]), "{text}");
    }
}

#[test]
fn too_many_rows_are_refused_while_reading() {
    let text = format!("[{}]", vec!["[0,0]"; MAX_ROWS + 1].join(","));
    assert!(read(&text, &IMAGE).is_err());
    let text = format!("[{}]", vec!["[0,0]"; MAX_ROWS].join(","));
    assert_eq!(read(&text, &IMAGE).unwrap().len(), 2 * MAX_ROWS);
}

#[test]
fn rows_by_column_are_put_into_the_models_order() {
    let text = r#"[{"height":1.7,"age":30},{"height":1.6,"age":40},{"age":50,"height":1.5}]"#;
    assert_eq!(read(text, &table()), floats(&[30.0, 1.7, 40.0, 1.6, 50.0, 1.5]));
    assert_eq!(read(r#"{"height":1.7,"age":30}"#, &table()), floats(&[30.0, 1.7]));
    assert_eq!(read("[[30,1.7]]", &table()), floats(&[30.0, 1.7]));
}

#[test]
fn columns_that_do_not_fit_are_refused() {
    for (text, pointers) in [
        (r#"[{"age":1}]"#, &["/inputs"][..]),
        (r#"[{"age":1,"weight":2}]"#, &["/inputs", "/inputs"]),
        (r#"[{"age":1,"age":2}]"#, &[]),
        (r#"[{"age":1,"height":2},{"age":1}]"#, &[]),
        (r#"[{"age":1,"height":2},{"age":1,"age":2}]"#, &[]),
        (r#"[{"age":1,"height":2},{"age":1,"weight":2}]"#, &[]),
        (r#"[{"age":1,"height":2},[1,2]]"#, &[]),
        (r#"[[1,2],{"age":1,"height":2}]"#, &[]),
        (r#"[{"age":1,"height":"2"}]"#, &[]),
        ("[{}]", &[]),
    ] {
        assert_eq!(read(text, &table()), refused(pointers), "{text}");
    }
    let named = r#"[{"age":1,"height":2}]"#;
    assert_eq!(read(named, &vector()), refused(&["/inputs"]));
    assert_eq!(read(named, &IMAGE), refused(&["/inputs"]));
}

#[test]
fn raw_numbers_may_stand_in_base64() {
    assert_eq!(read(r#"{"base64":"AP8zBw=="}"#, &IMAGE), Ok(Values::U8(vec![0, 255, 51, 7].into())));
    let text =
        format!(r#"{{"dtype":"f32","base64":"{}"}}"#, STANDARD.encode(1.5_f32.to_le_bytes().repeat(2)));
    assert_eq!(read(&text, &vector()), floats(&[1.5, 1.5]));
    assert_eq!(read(r#"{"base64":"AP8z"}"#, &IMAGE), refused(&["/inputs/base64"]));
    let text = format!(r#"{{"base64":"{}","dtype":"f32"}}"#, STANDARD.encode([0, 0, 128, 127].repeat(2)));
    assert_eq!(read(&text, &IMAGE), refused(&["/inputs/0/0"]));
    for text in [
        r#"{"base64":"AP8"}"#,
        r#"{"base64":"AP8=","base64":"AP8="}"#,
        r#"{"base64":7}"#,
        r#"{"dtype":"u8"}"#,
        r#"{"base64":"AP8=","dtype":"f16"}"#,
        r#"{"base64":"AP8=","shape":[1]}"#,
    ] {
        assert_eq!(read(text, &IMAGE), refused(&[]), "{text}");
    }
}
