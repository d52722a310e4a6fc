//! Lines from a stream, of bounded length.
//!
//! **Always.** Never holds more than the bound; reading may be cancelled at any await
//! without losing anything.

use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// A line that came.
#[derive(PartialEq, Eq)]
pub(crate) enum LineIn {
    /// Without its end.
    Line(Vec<u8>),
    /// Longer than the bound; it was skipped.
    TooLong,
}

/// A line may hold a code or a text.
impl std::fmt::Debug for LineIn {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Line(line) => write!(f, "Line({} bytes)", line.len()),
            Self::TooLong => f.write_str("TooLong"),
        }
    }
}

/// Reads lines.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    limit: usize,
    line: Vec<u8>,
    skipping: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(crate) fn new(reader: R, limit: usize) -> Self {
        Self {
            reader: BufReader::new(reader),
            limit,
            line: Vec::new(),
            skipping: false,
        }
    }

    /// The next line that is not blank; `None` at the end. A last line needs no end.
    pub(crate) async fn next(&mut self) -> io::Result<Option<LineIn>> {
        loop {
            let chunk = self.reader.fill_buf().await?;
            let ended = chunk.is_empty();
            let (part, used, complete) = match chunk.iter().position(|&byte| byte == b'\n') {
                Some(end) => (chunk.get(..end).unwrap_or_default(), end + 1, true),
                None => (chunk, chunk.len(), ended),
            };
            if self.skipping || self.line.len() + part.len() > self.limit {
                self.skipping = true;
                self.line = Vec::new();
            } else {
                self.line.extend_from_slice(part);
            }
            self.reader.consume(used);
            if complete {
                if std::mem::take(&mut self.skipping) {
                    return Ok(Some(LineIn::TooLong));
                }
                let line = std::mem::take(&mut self.line);
                if !line.iter().all(u8::is_ascii_whitespace) {
                    return Ok(Some(LineIn::Line(line)));
                }
            }
            if ended {
                return Ok(None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(bytes: &[u8], limit: usize) -> Vec<LineIn> {
        let mut lines = Lines::new(bytes, limit);
        let mut all = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            all.push(line);
        }
        all
    }

    fn line(text: &str) -> LineIn {
        LineIn::Line(text.as_bytes().to_vec())
    }

    #[tokio::test]
    async fn lines_are_read_one_by_one_without_blank_ones() {
        assert_eq!(
            all(b"one\n\n  \r\ntwo\nthree", 5).await,
            [line("one"), line("two"), line("three")]
        );
    }

    #[tokio::test]
    async fn a_line_that_is_too_long_is_skipped_and_the_next_one_is_read() {
        assert_eq!(
            all(b"sixsix\nfive5\nsixsix", 5).await,
            [LineIn::TooLong, line("five5"), LineIn::TooLong]
        );
        let mut long = vec![b'x'; 100_000];
        long.extend_from_slice(b"\nok\n");
        assert_eq!(all(&long, 1000).await, [LineIn::TooLong, line("ok")]);
    }

    #[tokio::test]
    async fn the_end_after_a_line_is_the_end() {
        assert_eq!(all(b"a\n", 5).await, [line("a")]);
        assert_eq!(all(b"", 5).await, []);
    }
}
