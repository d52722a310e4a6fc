//! Times that were stored earlier, under a clock that somebody may have set since then.

use waxwing_protocol::time::{Span, Time};

/// Comparing with a time that was noted earlier.
pub(crate) trait Passed {
    /// Whether at least `span` has passed since `earlier`.
    ///
    /// An `earlier` that lies ahead was noted before the clock was set back, and counts as
    /// long ago: otherwise what is due after it would not be done until the clock gets
    /// there, which may be years. (Clocks are corrected by a little all the time, so a
    /// minute ahead is not ahead.)
    fn has_passed(self, earlier: Time, span: Span) -> bool;
}

impl Passed for Time {
    fn has_passed(self, earlier: Time, span: Span) -> bool {
        let set_back = earlier > self.after(Span::minutes(1));
        set_back || self.since(earlier) >= span
    }
}
