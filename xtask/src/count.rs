//! How many tests passed and failed, read from what a test runner printed.
//!
//! **Elsewhere**: whether the runner itself succeeded is its exit code, which has the
//! last word ([`Count::agreeing_with`]).
//!
//! **Always**: a runner that failed counts as at least one failure.

use crate::progress::Finished;

/// Tests that ran.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// They held.
    pub passed: u64,
    /// They did not.
    pub failed: u64,
}

impl Count {
    /// Both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            passed: self.passed + other.passed,
            failed: self.failed + other.failed,
        }
    }

    /// A runner that failed without naming a test (it did not compile, it was ended)
    /// is a failure all the same.
    pub fn agreeing_with(self, success: bool) -> Self {
        if success {
            self
        } else {
            Self {
                failed: self.failed.max(1),
                ..self
            }
        }
    }
}

/// From cargo-nextest's summary:
/// `Summary [   1.2s] 34 tests run: 32 passed (1 slow), 1 failed, 1 timed out, 0 skipped`.
pub fn nextest(finished: &Finished) -> Count {
    let summary = finished
        .output
        .lines()
        .rev()
        .find(|line| line.trim().starts_with("Summary ["));
    let Some((_, results)) = summary.and_then(|line| line.split_once(" run: ")) else {
        return Count::default();
    };
    results
        .split(", ")
        .map(named_number)
        .fold(Count::default(), Count::and)
}

/// From the result lines of `cargo test`, one for each program:
/// `test result: ok. 3 passed; 1 failed; 0 ignored; …`.
pub fn cargo_test(finished: &Finished) -> Count {
    finished
        .output
        .lines()
        .filter_map(|line| line.trim().strip_prefix("test result: "))
        .flat_map(|line| line.split(['.', ';']))
        .map(named_number)
        .fold(Count::default(), Count::and)
}

/// `32 passed (1 slow)` is 32 that passed; what counts neither way is nothing.
fn named_number(part: &str) -> Count {
    let mut words = part.split_whitespace();
    let (Some(number), Some(name)) = (words.next().and_then(|n| n.parse().ok()), words.next())
    else {
        return Count::default();
    };
    match name {
        "passed" => Count {
            passed: number,
            failed: 0,
        },
        "failed" | "timed" | "exec" => Count {
            passed: 0,
            failed: number,
        },
        _ => Count::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn output(text: &str) -> Finished {
        Finished {
            output: text.to_owned(),
            ..Finished::default()
        }
    }

    #[test]
    fn nextests_summary_is_read() {
        let all = output("x\n     Summary [   1.219s] 34 tests run: 34 passed, 2 skipped\n");
        assert_eq!(
            nextest(&all),
            Count {
                passed: 34,
                failed: 0
            }
        );
        let some = output(
            "     Summary [   9.0s] 36 tests run: 32 passed (1 slow), 3 failed, 1 timed out, 0 skipped\n\
             FAIL x\n",
        );
        assert_eq!(
            nextest(&some),
            Count {
                passed: 32,
                failed: 4
            }
        );
        assert_eq!(
            nextest(&output("error: could not compile")),
            Count::default()
        );
    }

    #[test]
    fn the_results_of_cargo_test_are_added_up() {
        let text = "test result: ok. 3 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s\n\
                    noise\n\
                    test result: FAILED. 2 passed; 2 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s\n";
        assert_eq!(
            cargo_test(&output(text)),
            Count {
                passed: 5,
                failed: 2
            }
        );
    }

    #[test]
    fn a_runner_that_failed_without_naming_a_test_is_a_failure() {
        assert_eq!(Count::default().agreeing_with(false).failed, 1);
        assert_eq!(
            Count {
                passed: 3,
                failed: 2
            }
            .agreeing_with(false)
            .failed,
            2
        );
        assert_eq!(
            Count {
                passed: 3,
                failed: 0
            }
            .agreeing_with(true)
            .failed,
            0
        );
    }
}
