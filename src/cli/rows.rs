//! Lists of numbers as people write them: `1,2,5-9`.

/// Numbers a single list may name; beyond that the request would be larger than a server accepts.
const MAX_LISTED: u64 = 1_000_000;

/// Reads `1,2,5-9` into sorted numbers without repetitions.
pub fn parse_list(text: &str) -> Result<Vec<u64>, String> {
    let mut numbers = Vec::new();
    for part in text.split(',').map(str::trim) {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (parse_one(first, part)?, parse_one(last, part)?);
        if last < first {
            return Err(format!("`{part}` counts backwards"));
        }
        if last - first >= MAX_LISTED - numbers.len() as u64 {
            return Err(format!("names more than {MAX_LISTED} numbers"));
        }
        numbers.extend(first..=last);
    }
    numbers.sort_unstable();
    numbers.dedup();
    Ok(numbers)
}

fn parse_one(text: &str, part: &str) -> Result<u64, String> {
    text.trim().parse().map_err(|_| format!("`{part}` is neither a number nor a range; write `1,2,5-9`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_and_single_numbers_mix() {
        assert_eq!(parse_list("1,2,5-9"), Ok(vec![1, 2, 5, 6, 7, 8, 9]));
        assert_eq!(parse_list(" 7 , 3 - 4,3"), Ok(vec![3, 4, 7]));
        assert_eq!(parse_list("0"), Ok(vec![0]));
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in ["", ",", "1,,2", "a", "-3", "1.5", "2-", "1-2-3", "99999999999999999999"] {
            assert!(parse_list(text).is_err(), "{text:?}");
        }
        assert_eq!(parse_list("9-5"), Err("`9-5` counts backwards".into()));
    }

    #[test]
    fn a_list_cannot_fill_the_memory() {
        assert!(parse_list("0-18446744073709551615").is_err());
        assert!(parse_list("0-999999").is_ok());
        assert!(parse_list("0-1000000").is_err());
        assert!(parse_list("0-999998,5-6").is_err());
    }
}
