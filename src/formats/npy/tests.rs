//! Files as numpy writes them, and as nobody should.

use super::*;

const IMAGE: InputSpec = InputSpec::Image { height: 2, width: 1 };

fn vector(n_features: u32) -> InputSpec {
    InputSpec::Vector { n_features, columns: None }
}

/// A file with this dictionary, in the format's version `major`.
fn file(major: u8, text: &str, numbers: &[u8]) -> Bytes {
    let mut file = b"\x93NUMPY".to_vec();
    file.extend([major, 0]);
    match major {
        1 => file.extend((text.len() as u16).to_le_bytes()),
        _ => file.extend((text.len() as u32).to_le_bytes()),
    }
    file.extend(text.as_bytes());
    file.extend(numbers);
    file.into()
}

fn dictionary(descr: &str, shape: &str) -> String {
    format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}          \n")
}

fn array(descr: &str, shape: &str, numbers: &[u8]) -> Bytes {
    file(1, &dictionary(descr, shape), numbers)
}

/// What it says of this body, which must not be readable.
fn refusal(body: Bytes, input: &InputSpec) -> String {
    decode(body, input).unwrap_err().detail
}

#[test]
fn every_shape_of_rows_is_read() {
    for (shape, numbers) in [
        ("(2,)", &[1, 2][..]),
        ("(1, 2)", &[1, 2]),
        ("(2, 1)", &[1, 2]),
        ("(1, 2, 1)", &[1, 2]),
        ("(2, 2)", &[1, 2, 3, 4]),
        ("(2, 2, 1)", &[1, 2, 3, 4]),
    ] {
        let values = decode(array("|u1", shape, numbers), &IMAGE);
        assert_eq!(values, Ok(Values::U8(Bytes::copy_from_slice(numbers))), "{shape}");
    }
    for shape in ["()", "(3,)", "(0, 2)", "(2, 3)", "(1, 1, 2)", "(1, 1, 2, 1)"] {
        let detail = refusal(array("|u1", shape, &[1, 2]), &IMAGE);
        assert!(detail.contains("the array must have"), "{shape}: {detail}");
    }
    assert!(refusal(array("<f4", "(2, 1)", &[0; 8]), &vector(2)).contains("[N, 2] or [2], not [2, 1]"));
}

#[test]
fn every_version_and_order_of_keys_is_read() {
    let text = r#"{"shape":(1,2),"fortran_order":False,"descr":"|u1"}"#;
    for major in [1, 2, 3] {
        assert_eq!(decode(file(major, text, &[1, 2]), &IMAGE), Ok(Values::U8(Bytes::from_static(&[1, 2]))));
    }
    assert!(refusal(file(4, text, &[1, 2]), &IMAGE).contains("version 4.0"));
}

#[test]
fn numbers_are_checked_as_everywhere() {
    let numbers: Vec<u8> = [1.0, 2.0, f64::NAN, 4.0].iter().flat_map(|value| value.to_le_bytes()).collect();
    for input in [&IMAGE, &vector(2)] {
        assert_eq!(decode(array("<f8", "(2, 2)", &numbers), input).unwrap_err().pointer, "/1/0");
    }
    let fault = decode(array("<i2", "(2, 2)", &[0, 0, 0, 0, 0, 0, 0, 1]), &IMAGE).unwrap_err();
    assert_eq!(
        (fault.pointer.as_str(), fault.detail.as_str()),
        ("/1/1", "must be between 0 and 255, not 256")
    );
    assert_eq!(decode(array("|i1", "(2,)", &[255, 3]), &vector(2)), Ok(Values::F32(vec![-1.0, 3.0])));
    assert_eq!(decode(array("|u1", "(2,)", &[255, 3]), &vector(2)), Ok(Values::F32(vec![255.0, 3.0])));
}

#[test]
fn a_file_of_another_length_than_its_head_promises_is_refused() {
    let whole = array("|u1", "(2, 2)", &[1, 2, 3, 4]);
    for len in 0..whole.len() {
        let detail = refusal(whole.slice(..len), &IMAGE);
        let is_named = detail.contains("ends within the head") || detail.contains("ends too early");
        assert!(is_named, "{len}: {detail}");
    }
    assert!(refusal(array("|u1", "(2, 2)", &[1, 2, 3, 4, 5]), &IMAGE).contains("goes on too long"));
}

#[test]
fn heads_that_are_none_are_refused() {
    let fortran = "{'descr': '|u1', 'fortran_order': True, 'shape': (2, 2)}";
    assert!(refusal(file(1, fortran, &[0; 4]), &IMAGE).contains("ascontiguousarray"));
    for (text, wanted) in [
        ("", "`{`"),
        ("{'descr': '|u1'", "`}`"),
        ("{'descr': '|u1'}", "needs `descr`"),
        ("{'descr': '|u1', 'descr': '|u1'}", "twice"),
        ("{'descr': '|O', 'fortran_order': False, 'shape': (2,)}", "`|O`"),
        ("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (2,)}", "a text"),
        ("{'fortran_order': 0}", "`True` or `False`"),
        ("{'shape': (2 2)}", "`)`"),
        ("{'shape': (-2,)}", "a dimension"),
        ("{'shape': (99999999999999999999,)}", "a dimension"),
        ("{'data': 1}", "`data`"),
        ("{} trailing", "its end"),
        ("{'descr", "the end of a text"),
    ] {
        let detail = refusal(file(1, text, &[0; 4]), &IMAGE);
        assert!(detail.contains(wanted), "{text}: {detail}");
    }
    assert!(refusal(Bytes::from_static(b"PK\x03\x04"), &IMAGE).contains("not an npy file"));
    assert!(refusal(file(2, &" ".repeat(10_001), &[]), &IMAGE).contains("at most 10000 bytes"));
    let many = format!("{{'shape': ({})}}", "1, ".repeat(65));
    assert!(refusal(file(1, &many, &[]), &IMAGE).contains("64 dimensions"));
    assert!(refusal(array("<f8", "(9223372036854775807, 2)", &[]), &IMAGE).contains("too large"));
    assert!(refusal(array("|u1", "(4097, 2)", &[]), &IMAGE).contains("at most 4096 rows"));
}

#[test]
fn rows_that_come_in_pieces_are_the_same_rows() {
    let numbers: Vec<u8> = (0..40).flat_map(|value: u16| value.to_be_bytes()).collect();
    let whole = array(">u2", "(20, 2)", &numbers);
    let expected = decode(whole.clone(), &IMAGE).unwrap();
    for piece in [1, 3, 7, 64, 1_000] {
        let (mut head, mut rows, mut found) = (Vec::new(), None::<Rows>, Vec::new());
        for bytes in whole.chunks(piece) {
            match &mut rows {
                Some(rows) => rows.push(bytes),
                None => {
                    head.extend_from_slice(bytes);
                    rows = Rows::begin(&head, &IMAGE).unwrap();
                }
            }
            if let Some(rows) = &mut rows {
                let Values::F32(values) = rows.take(&IMAGE).unwrap() else { panic!("two bytes a number") };
                found.extend(values);
            }
        }
        let rows = rows.unwrap();
        assert_eq!(rows.n_rows(), 20);
        assert_eq!(rows.finish(&IMAGE), Ok(()));
        assert_eq!(Values::F32(found), expected, "{piece}");
    }
}

#[test]
fn what_is_wrong_with_a_piece_is_told_where_it_is() {
    let mut numbers: Vec<u8> = (0..10).flat_map(|value: u16| f32::from(value).to_le_bytes()).collect();
    numbers[36..40].copy_from_slice(&f32::INFINITY.to_le_bytes());
    let whole = array("<f4", "(5, 2)", &numbers);
    let mut rows = Rows::begin(&whole[..whole.len() - 12], &IMAGE).unwrap().unwrap();
    assert_eq!(rows.take(&IMAGE).unwrap().len(), 6);
    assert!(rows.finish(&IMAGE).unwrap_err().detail.contains("ends too early"));
    rows.push(&whole[whole.len() - 12..]);
    assert_eq!(rows.take(&IMAGE).unwrap_err().pointer, "/4/1");

    let mut rows = Rows::begin(&array("|u1", "(1, 2)", &[1, 2, 3]), &IMAGE).unwrap().unwrap();
    assert!(rows.take(&IMAGE).unwrap_err().detail.contains("goes on too long"));
}

#[test]
fn an_answers_head_is_one_that_can_be_read() {
    for shape in [&[7, 10][..], &[7], &[]] {
        let head = head("<f4", shape);
        assert!(head.len().is_multiple_of(64) && head.ends_with(b"\n"));
        let text = format!("{:?}", Header::parse(&head).unwrap().unwrap());
        assert!(text.contains(&format!("shape: {shape:?}")), "{text}");
    }
    let file = [head("|u1", &[2, 2]), vec![1, 2, 3, 4]].concat();
    assert_eq!(decode(file.into(), &IMAGE), Ok(Values::U8(Bytes::from_static(&[1, 2, 3, 4]))));
}
