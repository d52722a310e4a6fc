//! What goes into the engine and what comes out of it.
//!
//! **Elsewhere**: handling an event is [`crate::engine::Engine::handle`]; driving
//! it by a real network and clock is `waxwing-client`'s.
//!
//! **Always**: an event says what has happened, an effect what is to be done;
//! neither holds a socket, a clock or a callback.

use waxwing_protocol::{
    Exporter,
    pb::{ClientFrame, RelayFrame},
    time::Time,
};

use crate::api::{Notice, Problem, Request};

/// Which of the two links to the relay.
///
/// They are separate TLS connections with no session resumption in common, so
/// that the relay cannot tell that they belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LinkKind {
    /// Logged in: registers, receives, publishes key packages, obtains tokens.
    Mailbox,
    /// Never logged in: looks up, starts conversations, posts.
    Posting,
}

/// Where the relay is.
#[derive(Clone, PartialEq, Eq)]
pub struct RelayPlace {
    /// As the person gave it.
    pub url: String,
    /// `sha256/…`: the only key that may answer. `None` before the first link of a
    /// relay whose pin was not given.
    pub pin: Option<String>,
}

impl core::fmt::Debug for RelayPlace {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("RelayPlace(..)")
    }
}

/// Something has happened.
pub enum Event {
    /// A link is open: TLS and WebSocket are done, no frame has travelled yet.
    LinkOpened {
        /// Which.
        link: LinkKind,
        /// Its TLS exporter (`waxwing_protocol::EXPORTER_LABEL`).
        exporter: Exporter,
        /// The pin that the relay's key has, to be kept from now on.
        pin: Option<String>,
    },
    /// A link that was open is no more. The driver opens it again by itself, with
    /// back-off, until [`Effect::CloseLink`].
    LinkClosed {
        /// Which.
        link: LinkKind,
    },
    /// A link could not be opened; the driver tries again by itself.
    LinkFailed {
        /// Which.
        link: LinkKind,
        /// Why: [`Problem::RelayDown`], [`Problem::WrongPin`], …
        problem: Problem,
    },
    /// Frames came. As many as are there at once: they share one transaction.
    FramesReceived {
        /// On which link.
        link: LinkKind,
        /// In the order they came.
        frames: Vec<RelayFrame>,
    },
    /// A person or program asks for something.
    Command(Request),
    /// The time of the last [`Effect::SetTimer`] has come. Early or needless ones
    /// do no harm.
    TimeCame,
}

/// Something is to be done.
pub enum Effect {
    /// Keep this link open: open it now, and again with back-off whenever it
    /// closes or cannot be opened, until [`Effect::CloseLink`].
    OpenLink {
        /// Which.
        link: LinkKind,
        /// Where to.
        relay: RelayPlace,
    },
    /// Close this link and keep it closed. [`Event::LinkClosed`] need not follow.
    CloseLink {
        /// Which.
        link: LinkKind,
    },
    /// Send a frame. If the link is not open any more, drop it.
    Send {
        /// On which link.
        link: LinkKind,
        /// What.
        frame: ClientFrame,
    },
    /// Bring [`Event::TimeCame`] at this time. It replaces the timer before.
    SetTimer(Time),
    /// Tell whoever listens.
    Notify(Notice),
}

impl core::fmt::Debug for Event {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::LinkOpened { link, .. } => write!(f, "LinkOpened({link:?})"),
            Self::LinkClosed { link } => write!(f, "LinkClosed({link:?})"),
            Self::LinkFailed { link, problem } => write!(f, "LinkFailed({link:?}, {problem:?})"),
            Self::FramesReceived { link, frames } => {
                write!(f, "FramesReceived({link:?}, {})", frames.len())
            }
            Self::Command(request) => write!(f, "Command({request:?})"),
            Self::TimeCame => f.write_str("TimeCame"),
        }
    }
}

impl core::fmt::Debug for Effect {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::OpenLink { link, .. } => write!(f, "OpenLink({link:?})"),
            Self::CloseLink { link } => write!(f, "CloseLink({link:?})"),
            Self::Send { link, .. } => write!(f, "Send({link:?})"),
            Self::SetTimer(_) => f.write_str("SetTimer"),
            Self::Notify(notice) => write!(f, "Notify({notice:?})"),
        }
    }
}
