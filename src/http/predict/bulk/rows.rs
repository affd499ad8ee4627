//! Rows out of pieces of a body.

use super::super::super::error::{Code, FieldError, Problem};
use super::super::super::extract::from_json;
use super::super::super::serving::refusal;
use crate::data::InputSpec;
use crate::formats::json::{Id, Line};
use crate::formats::lines::{Lines, MAX_LINE, TooLong};
use crate::formats::{Values, npy};
use std::mem;

/// Some rows, and whether any can follow.
#[derive(Clone, Debug)]
pub struct Block {
    pub values: Values,
    /// Of lines: what the client calls each row.
    pub ids: Vec<Option<Id>>,
    n_rows: usize,
    /// What comes behind these rows: the end of the request or something wrong; `None` while nobody knows.
    pub end: Option<Result<(), Problem>>,
}

impl Block {
    /// No rows.
    pub fn end(end: Result<(), Problem>) -> Self {
        Self { end: Some(end), ..Self::of(Values::F32(Vec::new()), Vec::new(), 0) }
    }

    fn of(values: Values, ids: Vec<Option<Id>>, n_rows: usize) -> Self {
        Self { values, ids, n_rows, end: None }
    }

    pub fn n_rows(&self) -> usize {
        self.n_rows
    }
}

/// What has been read of a body.
#[derive(Debug)]
pub enum Rows {
    /// Lines of JSON; `n_lines` of them have been read.
    Lines { lines: Lines, n_lines: u64 },
    /// The beginning of a file whose head is not whole.
    Head(Vec<u8>),
    /// The numbers behind the head.
    Npy(npy::Rows),
}

impl Rows {
    pub fn lines() -> Self {
        Self::Lines { lines: Lines::default(), n_lines: 0 }
    }

    pub fn npy() -> Self {
        Self::Head(Vec::new())
    }

    /// How many rows there will have been, where that is known by now.
    pub fn n_rows(&self) -> Option<u64> {
        match self {
            Self::Npy(rows) => Some(rows.n_rows()),
            Self::Lines { .. } | Self::Head(_) => None,
        }
    }

    /// The rows that are whole with this piece.
    pub fn push(&mut self, piece: &[u8], input: &InputSpec) -> Block {
        match self {
            Self::Lines { lines, n_lines } => {
                let mut block = Parsed::default();
                let read = lines.push(piece, |line| block.add(line, n_lines, input));
                block.finish(read.err().map(|wrong| Err(wrong.into_problem(*n_lines))))
            }
            Self::Head(head) => {
                head.extend_from_slice(piece);
                match npy::Rows::begin(head, input) {
                    Ok(None) => Block::of(Values::F32(Vec::new()), Vec::new(), 0),
                    Ok(Some(rows)) => {
                        *self = Self::Npy(rows);
                        self.push(&[], input)
                    }
                    Err(fault) => Block::end(Err(refusal(vec![fault]))),
                }
            }
            Self::Npy(rows) => {
                rows.push(piece);
                match rows.take(input) {
                    Ok(values) => {
                        let n_rows = values.len() / input.n_features();
                        Block::of(values, Vec::new(), n_rows)
                    }
                    Err(fault) => Block::end(Err(refusal(vec![fault]))),
                }
            }
        }
    }

    /// What is left at the end of the body.
    pub fn finish(&mut self, input: &InputSpec) -> Block {
        match self {
            Self::Lines { lines, n_lines } => {
                let mut block = Parsed::default();
                let read = lines.finish().map_or(Ok(()), |line| block.add(&line, n_lines, input));
                block.finish(Some(read.map_err(|wrong| wrong.into_problem(*n_lines))))
            }
            Self::Head(_) => {
                let detail = "the body ends within the head of the npy file";
                Block::end(Err(Problem::invalid(vec![FieldError::new("", detail)])))
            }
            Self::Npy(rows) => Block::end(rows.finish(input).map_err(|fault| refusal(vec![fault]))),
        }
    }
}

/// Why lines cannot be read on.
enum Wrong {
    TooLong,
    Line(Problem),
}

impl From<TooLong> for Wrong {
    fn from(TooLong: TooLong) -> Self {
        Self::TooLong
    }
}

impl Wrong {
    fn into_problem(self, line: u64) -> Problem {
        match self {
            Self::TooLong => {
                Problem::new(Code::PayloadTooLarge, format!("line {line} has more than {MAX_LINE} bytes"))
            }
            Self::Line(problem) => problem,
        }
    }
}

/// Lines that have been read.
#[derive(Default)]
struct Parsed {
    values: Vec<f32>,
    ids: Vec<Option<Id>>,
}

impl Parsed {
    fn add(&mut self, line: &[u8], n_lines: &mut u64, input: &InputSpec) -> Result<(), Wrong> {
        let index = *n_lines;
        if !line.trim_ascii().is_empty() {
            self.row(line, index, input).map_err(Wrong::Line)?;
        }
        *n_lines = index + 1;
        Ok(())
    }

    fn row(&mut self, line: &[u8], index: u64, input: &InputSpec) -> Result<(), Problem> {
        let Line { rows, id, at } = from_json(line).map_err(|problem| of_line(problem, index))?;
        let at = format!("/{index}{at}");
        let values = rows.check(&at, input).map_err(refusal)?;
        if values.len() != input.n_features() {
            let detail = "must be one row: a line has one answer";
            return Err(Problem::invalid(vec![FieldError::new(at, detail)]));
        }
        match values {
            Values::U8(values) => self.values.extend(values.iter().map(|&value| f32::from(value))),
            Values::F32(values) => self.values.extend(values),
        }
        self.ids.push(id);
        Ok(())
    }

    fn finish(&mut self, end: Option<Result<(), Problem>>) -> Block {
        let (values, ids) = (mem::take(&mut self.values), mem::take(&mut self.ids));
        let n_rows = ids.len();
        Block { end, ..Block::of(Values::F32(values), ids, n_rows) }
    }
}

/// What is wrong with a line, as part of the whole.
fn of_line(problem: Problem, index: u64) -> Problem {
    if problem.errors.is_empty() {
        let detail = problem.detail.replacen("the body", &format!("line {index}"), 1);
        return Problem { detail, ..problem };
    }
    let errors = problem.errors.into_iter();
    Problem::invalid(
        errors.map(|error| FieldError::new(format!("/{index}{}", error.pointer), error.detail)).collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: InputSpec = InputSpec::Image { height: 1, width: 2 };

    fn lines(text: &str) -> Block {
        let mut rows = Rows::lines();
        let mut block = rows.push(text.as_bytes(), &IMAGE);
        if block.end.is_none() {
            let last = rows.finish(&IMAGE);
            block.end = last.end;
            assert_eq!(last.n_rows, 0, "these texts end their lines");
        }
        block
    }

    #[test]
    fn a_line_is_a_row_in_any_of_its_forms() {
        let text = "[1,2]\n\n{\"inputs\":[3,4],\"id\":\"a\"}\r\n{\"id\":7,\"inputs\":[[5,6]]}\n\
                    {\"inputs\":{\"base64\":\"Bwg=\"},\"id\":-1}\n  [9,10]\n[[11,12]]\n";
        let block = lines(text);
        assert!(matches!(block.end, Some(Ok(()))), "{block:?}");
        assert_eq!(block.values, Values::F32((1..=12_u8).map(f32::from).collect()));
        let text = |text: &str| Some(Id::Text(text.to_owned()));
        assert_eq!(block.ids, [None, text("a"), Some(Id::Whole(7)), Some(Id::Negative(-1)), None, None]);
    }

    #[test]
    fn rows_before_a_bad_line_are_kept_and_the_line_is_pointed_at() {
        for (line, code, pointer) in [
            ("[1,256]", Code::InvalidRequest, "/2/1"),
            ("[1]", Code::InvalidRequest, "/2"),
            ("[[1,2],[3,4]]", Code::InvalidRequest, "/2"),
            ("[1,\"2\"]", Code::InvalidRequest, "/2/1"),
            ("{\"inputs\":[1,300]}", Code::InvalidRequest, "/2/inputs/1"),
            ("{\"inputs\":[1,2],\"id\":1.5}", Code::InvalidRequest, "/2/id"),
            ("{\"id\":1}", Code::InvalidRequest, "/2/inputs"),
            ("{\"inputs\":[1,2],\"top_k\":1}", Code::InvalidRequest, "/2/top_k"),
            ("7", Code::InvalidRequest, "/2"),
            ("{\"a\":1}", Code::InvalidRequest, "/2/a"),
            ("[1,2", Code::InvalidJson, ""),
            ("\u{1}", Code::InvalidJson, ""),
        ] {
            let block = lines(&format!("[1,2]\n[3,4]\n{line}\n[5,6]\n"));
            assert_eq!(block.n_rows, 2, "{line}");
            let problem = block.end.unwrap().unwrap_err();
            let found = problem.errors.first().map_or("", |error| &error.pointer);
            assert_eq!((problem.code, found), (code, pointer), "{line}: {problem:?}");
            assert!(code != Code::InvalidJson || problem.detail.contains("line 2"), "{}", problem.detail);
        }
    }

    #[test]
    fn a_line_without_end_is_too_large() {
        let mut rows = Rows::lines();
        assert_eq!(rows.push(b"[1,2]\n", &IMAGE).n_rows, 1);
        let block = rows.push(&vec![b' '; MAX_LINE + 1], &IMAGE);
        let problem = block.end.unwrap().unwrap_err();
        assert_eq!(problem.code, Code::PayloadTooLarge);
        assert!(problem.detail.contains("line 1 "), "{}", problem.detail);
    }

    #[test]
    fn the_last_line_needs_no_end() {
        let mut rows = Rows::lines();
        assert_eq!(rows.push(b"[1,2]\n[3,", &IMAGE).n_rows, 1);
        assert_eq!(rows.push(b"4]", &IMAGE).n_rows, 0);
        let last = rows.finish(&IMAGE);
        assert_eq!(last.values, Values::F32(vec![3.0, 4.0]));
        assert!(matches!(last.end, Some(Ok(()))));
    }

    #[test]
    fn a_file_is_rows_from_where_its_head_ends() {
        let file = [npy::head("|u1", &[3, 2]), vec![1, 2, 3, 4, 5, 6]].concat();
        let mut rows = Rows::npy();
        assert_eq!((rows.push(&file[..70], &IMAGE).n_rows, rows.n_rows()), (0, None));
        let block = rows.push(&file[70..file.len() - 3], &IMAGE);
        assert_eq!((block.values, rows.n_rows()), (Values::U8(vec![1, 2].into()), Some(3)));
        assert!(rows.finish(&IMAGE).end.unwrap().is_err(), "two rows are missing");
        let block = rows.push(&file[file.len() - 3..], &IMAGE);
        assert_eq!(block.values, Values::U8(vec![3, 4, 5, 6].into()));
        assert!(rows.finish(&IMAGE).end.unwrap().is_ok());
    }

    #[test]
    fn a_file_that_ends_or_begins_wrong_is_refused() {
        assert!(Rows::npy().push(b"PK\x03\x04", &IMAGE).end.unwrap().is_err());
        let mut rows = Rows::npy();
        assert!(rows.push(b"\x93NUM", &IMAGE).end.is_none());
        assert!(rows.finish(&IMAGE).end.unwrap().is_err());
    }
}
