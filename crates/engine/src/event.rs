//! What goes into the engine, and what comes out of it.
//!
//! **Elsewhere**: [`crate::engine::Engine::handle`] handles an event; `waxwing-client` drives
//! the engine with a real network and clock.
//!
//! **Always**: an event says what has happened, and an effect says what to do; neither holds a
//! socket, a clock or a callback.

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
    /// The relay answers at another URL, with the key that this device has pinned: the driver has
    /// seen it there.
    RelayMoved {
        /// Where.
        url: String,
    },
    /// A person or program asks for something.
    Command(Request),
    /// Something was done with a file of the home's `blobs/`.
    Blob(BlobDone),
    /// The time of the last [`Effect::SetTimer`] has come. Early or needless ones
    /// do no harm.
    TimeCame,
}

/// What is to be done with a file of the home's `blobs/`, named by the blob's id.
pub enum BlobWork {
    /// Read a part of it; answered with [`BlobDone::Read`].
    Read {
        /// The blob's id.
        blob: [u8; 32],
        /// Whose file it is: the blob's own, or the one of which the blob is a copy.
        file: [u8; 32],
        /// Which part.
        part: u32,
        /// Where it begins.
        offset: u64,
        /// Its length in bytes.
        length: usize,
    },
    /// Write a part of it, safely; answered with [`BlobDone::Written`].
    Write {
        /// The blob's id.
        blob: [u8; 32],
        /// Which part.
        part: u32,
        /// Where it begins.
        offset: u64,
        /// What.
        bytes: bytes::Bytes,
    },
    /// Check that it has this hash and that all of it opens; answered with
    /// [`BlobDone::Checked`].
    Check {
        /// The blob's id.
        blob: [u8; 32],
        /// Opens it.
        key: zeroize::Zeroizing<[u8; 32]>,
        /// Of the file.
        size: u64,
        /// SHA-256 of the sealed bytes.
        hash: [u8; 32],
    },
    /// Delete it, if it is there. Not answered.
    Delete {
        /// The blob's id.
        blob: [u8; 32],
    },
    /// Delete all others, but for those that may just have been sealed. Not answered.
    Keep {
        /// The blobs' ids.
        blobs: Vec<[u8; 32]>,
    },
}

impl BlobWork {
    /// The blob, where an answer is awaited.
    pub(crate) const fn waits_for(&self) -> Option<[u8; 32]> {
        match self {
            Self::Read { blob, .. } | Self::Write { blob, .. } | Self::Check { blob, .. } => {
                Some(*blob)
            }
            Self::Delete { .. } | Self::Keep { .. } => None,
        }
    }
}

/// What was done with a file of the home's `blobs/`.
pub enum BlobDone {
    /// See [`BlobWork::Read`].
    Read {
        /// The blob's id.
        blob: [u8; 32],
        /// Which part.
        part: u32,
        /// What it holds; `None` where the file is not there, or too short.
        bytes: Option<bytes::Bytes>,
    },
    /// See [`BlobWork::Write`].
    Written {
        /// The blob's id.
        blob: [u8; 32],
        /// Which part.
        part: u32,
        /// Whether it is on the disk.
        ok: bool,
    },
    /// See [`BlobWork::Check`].
    Checked {
        /// The blob's id.
        blob: [u8; 32],
        /// Whether it is what the sender sealed.
        whole: bool,
    },
}

impl BlobDone {
    pub(crate) const fn blob(&self) -> [u8; 32] {
        match self {
            Self::Read { blob, .. } | Self::Written { blob, .. } | Self::Checked { blob, .. } => {
                *blob
            }
        }
    }
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
    /// Do something with a file of the home's `blobs/`.
    Blob(BlobWork),
    /// The account was deleted: delete the store, its key and all files of the home, and end.
    EraseHome,
    /// Tell the programs that listen.
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
            Self::RelayMoved { .. } => f.write_str("RelayMoved"),
            Self::Command(request) => write!(f, "Command({request:?})"),
            Self::Blob(_) => f.write_str("Blob(..)"),
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
            Self::Blob(_) => f.write_str("Blob(..)"),
            Self::EraseHome => f.write_str("EraseHome"),
            Self::Notify(notice) => write!(f, "Notify({notice:?})"),
        }
    }
}
