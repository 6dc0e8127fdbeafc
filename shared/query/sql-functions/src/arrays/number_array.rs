//! Reads an array of numbers from its text.

/// Maximum number of dimensions, as in QuestDB.
const MAX_DIMENSIONS: usize = 32;

/// An array of numbers. Reused for many texts, to avoid allocations.
#[derive(Debug, Default)]
pub(super) struct NumberArray {
    /// The length of each dimension, the outermost first.
    shape: Vec<Option<usize>>,
    /// The dimension of the elements, if there was one.
    element_dimension: Option<usize>,
    /// The elements in row-major order; `None` is `null`.
    elements: Vec<Option<f64>>,
}

impl NumberArray {
    /// Reads a text. Returns whether it is an array of numbers; if it is not, the content is not defined.
    pub(super) fn read(&mut self, text: &str) -> bool {
        self.shape.clear();
        self.element_dimension = None;
        self.elements.clear();
        let mut cursor = Cursor { rest: text };
        cursor.skip_blanks();
        self.read_array(&mut cursor, 1).is_some() && {
            cursor.skip_blanks();
            cursor.rest.is_empty()
        }
    }

    /// Returns the length of each dimension, the outermost first.
    pub(super) fn shape(&self) -> impl Iterator<Item = usize> {
        self.shape.iter().map(|length| length.unwrap_or(0))
    }

    /// Returns the elements in row-major order; `None` is `null`.
    pub(super) fn elements(&self) -> &[Option<f64>] {
        &self.elements
    }

    /// Returns the element at indices that count from 1; `None` if it is `null` or does not exist.
    pub(super) fn element(
        &self,
        indices: impl ExactSizeIterator<Item = Option<i64>>,
    ) -> Option<f64> {
        if indices.len() != self.shape.len() {
            return None;
        }
        let mut position = 0;
        for (index, length) in indices.zip(self.shape()) {
            let index = usize::try_from(index?.checked_sub(1)?).ok()?;
            if index >= length {
                return None;
            }
            position = position * length + index;
        }
        self.elements.get(position).copied().flatten()
    }

    /// Reads an array of this dimension, which counts from 1. The recursion is at most [`MAX_DIMENSIONS`] deep.
    fn read_array(&mut self, cursor: &mut Cursor<'_>, dimension: usize) -> Option<()> {
        if !cursor.skip('[') || dimension > MAX_DIMENSIONS {
            return None;
        }
        if self.shape.len() < dimension {
            if self.element_dimension.is_some() {
                return None;
            }
            self.shape.push(None);
        }
        let mut length = 0;
        cursor.skip_blanks();
        if !cursor.skip(']') {
            loop {
                cursor.skip_blanks();
                if cursor.rest.starts_with('[') {
                    self.read_array(cursor, dimension + 1)?;
                } else {
                    self.read_element(cursor, dimension)?;
                }
                length += 1;
                cursor.skip_blanks();
                if cursor.skip(']') {
                    break;
                }
                if !cursor.skip(',') {
                    return None;
                }
            }
        }
        let known = self.shape.get_mut(dimension - 1)?;
        (*known.get_or_insert(length) == length).then_some(())
    }

    fn read_element(&mut self, cursor: &mut Cursor<'_>, dimension: usize) -> Option<()> {
        if dimension != self.shape.len() {
            return None;
        }
        self.element_dimension = Some(dimension);
        self.elements.push(cursor.number()?);
        Some(())
    }
}

/// The rest of a text.
struct Cursor<'a> {
    rest: &'a str,
}

impl Cursor<'_> {
    fn skip_blanks(&mut self) {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n', '\r']);
    }

    fn skip(&mut self, expected: char) -> bool {
        match self.rest.strip_prefix(expected) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    /// Reads a number or `null`; `None` if there is neither.
    fn number(&mut self) -> Option<Option<f64>> {
        if let Some(rest) = self.rest.strip_prefix("null") {
            self.rest = rest;
            return Some(None);
        }
        let is_part = |byte: &u8| byte.is_ascii_digit() || b"+-.eE".contains(byte);
        let length = self.rest.bytes().take_while(is_part).count();
        let (number, rest) = self.rest.split_at_checked(length)?;
        let number = number.parse::<f64>().ok().filter(|n| n.is_finite())?;
        self.rest = rest;
        Some(Some(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Option<(Vec<usize>, Vec<Option<f64>>)> {
        let mut array = NumberArray::default();
        array.read(text).then(|| (array.shape().collect(), array.elements().to_vec()))
    }

    #[test]
    fn arrays_have_a_shape_and_elements() {
        let some = |numbers: &[f64]| numbers.iter().map(|n| Some(*n)).collect::<Vec<_>>();
        for (text, shape, elements) in [
            ("[1.0,2.5]", &[2][..], some(&[1.0, 2.5])),
            ("[[1,2],[3,4],[5,6]]", &[3, 2], some(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0])),
            (" [ [ 1e300 ] ,\n[-0.5]\t] ", &[2, 1], some(&[1e300, -0.5])),
            ("[null,1]", &[2], vec![None, Some(1.0)]),
            ("[]", &[0], vec![]),
            ("[[],[]]", &[2, 0], vec![]),
            ("[[[]]]", &[1, 1, 0], vec![]),
        ] {
            assert_eq!(read(text), Some((shape.to_vec(), elements)), "{text}");
        }
        let deepest = format!("{}1{}", "[".repeat(32), "]".repeat(32));
        assert_eq!(read(&deepest), Some((vec![1; 32], vec![Some(1.0)])));
    }

    #[test]
    fn other_texts_are_no_arrays() {
        let deep = format!("{}1{}", "[".repeat(33), "]".repeat(33));
        for text in [
            "",
            "1",
            "null",
            "[",
            "[1",
            "[1,",
            "[1,]",
            "[,1]",
            "[1]]",
            "[1] x",
            "[1 2]",
            "[[1],2]",
            "[1,[2]]",
            "[[1],[2,3]]",
            "[[1],[]]",
            "[[],1]",
            "[[],[[]]]",
            "[[[]],[]]",
            "[x]",
            "[\"1\"]",
            "[true]",
            "[NaN]",
            "[inf]",
            "[1e400]",
            "[+-1]",
            "[nul]",
            "{}",
            "[é]",
            &deep,
            &"[".repeat(100_000),
        ] {
            assert_eq!(read(text), None, "{text:.40}");
        }
    }

    #[test]
    fn elements_are_counted_from_one() {
        let mut array = NumberArray::default();
        assert!(array.read("[[1,2,3],[4,null,6]]"));
        let element = |indices: &[i64]| array.element(indices.iter().map(|index| Some(*index)));
        assert_eq!(element(&[1, 1]), Some(1.0));
        assert_eq!(element(&[2, 3]), Some(6.0));
        for indices in [
            &[2, 2][..],
            &[1],
            &[1, 1, 1],
            &[0, 1],
            &[3, 1],
            &[1, 4],
            &[-1, 1],
            &[i64::MIN, i64::MAX],
        ] {
            assert_eq!(element(indices), None, "{indices:?}");
        }
        assert_eq!(array.element([Some(1), None].into_iter()), None);
    }
}
