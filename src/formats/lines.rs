//! Lines of a text that comes in pieces, as newline-delimited JSON does.

/// Bytes of one line, at most.
pub const MAX_LINE: usize = 1 << 20;

/// A line has more than [`MAX_LINE`] bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// Cuts a text into lines. They end with `\n`, before which one `\r` does not count; the last may have no end.
#[derive(Debug, Default)]
pub struct Lines {
    /// The beginning of a line whose end has not come.
    begun: Vec<u8>,
}

impl Lines {
    /// Calls `each` with every line that ends in `piece`, in order, until it fails.
    pub fn push<E: From<TooLong>>(
        &mut self,
        piece: &[u8],
        mut each: impl FnMut(&[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut rest = piece;
        while let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
            let (line, behind) = (&rest[..end], &rest[end + 1..]);
            rest = behind;
            if self.begun.len() + line.len() > MAX_LINE {
                return Err(TooLong.into());
            }
            if self.begun.is_empty() {
                each(without_return(line))?;
            } else {
                self.begun.extend_from_slice(line);
                let line = std::mem::take(&mut self.begun);
                each(without_return(&line))?;
            }
        }
        if self.begun.len() + rest.len() > MAX_LINE {
            return Err(TooLong.into());
        }
        self.begun.extend_from_slice(rest);
        Ok(())
    }

    /// The last line, if the text does not end with `\n`.
    pub fn finish(&mut self) -> Option<Vec<u8>> {
        let last = std::mem::take(&mut self.begun);
        (!last.is_empty()).then_some(last)
    }
}

fn without_return(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\r").unwrap_or(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lines_of<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Vec<u8>>, TooLong> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        for piece in pieces {
            lines.push(piece, |line| {
                found.push(line.to_vec());
                Ok::<_, TooLong>(())
            })?;
        }
        found.extend(lines.finish());
        Ok(found)
    }

    #[test]
    fn lines_end_at_line_feeds() {
        let lines = lines_of(["a\r\nb", "c\n\n", "\r", "\nd\r"].map(str::as_bytes).into_iter()).unwrap();
        assert_eq!(lines, [&b"a"[..], b"bc", b"", b"", b"d\r"]);
    }

    #[test]
    fn a_line_without_end_is_refused_before_it_fills_the_memory() {
        let piece = vec![b'x'; 1 << 16];
        let is_refused = |n: usize| lines_of(std::iter::repeat_n(&piece[..], n)).is_err();
        assert!(!is_refused(16));
        assert!(is_refused(17));
        let whole = [vec![b'x'; MAX_LINE + 1], vec![b'\n']].concat();
        assert_eq!(lines_of(std::iter::once(&whole[..])), Err(TooLong));
    }

    #[test]
    fn a_failure_ends_the_reading() {
        let mut n_seen = 0;
        let read = Lines::default().push(b"a\nb\nc\n", |_| {
            n_seen += 1;
            if n_seen == 2 { Err(TooLong) } else { Ok(()) }
        });
        assert_eq!((read, n_seen), (Err(TooLong), 2));
    }

    proptest! {
        #[test]
        fn how_a_text_is_cut_into_pieces_does_not_matter(
            text in prop::collection::vec(prop::sample::select(&b"ab\r\n"[..]), 0..60),
            size in 1_usize..9,
        ) {
            prop_assert_eq!(lines_of(text.chunks(size)), lines_of(std::iter::once(&text[..])));
        }
    }
}
