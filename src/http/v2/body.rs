//! The binary tensor data extension's bodies: a JSON object, then the tensors' bytes one after another.

use super::super::error::{Code, FieldError, Problem};
use axum::http::{HeaderMap, HeaderName};
use bytes::Bytes;

/// Says how many bytes of a body are JSON.
pub const HEADER: &str = "Inference-Header-Content-Length";
pub const HEADER_NAME: HeaderName = HeaderName::from_static("inference-header-content-length");

/// What a body consists of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// JSON alone: the header is absent.
    Json,
    /// So many bytes of JSON, then tensors.
    Split(usize),
    /// The header is 0: the one input's bytes alone.
    Raw,
}

impl Framing {
    /// What the headers say of the body.
    ///
    /// # Errors
    ///
    /// 400 if the length is not written as one whole number.
    pub fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let mut values = headers.get_all(HEADER_NAME).iter();
        let Some(value) = values.next() else { return Ok(Self::Json) };
        let text = value.to_str().ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
        match text.and_then(|text| text.parse().ok()).filter(|_| values.next().is_none()) {
            Some(0) => Ok(Self::Raw),
            Some(length) => Ok(Self::Split(length)),
            None => {
                let detail = "must be one whole number: how many bytes of the body are JSON";
                let errors = vec![FieldError::new(HEADER, detail)];
                Err(Problem { errors, ..Problem::new(Code::InvalidHeader, format!("`{HEADER}` {detail}")) })
            }
        }
    }
}

/// The JSON object of a body and the tensors behind it. Nothing is copied.
///
/// # Errors
///
/// 400 if the body is shorter than its JSON is said to be.
pub fn split(body: &Bytes, json_length: usize) -> Result<(Bytes, Bytes), Problem> {
    if json_length > body.len() {
        let detail = format!(
            "`{HEADER}` says that {json_length} bytes are JSON, but the body has only {}",
            body.len()
        );
        return Err(Problem::new(Code::BadRequest, detail));
    }
    Ok((body.slice(..json_length), body.slice(json_length..)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framing(values: &[&'static str]) -> Result<Framing, Code> {
        let mut headers = HeaderMap::new();
        for &value in values {
            headers.append(HEADER_NAME, value.parse().unwrap());
        }
        Framing::of(&headers).map_err(|problem| problem.code)
    }

    #[test]
    fn the_header_says_what_the_body_consists_of() {
        assert_eq!(framing(&[]), Ok(Framing::Json));
        assert_eq!(framing(&["0"]), Ok(Framing::Raw));
        assert_eq!(framing(&["17"]), Ok(Framing::Split(17)));
        for bad in ["", "-1", "+1", "1.0", "0x10", " ", "99999999999999999999", "ten"] {
            assert_eq!(framing(&[bad]), Err(Code::InvalidHeader), "{bad}");
        }
        assert_eq!(framing(&["1", "1"]), Err(Code::InvalidHeader));
    }

    #[test]
    fn a_body_is_split_where_its_json_ends() {
        let body = Bytes::from_static(b"{}abc");
        for (length, json, tensors) in [(0, "", "{}abc"), (2, "{}", "abc"), (5, "{}abc", "")] {
            assert_eq!(split(&body, length).unwrap(), (Bytes::from(json), Bytes::from(tensors)));
        }
        assert_eq!(split(&body, 6).unwrap_err().code, Code::BadRequest);
        assert_eq!(split(&body, usize::MAX).unwrap_err().code, Code::BadRequest);
    }
}
